"""What is kept of a run, as `_runs/<run>.json` in its bank: when, how, how much, how long, and what failed.

It is written when a run starts, and again when it ends, so that a killed run is known as well. Nothing is recorded
of a call that finds nothing to do. What a run was made with (stages, weights, versions) stands in bank.json.
"""

import json
import os
import platform
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from pyarrow import fs as pafs

from pipeline.bank.errors import BankError, UnknownNameError
from pipeline.bank.filesystem import join, list_names, read_bytes, write_bytes_atomic
from pipeline.bank.manifest import open_manifest

FOLDER = "_runs"
LAST = "last"
RUNNING, DONE, BROKE_OFF = "running", "done", "broke off"
_NAMED = 5


@dataclass(frozen=True, slots=True)
class Timing:
    """How long something took, over all calls of it."""

    calls: int
    sum_s: float
    min_s: float
    max_s: float

    @property
    def mean_s(self) -> float:
        """Mean of a call."""
        return self.sum_s / self.calls

    def __add__(self, other: "Timing") -> "Timing":
        return Timing(
            self.calls + other.calls,
            self.sum_s + other.sum_s,
            min(self.min_s, other.min_s),
            max(self.max_s, other.max_s),
        )


@dataclass(frozen=True, kw_only=True)
class RunMetrics:
    """Beam's metrics of a run."""

    counters: dict[str, int] = field(default_factory=dict)
    """`frames_decoded`, `frames_in_video`, `videos_ok`, `rows.<table>`, `failed_steps.<class>`, ..."""
    steps: dict[str, Timing] = field(default_factory=dict)
    """Of `probe`, `extract`, `finish <stage>` and `publish`: calls in a child process."""
    stages: dict[str, dict[str, Timing]] = field(default_factory=dict)
    """By step: the parts of these calls, `decode`, `write` and the stages of the run."""


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """One run."""

    run: str
    state: str
    """`running` (or killed), `done`, `broke off`."""
    started: str
    preset: str
    runner: str
    workers: int
    host: str
    pid: int
    videos: dict[str, int]
    """`to_do`; at the end also `ok` and `failed`, by the rows of the bank."""
    ended: str | None = None
    wall_s: float | None = None
    error: str | None = None
    """Why it broke off."""
    video_s: float = 0.0
    """Seconds of video that are done."""
    failures: tuple[dict[str, Any], ...] = ()
    """`stage`, `class` and number of `videos`, by the rows of the bank; the most frequent first."""
    metrics: RunMetrics = RunMetrics()

    def at_end(self, rows: Sequence[dict[str, Any]], metrics: RunMetrics, wall_s: float) -> "RunRecord":
        """The record of the same run when it is done, with the videos rows of what it had to do."""
        failed = Counter((row["error_stage"], row["error_class"]) for row in rows if row["status"] == "failed")
        counted = {"ok": sum(row["status"] == "ok" for row in rows), "failed": failed.total()}
        return replace(
            self,
            state=DONE,
            ended=utc(time.time()),
            wall_s=wall_s,
            videos=self.videos | counted,
            video_s=metrics.counters.get("milliseconds_of_video", 0) / 1000,
            failures=tuple(
                {"stage": stage, "class": name, "videos": count} for (stage, name), count in failed.most_common()
            ),
            metrics=metrics,
        )

    def broken_off(self, error: Exception, wall_s: float) -> "RunRecord":
        """The record of the same run when it ended by an error."""
        return replace(self, state=BROKE_OFF, ended=utc(time.time()), wall_s=wall_s, error=str(error))

    def save(self, fs: pafs.FileSystem, root: str) -> None:
        """Write it into the bank at `root`."""
        data = json.dumps(asdict(self), indent=1).encode() + b"\n"
        write_bytes_atomic(fs, join(root, FOLDER, f"{self.run}.json"), data)


def new_run_id() -> str:
    """A name for a run; names of later runs sort behind those of earlier ones."""
    return f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{uuid.uuid4().hex[:8]}"


def begun(run: str, *, preset: str, runner: str, workers: int, to_do: int) -> RunRecord:
    """The record of a run that starts now, in this process."""
    return RunRecord(
        run=run,
        state=RUNNING,
        started=utc(time.time()),
        preset=preset,
        runner=runner,
        workers=workers,
        host=platform.node(),
        pid=os.getpid(),
        videos={"to_do": to_do},
    )


def utc(seconds: float) -> str:
    """Seconds since 1970 as `2026-11-21T11:06:45.123Z`."""
    whole, part = divmod(round(1000 * seconds), 1000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(whole))}.{part:03d}Z"


def read_run(bank: str | os.PathLike[str], run: str) -> RunRecord:
    """The record of a run of a bank by its name, or of the `last` one.

    Raises NotABankError; UnknownNameError if there is no such run; BankError if its file cannot be read.
    """
    manifest = open_manifest(bank)
    names = [name for name in list_names(manifest.fs, join(manifest.root, FOLDER)) if name.endswith(".json")]
    runs = [name.removesuffix(".json") for name in names if not name.startswith("_")]
    if not runs or (run != LAST and run not in runs):
        known = f"the latest are {', '.join(runs[-_NAMED:])}" if runs else "no run is recorded"
        raise UnknownNameError(f"No run {run!r} in bank {manifest.root!r}: {known}.")
    path = join(manifest.root, FOLDER, f"{runs[-1] if run == LAST else run}.json")
    try:
        return _parsed(json.loads(read_bytes(manifest.fs, path)))
    except (ValueError, TypeError, KeyError) as error:
        raise BankError(f"Cannot read {path!r}: got {error!r}, expected the record of a run. Delete it.") from error


def _parsed(facts: dict[str, Any]) -> RunRecord:
    metrics = facts["metrics"]
    steps = {step: Timing(**timing) for step, timing in metrics["steps"].items()}
    stages = {
        step: {stage: Timing(**timing) for stage, timing in timings.items()}
        for step, timings in metrics["stages"].items()
    }
    known = RunMetrics(counters=metrics["counters"], steps=steps, stages=stages)
    return RunRecord(**facts | {"failures": tuple(facts["failures"]), "metrics": known})
