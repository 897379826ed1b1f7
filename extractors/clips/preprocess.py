"""From decoded frames to a network's clip, with the arithmetic of the originals.

All originals scale the short side with bilinear interpolation that does not smooth before it shrinks, then crop.
PySlowFast and PyTorchVideo normalise before they scale. The weights of an interpolation sum to 1, so the order
changes nothing but rounding; here only what is left after the crop is normalised, in one pass, into the clip itself.

A picture whose short side has the wanted length already is not scaled, as in PySlowFast: frames that a decoder made
at that size pass through.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from extractors.clips.input import ClipInput
from extractors.errors import ConfigError, ShapeError

FULL = "full"
"""Instead of a number of crops: the whole picture, for fully-convolutional testing and for detection."""

Picture = NDArray[np.uint8]
Corners = list[tuple[int, int]]


def to_clip(frames: NDArray[np.uint8] | Sequence[Picture], spec: ClipInput, *, crops: int | str = 1) -> Tensor:
    """The network's input from whole frames.

    Args:
        frames: (T, H, W, 3) uint8 RGB, or T such frames.
        spec: the arithmetic: `resize`, `square`, `short_side_px`, `crop`, `crop_px`, `mean`, `std`, `channels`.
        crops: 1 (the centre), 3 (side by side along the longer side) or `FULL`.
    Returns:
        (crops, 3, T, h, w) float32.
    Raises:
        ShapeError: the frames are not uint8 RGB.
        ConfigError: `spec` or `crops` ask for something that is not known.
    """
    return assemble((scaled(frame, spec) for frame in frames), spec, num_frames=len(frames), crops=crops)


def scaled(frame: Picture, spec: ClipInput) -> Tensor:
    """One frame (H, W, 3) uint8 RGB as (3, h, w) float32 in [0, 255], scaled and not yet normalised."""
    if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
        raise ShapeError(f"A frame is {frame.shape} {frame.dtype}; expected (H, W, 3) uint8 RGB.")
    if spec.resize not in RESIZES:
        raise ConfigError(f"No way to resize is called {spec.resize!r}. Choose one of: {', '.join(RESIZES)}.")
    hw = scaled_hw(frame.shape[0], frame.shape[1], spec)
    return _planes(frame) if hw == frame.shape[:2] else RESIZES[spec.resize](frame, hw)


def scaled_hw(height: int, width: int, spec: ClipInput) -> tuple[int, int]:
    """Height and width after scaling: the longer side is rounded down, as in PySlowFast and the non-local code."""
    side = spec.short_side_px
    if spec.square:
        return side, side
    if min(height, width) == side:
        return height, width
    if width < height:
        return math.floor(height / width * side), side
    return side, math.floor(width / height * side)


def boxes_in_clip(boxes: NDArray[np.float32], height: int, width: int, spec: ClipInput) -> NDArray[np.float32]:
    """Boxes of a picture in pixels of the scaled, not cropped, clip, as PySlowFast takes them to its RoIs on AVA.

    Args:
        boxes: (N, 4) xyxy in [0, 1] of a picture of `height` x `width`.
    Returns:
        (N, 4) float32: clipped to the last pixel, before scaling and after it; both sides scaled by one factor.
    """
    hw = scaled_hw(height, width, spec)
    factor = spec.short_side_px / min(height, width)
    px = np.asarray(boxes, np.float64) * (width, height, width, height)
    px = np.clip(px, 0, (width - 1, height - 1, width - 1, height - 1)) * factor
    return np.clip(px, 0, (hw[1] - 1, hw[0] - 1, hw[1] - 1, hw[0] - 1)).astype(np.float32)


def assemble(pictures: Iterable[Tensor], spec: ClipInput, *, num_frames: int, crops: int | str = 1) -> Tensor:
    """Crop and normalise scaled pictures of one size into a clip.

    Args:
        pictures: `num_frames` results of `scaled`, in order; each is read once and not kept.
    Returns:
        (crops, 3, T, h, w) float32.
    """
    if spec.channels not in ("rgb", "bgr"):
        raise ConfigError(f"A clip of {spec.channels!r} cannot be made of pictures alone; expected rgb or bgr.")
    std = torch.tensor(spec.std).view(3, 1, 1)
    scale, shift = 1 / (255 * std), -torch.tensor(spec.mean).view(3, 1, 1) / std
    clip, corners = torch.empty(0), Corners()
    for t, picture in enumerate(pictures):
        if t == 0:
            corners, (height, width) = _windows(picture.shape[1], picture.shape[2], spec, crops)
            clip = torch.empty(len(corners), 3, num_frames, height, width)
        ordered = picture if spec.channels == "rgb" else picture.flip(0)
        for view, (top, left) in zip(clip, corners, strict=True):
            window = ordered[:, top : top + height, left : left + width]
            torch.addcmul(shift, window, scale, out=view[:, t])
    return clip


def _windows(height: int, width: int, spec: ClipInput, crops: int | str) -> tuple[Corners, tuple[int, int]]:
    """Top left corners of the crops of a picture, and their height and width."""
    if crops == FULL:
        return [(0, 0)], (height, width)
    if crops not in (1, 3):
        raise ConfigError(f"Cannot take {crops!r} crops; expected 1, 3 or {FULL!r}.")
    if spec.crop not in CROPS:
        raise ConfigError(f"No way to crop is called {spec.crop!r}. Choose one of: {', '.join(CROPS)}.")
    side = spec.crop_px
    if side > min(height, width):
        raise ConfigError(f"A crop of {side} px does not fit a picture of {width}x{height}; lower crop_px.")
    corners = CROPS[spec.crop](height, width, side)
    return (corners if crops == 3 else corners[1:2]), (side, side)


def _pyslowfast_corners(height: int, width: int, side: int) -> Corners:
    """First, middle and last crop: the middle rounds up, the last touches the edge."""
    top, left = math.ceil((height - side) / 2), math.ceil((width - side) / 2)
    if height > width:
        return [(0, left), (top, left), (height - side, left)]
    return [(top, 0), (top, left), (top, width - side)]


def _nonlocal_corners(height: int, width: int, side: int) -> Corners:
    """0, 1 and 2 steps of the middle's offset, which rounds down, so the last crop may end a pixel early."""
    top, left = (height - side) // 2, (width - side) // 2
    if top > 0:
        return [(0, left), (top, left), (2 * top, left)]
    return [(top, 0), (top, left), (top, 2 * left)]


