"""Ways to describe a clip: the network with its weights, the same network untrained, HOG + HOF, a colour histogram."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.builtin_network.real_clips import FPS, grey
from extractors.backbones.base import Backbone
from extractors.clips.hoghof import HogHof, HogHofConfig
from extractors.clips.input import ClipInput
from extractors.clips.preprocess import to_clip

Frames = NDArray[np.uint8]
Vector = NDArray[np.float32]
Descriptor = Callable[[Frames], Vector]
"""The descriptor (D,) of a clip (T, H, W, 3) RGB at 30 frames/s."""

HUES, SATURATIONS, VALUES = 16, 4, 4


def descriptors(builtin: Backbone, untrained: Backbone, spec: ClipInput) -> Mapping[str, Descriptor]:
    """All of them by name. Both networks see clips as `spec` says."""
    return {
        "built-in network": partial(embedding, builtin, spec),
        "the same, untrained": partial(embedding, untrained, spec),
        "HOG + HOF": partial(hoghof, HogHof(HogHofConfig())),
        "colour histogram": colour_histogram,
    }


def embedding(network: Backbone, spec: ClipInput, frames: Frames) -> Vector:
    """What the network says of the middle of a clip."""
    span = (spec.num_frames - 1) * spec.stride
    first = max(0, (len(frames) - 1 - span) // 2)
    chosen = [min(first + i * spec.stride, len(frames) - 1) for i in range(spec.num_frames)]
    with torch.inference_mode():
        return network.embed(to_clip(frames[chosen], spec))[0].numpy()


def hoghof(extractor: HogHof, frames: Frames) -> Vector:
    """HOG + HOF of a clip, at its own rate and size."""
    config = extractor.config
    step = round(FPS / config.sample_hz)
    pictures = [_reduced(picture, config.short_side_px) for picture in grey(frames[::step])]
    pictures = pictures[: round(config.clip_s * config.sample_hz)]
    before = [None, *pictures]
    cells = [
        (i * step / FPS, extractor.cells(last, picture, step / FPS))
        for i, (last, picture) in enumerate(zip(before, pictures, strict=False))
    ]
    return np.asarray(extractor.describe(cells), np.float32)


def _reduced(picture: Frames, short_side: int) -> Frames:
    scale = short_side / min(picture.shape)
    size = (round(picture.shape[1] * scale), round(picture.shape[0] * scale))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA)) if scale < 1 else picture


def colour_histogram(frames: Frames) -> Vector:
    """Square roots of the shares of hue, saturation and value, all three together, over a clip."""
    hsv = cv2.cvtColor(frames[::2].reshape(-1, frames.shape[2], 3), cv2.COLOR_RGB2HSV).reshape(-1, 3)
    bins = (hsv // np.array([-(-180 // HUES), 256 // SATURATIONS, 256 // VALUES])).astype(np.int64)
    flat = (bins[:, 0] * SATURATIONS + bins[:, 1]) * VALUES + bins[:, 2]
    counts = np.bincount(flat, minlength=HUES * SATURATIONS * VALUES)
    return np.sqrt(counts / len(flat)).astype(np.float32)
