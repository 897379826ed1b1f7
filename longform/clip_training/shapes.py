"""What a step of training looks like: how many clips, how long, how large; a pure function of the step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from longform.training.errors import TrainingError
from longform.training.schedules import Schedule


@dataclass(frozen=True, kw_only=True)
class StepShape:
    """The clips of one step."""

    batch: int
    """Clips of the step, all processes together."""
    frames: int
    """T given to the network (of the Fast pathway for SlowFast)."""
    stride: int
    """Smallest temporal stride, in frames at 30 frames/s."""
    max_stride: int
    """A clip's stride is an integer drawn uniformly from `stride` to `max_stride`."""
    size: int
    """Side of the square crop, px."""
    short_side: tuple[int, int]
    """Range that the short side is drawn from, inclusive, px."""
    bn_clips: int
    """Clips over which batch statistics are taken (sub-batch normalisation)."""

    def __post_init__(self) -> None:
        for name in ("batch", "frames", "stride", "size", "bn_clips"):
            if getattr(self, name) < 1:
                raise TrainingError(f"Shape of a step, {name}: expected at least 1, got {getattr(self, name)}.")
        if self.max_stride < self.stride:
            raise TrainingError(f"Shape of a step: strides {self.stride} to {self.max_stride} are no range.")
        if not self.size <= self.short_side[0] <= self.short_side[1]:
            raise TrainingError(
                f"Shape of a step: expected a crop <= least <= largest short side, got a crop of {self.size} px and "
                f"short sides of {self.short_side[0]} to {self.short_side[1]} px."
            )


class ClipSchedule(Schedule, Protocol):
    """A schedule that also says what a step's clips look like."""

    def shape(self, step: int) -> StepShape:
        """The clips of a step."""
        ...

    def first_example(self, step: int) -> int:
        """Clips of all steps before this one, so that epochs are walked through whatever the batch sizes."""
        ...


@dataclass(frozen=True)
class FixedShape(ClipSchedule):
    """Any schedule of the learning rate, with clips that look the same at every step."""

    schedule: Schedule
    clips: StepShape

    def __call__(self, step: int) -> float:
        return self.schedule(step)

    def table(self, steps: int) -> list[dict[str, Any]]:
        clips = self.clips
        columns = {"batch": clips.batch, "frames": clips.frames, "stride": clips.stride, "size": clips.size}
        return [row | columns for row in self.schedule.table(steps)]

    def shape(self, step: int) -> StepShape:
        return self.clips

    def first_example(self, step: int) -> int:
        return step * self.clips.batch
