"""A decoded frame as its consumers see it: exact time, and pictures made only when asked for."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from pipeline.video.geometry import PictureSpec


class Hole(NamedTuple):
    """Frames without a picture: they would be shown from `start_pts` to `end_pts`."""

    start_pts: int
    end_pts: int
    frames: int


@dataclass(kw_only=True, slots=True)
class DecodeStats:
    """What decoding one segment cost and what went wrong in it."""

    frames_decoded: int = 0
    """Pictures that came out of the decoder, those of the halo included."""
    holes: list[Hole] = field(default_factory=list)
    """Frames of the segment for which there is a packet but no picture, by time."""
    pictures_converted: int = 0
    first_error: str | None = None
    first_error_s: float | None = None

    @property
    def frames_lost(self) -> int:
        """Frames in all holes."""
        return sum(hole.frames for hole in self.holes)

    def record_error(self, message: str, at_s: float | None) -> None:
        """Keep the first thing that went wrong."""
        if self.first_error is None:
            self.first_error, self.first_error_s = message, at_s


@dataclass(kw_only=True, slots=True)
class Frame:
    """One displayed frame.

    `index` is its place in display order over the whole video, `pts` its exact time in ticks, `at_s` the
    same in seconds from the first displayed frame, `previous_pts` the time of the frame shown before it.
    """

    index: int
    pts: int
    at_s: float
    previous_pts: int | None
    _convert: Callable[[PictureSpec], np.ndarray]
    _pictures: dict[PictureSpec, np.ndarray] = field(default_factory=dict)

    def picture(self, spec: PictureSpec) -> np.ndarray:
        """The displayed picture as `spec` asks: (H, W, 3) or, for `gray`, (H, W) uint8, read only.

        Made on the first call, straight from the decoder's format; all consumers share it.
        """
        if spec not in self._pictures:
            picture = self._convert(spec)
            picture.flags.writeable = False
            self._pictures[spec] = picture
        return self._pictures[spec]
