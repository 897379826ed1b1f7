"""RoIAlign (He et al., "Mask R-CNN", ICCV 2017) in plain torch, and through torchvision where that is installed.

The average of bilinear samples over a bin is separable: with WY (bins x H) and WX (bins x W) holding, for one box, the
mean bilinear weights of the samples in y and x, the result for a map F is WY @ F @ WX^T. So there is no loop over bins
or samples, although adaptive sampling gives each box its own number of them. Only the cells under a box are read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from extractors.errors import ShapeError
from extractors.ops.torchvision_ops import torchvision_ops

VALUES_AT_ONCE = 1 << 25
"""Values that are gathered at a time; bounds the memory."""


def roi_align(
    maps: Tensor,
    boxes_px: Tensor,
    output_size: int,
    *,
    spatial_scale: float,
    sampling_ratio: int = 0,
    aligned: bool = False,
    backend: str = "auto",
) -> Tensor:
    """Pool each box to a grid of `output_size` x `output_size` bins.

    Args:
        maps: (N, C, H, W).
        boxes_px: (R, 5): index of the map, x1, y1, x2, y2 in pixels of the network's input; not clipped.
        output_size: bins per side.
        spatial_scale: size of the maps over that of the input, such as 1/16.
        sampling_ratio: samples per bin and side; 0 for ceil(side of the box / output_size).
        aligned: whether the centre of the first pixel is at 0.5 (Detectron2's `ROIAlignV2`), or at 0 and every box at
            least one cell wide and high (Caffe2, and all AVA checkpoints of SlowFast).
        backend: `torch`, `torchvision`, or `auto`: torchvision where it is installed. Equal but for rounding.
    Returns:
        (R, C, output_size, output_size).
    Raises:
        ShapeError: maps or boxes have another shape, a box names a map that is not there, or is not finite.
        ConfigError: the backend is not known.
        MissingDependency: `torchvision` is asked for, and not installed.
    """
    _check(maps, boxes_px)
    precise = torch.promote_types(maps.dtype, torch.float32)
    boxes_px = boxes_px.to(precise)
    if theirs := torchvision_ops(backend, "RoIAlign"):
        bins = (output_size, output_size)
        pooled: Tensor = theirs.roi_align(maps.to(precise), boxes_px, bins, spatial_scale, sampling_ratio, aligned)
        return pooled.to(maps.dtype)
    start, side = _scaled_boxes(boxes_px[:, 1:], spatial_scale, aligned)
    rows, columns = (
        _windows(_bin_weights(start[:, axis], side[:, axis], output_size, sampling_ratio, length))
        for axis, length in ((1, maps.shape[2]), (0, maps.shape[3]))
    )
    cells = maps.permute(0, 2, 3, 1)
    pooled = maps.new_empty(len(boxes_px), output_size, output_size, maps.shape[1])
    for some in _groups(rows.sizes, columns.sizes, most=VALUES_AT_ONCE // maps.shape[1]):
        pooled[some] = _pooled(cells, boxes_px[some, 0].long(), rows.take(some), columns.take(some))
    return pooled.permute(0, 3, 1, 2)


@dataclass(frozen=True, slots=True)
class _Windows:
    """For R boxes the cells along one axis that have a weight: all others need not be read."""

    weights: Tensor
    """(R, bins, length)."""
    first: Tensor
    """(R,): the first cell with a weight."""
    sizes: Tensor
    """(R,): cells from there to the last one with a weight."""

    def take(self, some: Tensor) -> tuple[Tensor, Tensor]:
        """Cells (r, S) of some boxes, S the largest of their sizes, and the weights (r, bins, S) of these cells."""
        weights, first = self.weights[some], self.first[some]
        length, size = weights.shape[2], max(int(self.sizes[some].max()), 1)
        cells = first[:, None] + torch.arange(size, device=first.device)
        inside = cells < length
        cells = cells.clamp(max=length - 1)
        return cells, weights.gather(2, cells[:, None].expand(-1, weights.shape[1], -1)) * inside[:, None]


def _windows(weights: Tensor) -> _Windows:
    is_read = (weights != 0).any(1).int()
    first = is_read.argmax(1)
    last = is_read.shape[1] - 1 - is_read.flip(1).argmax(1)
    return _Windows(weights, first, torch.where(is_read.any(1), last - first + 1, 0))


def _groups(heights: Tensor, widths: Tensor, most: int) -> Iterator[Tensor]:
    """Boxes of like size together, so that the windows of a group, all as large as its largest, hold `most` cells."""
    order = (heights * widths).argsort(stable=True)
    sizes = torch.stack([heights, widths], 1)[order].tolist()
    begin, height, width = 0, 0, 0
    for end, (own_height, own_width) in enumerate(sizes):
        height, width = max(height, own_height), max(width, own_width)
        if end > begin and (end + 1 - begin) * height * width > most:
            yield order[begin:end]
            begin, height, width = end, own_height, own_width
    if len(order):
        yield order[begin:]


def _pooled(cells: Tensor, owner: Tensor, rows: tuple[Tensor, Tensor], columns: tuple[Tensor, Tensor]) -> Tensor:
    """(R, bins, bins, C): weighted sums over the windows of maps (N, H, W, C)."""
    (row, row_weights), (column, column_weights) = rows, columns
    window = cells[owner[:, None, None], row[:, :, None], column[:, None, :]]
    over_rows = torch.bmm(row_weights.to(cells.dtype), window.flatten(2)).unflatten(2, window.shape[2:])
    return column_weights.to(cells.dtype)[:, None] @ over_rows


def _scaled_boxes(boxes_px: Tensor, spatial_scale: float, aligned: bool) -> tuple[Tensor, Tensor]:
    """Corner nearest the origin and sides, both (R, 2) as x, y, in cells of the maps."""
    corners = boxes_px * spatial_scale - (0.5 if aligned else 0.0)
    side = corners[:, 2:] - corners[:, :2]
    return corners[:, :2], side if aligned else side.clamp(min=1.0)


def _bin_weights(start: Tensor, side: Tensor, bins: int, sampling_ratio: int, length: int) -> Tensor:
    """(R, bins, length): mean bilinear weight of every cell for every bin, along one axis.

    A sample more than one cell outside the map counts as 0; one closer than that reads the border.
    """
    bin_side = side / bins
    samples = torch.full_like(side, sampling_ratio) if sampling_ratio > 0 else torch.ceil(bin_side).clamp(min=0.0)
    most = max(int(samples.max()), 1) if len(samples) else 1
    k = torch.arange(most, device=start.device)
    p = torch.arange(bins, device=start.device)
    per_bin = samples.clamp(min=1.0)[:, None, None]
    at = (
        start[:, None, None]
        + p[None, :, None] * bin_side[:, None, None]
        + (k + 0.5) * bin_side[:, None, None] / per_bin
    )
    counts = (k < samples[:, None, None]) & (at >= -1.0) & (at <= length)
    share = counts.to(at.dtype) / per_bin
    at = at.clamp(0.0, length - 1.0)
    low = at.floor()
    weights = at.new_zeros(len(start), bins, length)
    weights.scatter_add_(2, low.long(), share * (1.0 - (at - low)))
    weights.scatter_add_(2, (low.long() + 1).clamp(max=length - 1), share * (at - low))
    return weights


def _check(maps: Tensor, boxes_px: Tensor) -> None:
    if maps.dim() != 4 or boxes_px.dim() != 2 or boxes_px.shape[1] != 5:
        raise ShapeError(
            f"RoIAlign got maps {tuple(maps.shape)} and boxes {tuple(boxes_px.shape)}; expected (N, C, H, W) and "
            "(R, 5): index of the map, x1, y1, x2, y2."
        )
    owner = boxes_px[:, 0]
    if not bool(((owner >= 0) & (owner < len(maps))).all()):
        raise ShapeError(f"A box names map {owner.tolist()}; expected 0 to {len(maps) - 1}.")
    if not bool(boxes_px.isfinite().all()):
        raise ShapeError("RoIAlign got boxes with numbers that are not finite.")
