"""Boxes as a network predicts them: offsets from another box (Girshick et al., "R-CNN", CVPR 2014, appendix C)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

MAX_LOG_SCALE = math.log(1000 / 16)
"""A predicted side is at most 1000 / 16 times that of the box it starts from."""


def decode(boxes: Tensor, deltas: Tensor, weights: tuple[float, float, float, float], extra_px: float) -> Tensor:
    """(R, K, 4) boxes that the offsets (R, K, 4) name, seen from the boxes (R, 4).

    Args:
        weights: what dx, dy, dw and dh were multiplied by in training.
        extra_px: see `Convention.extra_px`.
    """
    boxes = boxes[:, None]
    size = boxes[..., 2:] - boxes[..., :2] + extra_px
    middle = boxes[..., :2] + 0.5 * size
    shift, log_scale = (deltas / deltas.new_tensor(weights)).split(2, dim=2)
    centre = shift * size + middle
    half = 0.5 * log_scale.clamp(max=MAX_LOG_SCALE).exp() * size
    return torch.cat([centre - half, centre + half - extra_px], 2)


def clip(boxes: Tensor, hw: tuple[int, int], extra_px: float) -> Tensor:
    """The boxes (..., 4) cut off at the borders of a picture of `hw`."""
    height, width = hw
    corners = boxes.unflatten(-1, (2, 2))
    most = boxes.new_tensor([width, height]) - extra_px
    return torch.minimum(corners.clamp(min=0), most).flatten(-2)


def is_large_enough(boxes: Tensor, hw: tuple[int, int], min_px: float, extra_px: float) -> Tensor:
    """(N,): whether clipped boxes (N, 4) have any size; with `extra_px`, whether their middle is inside `hw`."""
    size = boxes[:, 2:] - boxes[:, :2]
    if extra_px:
        middle = boxes[:, :2] + (size + extra_px) / 2
        return (middle < middle.new_tensor([hw[1], hw[0]])).all(1)
    return (size >= min_px).all(1) if min_px else (size > 0).all(1)
