"""Which frames of a video a step looks at: temporal segments, and places in groups of pictures.

The rules of the released code (chaoyuaw/pytorch-coviar, dataset.py), with groups of any length instead of 12 frames.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

SEGMENTS = 3
"""Of a video in training."""
TEST_SEGMENTS = 25


@dataclass(frozen=True, slots=True)
class Address:
    """A frame as a compressed video has it."""

    gop: int
    """Number of the group of pictures."""
    position: int
    """In the group; 0 is its I-frame."""


def drawn_frames(num_frames: int, stream: str, segments: int, rng: np.random.Generator) -> list[int]:
    """A frame of each segment, uniformly; frame 0, before which there is no motion, only of I-frames."""
    ranges = [_segment(num_frames, stream, segments, index) for index in range(segments)]
    return [int(rng.integers(first, end)) for first, end in ranges]


def central_frames(num_frames: int, stream: str, segments: int) -> list[int]:
    """The middle frame of each segment."""
    shift = _first_frame(num_frames, stream)
    length = (num_frames - shift - 1) / segments
    return [min(num_frames - 1, round(length * (index + 0.5)) + shift) for index in range(segments)]


def _segment(num_frames: int, stream: str, segments: int, index: int) -> tuple[int, int]:
    """First frame and end of a segment; at least one frame. Borders are rounded, halves to even numbers."""
    shift = _first_frame(num_frames, stream)
    length = (num_frames - shift - 1) / segments
    first, end = (min(num_frames - shift - 1, round(length * border)) for border in (index, index + 1))
    return first + shift, max(end, first + 1) + shift


def _first_frame(num_frames: int, stream: str) -> int:
    return 1 if stream != "iframe" and num_frames > 1 else 0


def address(frame: int, gop_lengths: Sequence[int], stream: str) -> Address:
    """Where a frame is.

    For I-frames, the start of its group. An I-frame asked of the motion or residual stream becomes the last frame of
    the group before, which has traced motion; the very first one stays.
    """
    starts = [0, *accumulate(gop_lengths)]
    gop = bisect_right(starts, frame) - 1
    if stream == "iframe":
        return Address(gop, 0)
    if frame == starts[gop] and gop:
        return Address(gop - 1, gop_lengths[gop - 1] - 1)
    return Address(gop, frame - starts[gop])
