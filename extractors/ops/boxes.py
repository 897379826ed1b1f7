"""Every box conversion and measure; the only place that knows pixels from normalised.

Boxes are xyxy in continuous coordinates: a box that covers one whole pixel at the origin is
(0, 0, 1, 1) in pixels, width is x2 - x1 with no + 1, and a frame is (0, 0, width, height).
`boxes` are in [0, 1] of the displayed frame, `boxes_px` in pixels of a picture of size `hw`.
Functions that measure (`area`, `iou_matrix`) take either, as long as both arguments agree.
Every function takes (0, 4) and answers with an array of the matching empty shape.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from extractors.errors import ShapeError


def as_boxes(boxes: ArrayLike) -> NDArray[np.float32]:
    """(N, 4) float32, from anything array-like; an empty list is (0, 4).

    Raises:
        ShapeError: not a list of four-number boxes.
    """
    array = np.asarray(boxes, dtype=np.float32)
    if array.shape == (0,):
        return array.reshape(0, 4)
    if array.ndim != 2 or array.shape[1] != 4:
        raise ShapeError(f"Boxes have shape {array.shape}; expected (N, 4) xyxy.")
    return array


def to_pixels(boxes: ArrayLike, hw: tuple[int, int]) -> NDArray[np.float32]:
    """(N, 4) in [0, 1] -> (N, 4) in pixels of a picture of `hw`."""
    return as_boxes(boxes) * _frame(hw)


def to_normalised(boxes_px: ArrayLike, hw: tuple[int, int]) -> NDArray[np.float32]:
    """(N, 4) in pixels of a picture of `hw` -> (N, 4), [0, 1] where the box lies inside it."""
    return as_boxes(boxes_px) / _frame(hw)


def from_xywh(xywh: ArrayLike) -> NDArray[np.float32]:
    """(N, 4) left, top, width, height -> (N, 4) xyxy."""
    array = as_boxes(xywh)
    return np.concatenate([array[:, :2], array[:, :2] + array[:, 2:]], axis=1)


def clip(boxes: ArrayLike) -> NDArray[np.float32]:
    """Normalised boxes cut off at the borders of the frame; outside ones become empty."""
    return np.clip(as_boxes(boxes), np.float32(0), np.float32(1))


def area(boxes: ArrayLike) -> NDArray[np.float32]:
    """(N,) areas; 0 for an inverted box."""
    array = as_boxes(boxes)
    wh = np.maximum(array[:, 2:] - array[:, :2], 0)
    return wh[:, 0] * wh[:, 1]


def centres(boxes: ArrayLike) -> NDArray[np.float32]:
    """(N, 2) x, y of the middle."""
    array = as_boxes(boxes)
    return (array[:, :2] + array[:, 2:]) * np.float32(0.5)


def resize_about_centre(boxes: ArrayLike, *, width_by: float, height_by: float) -> NDArray[np.float32]:
    """(N, 4) with the same middles and the sides multiplied."""
    array = as_boxes(boxes)
    middle = centres(array)
    half = (array[:, 2:] - array[:, :2]) * np.array([width_by / 2, height_by / 2], np.float32)
    return np.concatenate([middle - half, middle + half], axis=1)


def iou_matrix(boxes: ArrayLike, others: ArrayLike) -> NDArray[np.float32]:
    """(N, M) intersection over union of every pair; 0 where the union is empty."""
    a, b = as_boxes(boxes), as_boxes(others)
    top_left = np.maximum(a[:, None, :2], b[None, :, :2])
    bottom_right = np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared_wh = np.maximum(bottom_right - top_left, 0)
    shared = shared_wh[..., 0] * shared_wh[..., 1]
    union = area(a)[:, None] + area(b)[None, :] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def pixel_slices(boxes: ArrayLike, hw: tuple[int, int]) -> list[tuple[slice, slice]]:
    """Rows and columns of the pixels that each normalised box touches, never an empty range.

    A box without area, or outside the frame, gives the nearest pixel, so that cropping needs no
    special case.
    """
    height, width = hw
    slices = []
    for x1, y1, x2, y2 in to_pixels(clip(boxes), hw).astype(float):
        left, top = min(int(x1), width - 1), min(int(y1), height - 1)
        right, bottom = max(int(np.ceil(x2)), left + 1), max(int(np.ceil(y2)), top + 1)
        slices.append((slice(top, bottom), slice(left, right)))
    return slices


def _frame(hw: tuple[int, int]) -> NDArray[np.float32]:
    height, width = hw
    if height < 1 or width < 1:
        raise ShapeError(f"A picture has size (height, width) = {hw}; expected at least (1, 1).")
    return np.array([width, height, width, height], np.float32)
