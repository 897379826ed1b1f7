"""Which frames make which clips, decided by timestamps alone, one frame after another.

    time      at(k) = first + k * hop, for every k with at(k) inside the video
    sample j  of clip k is the frame on screen at at(k) + offset(j); before the first frame it is the first,
              behind the last frame the last, as the original codes clamp their indices

*On screen at t* is the last frame that begins at or before t. A frame that begins within a quarter of a mean frame
period after t counts too, so that timestamps rounded to milliseconds choose the same frames as exact ones.

A clip belongs to the segment that owns its first frame. What is on screen at t is known when the next frame
comes, so a segment is read one frame past its end.
"""

import math
from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Generic, TypeVar

from pipeline.stages import Row
from pipeline.video.frames import Frame
from pipeline.video.probe import MeasuredFacts
from pipeline.video.segments import Segment

Picture = TypeVar("Picture")


@dataclass(kw_only=True)
class Clip(Generic[Picture]):
    """A clip in the making."""

    index: int
    """k: the clip stands for the moment first + k * hop."""
    targets: list[int]
    """For each sample the tick at which its frame must have begun."""
    pts: list[int] = field(default_factory=list)
    """Timestamps of its frames so far; a frame stands several times where it is on screen for long."""
    pictures: list[Picture] = field(default_factory=list)


class ClipGrid(Generic[Picture]):
    """The clips that one segment owns."""

    def __init__(
        self,
        measured: MeasuredFacts,
        segment: Segment,
        hop: Fraction,
        offsets: Sequence[Fraction],
        first: Fraction = Fraction(0),
    ) -> None:
        """`first`, `hop` and `offsets` (rising; of each sample from the moment of its clip) in seconds."""
        clock = measured.clock
        self._segment = segment
        self._end = measured.end_pts
        self._first = clock.start_pts + first / clock.time_base
        self._hop = hop / clock.time_base
        self._slack = Fraction(measured.end_pts - clock.start_pts, 4 * max(1, measured.num_frames))
        self._offsets = [offset / clock.time_base + self._slack for offset in offsets]
        self._next_clip = 0
        self._open: list[Clip[Picture]] = []
        self._all_begun = False

    @property
    def wants_more(self) -> bool:
        """Whether clips are not complete, or may still begin at the segment's last frame."""
        return bool(self._open) or not self._all_begun

    def skip_to(self, pts: int) -> None:
        """Leave out the clips whose first frame is on screen before `pts`, where the segment's first frame begins."""
        if self._segment.index:
            while self._targets(self._next_clip)[0] < pts:
                self._next_clip += 1

    def show(self, pts: int, until_pts: int | None, picture: Callable[[], Picture]) -> Iterator[Clip[Picture]]:
        """Take note of a frame that is on screen from `pts` to `until_pts`, and give the clips that it completes.

        Args:
            until_pts: when the next frame begins; None where there is none.
            picture: called once if any clip wants the frame.
        """
        self._begin(pts, until_pts)
        wanted = [(clip, _samples_before(clip, until_pts)) for clip in self._open]
        if any(count for _, count in wanted):
            shown = picture()
            for clip, count in wanted:
                clip.pts += [pts] * count
                clip.pictures += [shown] * count
        while self._open and len(self._open[0].pts) == len(self._offsets):
            yield self._open.pop(0)

    def is_moment(self, pts: int, until_pts: int | None) -> bool:
        """Whether a frame on screen from `pts` to `until_pts` is the one at the moment of some clip."""
        if until_pts is None:
            return True
        last = math.ceil((until_pts - self._slack - self._first) / self._hop) - 1
        return last >= 0 and math.floor(self._first + last * self._hop + self._slack) >= pts

    def is_repeat(self, index: int, pts: int) -> bool:
        """Whether the frame that began at `pts`, on screen at the moment of clip `index`, was so at the one before."""
        return index > 0 and math.floor(self._first + (index - 1) * self._hop + self._slack) >= pts

    def _begin(self, pts: int, until_pts: int | None) -> None:
        if until_pts is None and self._segment.end_pts < self._end:
            until_pts = self._segment.end_pts  # the stream broke off, and other segments go on
        is_owned = self._segment.owns(pts)
        while self._begins_before(self._next_clip, until_pts):
            if is_owned:
                self._open.append(Clip(index=self._next_clip, targets=self._targets(self._next_clip)))
            self._next_clip += 1
        if until_pts is None or until_pts >= self._segment.end_pts:
            self._all_begun = True

    def _begins_before(self, index: int, pts: int | None) -> bool:
        """Whether the video has a clip `index`, and its first frame is on screen before `pts`."""
        is_inside = self._first + index * self._hop < self._end
        return is_inside and (pts is None or self._targets(index)[0] < pts)

    def _targets(self, index: int) -> list[int]:
        moment = self._first + index * self._hop
        return [math.floor(moment + offset) for offset in self._offsets]


class ClipConsumer(ABC, Generic[Picture]):
    """`FrameConsumer` over the clips of a grid: what a stage must add is how a frame is prepared, and a clip's rows."""

    def __init__(self, grid: ClipGrid[Picture]) -> None:
        self.grid = grid
        self._shown: Frame | None = None

    @abstractmethod
    def prepare(self, frame: Frame, until_pts: int | None) -> Picture:
        """A frame that some clip wants, on screen until `until_pts`; None for the last of the video."""

    @abstractmethod
    def rows(self, clip: Clip[Picture]) -> Iterator[tuple[str, Row]]:
        """`(part, row)` of a clip that has all its frames."""

    def feed(self, frame: Frame) -> Iterator[tuple[str, Row]]:
        if self._shown is None:
            self.grid.skip_to(frame.pts)
        else:
            yield from self._show(self._shown, frame.pts)
        self._shown = frame

    def wants_more(self) -> bool:
        return self.grid.wants_more

    def finish(self) -> Iterator[tuple[str, Row]]:
        if self._shown is not None and self.grid.wants_more:
            yield from self._show(self._shown, None)

    def _show(self, frame: Frame, until_pts: int | None) -> Iterator[tuple[str, Row]]:
        for clip in self.grid.show(frame.pts, until_pts, lambda: self.prepare(frame, until_pts)):
            yield from self.rows(clip)


def _samples_before(clip: Clip, until_pts: int | None) -> int:
    """How many of the clip's next samples show a frame that another one replaces at `until_pts`."""
    done = len(clip.pts)
    return (len(clip.targets) if until_pts is None else bisect_left(clip.targets, until_pts)) - done
