"""RoIAlign (He et al., "Mask R-CNN", ICCV 2017) in plain torch, and through torchvision where that is installed.

The average of bilinear samples over a bin is separable: with WY (bins x H) and WX (bins x W) holding, for one box, the
mean bilinear weights of the samples in y and x, the result for a map F is WY @ F @ WX^T. So there is no loop over bins
or samples, and boxes of all sizes are pooled together although adaptive sampling gives each its own number of samples.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

import torch
from torch import Tensor

from extractors.errors import ConfigError, MissingDependency, ShapeError

BACKENDS = ("auto", "torch", "torchvision")
HAS_TORCHVISION = importlib.util.find_spec("torchvision") is not None


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
        ShapeError: maps or boxes have another shape, or a box names a map that is not there.
        ConfigError: the backend is not known.
        MissingDependency: `torchvision` is asked for, and not installed.
    """
    _check(maps, boxes_px, backend)
    precise = torch.promote_types(maps.dtype, torch.float32)
    boxes_px = boxes_px.to(precise)
    if backend == "torchvision" or (backend == "auto" and HAS_TORCHVISION):
        theirs: Any = importlib.import_module("torchvision.ops")
        bins = (output_size, output_size)
        pooled: Tensor = theirs.roi_align(maps.to(precise), boxes_px, bins, spatial_scale, sampling_ratio, aligned)
        return pooled.to(maps.dtype)
    start, side = _scaled_boxes(boxes_px[:, 1:], spatial_scale, aligned)
    weight_x, weight_y = (
        _bin_weights(start[:, axis], side[:, axis], output_size, sampling_ratio, length).to(maps.dtype)
        for axis, length in ((0, maps.shape[3]), (1, maps.shape[2]))
    )
    pooled = maps.new_empty(len(boxes_px), maps.shape[1], output_size, output_size)
    owner = boxes_px[:, 0].long()
    for n in owner.unique().tolist():
        mine = owner == n
        pooled[mine] = torch.einsum("rph,chw,rqw->rcpq", weight_y[mine], maps[n], weight_x[mine])
    return pooled


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


def _check(maps: Tensor, boxes_px: Tensor, backend: str) -> None:
    if backend not in BACKENDS:
        raise ConfigError(f"RoIAlign backend {backend!r} is not known; expected one of: {', '.join(BACKENDS)}.")
    if backend == "torchvision" and not HAS_TORCHVISION:
        raise MissingDependency(
            "RoIAlign with backend 'torchvision' needs the package torchvision, which is not installed. "
            "Install the one for your torch, or use backend 'torch'."
        )
    if maps.dim() != 4 or boxes_px.dim() != 2 or boxes_px.shape[1] != 5:
        raise ShapeError(
            f"RoIAlign got maps {tuple(maps.shape)} and boxes {tuple(boxes_px.shape)}; expected (N, C, H, W) and "
            "(R, 5): index of the map, x1, y1, x2, y2."
        )
    owner = boxes_px[:, 0]
    if not bool(((owner >= 0) & (owner < len(maps))).all()):
        raise ShapeError(f"A box names map {owner.tolist()}; expected 0 to {len(maps) - 1}.")
