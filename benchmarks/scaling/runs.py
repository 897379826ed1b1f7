"""One run of `longform extract`, and what its log and the machine's counters say of it."""

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks.scaling.loads import Load
from pipeline.errors import PipelineError

SAMPLE_S = 0.05
"""How often the processor time and memory of the driver are looked at."""

MOST_OTHER_SHARE = 0.05
"""Of the machine's processor time that other programs may use in a run that counts."""

FIRST_WORK, PROBE = "extract", "probe"


@dataclass(frozen=True, kw_only=True)
class Call:
    """A step of a video in a worker. Times in seconds from the start of the driver's process."""

    step: str
    worker: int
    """Process id."""
    video_s: float
    """Seconds of video that it is about."""
    began_s: float
    seconds: float
    spawn_s: float
    """Of these, what passed before the step said anything; starting the process, in a worker's first call."""

    @property
    def ended_s(self) -> float:
        """When it was answered."""
        return self.began_s + self.seconds


@dataclass(kw_only=True)
class StepSums:
    """What a straight line through seconds of calls over seconds of video needs; sums of several runs can be added."""

    calls: int = 0
    x: float = 0.0
    y: float = 0.0
    xx: float = 0.0
    xy: float = 0.0
    cold_calls: int = 0
    """Calls that are a worker's first of this step: they import and load, and are not in the sums above."""
    cold_x: float = 0.0
    cold_y: float = 0.0
    """Without starting the process."""

    def add(self, call: Call) -> None:
        """A call of a worker that made one of this step before."""
        self.calls += 1
        self.x += call.video_s
        self.y += call.seconds
        self.xx += call.video_s**2
        self.xy += call.video_s * call.seconds

    def add_cold(self, call: Call, seconds: float) -> None:
        """A worker's first call of the step, which took so long without the start of the process."""
        self.cold_calls += 1
        self.cold_x += call.video_s
        self.cold_y += seconds

    def __add__(self, other: "StepSums") -> "StepSums":
        names = [each.name for each in fields(self)]
        return StepSums(**{name: getattr(self, name) + getattr(other, name) for name in names})


@dataclass(kw_only=True)
class Measured:
    """A measured run. `*_share` are of the processor time that the machine has during the run."""

    preset: str
    load: str
    unit_s: int
    workers: int
    round: int
    videos: int
    video_s: float
    wall_s: float
    """From the start of the process to its end."""
    probe_s: float
    """From the first call to the last answer of the step that reads headers."""
    work_s: float
    """From the first call of `extract` to the last answer of the run."""
    steady_video_s: float
    """Seconds of video per second, from the end of the last worker's first segment to the first worker's last."""
    busy: list[float]
    """Share of `work_s` in which each worker had a call."""
    calls: int
    cpu_s: float
    """Processor time of all processes."""
    driver_cpu_s: float
    """Of it, what the driver itself used in `probe_s` and `work_s`."""
    worker_mb: int
    driver_mb: int
    other_share: float
    idle_share: float
    spawn_s: list[float]
    """Seconds to start each worker."""
    steps: dict[str, StepSums] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str, int, int, int]:
        """What was measured."""
        return self.preset, self.load, self.unit_s, self.workers, self.round

    @property
    def is_quiet(self) -> bool:
        """Whether the machine had nothing else to do."""
        return self.other_share <= MOST_OTHER_SHARE

    @property
    def call_s(self) -> float:
        """Seconds of all calls behind the barrier."""
        return sum(self.busy) * self.work_s

    @property
    def serial_s(self) -> float:
        """Outside the two phases of work: start of the driver, the barrier between them, the end."""
        return self.wall_s - self.probe_s - self.work_s

    @classmethod
    def parsed(cls, facts: dict[str, Any]) -> "Measured":
        """From the form of `dataclasses.asdict`."""
        return cls(**facts | {"steps": {step: StepSums(**sums) for step, sums in facts["steps"].items()}})


@dataclass(frozen=True, kw_only=True)
class _Machine:
    """Processor seconds so far."""

    at_s: float
    busy_s: float
    idle_s: float
    own_s: float
    """Of this program's ended child processes, and of theirs."""

    @classmethod
    def now(cls) -> "_Machine":
        times, used = psutil.cpu_times(), resource.getrusage(resource.RUSAGE_CHILDREN)
        idle_s = times.idle + getattr(times, "iowait", 0.0)
        busy_s = times.user + times.system + sum(getattr(times, kind, 0.0) for kind in ("nice", "irq", "softirq",
                                                                                        "steal"))  # fmt: skip
        return cls(at_s=time.monotonic(), busy_s=busy_s, idle_s=idle_s, own_s=used.ru_utime + used.ru_stime)


def load_of_others(seconds: float = 2.0) -> float:
    """Share of the machine's processor time that is in use now, while this program waits."""
    before = _Machine.now()
    time.sleep(seconds)
    after = _Machine.now()
    return (after.busy_s - before.busy_s) / _capacity(before, after)


def _capacity(before: _Machine, after: _Machine) -> float:
    return (after.at_s - before.at_s) * (psutil.cpu_count() or 1)


