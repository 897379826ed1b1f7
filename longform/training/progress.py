"""Live progress of training: a bar with loss and metric on a terminal, otherwise a plain line now and then."""

import sys
import time
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

LINE_EVERY_S = 30.0


class TrainingProgress:
    """Shows where a run stands while the context is open."""

    def __init__(self, *, done: int, steps: int, metric: str, quiet: bool = False) -> None:
        self._done, self._steps, self._metric, self._quiet = done, steps, metric, quiet
        self._loss = self._score = ""
        self._line_due = time.monotonic()
        self._bar: Progress | None = None

    def __enter__(self) -> "TrainingProgress":
        console = Console(stderr=True)
        if console.is_terminal and not self._quiet:
            text = TextColumn("{task.description}")
            columns = (BarColumn(bar_width=30), TaskProgressColumn(), text, TimeRemainingColumn())
            self._bar = Progress(*columns, console=console, transient=True)
            self._bar.add_task("starting", total=self._steps, completed=self._done)
            self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show_losses(self, row: Mapping[str, Any]) -> None:
        """A row of the log."""
        self._done = row["step"]
        self._loss = f"loss {row['loss']:.4g}, lr {row['lr']:.3g}, {row['seconds_per_step']:.3g} s/step"
        self._show(line=time.monotonic() >= self._line_due)

    def show_metrics(self, step: int, value: float, best: float | None) -> None:
        """The result of an evaluation."""
        self._done = step
        self._score = f"{self._metric} {value:.4g}" + ("" if best is None else f" (best {best:.4g})")
        self._show(line=True)

    def _show(self, *, line: bool) -> None:
        text = ", ".join(part for part in (f"step {self._done}/{self._steps}", self._loss, self._score) if part)
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=self._done, description=text)
        elif line and not self._quiet:
            print(text, file=sys.stderr, flush=True)
            self._line_due = time.monotonic() + LINE_EVERY_S
