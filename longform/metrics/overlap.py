"""Intersection over union in double precision: near a threshold, float32 decides otherwise than evaluators do."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def iou(a: NDArray[np.float64], b: NDArray[np.float64], *, inclusive: bool = False) -> NDArray[np.float64]:
    """(…) intersection over union of xyxy boxes (…, 4) that broadcast; 0 where the union is empty.

    Args:
        inclusive: coordinates name pixels, so a box from 3 to 5 is 3 wide.
    """
    shared = _area(np.maximum(a[..., :2], b[..., :2]), np.minimum(a[..., 2:], b[..., 2:]), inclusive)
    union = _area(a[..., :2], a[..., 2:], inclusive) + _area(b[..., :2], b[..., 2:], inclusive) - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def _area(top_left: NDArray[np.float64], bottom_right: NDArray[np.float64], inclusive: bool) -> NDArray[np.float64]:
    sides = np.maximum(bottom_right - top_left + float(inclusive), 0.0)
    return sides[..., 0] * sides[..., 1]
