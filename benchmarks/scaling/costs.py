"""The model of cost, fitted to measured runs. docs/scaling.md has it as formulas.

A call of a step costs a worker `call_s + second_s * seconds of video`, and more where it is the worker's first of that
step. The driver costs a start, an end and a barrier between the two phases, something for each video, and processor
time for each call, which its threads take in turns.
"""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.scaling.runs import Measured, StepSums
from pipeline.errors import InputError


@dataclass(frozen=True, kw_only=True)
class StepCost:
    """Seconds of a worker for a step."""

    call_s: float
    second_s: float
    cold_s: float
    """More, in a worker's first call of the step: imports, weights."""

    def of(self, video_s: float) -> float:
        """A call about so many seconds of video, in a worker that made one before."""
        return self.call_s + self.second_s * video_s


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What a run with one preset costs."""

    steps: dict[str, StepCost]
    """By step, in the order in which a video goes through them."""
    spawn_s: float
    """To start a worker's process."""
    fixed_s: float
    """Of the driver, in which no worker works: its start, the barrier, its end."""
    video_s: float
    """The same for each video."""
    driver_call_s: float
    """Processor time of the driver for each call of a step."""
    contention: float
    """A call with two workers on this machine over one with one."""
    worker_mb: int
    driver_mb: int

    @classmethod
    def parsed(cls, facts: dict[str, Any]) -> "Costs":
        """From the form of `dataclasses.asdict`."""
        return cls(**facts | {"steps": {step: StepCost(**cost) for step, cost in facts["steps"].items()}})


def fit(preset: str, runs: Sequence[Measured]) -> Costs:
    """Costs of a preset from its runs on load `mixed`, and from all runs on load `driver`.

    Raises InputError where one of these was not measured.
    """
    mixed = {workers: _runs(runs, preset, "mixed", workers) for workers in (1, 2)}
    one = _sums(mixed[1])
    steps = {step: _cost(step, sums) for step, sums in one.items()}
    two = _sums(mixed[2])
    expected_s = sum(steps[step].call_s * sums.calls + steps[step].second_s * sums.x for step, sums in two.items())
    per_video_s, per_call_s = driver_costs(runs)
    return Costs(
        steps=steps,
        spawn_s=statistics.median(seconds for run in mixed[1] for seconds in run.spawn_s),
        fixed_s=statistics.median(run.serial_s - per_video_s * run.videos for run in mixed[1]),
        video_s=per_video_s,
        driver_call_s=per_call_s,
        contention=sum(sums.y for sums in two.values()) / expected_s,
        worker_mb=max(run.worker_mb for run in (*mixed[1], *mixed[2])),
        driver_mb=max(run.driver_mb for run in (*mixed[1], *mixed[2])),
    )


DRIVER_PRESET = "hoghof"
"""Whose runs show what the driver costs; it does the same for all."""


def driver_costs(runs: Sequence[Measured]) -> tuple[float, float]:
    """Seconds for each video in which no worker works, and processor seconds of the driver for each call.

    Both are slopes between load `mixed`, of few videos, and load `driver`, of many.
    """
    few, many = (_runs(runs, DRIVER_PRESET, load, 2) for load in ("mixed", "driver"))
    videos, calls = many[0].videos - few[0].videos, many[0].calls - few[0].calls
    serial_s = _median(run.serial_s for run in many) - _median(run.serial_s for run in few)
    cpu_s = _median(run.driver_cpu_s for run in many) - _median(run.driver_cpu_s for run in few)
    return max(0.0, serial_s / videos), max(0.0, cpu_s / calls)


def _runs(runs: Sequence[Measured], preset: str, load: str, workers: int) -> list[Measured]:
    found = [run for run in runs if (run.preset, run.load, run.workers) == (preset, load, workers)]
    if not found:
        raise InputError(
            f"No run of preset {preset!r} on load {load!r} with {workers} workers counts: "
            "python -m benchmarks.scaling measure on a machine that has nothing else to do."
        )
    return found


def _median(values: Iterable[float]) -> float:
    return statistics.median(values)


def _sums(runs: Iterable[Measured]) -> dict[str, StepSums]:
    """Sums of several runs."""
    total: dict[str, StepSums] = {}
    for run in runs:
        for step, sums in run.steps.items():
            total[step] = total.get(step, StepSums()) + sums
    return total


def _cost(step: str, sums: StepSums) -> StepCost:
    """Least squares; a line that would begin below zero goes through zero, and one that falls is level."""
    spread = sums.calls * sums.xx - sums.x**2
    if spread <= 0:
        raise InputError(f"Step {step!r} was measured {sums.calls} times on one length of video: two are needed.")
    second_s = max(0.0, (sums.calls * sums.xy - sums.x * sums.y) / spread)
    call_s = (sums.y - second_s * sums.x) / sums.calls
    if call_s < 0:
        call_s, second_s = 0.0, sums.xy / sums.xx
    expected_s = call_s * sums.cold_calls + second_s * sums.cold_x
    cold_s = (sums.cold_y - expected_s) / sums.cold_calls if sums.cold_calls else 0.0
    return StepCost(call_s=call_s, second_s=second_s, cold_s=max(0.0, cold_s))
