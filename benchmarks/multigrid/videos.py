"""Generated videos of known motion in memory, as a source of clips."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.motions.classes import MotionClass
from benchmarks.motions.render import render
from longform.clip_training.labels import ClassLabels
from longform.clip_training.sources import FrameArrays

VIDEO_SEEDS = 2**62


def videos_of(classes: Sequence[MotionClass], count: int, *, seed: list[int], frames: int, size: int) -> FrameArrays:
    """Videos of some classes in turns; the label is the class's place.

    Args:
        seed: decides everything; other seeds give other videos.
        frames, size: of each video, and the side of its pictures in px.
    """
    rng = np.random.default_rng(seed)
    labels = [number % len(classes) for number in range(count)]
    seeds = rng.integers(VIDEO_SEEDS, size=count).tolist()
    videos = [render(classes[label], seed, frames=frames, size=size) for label, seed in zip(labels, seeds, strict=True)]
    return FrameArrays(videos, ClassLabels(labels, len(classes)))
