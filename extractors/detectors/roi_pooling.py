"""RoIAlign over a feature pyramid: each box is pooled from the level that suits its size (FPN, section 4.2, Eq. 1)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from extractors.detectors.anchors import STRIDES_PX
from extractors.detectors.conventions import Convention
from extractors.ops.roi_align import roi_align

POOLED_SIZE = 7
CANONICAL_SIDE_PX, CANONICAL_LEVEL = 224, 4


def pool_boxes(
    levels: Sequence[Tensor], boxes_px: Tensor, convention: Convention, *, aligned: bool, sampling_ratio: int
) -> Tensor:
    """(R, C, 7, 7).

    Args:
        levels: P2 to P5.
        boxes_px: (R, 5): index of the picture, x1, y1, x2, y2 in pixels of the network's input.
        aligned, sampling_ratio: see `extractors.ops.roi_align.roi_align`.
    """
    chosen = level_of(boxes_px[:, 1:], convention)
    pooled = levels[0].new_empty(len(boxes_px), levels[0].shape[1], POOLED_SIZE, POOLED_SIZE)
    for k, level in enumerate(levels):
        index = torch.nonzero(chosen == k)[:, 0]
        pooled[index] = roi_align(
            level,
            boxes_px[index],
            POOLED_SIZE,
            spatial_scale=1 / STRIDES_PX[k],
            sampling_ratio=sampling_ratio,
            aligned=aligned,
        )
    return pooled


def level_of(boxes_px: Tensor, convention: Convention) -> Tensor:
    """(R,) int64: 0 for P2 to 3 for P5, by the square root of a box's area (R, 4)."""
    side = (boxes_px[:, 2:] - boxes_px[:, :2] + convention.extra_px).prod(1).sqrt()
    octave = torch.log2(side / CANONICAL_SIDE_PX + convention.side_epsilon) + convention.level_epsilon
    return (torch.floor(CANONICAL_LEVEL + octave).clamp(2, 5) - 2).long()
