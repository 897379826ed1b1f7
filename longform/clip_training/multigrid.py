"""Multigrid training: a schedule whose batches shrink while clips grow (sources: see `multigrid_phases`)."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from longform.clip_training.multigrid_phases import (
    LONG_CYCLE,
    SHORT_CYCLE,
    Phase,
    along_baseline,
    cycle_shapes,
    phases_of,
    stage_parts,
    whole_epochs,
)
from longform.clip_training.shapes import ClipSchedule, StepShape
from longform.training.errors import TrainingError
from longform.training.schedules import CosineSchedule, StepSchedule

CYCLES = {
    "both": {"long_shapes": len(LONG_CYCLE), "short_shapes": len(SHORT_CYCLE)},
    "long": {"long_shapes": len(LONG_CYCLE), "short_shapes": 1},
    "short": {"long_shapes": 1, "short_shapes": len(SHORT_CYCLE)},
}
"""Settings of `Multigrid` by the cycles that are on."""


@dataclass(frozen=True, kw_only=True)
class Multigrid(ClipSchedule):
    """A baseline's schedule, and the same training by long and short cycles, as pure functions of the step.

    A run sees `epoch_factor` times the baseline's clips. Its steps are divided over the stages of the learning rate as
    the baseline's are. In each stage but the last, all base shapes of the long cycle have the same number of steps;
    their rate is the baseline's times their batch factor. The last stage is on the full shape, its first half still at
    the rate of the stage before. In every stage, steps go through the short cycle, which leaves the rate alone.
    A warm-up lasts as many clips as the baseline's, not steps.
    """

    baseline: StepSchedule | CosineSchedule
    baseline_steps: int
    clips: StepShape
    """Of the baseline: the full shape."""
    long_shapes: int = 4
    """How many of the four base shapes, counted from the full one; with 1 there is no long cycle, and no fine-tuning
    stage either: rates drop after as many clips of the whole as in the baseline."""
    short_shapes: int = 3
    """How many of the three shapes, counted from the base shape; with 1 there is no short cycle."""
    epoch_factor: float = 1.5
    single_cycle: bool = False
    """One long cycle over the whole run and no fine-tuning (thesis, Table 6.9)."""
    cosine_stages: int = 4
    """Equal stages that a cosine is divided into, one long cycle in each but the last. The thesis does not say how
    many; with 4 there are 3.3 times fewer steps where Table 6.10 is 4.2 times faster (drops: 3.4 and 4.5)."""
    epoch: int | None = None
    """Clips of an epoch, to end all phases with an epoch, as PySlowFast does; they may become empty by that."""

    def __post_init__(self) -> None:
        self._expect("baseline_steps", self.baseline_steps >= 1, "at least 1")
        self._expect("long_shapes", 1 <= self.long_shapes <= len(LONG_CYCLE), f"1 to {len(LONG_CYCLE)}")
        self._expect("short_shapes", 1 <= self.short_shapes <= len(SHORT_CYCLE), f"1 to {len(SHORT_CYCLE)}")
        self._expect("epoch_factor", 0 < self.epoch_factor < math.inf, "a number above 0")
        self._expect("cosine_stages", self.cosine_stages >= 2, "at least 2")
        self._expect("epoch", self.epoch is None or self.epoch >= 1, "at least 1 clip, or None")
        divisor = LONG_CYCLE[-self.long_shapes][0]
        if self.clips.frames % divisor:
            raise TrainingError(f"Multigrid: the long cycle divides clips by {divisor}, and they have "
                                f"{self.clips.frames} frames. Take a multiple, or fewer long_shapes.")  # fmt: skip
        self._check_stages()
        if self._warmup_examples >= self.phases[-1].end_example:
            raise TrainingError(f"Multigrid: {self.baseline_steps} steps of the baseline come to {self.steps} here, "
                                f"too few for a warm-up over {self._warmup_examples} clips.")  # fmt: skip

    def _check_stages(self) -> None:
        if isinstance(self.baseline, CosineSchedule) and self.baseline.steps != self.baseline_steps:
            raise TrainingError(f"Multigrid: the baseline's cosine ends after {self.baseline.steps} steps, not "
                                f"baseline_steps, {self.baseline_steps}.")  # fmt: skip
        if len(self._stage_ends) == 1 and self.long_shapes > 1 and not self.single_cycle:
            raise TrainingError(f"Multigrid: the long cycle needs a rate that drops before step {self.baseline_steps}, "
                                "since the last stage is for fine-tuning. Give drops, or take the short cycle "
                                "only.")  # fmt: skip

    def _expect(self, name: str, holds: bool, rule: str) -> None:
        if not holds:
            raise TrainingError(f"Multigrid, {name}: expected {rule}, got {getattr(self, name)}.")

    @property
    def steps(self) -> int:
        """Steps of the run."""
        return self.phases[-1].end_step

    @cached_property
    def phases(self) -> tuple[Phase, ...]:
        """The run in order; phases that would have no step are left out."""
        cycles = cycle_shapes(self.clips, self.long_shapes, self.short_shapes)
        ends = [self.baseline_steps] if self.single_cycle else self._stage_ends
        parts = stage_parts(ends, cycles, fine_tunes=self.long_shapes > 1 and not self.single_cycle)
        if self.single_cycle or isinstance(self.baseline, CosineSchedule):
            parts = along_baseline(parts, self.baseline_steps)
        total = self.epoch_factor * self.baseline_steps * self.clips.batch
        phases = phases_of(parts, whole_epochs(parts, total, self.epoch or 1), self.clips.batch)
        if not phases:
            raise TrainingError(f"Multigrid: {self.baseline_steps} steps of the baseline are too few for any cycle.")
        return phases

    @property
    def _stage_ends(self) -> list[int]:
        """Of the stages of the learning rate, in steps of the baseline."""
        if isinstance(self.baseline, StepSchedule):
            return [*(drop for drop in self.baseline.drops if 0 < drop < self.baseline_steps), self.baseline_steps]
        return [round(self.baseline_steps * stage / self.cosine_stages) for stage in range(1, self.cosine_stages + 1)]

    def __call__(self, step: int) -> float:
        seen, warmup = self.first_example(step), self._warmup_examples
        if seen >= warmup:
            return self._rate(seen)
        return self.baseline.warmup_lr + (self._rate(warmup) - self.baseline.warmup_lr) * seen / warmup

    @property
    def _warmup_examples(self) -> int:
        return self.baseline.warmup_steps * self.clips.batch

    def _rate(self, seen: int) -> float:
        """The learning rate after so many clips, without a warm-up."""
        phase = self.phases[max(0, bisect_right(self.phases, seen, key=lambda phase: phase.first_example) - 1)]
        share = min(1.0, (seen - phase.first_example) / (phase.end_example - phase.first_example))
        start, end = phase.baseline_span
        return phase.long_factor * self._decay(int(start + share * (end - start)))

    @cached_property
    def _decay(self) -> StepSchedule | CosineSchedule:
        return replace(self.baseline, warmup_steps=0)

    def shape(self, step: int) -> StepShape:
        phase = self._phase(step)
        return phase.shapes[(step - phase.first_step) % len(phase.shapes)]

    def first_example(self, step: int) -> int:
        phase = self._phase(step)
        return phase.first_example + phase.examples_before(step - phase.first_step)

    def _phase(self, step: int) -> Phase:
        """The phase of a step; the last one goes on for ever."""
        return self.phases[bisect_right(self.phases, step, key=lambda phase: phase.first_step) - 1]

    def table(self, steps: int) -> list[dict[str, Any]]:
        """A row for each phase: steps, learning rate, base shape and, under `short_cycle`, clips and sizes by step."""
        rows = []
        for phase in self.phases:
            end = steps if phase is self.phases[-1] else min(phase.end_step, steps)
            if phase.first_step >= end:
                break
            rows.append(self._row(phase, end))
        return rows

    def _row(self, phase: Phase, end: int) -> dict[str, Any]:
        base = phase.shapes[0]
        row: dict[str, Any] = {"phase": phase.name, "from_step": phase.first_step, "to_step": end}
        if self.epoch is not None:
            row["from_epoch"] = phase.first_example / self.epoch
            row["to_epoch"] = self.first_example(end) / self.epoch
        return row | {
            "first_lr": self(phase.first_step),
            "last_lr": self(end - 1),
            "batch": base.batch,
            "frames": base.frames,
            "strides": f"{base.stride}-{base.max_stride}",
            "size": base.size,
            "short_cycle": _short_cycle_text(phase.shapes),
        }


def _short_cycle_text(shapes: Sequence[StepShape]) -> str:
    """Such as `64 x 224 (BN 8)`, for each shape of a cycle."""
    return ", ".join(f"{shape.batch} x {shape.size} (BN {shape.bn_clips})" for shape in shapes)
