"""Random crops, mirrors and colours of training, of pictures and codes of motion or residual (H, W, C) in bytes.

The rules of the released code (chaoyuaw/pytorch-coviar, transforms.py and dataset.py). Sizes are those for crops of
224 px times size / 224.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from extractors.compressed.views import Code, Codes, mirrored, resized

CROP_SCALES = {"iframe": (1.0, 0.875, 0.75, 0.66), "motion": (1.0, 0.875, 0.75), "residual": (1.0, 0.875, 0.75)}
"""Sides of crops, as parts of the shorter side of the picture."""
LARGEST_DISTORTION = 1
"""Places in `CROP_SCALES` that height and width may differ by."""
NEARLY = 2 / 224
"""A crop whose side differs from the network's by no more than this part of it is not scaled."""
JITTER = (36, 50, 50)
"""Largest change of hue (of 180), lightness and saturation (of 255)."""


@dataclass(frozen=True, slots=True)
class Window:
    """A rectangle of a picture."""

    top: int
    left: int
    height: int
    width: int


def drawn_window(height: int, width: int, stream: str, size: int, rng: np.random.Generator) -> Window:
    """A crop of one of the scales, anywhere in the picture; its shape is a square or one scale off."""
    sides = [round(min(height, width) * scale) for scale in CROP_SCALES[stream]]
    sides = [size if abs(side - size) <= NEARLY * size and size <= min(height, width) else side for side in sides]
    pairs = [(h, w) for i, h in enumerate(sides) for j, w in enumerate(sides) if abs(i - j) <= LARGEST_DISTORTION]
    h, w = pairs[int(rng.integers(len(pairs)))]
    return Window(int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1)), h, w)


def cut(picture: Code, window: Window, size: int) -> Code:
    """The window, scaled bilinearly in bytes to `size` x `size`."""
    part = picture[window.top : window.top + window.height, window.left : window.left + window.width]
    return resized(part, size)


def jittered(picture: Code, rng: np.random.Generator) -> Code:
    """Hue, lightness and saturation of an RGB picture shifted by one amount each, and cut off at their ends."""
    hls = cv2.cvtColor(picture, cv2.COLOR_RGB2HLS).astype(np.int16)
    hls += np.array([rng.integers(-most, most + 1) for most in JITTER], np.int16)
    return cv2.cvtColor(np.clip(hls, 0, (180, 255, 255)).astype(np.uint8), cv2.COLOR_HLS2RGB)


def augmented(
    pictures: Sequence[Code], stream: str, size: int, rng: np.random.Generator, *, flip: bool, jitter: bool
) -> list[Codes]:
    """The frames of one video for training: one window and one decision to mirror, a colour shift for each frame."""
    height, width = pictures[0].shape[:2]
    window = drawn_window(height, width, stream, size, rng)
    mirror = rng.random() < 0.5 and flip
    coloured = [jittered(picture, rng) for picture in pictures] if jitter and stream == "iframe" else pictures
    crops = [cut(picture, window, size) for picture in coloured]
    return [mirrored(crop, stream) for crop in crops] if mirror else list(crops)
