"""Which frames of a video make a clip to train on, as the originals draw them.

Every sampling is a function of numbers in [0, 1): random ones in training, `MIDDLE` for one fixed clip.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from longform.training.errors import TrainingError

Indices = NDArray[np.int64]
TARGET_FPS = 30.0
"""Rate at which strides count in `timed`."""
MIDDLE = 0.5
"""The number that gives the clip in the middle of a video."""


@dataclass(frozen=True, kw_only=True)
class ClipInfo:
    """What a sampling needs to know of a video."""

    num_frames: int
    """Displayed frames."""
    fps: float
    """Their mean rate."""


def clip_frames(sampling: str, info: ClipInfo, num_frames: int, stride: int, draws: NDArray[np.float64]) -> Indices:
    """(T,) displayed frames of a clip.

    Args:
        sampling: a name in `SAMPLINGS`.
        num_frames: T.
        stride: distance of the clip's frames; `segments` has none.
        draws: (T,) numbers in [0, 1). `segments` uses all of them, the others the first.
    Raises:
        TrainingError: there is no such sampling, or the video has no frame.
    """
    if sampling not in SAMPLINGS:
        raise TrainingError(f"No sampling is called {sampling!r}. Choose one of: {', '.join(SAMPLINGS)}.")
    if info.num_frames < 1:
        raise TrainingError("A video without frames has no clip.")
    return SAMPLINGS[sampling](info, num_frames, stride, draws)


def _timed(info: ClipInfo, num_frames: int, stride: int, draws: NDArray[np.float64]) -> Indices:
    """A span of ceil(stride (T - 1) fps / 30) frames begins anywhere, also between frames; T evenly in it, rounded
    down. Single precision and torch's order of operations are of no consequence here: the start is random."""
    span = math.ceil(stride * (num_frames - 1) / TARGET_FPS * info.fps)
    start = float(draws[0]) * max(info.num_frames - span, 0)
    places = np.linspace(start, start + max(span - 1, 0), num_frames)
    return np.floor(np.clip(places, 0, info.num_frames - 1)).astype(np.int64)


def _strided(info: ClipInfo, num_frames: int, stride: int, draws: NDArray[np.float64]) -> Indices:
    """Every `stride`-th frame, whatever the rate; a clip that is longer than the video repeats its last frame."""
    spare = max(info.num_frames - (stride * (num_frames - 1) + 1), 0)
    frames = int(draws[0] * (spare + 1)) + stride * np.arange(num_frames, dtype=np.int64)
    return np.minimum(frames, info.num_frames - 1)


def _wrapped(info: ClipInfo, num_frames: int, stride: int, draws: NDArray[np.float64]) -> Indices:
    """Every `stride`-th frame, whatever the rate; a clip that is longer than the video goes on at its start."""
    spare = max(info.num_frames - stride * num_frames, 0)
    frames = int(draws[0] * (spare + 1)) + stride * np.arange(num_frames, dtype=np.int64)
    return frames % info.num_frames


def _segments(info: ClipInfo, num_frames: int, stride: int, draws: NDArray[np.float64]) -> Indices:
    """One frame of each of T equal parts of the video, both ends of a part included."""
    edges = np.rint((info.num_frames - 1) / num_frames * np.arange(num_frames + 1)).astype(np.int64)
    return edges[:-1] + np.floor(draws * (np.diff(edges) + 1)).astype(np.int64)


SAMPLINGS: dict[str, Callable[[ClipInfo, int, int, NDArray[np.float64]], Indices]] = {
    "timed": _timed,  # PySlowFast on Kinetics (PyAV decoder)
    "strided": _strided,  # PySlowFast on Charades
    "wrapped": _wrapped,  # video-nonlocal-net on Kinetics
    "segments": _segments,  # PySlowFast on Something-Something v2
}
"""Frames of a clip from the video, T, the stride and the numbers in [0, 1)."""

TEST_SAMPLINGS = {"timed": "pyslowfast", "strided": "charades", "wrapped": "nonlocal", "segments": "segments"}
"""The sampling of `extractors.clips.views` that tests what was trained with one of `SAMPLINGS`."""
