"""Shapes of the long and the short cycle, and how long a run keeps each.

Multigrid training, section 6.1.2 of Wu, "Towards Long-Form Video Understanding" (2022), first in "A Multigrid Method
for Efficiently Training Video Models" (CVPR 2020); figures that both leave open are PySlowFast's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

from longform.clip_training.shapes import StepShape

LONG_CYCLE = ((4, 0.5), (2, 0.5), (2, 1.0), (1, 1.0))
"""Base shapes in the order of training: what the frames are divided by, and the share of the picture's area."""

SHORT_CYCLE = (1.0, 0.5, 0.25)
"""Shares of the full area, by step; the first stands for the base shape of the long cycle, whatever its area."""

FINE_TUNE = "fine-tune"


@dataclass(frozen=True, kw_only=True)
class Part:
    """A stretch of a run on one base shape, before it is counted in steps."""

    name: str
    shapes: tuple[StepShape, ...]
    """Of the short cycle."""
    share: float
    """Of the run's steps, over those of the other parts."""
    baseline_span: tuple[float, float]
    """Steps of the baseline that its learning rate comes from, at its first and after its last clip."""

    @property
    def clips(self) -> float:
        """In the unit of `share`: so many clips if that many steps."""
        return self.share * sum(shape.batch for shape in self.shapes) / len(self.shapes)


@dataclass(frozen=True, kw_only=True)
class Phase:
    """Steps that cycle through the same shapes."""

    name: str
    """`cycle 1`, `cycle 2`, ... or `fine-tune`."""
    first_step: int
    first_example: int
    steps: int
    """A whole number of short cycles."""
    long_factor: int
    """Batch of the base shape over that of the baseline; the learning rate has the same factor."""
    shapes: tuple[StepShape, ...]
    """Of the short cycle, beginning at the first step."""
    baseline_span: tuple[float, float]

    @property
    def end_step(self) -> int:
        """The step after its last."""
        return self.first_step + self.steps

    @property
    def end_example(self) -> int:
        """The clip after its last."""
        return self.first_example + self.examples_before(self.steps)

    def examples_before(self, steps: int) -> int:
        """Clips of its first `steps` steps."""
        cycles, rest = divmod(steps, len(self.shapes))
        return cycles * sum(shape.batch for shape in self.shapes) + sum(shape.batch for shape in self.shapes[:rest])


def cycle_shapes(full: StepShape, long_shapes: int, short_shapes: int) -> list[tuple[StepShape, ...]]:
    """For each base shape of the long cycle, smallest first, the shapes of its short cycle, the base shape first.

    The last `long_shapes` of `LONG_CYCLE` and the first `short_shapes` of `SHORT_CYCLE` are used. A batch is the
    baseline's times T * S^2 / (t * s^2), rounded to a whole factor (equation 6.1). Strides go up to the baseline's
    times T / t, short sides down to the baseline's times s / S. Batch statistics are over the baseline's number of
    clips, times the batch factor of the short cycle.
    """
    return [_short_cycle(full, *base, short_shapes) for base in LONG_CYCLE[-long_shapes:]]


def _short_cycle(full: StepShape, divisor: int, area: float, short_shapes: int) -> tuple[StepShape, ...]:
    base = replace(
        full,
        batch=full.batch * round(divisor / area),
        frames=full.frames // divisor,
        max_stride=full.max_stride * divisor,
    )
    shapes = []
    for share in (area, *SHORT_CYCLE[1:short_shapes]):
        factor = round(area / share)
        size = round(full.size * math.sqrt(share))
        low, high = full.short_side
        shapes.append(
            replace(
                base,
                batch=base.batch * factor,
                size=size,
                short_side=(round(low * size / full.size), high),
                bn_clips=full.bn_clips * factor,
            )
        )
    return tuple(shapes)


def stage_parts(ends: Sequence[int], cycles: Sequence[tuple[StepShape, ...]], *, fine_tunes: bool) -> list[Part]:
    """One long cycle in each stage of the learning rate, the last of which is for fine-tuning.

    A stage has the share of the steps that it has in the baseline, and its base shapes have equal shares of it.

    Args:
        ends: of the stages, in steps of the baseline.
        cycles: what `cycle_shapes` returns.
        fine_tunes: whether the last stage stays on the full shape, half of it still at the rate before.
    """
    stages = list(pairwise((0, *ends)))
    parts = [
        Part(name=f"cycle {number}", shapes=shapes, share=(end - start) / len(cycles), baseline_span=(start, start))
        for number, (start, end) in enumerate(stages, start=1)
        for shapes in cycles
    ]
    if not fine_tunes:
        return parts
    (before, _), (start, end) = stages[-2:]
    half = Part(name=FINE_TUNE, shapes=cycles[-1], share=(end - start) / 2, baseline_span=(before, before))
    return [*parts[: -len(cycles)], half, replace(half, baseline_span=(start, start))]


def along_baseline(parts: Sequence[Part], baseline_steps: int) -> list[Part]:
    """The parts at the rates that the baseline has after the same share of its clips."""
    ends = [0.0, *accumulate(part.clips for part in parts)]
    marks = [baseline_steps * end / ends[-1] for end in ends]
    return [replace(part, baseline_span=span) for part, span in zip(parts, pairwise(marks), strict=True)]


def whole_epochs(parts: Sequence[Part], total: float, epoch: int) -> list[int]:
    """Clips of each part in a run of `total`: multiples of `epoch`, whose sums are rounded and not themselves, and
    the second half of fine-tuning has the odd one."""
    scale = total / sum(part.clips for part in parts) / epoch
    ends = [0, *(round(scale * end) for end in accumulate(part.clips for part in parts))]
    if parts[-1].name == FINE_TUNE:
        ends[-2] = (ends[-3] + ends[-1]) // 2
    return [epoch * (end - start) for start, end in pairwise(ends)]


def phases_of(parts: Sequence[Part], clips: Sequence[int], baseline_batch: int) -> tuple[Phase, ...]:
    """The parts in whole short cycles, one after the other; those that come to none are left out."""
    phases: list[Phase] = []
    for part, examples in zip(parts, clips, strict=True):
        cycles = round(examples / sum(shape.batch for shape in part.shapes))
        if cycles:
            phases.append(
                Phase(
                    name=part.name,
                    first_step=phases[-1].end_step if phases else 0,
                    first_example=phases[-1].end_example if phases else 0,
                    steps=cycles * len(part.shapes),
                    long_factor=part.shapes[0].batch // baseline_batch,
                    shapes=part.shapes,
                    baseline_span=part.baseline_span,
                )
            )
    return tuple(phases)
