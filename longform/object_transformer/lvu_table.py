"""The nine tasks in one screen, beside the published figures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from longform.datasets.lvu import TASKS
from longform.training.recipes import Score

HEADINGS = {
    "relationship": "relation",
    "way_speaking": "speak",
    "like_ratio": "like, mse",
    "view_count": "views, mse",
}
DIGITS = {"like_ratio": 3, "view_count": 2}
"""As the thesis prints them; one for all others."""


def published_systems(path: Path) -> list[dict[str, Any]]:
    """Rows of a file of published figures, as `benchmarks/lvu/published.json` is: `system`, `values`, `source`."""
    rows: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["systems"]
    return rows


def nine_task_table(
    scores: Sequence[Score], published: Sequence[dict[str, Any]] = (), digits: Mapping[str, int] = DIGITS
) -> Table:
    """One row for each model and masking at test, with the mean and the standard error; then the published ones.

    Args:
        digits: behind the point, of the tasks that do not have one.
    """
    tasks = [task for task in TASKS if any(score.task == task for score in scores)]
    table = Table(box=None, header_style="bold", padding=(0, 1, 0, 0))
    table.add_column("")
    for task in tasks:
        table.add_column(HEADINGS.get(task, task), justify="right", no_wrap=True)
    rows: dict[str, dict[str, str]] = {}
    for score in scores:
        rows.setdefault(_row_name(score), {})[str(score.task)] = _cell(
            score.value, score.std_error, digits.get(str(score.task), 1)
        )
    for name, cells in rows.items():
        table.add_row(name, *(cells.get(task, "") for task in tasks))
    counts = {score.task: f"{score.num_videos}/{score.num_videos + score.num_missing}" for score in scores}
    table.add_row("videos had", *(counts[task] for task in tasks), end_section=True)
    for row in published:
        values = (row["values"].get(task) for task in tasks)
        figures = zip(tasks, values, strict=True)
        printed = ("" if value is None else _cell(*_pair(value), digits.get(task, 1)) for task, value in figures)
        table.add_row(row["system"], *printed, style="dim")
    return table


def _row_name(score: Score) -> str:
    return f"{score.more['model']}{', masked' if score.more['masked_at_test'] else ''}"


def _pair(value: float | Sequence[float]) -> tuple[float, float | None]:
    """A published figure, with its standard error where there is one."""
    return (value, None) if isinstance(value, (int, float)) else (value[0], value[1])


def _cell(value: float, error: float | None, digits: int) -> str:
    return f"{value:.{digits}f}" + ("" if error is None else f"±{error:.{digits}f}")
