"""Two clips of one generated video, each as it might have been filmed another time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.builtin_network.classes import Labels, can_be_reversed, labels_of
from benchmarks.builtin_network.videos import GeneratedVideos
from benchmarks.motions.render import FPS
from longform.clip_training.augmentation import CropRule
from longform.clip_training.sampling import ClipInfo, clip_frames
from longform.clip_training.shapes import StepShape
from longform.clip_training.sources import cut

Clip = NDArray[np.uint8]

CROPS = CropRule(flip=False)

GREY_SHARE = 0.1
LUMA = np.array([0.299, 0.587, 0.114])


@dataclass(frozen=True, eq=False, kw_only=True)
class Pair:
    """Two clips of a video. Both are mirrored, or neither; both run backwards, or neither."""

    clips: tuple[Clip, Clip]
    """(T, S, S, 3) uint8 RGB."""
    labels: Labels
    bn_clips: int


@dataclass(frozen=True, eq=False, kw_only=True)
class PairBatch:
    """Pairs of one shape: the first clips of all, then the second ones."""

    pixels: Tensor
    """(2N, T, S, S, 3) uint8 RGB."""
    motion: Tensor
    """(2N,) int64."""
    appearance: Tensor
    """(2N,) int64."""
    forwards: Tensor
    """(2N,) int64."""
    bn_clips: int


def draw_pair(videos: GeneratedVideos, index: int, shape: StepShape, seed: int) -> Pair:
    """Two random clips of a video: moments, strides, crops and colours differ."""
    rng = np.random.default_rng(seed)
    video, shown = videos.video(index), videos.shown(index)
    mirrored = bool(rng.random() < 0.5)
    backwards = can_be_reversed(shown.motion) and bool(rng.random() < 0.5)
    first, second = (_clip(video, shape, rng, mirrored, backwards) for _ in range(2))
    labels = labels_of(shown, mirrored=mirrored, backwards=backwards)
    return Pair(clips=(first, second), labels=labels, bn_clips=shape.bn_clips)


def _clip(video: Clip, shape: StepShape, rng: np.random.Generator, mirrored: bool, backwards: bool) -> Clip:
    stride = int(rng.integers(shape.stride, shape.max_stride, endpoint=True))
    info = ClipInfo(num_frames=len(video), fps=FPS)
    frames = clip_frames("strided", info, shape.frames, stride, rng.random(shape.frames))
    if backwards:
        frames = frames[::-1]
    place = CROPS.drawn(shape.size, shape.short_side, rng)
    clip = cut((video[frame] for frame in frames.tolist()), len(frames), place)
    return other_colours(clip[:, :, ::-1] if mirrored else clip, rng)


def other_colours(clip: Clip, rng: np.random.Generator) -> Clip:
    """The clip (T, S, S, 3) in another light: brightness, contrast, saturation, tint; sometimes without colour."""
    saturation = 0.0 if rng.random() < GREY_SHARE else rng.uniform(0.5, 1.4)
    gains = rng.uniform(0.75, 1.3) * rng.uniform(0.88, 1.12, 3)
    grey = np.tile(LUMA, (3, 1))
    mix = gains[:, None] * (saturation * np.eye(3) + (1 - saturation) * grey)
    offset = rng.uniform(-25, 25) + 127.5 * (1 - gains.mean())
    matrix = np.concatenate([mix, np.full((3, 1), offset)], 1)
    flat = np.ascontiguousarray(clip).reshape(-1, clip.shape[2], 3)
    return np.asarray(cv2.transform(flat, matrix)).reshape(clip.shape)


def batch_of(pairs: Sequence[Pair]) -> PairBatch:
    """The batch of some pairs of one shape."""
    clips = [pair.clips[which] for which in (0, 1) for pair in pairs]
    labels = torch.tensor([pair.labels for pair in pairs]).repeat(2, 1)
    return PairBatch(
        pixels=torch.from_numpy(np.stack(clips)),
        motion=labels[:, 0],
        appearance=labels[:, 1],
        forwards=labels[:, 2],
        bn_clips=pairs[0].bn_clips,
    )
