"""Which clips a step sees, and how one is read: a function of the seed, whatever the process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from longform.clip_training.augmentation import CropRule, PlaceWindow
from longform.clip_training.labels import Label
from longform.clip_training.sampling import MIDDLE, Indices, clip_frames
from longform.clip_training.shapes import StepShape
from longform.clip_training.sources import ClipSource, Pixels
from longform.clip_training.unreadable import Failure
from pipeline.errors import DecodeError, InputError, ProbeError

ATTEMPTS = 10
"""Videos that are tried for one clip."""

Colours = Callable[[Pixels, np.random.Generator], Pixels]
"""Changes the pixels (T, S, S, 3) of a clip, all frames alike."""


@dataclass(frozen=True, slots=True)
class ClipExample:
    """One clip in the plan of a step."""

    index: int
    """Of the video."""
    shape: StepShape


@dataclass(frozen=True, eq=False, kw_only=True)
class ClipItem:
    """A clip that was read."""

    pixels: Pixels
    """(T, S, S, 3) uint8 RGB."""
    label: Label
    bn_clips: int
    failures: tuple[Failure, ...] = ()
    """Videos that could not be read; the clip is of another."""


@dataclass(frozen=True, eq=False, kw_only=True)
class ClipBatch:
    """The clips of a step."""

    pixels: Tensor
    """(N, T, S, S, 3) uint8 RGB."""
    labels: Tensor
    """(N,) int64, or (N, C) float32 zeros and ones."""
    bn_clips: int
    failures: tuple[Failure, ...]
    replaced: Tensor
    """(N,) float32: 1 where another video had to be taken."""


@dataclass(frozen=True, kw_only=True)
class ClipReader:
    """Reads clips of a source as training and validation see them."""

    source: ClipSource
    sampling: str
    """A name in `longform.clip_training.sampling.SAMPLINGS`."""
    crops: CropRule = field(default_factory=CropRule)
    colours: Colours | None = None

    def drawn(self, example: ClipExample, seed: int) -> ClipItem:
        """A random clip of a video; of another one, if that cannot be read.

        Raises:
            InputError: none of `ATTEMPTS` videos can be read.
        """
        rng = np.random.default_rng(seed)
        failures: list[Failure] = []
        index = example.index
        for _ in range(ATTEMPTS):
            try:
                pixels, label = self._drawn(index, example.shape, rng)
                return ClipItem(pixels=pixels, label=label, bn_clips=example.shape.bn_clips, failures=tuple(failures))
            except (DecodeError, ProbeError) as error:
                failures.append(Failure(self.source.name(index), str(error)))
                index = int(rng.integers(len(self.source)))
        raise InputError(f"None of {ATTEMPTS} videos in a row can be read; the last: {failures[-1].reason}")

    def _drawn(self, index: int, shape: StepShape, rng: np.random.Generator) -> tuple[Pixels, Label]:
        stride = int(rng.integers(shape.stride, shape.max_stride, endpoint=True))
        frames = clip_frames(self.sampling, self.source.clip(index), shape.frames, stride, rng.random(shape.frames))
        place = self.crops.drawn(shape.size, shape.short_side, rng)
        pixels = self.source.read(index, frames, place)
        if self.colours is not None:
            pixels = self.colours(pixels, rng)
        return pixels, self._label(index, frames)

    def middle(self, index: int, *, frames: int, stride: int, size: int, short_side: int) -> ClipItem | Failure:
        """The clip in the middle of a video, and the middle of its pictures; why, if it cannot be read."""
        try:
            return self._middle(index, frames, stride, self.crops.centre(size, short_side))
        except (DecodeError, ProbeError) as error:
            return Failure(self.source.name(index), str(error))

    def _middle(self, index: int, frames: int, stride: int, place: PlaceWindow) -> ClipItem:
        chosen = clip_frames(self.sampling, self.source.clip(index), frames, stride, np.full(frames, MIDDLE))
        pixels = self.source.read(index, chosen, place)
        return ClipItem(pixels=pixels, label=self._label(index, chosen), bn_clips=1)

    def _label(self, index: int, frames: Indices) -> Label:
        return self.source.labels(index, int(frames.min()), int(frames.max()))


def planned(count: int, first: int, shape: StepShape, seed: int) -> list[ClipExample]:
    """The clips of a step: each video once an epoch, in a new order; batches go on across the ends of epochs.

    Args:
        count: videos.
        first: clips of all steps before.
    """
    epochs, places = np.divmod(np.arange(first, first + shape.batch), count)
    return [
        ClipExample(int(_order(count, seed, epoch)[place]), shape)
        for epoch, place in zip(epochs.tolist(), places.tolist(), strict=True)
    ]


@lru_cache(maxsize=2)
def _order(count: int, seed: int, epoch: int) -> NDArray[np.int64]:
    return np.random.default_rng([seed, epoch]).permutation(count)


def collated(items: Sequence[ClipItem]) -> ClipBatch:
    """The batch of some clips of one shape."""
    return ClipBatch(
        pixels=torch.from_numpy(np.stack([item.pixels for item in items])),
        labels=torch.from_numpy(np.stack([np.asarray(item.label) for item in items])),
        bn_clips=items[0].bn_clips,
        failures=tuple(failure for item in items for failure in item.failures),
        replaced=torch.tensor([float(bool(item.failures)) for item in items]),
    )
