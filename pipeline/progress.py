"""Live progress of a run, read from what the bank holds; works with any runner, wherever its workers are.

Planned work is `_staging/*/*/plan.json`, done work its `*.done.json` beside it and the rows in `videos/`.
On a terminal a bar with videos, hours of video, speed in multiples of real time and time left; otherwise a
plain line now and then.
"""

import json
import sys
import threading
import time
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from pipeline.bank.errors import StorageError
from pipeline.bank.filesystem import list_files, read_bytes
from pipeline.bank.snapshot import row_path
from pipeline.bank.writer import BankWriter

POLL_S = 1.0
LINE_EVERY_S = 30.0
SETTLED_S = 5.0
"""Speed and time left are not shown before."""


@dataclass(frozen=True, kw_only=True)
class Tally:
    """Where a run stands; `done_s` and `known_s` are seconds of video."""

    videos: int
    """Videos this run has to process."""
    probed: int
    ok: int
    failed: int
    done_s: float
    known_s: float
    """Seconds in all videos probed so far."""
    elapsed_s: float

    @property
    def speed(self) -> float:
        """Multiples of real time since the start."""
        return self.done_s / self.elapsed_s if self.elapsed_s > 0 else 0.0

    @property
    def total_s(self) -> float:
        """Seconds of video in the run; videos not probed yet are taken to be as long as the others."""
        return self.known_s * self.videos / self.probed if self.probed else 0.0

    def __str__(self) -> str:
        failed = f" ({self.failed} failed)" if self.failed else ""
        parts = [f"{self.ok + self.failed}/{self.videos} videos{failed}"]
        parts.append(f"{hours(self.done_s)} of {hours(self.total_s)}")
        if self.done_s > 0 and self.elapsed_s >= SETTLED_S:
            parts.append(f"{self.speed:.1f}x real time")
            parts.append(f"{hours(max(0.0, self.total_s - self.done_s) / self.speed)} left")
        return ", ".join(parts)


def hours(seconds: float) -> str:
    """`1:02:03` for 3723 s."""
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


@dataclass
class Watcher:
    """Reads the state of a run from its bank."""

    bank: BankWriter
    video_ids: Collection[str]
    _started: float = field(default_factory=time.monotonic)
    _plans: dict[str, dict] = field(default_factory=dict)
    _rows_before: dict[str, object] = field(default_factory=dict)
    _ended: dict[str, tuple[str, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._rows_before = self._row_times()

    def look(self) -> Tally:
        """The tally now."""
        shares = self._staged()
        for video_id, changed in self._row_times().items():
            if video_id not in self._ended and changed != self._rows_before.get(video_id):
                row = self.bank.current_row(video_id)
                if row is not None:
                    self._ended[video_id] = (row["status"], row["duration_s"] or 0.0)
        durations = {video_id: plan["duration_s"] for video_id, plan in self._plans.items()}
        durations |= {video_id: duration for video_id, (_, duration) in self._ended.items()}
        shares |= dict.fromkeys(self._ended, 1.0)
        statuses = [status for status, _ in self._ended.values()]
        return Tally(
            videos=len(self.video_ids),
            probed=len(durations),
            ok=statuses.count("ok"),
            failed=statuses.count("failed"),
            done_s=sum(durations[video_id] * share for video_id, share in shares.items() if video_id in durations),
            known_s=sum(durations.values()),
            elapsed_s=time.monotonic() - self._started,
        )

    def _row_times(self) -> dict[str, object]:
        """Change time of the row file of each video of this run that has one."""
        changed = {info.path: info.mtime_ns for info in list_files(self.bank.fs, f"{self.bank.root}/videos")}
        paths = {video_id: row_path(self.bank.root, video_id) for video_id in self.video_ids}
        return {video_id: changed[path] for video_id, path in paths.items() if path in changed}

    def _staged(self) -> dict[str, float]:
        """Share of its segments that each video in work has done."""
        done: dict[str, int] = {}
        folders: dict[str, str] = {}
        for info in list_files(self.bank.fs, f"{self.bank.root}/_staging", recursive=True):
            folder = info.path.rpartition("/")[0]
            if info.base_name == "plan.json":
                plan = self._plan(info.path)
                folders[folder] = plan["video_id"]
            elif info.base_name.endswith(".done.json"):
                done[folder] = done.get(folder, 0) + 1
        return {
            video_id: done.get(folder, 0) / self._plans[video_id]["segments"]
            for folder, video_id in folders.items()
            if video_id in self._plans
        }

    def _plan(self, path: str) -> dict:
        try:
            plan = json.loads(read_bytes(self.bank.fs, path))
        except FileNotFoundError:
            return {"video_id": ""}
        if plan["video_id"] in self.video_ids:
            self._plans[plan["video_id"]] = plan
        return plan


class ProgressReport:
    """Shows the progress of a run while the context is open."""

    def __init__(self, bank: BankWriter, video_ids: Collection[str], *, quiet: bool = False) -> None:
        self._watcher = Watcher(bank, frozenset(video_ids))
        self._quiet = quiet
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._show, daemon=True)

    def __enter__(self) -> "ProgressReport":
        if not self._quiet:
            self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _show(self) -> None:
        console = Console(stderr=True)
        with suppress(StorageError):  # the run meets it too, and says so
            if console.is_terminal:
                self._show_bar(console)
            else:
                self._show_lines()

    def _show_bar(self, console: Console) -> None:
        columns = (
            BarColumn(bar_width=30),
            TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("{task.description}"),
        )
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task("starting", total=None)
            pause = 0.2
            while not self._stop.wait(pause):
                began = time.monotonic()
                tally = self._watcher.look()
                bar.update(task, completed=tally.done_s, total=tally.total_s or None, description=str(tally))
                pause = max(POLL_S, 10 * (time.monotonic() - began))

    def _show_lines(self) -> None:
        while not self._stop.wait(LINE_EVERY_S):
            print(self._watcher.look(), file=sys.stderr, flush=True)
