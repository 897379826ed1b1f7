"""Exact video time: presentation timestamps, the stream's rational time base, and seconds.

The truth is the integer `pts` with its time base. Seconds are derived, float64, and zero at the first
displayed frame. Sampling decisions are taken in integers, so that they never depend on rounding.
"""

from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, kw_only=True, slots=True)
class Clock:
    """The time line of one video stream."""

    start_pts: int
    """Presentation timestamp of the first displayed frame, in ticks."""
    time_base: Fraction
    """Seconds per tick."""

    def seconds(self, pts: int) -> float:
        """Seconds from the first displayed frame to `pts`."""
        return float((pts - self.start_pts) * self.time_base)

    def grid_index(self, pts: int, rate: Fraction) -> int:
        """How many whole periods of a sampling grid of `rate` Hz lie between the first frame and `pts`.

        A frame is on the grid when its index is larger than that of the frame before it: it is then the
        first frame at or after a grid point. The rule needs only the two timestamps, so a split run and
        an unsplit run choose the same frames.
        """
        ticks_per_second = self.time_base.denominator * rate.denominator
        return (pts - self.start_pts) * self.time_base.numerator * rate.numerator // ticks_per_second

    def starts_grid_step(self, pts: int, previous_pts: int | None, rate: Fraction) -> bool:
        """Whether the frame at `pts` is the first one at or after a grid point of `rate` Hz."""
        return previous_pts is None or self.grid_index(pts, rate) > self.grid_index(previous_pts, rate)