def _float(frame: Picture, hw: tuple[int, int]) -> Tensor:
    picture = _planes(frame)
    return functional.interpolate(picture[None], size=hw, mode="bilinear", align_corners=False)[0]


def _smooth(frame: Picture, hw: tuple[int, int]) -> Tensor:
    picture = _planes(frame)
    return functional.interpolate(picture[None], size=hw, mode="bilinear", align_corners=False, antialias=True)[0]


def _rounded(frame: Picture, hw: tuple[int, int]) -> Tensor:
    return _float(frame, hw).round_()


def _bytes(frame: Picture, hw: tuple[int, int]) -> Tensor:
    return _planes(cv2.resize(frame, hw[::-1], interpolation=cv2.INTER_LINEAR))


def _planes(frame: NDArray) -> Tensor:
    """(3, H, W) float32, in the memory order of `frame`: the one copy that every frame needs."""
    return torch.from_numpy(frame.astype(np.float32)).permute(2, 0, 1)


CROPS: dict[str, Callable[[int, int, int], Corners]] = {
    "pyslowfast": _pyslowfast_corners,  # uniform_crop of PySlowFast
    "nonlocal": _nonlocal_corners,  # ClipTransformFlex of video-nonlocal-net
}
"""Corners (top, left) of the three crops of a picture, from its height, its width and the side of a crop."""

RESIZES: dict[str, Callable[[Picture, tuple[int, int]], Tensor]] = {
    "float": _float,  # PySlowFast and PyTorchVideo for classification
    "rounded": _rounded,  # torchvision's presets: the same, rounded to whole numbers
    "smooth": _smooth,  # PIL's bilinear, which smooths before it shrinks: no original here does
    "bytes": _bytes,  # OpenCV on uint8: PySlowFast for AVA, video-nonlocal-net, LFB
}
"""How a frame (H, W, 3) uint8 becomes (3, h, w) float32 in [0, 255]."""
