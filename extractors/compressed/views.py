"""Squares of a compressed frame, as CoViAR's tests crop them, and what a network makes of them.

A frame is (H, W, C) bytes: an I-frame in RGB, or the code of motion or residual. The rules are those of the released
code (chaoyuaw/pytorch-coviar, transforms.py and test.py), where crops have 224 px; other sizes are in proportion.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from extractors.compressed.network_input import (
    flip_motion_code,
    iframe_input,
    motion_code,
    motion_input,
    residual_code,
    residual_input,
)

Code = NDArray[np.uint8]
Codes = NDArray[np.uint8] | NDArray[np.int16]
"""A mirrored code of motion can be 256."""

INPUTS: dict[str, Callable[[Any], NDArray[np.float32]]] = {
    "iframe": iframe_input,
    "motion": motion_input,
    "residual": residual_input,
}
"""From the code of a frame to what the network of a stream sees, (C, H, W)."""


class TracedFrame(Protocol):
    """A frame of a compressed video with its pictures; see `CompressedFrame` of `pipeline.video.compressed`."""

    @property
    def iframe(self) -> NDArray[np.uint8] | None: ...

    @property
    def motion(self) -> NDArray[Any]: ...

    @property
    def residual(self) -> NDArray[np.int16] | None: ...


def code_of(frame: TracedFrame, stream: str) -> Code:
    """What a stream sees of a frame, (H, W, C) bytes; only motion does without the frame's pictures."""
    if stream == "motion":
        return motion_code(frame.motion)
    if stream == "iframe":
        assert frame.iframe is not None
        return frame.iframe
    assert frame.residual is not None
    return residual_code(frame.residual)


def resized(picture: Code, side: int) -> Code:
    """(side, side, C), bilinear in bytes."""
    if picture.shape[:2] == (side, side):
        return picture
    return cv2.resize(picture, (side, side), interpolation=cv2.INTER_LINEAR)


def squeezed(picture: Code, size: int) -> Code:
    """The whole picture as a square from which tests crop: 256 px for crops of 224; its shape is lost."""
    return resized(picture, size * 8 // 7)


def centre(square: Code, size: int) -> Code:
    """The middle crop of a square."""
    start = (square.shape[0] - size) // 2
    return square[start : start + size, start : start + size]


def corner_crops(square: Code, size: int, stream: str, *, flip: bool = True) -> list[Codes]:
    """The corners and the middle of a square, each as it is and, with `flip`, mirrored."""
    far = square.shape[0] - size
    corners = ((0, 0), (0, far), (far, 0), (far, far), (far // 2, far // 2))
    crops = [square[top : top + size, left : left + size] for top, left in corners]
    return [view for crop in crops for view in ((crop, mirrored(crop, stream)) if flip else (crop,))]


def mirrored(code: Code, stream: str) -> Codes:
    """Left and right exchanged; motion to the right becomes motion to the left."""
    return flip_motion_code(code) if stream == "motion" else code[:, ::-1]


def clip_of(codes: Sequence[Codes], stream: str) -> Tensor:
    """(C, T, H, W) float32, normalised, of the codes of T frames."""
    return torch.from_numpy(np.stack([INPUTS[stream](code) for code in codes], axis=1))
