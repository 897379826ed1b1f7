"""Anchors (Ren et al., "Faster R-CNN", NIPS 2015, section 3.1.1): three shapes at every cell of every level."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

SIZES_PX = (32, 64, 128, 256, 512)
"""Square root of an anchor's area on P2 to P6."""
STRIDES_PX = (4, 8, 16, 32, 64)
ASPECT_RATIOS = (0.5, 1.0, 2.0)
"""Height over width, in the order of the RPN's outputs."""


def _exact(size_px: int, stride_px: int) -> NDArray[np.float64]:
    """Of the stated area, centred on the corner of the cell (Detectron2)."""
    ratios = np.array(ASPECT_RATIOS)
    widths = np.sqrt(size_px**2 / ratios)
    half = np.stack([widths, widths * ratios], 1) / 2
    return np.concatenate([-half, half], 1)


def _rounded(size_px: int, stride_px: int) -> NDArray[np.float64]:
    """Corners rounded to integers (torchvision)."""
    roots = np.sqrt(np.array(ASPECT_RATIOS, np.float32))
    half = np.stack([np.float32(size_px) / roots, np.float32(size_px) * roots], 1) / 2
    return np.round(np.concatenate([-half, half], 1)).astype(np.float64)


def _quantised(size_px: int, stride_px: int) -> NDArray[np.float64]:
    """The cell's shapes in whole pixels, scaled up about the cell's centre; corners name pixels (Detectron)."""
    ratios = np.array(ASPECT_RATIOS)
    widths = np.round(np.sqrt(stride_px**2 / ratios))
    sides = np.stack([widths, np.round(widths * ratios)], 1) * (size_px / stride_px)
    centre, half = (stride_px - 1) / 2, (sides - 1) / 2
    return np.concatenate([centre - half, centre + half], 1)


ROUNDINGS: dict[str, Callable[[int, int], NDArray[np.float64]]] = {
    "exact": _exact,
    "rounded": _rounded,
    "quantised": _quantised,
}


def cell_anchors(rounding: str, level: int) -> Tensor:
    """(3, 4) float32: the anchors of the cell at the origin, in pixels of the input; `level` counts from P2 = 0."""
    return torch.from_numpy(ROUNDINGS[rounding](SIZES_PX[level], STRIDES_PX[level])).float()


def anchors_at(index: Tensor, cells: Tensor, map_width: int, stride_xy: tuple[int, int]) -> Tensor:
    """(K, 4): the anchors with these indices, which count rows, then columns, then shapes, as the RPN's outputs do."""
    position = index.div(len(cells), rounding_mode="floor")
    x = position % map_width * stride_xy[0]
    y = position.div(map_width, rounding_mode="floor") * stride_xy[1]
    return torch.stack([x, y, x, y], 1) + cells[index % len(cells)]
