"""From a decoded frame to a detector's input, with the arithmetic of each code base."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from extractors.detectors.conventions import Convention
from extractors.types import check_frame

SIZE_DIVISOR = 32
"""Inputs are padded to a multiple of the coarsest stride of the body."""


@dataclass(frozen=True, slots=True)
class NetworkImage:
    """One picture as a network sees it, not yet padded."""

    pixels: Tensor
    """(3, h, w) float32, normalised."""
    frame_hw: tuple[int, int]
    """Size of the frame it was made from."""
    scale_xy: tuple[float, float]
    """Pixels of the network's input per pixel of the frame."""

    @property
    def hw(self) -> tuple[int, int]:
        """Its size in the network's input."""
        return self.pixels.shape[1], self.pixels.shape[2]


@dataclass(frozen=True, slots=True)
class _Sizes:
    """Short side wanted, and longest side allowed, in pixels."""

    short: int
    longest: int


Normalise = Callable[[Tensor], Tensor]
"""(3, H, W) float32 in 0..255, in the network's order of colours, to normalised values."""


def network_image(
    frame_rgb: NDArray[np.uint8],
    convention: Convention,
    std: tuple[float, float, float],
    *,
    short_side_px: int,
    max_side_px: int,
) -> NetworkImage:
    """Scale and normalise a frame.

    Args:
        frame_rgb: (H, W, 3) uint8 RGB.
        std: pixels are divided by it.
        short_side_px: length wanted of the shorter side, where the longer does not exceed `max_side_px`.
    Raises:
        ShapeError: not such an array, or an empty one.
    """
    check_frame(frame_rgb)
    colours = frame_rgb if convention.channels == "rgb" else frame_rgb[..., ::-1]
    mean_column, std_column = (torch.tensor(values).view(3, 1, 1) for values in (convention.mean, std))

    def normalise(pixels: Tensor) -> Tensor:
        return (pixels - mean_column) / std_column

    pixels, scale_xy = RESIZES[convention.resize](
        np.ascontiguousarray(colours), _Sizes(short_side_px, max_side_px), normalise
    )
    return NetworkImage(pixels, frame_rgb.shape[:2], scale_xy)


def padded_batch(images: Sequence[NetworkImage]) -> Tensor:
    """(N, 3, H, W): pictures at the top left, zeros to the right and below."""
    height, width = (-(-max(image.hw[side] for image in images) // SIZE_DIVISOR) * SIZE_DIVISOR for side in (0, 1))
    batch = images[0].pixels.new_zeros(len(images), 3, height, width)
    for into, image in zip(batch, images, strict=True):
        into[:, : image.hw[0], : image.hw[1]] = image.pixels
    return batch


def _pillow(picture: NDArray[np.uint8], sizes: _Sizes, normalise: Normalise) -> tuple[Tensor, tuple[float, float]]:
    """Bytes to bytes with Pillow, which averages when it shrinks; then normalised (Detectron2).

    A side is at least one pixel long; Detectron2 fails where it rounds to none.
    """
    height, width = picture.shape[:2]
    scale = sizes.short / min(height, width)
    new_h, new_w = (sizes.short, scale * width) if height < width else (scale * height, sizes.short)
    if max(new_h, new_w) > sizes.longest:
        scale = sizes.longest / max(new_h, new_w)
        new_h, new_w = new_h * scale, new_w * scale
    size_wh = max(int(new_w + 0.5), 1), max(int(new_h + 0.5), 1)
    resized = np.array(Image.fromarray(picture).resize(size_wh, Image.Resampling.BILINEAR))
    return normalise(_channels_first(resized)), (size_wh[0] / width, size_wh[1] / height)


def _opencv(picture: NDArray[np.uint8], sizes: _Sizes, normalise: Normalise) -> tuple[Tensor, tuple[float, float]]:
    """Normalised, then scaled in float with OpenCV, by one factor in x and y (Detectron)."""
    height, width = picture.shape[:2]
    scale = sizes.short / min(height, width)
    if np.round(scale * max(height, width)) > sizes.longest:
        scale = sizes.longest / max(height, width)
    floats = normalise(_channels_first(picture)).permute(1, 2, 0).contiguous().numpy()
    vanishes = round(scale * min(height, width)) < 1
    size_wh = (max(round(width * scale), 1), max(round(height * scale), 1)) if vanishes else None
    resized = cv2.resize(floats, size_wh, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
    return torch.from_numpy(resized).permute(2, 0, 1), (scale, scale)


def _torch(picture: NDArray[np.uint8], sizes: _Sizes, normalise: Normalise) -> tuple[Tensor, tuple[float, float]]:
    """Normalised, then scaled in float with torch, sizes rounded down (torchvision).

    The factor is in float32, and the side's inverse is rounded first, as torch divides a number by a tensor:
    otherwise the short side of 480 pixels became 799 in place of 800.
    """
    height, width = picture.shape[:2]
    sides = torch.tensor([min(height, width), max(height, width)], dtype=torch.float32)
    scale = (sides.reciprocal() * torch.tensor([sizes.short, sizes.longest])).min().item()
    new_hw = max(int(height * scale), 1), max(int(width * scale), 1)
    floats = normalise(_channels_first(picture))
    resized = F.interpolate(floats[None], size=new_hw, mode="bilinear", align_corners=False)[0]
    return resized, (new_hw[1] / width, new_hw[0] / height)


def _channels_first(picture: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(picture).permute(2, 0, 1).float()


RESIZES: dict[str, Callable[[NDArray[np.uint8], _Sizes, Normalise], tuple[Tensor, tuple[float, float]]]] = {
    "pillow": _pillow,
    "opencv": _opencv,
    "torch": _torch,
}
