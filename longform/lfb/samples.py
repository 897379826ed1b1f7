"""Which frames of which videos make the clips of a step, as Long-Term Feature Banks draws them.

Everything random is a function of a seed. Frames are counted from 0 at the data set's rate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from extractors.errors import ConfigError
from longform.datasets.epic import EpicSegment
from longform.datasets.frame_lists import ListedFrames

Indices = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class ClipShape:
    """Length of a clip."""

    num_frames: int = 32
    stride: int = 2

    def __post_init__(self) -> None:
        if self.num_frames < 1 or self.stride < 1:
            raise ConfigError(f"A clip of {self.num_frames} frames, {self.stride} apart; expected at least 1 of both.")

    @property
    def span(self) -> int:
        """Frames of the video that it covers, the last stride included."""
        return self.num_frames * self.stride


LFB_CLIPS = {
    "ava": ClipShape(num_frames=32, stride=2),
    "epic": ClipShape(num_frames=32, stride=2),
    "charades": ClipShape(num_frames=32, stride=4),
}
"""About 2 s at 30 frames a second for the first two, about 5 s at 24 for Charades."""


def clip_frames(centre: int, shape: ClipShape, num_frames: int) -> Indices:
    """(T,) frames of the clip around a frame: from half a span before it to one stride before half a span after it.

    Where the video ends, its first or last frame is repeated.

    Args:
        num_frames: of the video.
    """
    frames = centre - shape.span // 2 + shape.stride * np.arange(shape.num_frames)
    return np.clip(frames, 0, num_frames - 1)


def drawn_examples(count: int, batch: int, *, seed: int, step: int) -> Indices:
    """(batch,) indices of examples, uniform with replacement: AVA's key frames and EPIC-KITCHENS' segments."""
    return np.random.default_rng([seed, step]).integers(count, size=batch)


def shuffled_examples(count: int, batch: int, *, seed: int, step: int) -> Indices:
    """(batch,) indices of examples, each once an epoch in a new order: Charades' videos.

    Batches go on across the ends of epochs, so that every one is full.
    """
    epochs, places = np.divmod(np.arange(step * batch, (step + 1) * batch), count)
    orders = {epoch: np.random.default_rng([seed, epoch]).permutation(count) for epoch in np.unique(epochs).tolist()}
    return np.array([orders[epoch][place] for epoch, place in zip(epochs.tolist(), places.tolist(), strict=True)])


def epic_centre(segment: EpicSegment, rng: np.random.Generator | None) -> int:
    """The middle of a clip of a segment: uniform in it, both ends included, or its centre without `rng`."""
    first, last = segment.frames
    return (first + last) // 2 if rng is None else int(rng.integers(first, last, endpoint=True))


def charades_centre(num_frames: int, shape: ClipShape, rng: np.random.Generator) -> int:
    """The middle of a training clip: uniform where the clip fits, else the middle of the video."""
    half = shape.span // 2
    if num_frames < shape.span:
        return num_frames // 2
    return int(rng.integers(half, num_frames - half, endpoint=True))


def charades_test_centres(num_frames: int, clips: int = 10) -> list[int]:
    """The middles of `clips` equal parts of the video; 3 while a model trains, 10 at the end."""
    return [round(num_frames / clips * (part + 0.5)) for part in range(clips)]


def clip_labels(video: ListedFrames, frames: Indices, num_classes: int) -> NDArray[np.float32]:
    """(C,) 1 for each class of any frame from the first to the last of the clip, those between its frames too."""
    labels = np.zeros(num_classes, np.float32)
    labels[video.classes(int(frames[0]), int(frames[-1]))] = 1
    return labels


def video_labels(video: ListedFrames, num_classes: int) -> NDArray[np.float32]:
    """(C,) 1 for each class of any frame of the video: what Charades is tested on."""
    return clip_labels(video, np.array([0, len(video) - 1]), num_classes)