def measure(load: Load, videos: Path, *, preset: str, options: Sequence[str], workers: int) -> dict[str, Any]:
    """Extract the listed videos into a bank that is thrown away; all fields of `Measured` but those of its key.

    Raises PipelineError if the run fails or a video does.
    """
    with tempfile.TemporaryDirectory(prefix="longform-scaling-") as folder:
        log = Path(folder, "run.log")
        command = [sys.executable, "-m", "pipeline.cli", "extract", str(videos), "--bank", f"{folder}/bank", "--preset",
                   preset, *options, "--workers", str(workers), "--segment-s", str(load.segment_s), "--log", str(log),
                   "--quiet", "--json"]  # fmt: skip
        before, started = _Machine.now(), time.time()
        with open(Path(folder, "report.json"), "w+", encoding="utf-8") as output:
            driver = subprocess.Popen(command, stdout=output)
            samples = _watched(driver, started)
            output.seek(0)
            printed = output.read()
        after, wall_s = _Machine.now(), time.time() - started
        if driver.returncode:
            raise PipelineError(f"`{' '.join(command)}` ended with {driver.returncode}: {printed[-1000:]}")
        report = json.loads(printed)
        calls = list(_calls(log, load, started))
    own_s = after.own_s - before.own_s
    probe, work = phases(calls)
    capacity = _capacity(before, after)
    return {
        "videos": len(load.lengths_s),
        "video_s": float(load.video_s),
        "wall_s": wall_s,
        "probe_s": probe[1] - probe[0],
        "work_s": work[1] - work[0],
        "steady_video_s": steady_speed(calls),
        "busy": busy_shares(calls, work),
        "calls": len(calls),
        "cpu_s": own_s,
        "driver_cpu_s": sum(samples.cpu_s(*phase) for phase in (probe, work)),
        "worker_mb": report["counters"]["max.worker_rss_mb"],
        "driver_mb": samples.peak_bytes >> 20,
        "other_share": max(0.0, after.busy_s - before.busy_s - own_s) / capacity,
        "idle_share": (after.idle_s - before.idle_s) / capacity,
        **sums_of(calls),
    }


@dataclass
class _Samples:
    """Processor time of a process as it goes on, and its most resident memory."""

    at_s: list[float] = field(default_factory=lambda: [0.0])
    used_s: list[float] = field(default_factory=lambda: [0.0])
    peak_bytes: int = 0

    def cpu_s(self, begin_s: float, end_s: float) -> float:
        begin, end = np.interp([begin_s, end_s], self.at_s, self.used_s)
        return float(end - begin)


def _watched(driver: subprocess.Popen, started: float) -> _Samples:
    process, samples = psutil.Process(driver.pid), _Samples()
    while True:
        try:
            driver.wait(SAMPLE_S)
            return samples
        except subprocess.TimeoutExpired:
            times = process.cpu_times()
            samples.at_s.append(time.time() - started)
            samples.used_s.append(times.user + times.system)
            samples.peak_bytes = max(samples.peak_bytes, process.memory_info().rss)


def _calls(log: Path, load: Load, started: float) -> Iterable[Call]:
    """The calls of a run by its `--log`; video ids are places in the load's list of lengths."""
    lengths = load.lengths_s
    for line in log.read_text(encoding="utf-8").splitlines():
        event = json.loads(line)
        if event["event"] == "step failed":
            raise PipelineError(f"Video {event['video_id']} failed: {event['error']['message']}")
        if event["event"] != "step done":
            continue
        seconds = lengths[int(event["video_id"])]
        if event["segment"] is not None:
            seconds = load.segments_of(seconds)[event["segment"]]
        ended_s = datetime.fromisoformat(event["time"].replace("Z", "+00:00")).timestamp() - started
        yield Call(
            step=event["step"],
            worker=event["process"],
            video_s=float(seconds),
            began_s=ended_s - event["seconds"],
            seconds=event["seconds"],
            spawn_s=event["stage_s"]["start"],
        )


def phases(calls: Sequence[Call]) -> tuple[tuple[float, float], tuple[float, float]]:
    """When the first probe began and the last was answered; the same of all that comes behind the barrier."""
    probes = [call for call in calls if call.step == PROBE]
    others = [call for call in calls if call.step != PROBE]
    probe, work = (
        (min(call.began_s for call in part), max(call.ended_s for call in part)) for part in (probes, others)
    )
    return probe, work


def steady_speed(calls: Sequence[Call]) -> float:
    """Seconds of video per second while all workers are past their first segment and none is done with its last."""
    of_worker: dict[int, list[Call]] = defaultdict(list)
    for call in calls:
        if call.step == FIRST_WORK:
            of_worker[call.worker].append(call)
    begin = max(min(call.ended_s for call in own) for own in of_worker.values())
    end = min(max(call.ended_s for call in own) for own in of_worker.values())
    if end <= begin:
        raise PipelineError("A worker had one segment only: there is no steady state. Take a larger load.")
    done = sum(
        call.video_s * max(0.0, min(call.ended_s, end) - max(call.began_s, begin)) / call.seconds
        for own in of_worker.values()
        for call in own
    )
    return done / (end - begin)


def busy_shares(calls: Iterable[Call], work: tuple[float, float]) -> list[float]:
    """Share of the time behind the barrier in which each worker had a call."""
    busy: dict[int, float] = defaultdict(float)
    for call in calls:
        busy[call.worker] += call.seconds if call.step != PROBE else 0.0
    return sorted((seconds / (work[1] - work[0]) for seconds in busy.values()), reverse=True)


def sums_of(calls: Sequence[Call]) -> dict[str, Any]:
    """Fields `spawn_s` and `steps` of `Measured`."""
    spawn_s: dict[int, float] = {}
    steps: dict[str, StepSums] = {}
    known: set[tuple[int, str]] = set()
    for call in sorted(calls, key=lambda call: call.began_s):
        sums = steps.setdefault(call.step, StepSums())
        if (call.worker, call.step) in known:
            sums.add(call)
            continue
        started = call.worker in spawn_s
        spawn_s.setdefault(call.worker, call.spawn_s)
        sums.add_cold(call, call.seconds if started else call.seconds - call.spawn_s)
        known.add((call.worker, call.step))
    return {"spawn_s": list(spawn_s.values()), "steps": steps}
