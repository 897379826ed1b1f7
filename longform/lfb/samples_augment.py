"""From decoded frames and boxes in [0, 1] to a network's clip and boxes in its pixels, as Long-Term Feature Banks does.

A `Placement` says how: scale all frames to one size, cut a square out, and maybe mirror it. Training draws one at
random (`drawn_placement`); testing has fixed ones (`fixed_placement`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from extractors.clips.input import ClipInput
from extractors.clips.preprocess import CROPS, scaled_hw
from extractors.errors import ConfigError, ShapeError

TRAINING_CROP_PX = 224
TRAINING_SHORT_SIDES_PX = (256, 320)
TESTING_SHORT_SIDE_PX = 256
LARGEST_TESTING_CROP_PX = 256
FIRST, CENTRE, LAST = range(3)
"""Positions of a crop along the longer side: left or top, centre, right or bottom."""
MEAN, STD = 0.45, 0.225
"""Of values in [0, 1], in every channel."""


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where the network's input lies in a picture."""

    source_hw: tuple[int, int]
    """Height and width of the picture."""
    scaled_hw: tuple[int, int]
    """The same after scaling."""
    top: int
    left: int
    crop_px: int
    flip: bool
    """Mirrored left to right, after the crop."""

    def clip(self, pictures: Sequence[NDArray[np.uint8]]) -> Tensor:
        """The network's input: scaled as OpenCV scales bytes (bilinear), cropped, mirrored, normalised.

        Args:
            pictures: T of (H, W, 3) uint8 RGB, each of `source_hw`.
        Returns:
            (3, T, crop, crop) float32.
        Raises:
            ShapeError: a picture has another size.
        """
        cut = np.empty((len(pictures), self.crop_px, self.crop_px, 3), np.uint8)
        for place, picture in enumerate(pictures):
            if picture.shape != (*self.source_hw, 3):
                raise ShapeError(f"Frame {place} of a clip is {picture.shape}; the first one is {self.source_hw}.")
            cut[place] = self._window(picture)
        clip = torch.from_numpy(cut).permute(3, 0, 1, 2).to(torch.float32, memory_format=torch.contiguous_format)
        return clip.div_(255).sub_(MEAN).div_(STD)

    def boxes_px(self, boxes: ArrayLike) -> NDArray[np.float32]:
        """Boxes in pixels of the clip, clipped to its last pixel on either side; one that is outside has no area.

        Args:
            boxes: (N, 4) xyxy in [0, 1] of the picture.
        Returns:
            (N, 4) float32 xyxy. Both axes are scaled by the factor of the longer side, which is rounded down.
        """
        height, width = self.source_hw
        size = np.array([width, height, width, height], np.float64)
        px = np.clip(np.asarray(boxes, np.float64).reshape(-1, 4) * size, 0, size - 1)
        longer = 0 if width < height else 1
        px = px * (self.scaled_hw[longer] / self.source_hw[longer]) - (self.left, self.top, self.left, self.top)
        if self.flip:
            px[:, [0, 2]] = self.crop_px - px[:, [2, 0]] - 1
        return np.clip(px, 0, self.crop_px - 1).astype(np.float32)

    def _window(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if self.scaled_hw != self.source_hw:
            picture = cv2.resize(picture, self.scaled_hw[::-1], interpolation=cv2.INTER_LINEAR)
        window = picture[self.top : self.top + self.crop_px, self.left : self.left + self.crop_px]
        return window[:, ::-1] if self.flip else window


def drawn_placement(
    source_hw: tuple[int, int],
    rng: np.random.Generator,
    *,
    short_sides_px: tuple[int, int] = TRAINING_SHORT_SIDES_PX,
    crop_px: int = TRAINING_CROP_PX,
) -> Placement:
    """A random placement for training.

    The short side is 1 / u, with u uniform between the inverse sides, so small ones are more frequent. The crop is
    uniform, but never touches the far edge, as in the original. Mirrored with probability 1/2.

    Raises:
        ConfigError: the crop is larger than the least short side.
    """
    least, most = short_sides_px
    side = round(1 / rng.uniform(1 / most, 1 / least))
    scaled = _scaled_hw(source_hw, side, crop_px)
    top, left = (_offset(length, crop_px, rng) for length in scaled)
    flip = bool(rng.random() < 0.5)
    return Placement(source_hw=source_hw, scaled_hw=scaled, top=top, left=left, crop_px=crop_px, flip=flip)


def fixed_placement(
    source_hw: tuple[int, int],
    *,
    short_side_px: int = TESTING_SHORT_SIDE_PX,
    position: int = CENTRE,
    flip: bool = False,
    crop_px: int | None = None,
) -> Placement:
    """A placement for testing.

    Args:
        position: along the longer side, of the picture as the network sees it: mirrored first if `flip` says so.
        crop_px: side of the crop; None for the short side, but at most 256.
    Raises:
        ConfigError: the crop is larger than the short side, or there is no such position.
    """
    crop = min(LARGEST_TESTING_CROP_PX, short_side_px) if crop_px is None else crop_px
    if position not in (FIRST, CENTRE, LAST):
        raise ConfigError(f"A crop has no position {position}; expected 0, 1 or 2.")
    scaled = _scaled_hw(source_hw, short_side_px, crop)
    top, left = CROPS["pyslowfast"](*scaled, crop)[position]
    if flip:
        left = scaled[1] - crop - left
    return Placement(source_hw=source_hw, scaled_hw=scaled, top=top, left=left, crop_px=crop, flip=flip)


def _scaled_hw(source_hw: tuple[int, int], short_side_px: int, crop_px: int) -> tuple[int, int]:
    if crop_px > short_side_px:
        raise ConfigError(f"A crop of {crop_px} px does not fit pictures of short side {short_side_px}; lower it.")
    return scaled_hw(*source_hw, ClipInput(num_frames=1, stride=1, short_side_px=short_side_px))


def _offset(length: int, crop_px: int, rng: np.random.Generator) -> int:
    return int(rng.integers(length - crop_px)) if length > crop_px else 0
