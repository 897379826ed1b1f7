"""Where faults are tried out: a folder, generated videos, runs of `longform extract`, and banks of undisturbed runs."""

import os
import platform
import random
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from benchmarks.faults.outcome import Outcome
from pipeline.sample.encode import Coding
from pipeline.sample.samples import make_clip

REPOSITORY = Path(__file__).parents[2]
HOGHOF = ("--preset", "hoghof", "--segment-s", "1")
"""All stages that need no torch, and two to four segments of each video."""
SHOTS = ("--preset", "hoghof", "--only", "shots")
"""The least that a run can do."""
FAREWELL_S = 30.0
"""Processes that are still there so long after the end of their run have been left behind."""
MOST_LATE = 8
"""So many faults of a kind may come too late to strike, and are made again."""
_LEAST_DEADLINE_S = 60.0
_UNDISTURBED_S = 600.0
_POLL_S = 0.05


class Extraction:
    """One command, such as `longform extract`, in a session of its own with all its processes."""

    def __init__(self, folder: Path, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._said = folder / "said.txt"
        self.began = time.monotonic()
        with open(self._said, "wb") as said:
            self._driver = subprocess.Popen(
                command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=said, stderr=said,
                start_new_session=True,
            )  # fmt: skip

    @property
    def pid(self) -> int:
        """Process id of the driver."""
        return self._driver.pid

    @property
    def exit_status(self) -> int | None:
        """None while it runs."""
        return self._driver.poll()

    @property
    def said(self) -> str:
        """What it printed."""
        return self._said.read_text(errors="replace")

    def ends_within(self, seconds: float) -> bool:
        """Wait for the driver's end, at most so long."""
        try:
            self._driver.wait(max(0.0, seconds))
        except subprocess.TimeoutExpired:
            return False
        return True

    def kill(self) -> None:
        """SIGKILL to the driver, and to no other process."""
        self._driver.kill()
        self._driver.wait()

    def others(self) -> list[psutil.Process]:
        """Its living processes besides the driver."""
        return [process for process in processes_of(self.pid) if process.pid != self.pid]

    def children(self) -> list[psutil.Process]:
        """Its living worker children: those that touch videos."""
        return [process for process in self.others() if is_worker_child(process)]

    def seconds_until_empty(self) -> float | None:
        """How long its processes outlive the driver; None, and they are ended, if that is too long."""
        began = time.monotonic()
        while left := self.others():
            if time.monotonic() - began > FAREWELL_S:
                for process in left:
                    process.kill()
                return None
            time.sleep(_POLL_S)
        return time.monotonic() - began


def processes_of(session: int) -> list[psutil.Process]:
    """The living processes of a session."""
    found = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    return found


def is_worker_child(process: psutil.Process) -> bool:
    """Whether it is a child of `pipeline.isolation`, by its command line."""
    try:
        return any("spawn_main" in word for word in process.cmdline())
    except psutil.Error:
        return False


@dataclass(frozen=True, kw_only=True)
class Subject:
    """Videos, what is extracted from them, and the bank of a run that nothing disturbed."""

    videos: Path
    options: tuple[str, ...]
    environment: Mapping[str, str]
    """Beside the usual one."""
    bank: Path
    wall_s: float
    """Length of the undisturbed run."""

    @property
    def count(self) -> int:
        """Number of videos."""
        return len(list(self.videos.iterdir()))

    @property
    def deadline_s(self) -> float:
        """A run that takes longer hangs."""
        return max(_LEAST_DEADLINE_S, 12 * self.wall_s)


@dataclass
class Lab:
    """The folder of one benchmark. Moments and places come from `seed`, a stream of numbers for each fault."""

    folder: Path
    seed: int
    quick: bool
    _subjects: dict[str, Subject] = field(default_factory=dict)
    _runs: list[Extraction] = field(default_factory=list)
    _made: int = 0

    def times(self, full: int, quick: int) -> int:
        """How often to do something."""
        return quick if self.quick else full

    def rounds(self, outcome: Outcome, full: int, quick: int) -> Iterator[int]:
        """Numbers of rounds, from 0, until so many of them struck, or MOST_LATE did not."""
        struck = late = 0
        while struck < self.times(full, quick) and late < MOST_LATE:
            before = outcome.times
            yield struck + late
            if outcome.times > before:
                struck += 1
            else:
                late += 1

    def random(self, fault: str) -> random.Random:
        """The moments and places of a fault."""
        return random.Random(f"{self.seed} {fault}")

    def new_folder(self, name: str) -> Path:
        """An empty folder."""
        self._made += 1
        folder = self.folder / f"{self._made:03d}-{name}"
        folder.mkdir()
        return folder

    def videos(self) -> Path:
        """The usual videos: two shots with a person in each, too small for anything to take long."""
        folder = self.folder / "videos"
        if not folder.exists():
            folder.mkdir()
            for i in range(self.times(10, 4)):
                make_clip(
                    folder / f"{i}.mp4", seconds=2 + i % 3, figures=1, size_hw=(96, 128), seed=i,
                    coding=Coding(gop=12, bframes=2),
                )  # fmt: skip
        return folder

    def environment(self, extra: Mapping[str, str]) -> dict[str, str]:
        """What runs start with: this checkout's modules, and `extra`."""
        path = os.pathsep.join(filter(None, [extra.get("PYTHONPATH"), str(REPOSITORY)]))
        return {**os.environ, **extra, "PYTHONPATH": path}

    def subject(
        self,
        name: str,
        options: tuple[str, ...],
        videos: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Subject:
        """The usual videos, or others, and their bank, made once. Raises RuntimeError if that fails."""
        if name not in self._subjects:
            videos, environment = videos or self.videos(), environment or {}
            bank = self.new_folder(f"undisturbed-{name}") / "bank"
            run = self._start(videos, bank, options, environment)
            if not run.ends_within(_UNDISTURBED_S) or run.exit_status != 0:
                run.kill()
                raise RuntimeError(f"The undisturbed run {name!r} ended with {run.exit_status}:\n{run.said}")
            wall_s = time.monotonic() - run.began
            self._subjects[name] = Subject(
                videos=videos, options=options, environment=environment, bank=bank, wall_s=wall_s
            )
        return self._subjects[name]

    def start(
        self,
        subject: Subject,
        bank: str | Path,
        extra: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> Extraction:
        """Start a run with two workers, further options and a further environment."""
        options = (*subject.options, *extra)
        return self._start(subject.videos, bank, options, {**subject.environment, **(environment or {})})

    def _start(
        self, videos: Path, bank: str | Path, options: Sequence[str], environment: Mapping[str, str]
    ) -> Extraction:
        words = [str(videos), "--bank", str(bank), "--workers", "2", "--quiet", *options]
        command = [sys.executable, "-m", "pipeline.cli", "extract", *words]
        self._runs.append(Extraction(self.new_folder("run"), command, self.environment(environment)))
        return self._runs[-1]

    def end_runs(self) -> None:
        """End what is still at work, where the benchmark is stopped."""
        for run in self._runs:
            if run.exit_status is None:
                run.kill()
                run.seconds_until_empty()

    def ends(self, run: Extraction, deadline_s: float, outcome: Outcome) -> bool:
        """Wait for a run and for the last of its processes; what does not end in time is a hang, and is killed."""
        ended = run.ends_within(deadline_s - (time.monotonic() - run.began))
        if not ended:
            outcome.hangs.append(f"a run did not end in {deadline_s:.0f} s")
            run.kill()
        self.must_be_empty(run, outcome)
        return ended

    def must_be_empty(self, run: Extraction, outcome: Outcome) -> float | None:
        """How long the processes of a run outlive its driver; those that stay are left over."""
        seconds = run.seconds_until_empty()
        if seconds is None:
            outcome.left_over.append(f"processes {FAREWELL_S:g} s after the end of their run")
        return seconds

    def quote(self, said: str, pattern: str) -> str:
        """The first text in `said` that matches, without the names of places of this machine."""
        found = re.search(pattern, said)
        text = found[0].strip() if found else ""
        return re.sub(rf"\b{re.escape(platform.node())}\b", "HOST", text.replace(f"{self.folder}/", ""))
