"""Greedy non-maximum suppression in plain torch, and through torchvision where that is installed.

Boxes are taken by falling score; each takes away all later ones that overlap it by more than the threshold. Equal
scores keep their order. In place of a loop over boxes, blocks of the sorted boxes are settled together: starting with
"all stay", "stays unless an earlier one that stays overlaps it" is repeated until nothing changes. The first box is
right at once, and each round settles at least one more, so the fixed point is the greedy answer; a round is one
product with the overlaps, and a few are enough.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from extractors.errors import ShapeError
from extractors.ops.torchvision_ops import torchvision_ops

BLOCK = 1024
"""Boxes that are settled together; bounds the memory for overlaps."""


def nms(boxes: Tensor, scores: Tensor, iou: float, *, backend: str = "auto") -> Tensor:
    """Indices of the boxes that stay, by falling score.

    Args:
        boxes: (N, 4) xyxy in any unit.
        scores: (N,).
        iou: a box goes if it overlaps one that stays by more than this.
        backend: `torch`, `torchvision`, or `auto`: torchvision where it is installed. Both give the same boxes.
    Raises:
        ShapeError: boxes and scores do not fit together.
        ConfigError: the backend is not known.
        MissingDependency: `torchvision` is asked for, and not installed.
    """
    if boxes.dim() != 2 or boxes.shape[1] != 4 or scores.shape != boxes.shape[:1]:
        raise ShapeError(
            f"NMS got boxes {tuple(boxes.shape)} and scores {tuple(scores.shape)}; expected (N, 4) and (N,)."
        )
    if theirs := torchvision_ops(backend, "NMS"):
        kept: Tensor = theirs.nms(boxes, scores, iou)
        return kept
    order = scores.argsort(descending=True, stable=True)
    return order[_greedy(boxes[order], _float32_at_most(iou))]


def grouped_nms(boxes: Tensor, scores: Tensor, groups: Tensor, iou: float, *, backend: str = "auto") -> Tensor:
    """`nms` within each group (a class, a level of the pyramid); indices by falling score over all groups.

    Args:
        groups: (N,) integer; boxes of different groups do not touch each other.
    """
    kept = [
        member[nms(boxes[member], scores[member], iou, backend=backend)]
        for group in groups.unique().tolist()
        for member in [torch.nonzero(groups == group)[:, 0]]
    ]
    if not kept:
        return groups.new_zeros(0, dtype=torch.long)
    together = torch.cat(kept).sort().values
    return together[scores[together].argsort(descending=True, stable=True)]


def _greedy(boxes: Tensor, limit: float) -> Tensor:
    """Indices, rising, of the boxes that stay among boxes sorted by score."""
    kept: list[Tensor] = []
    for start in range(0, len(boxes), BLOCK):
        block = boxes[start : start + BLOCK]
        free = torch.ones(len(block), dtype=torch.bool, device=boxes.device)
        for earlier in kept:
            free &= ~_overlaps(boxes[earlier], block, limit).any(0)
        index = torch.nonzero(free)[:, 0]
        kept.append(index[_settled(block[index], limit)] + start)
    return torch.cat(kept) if kept else torch.zeros(0, dtype=torch.long, device=boxes.device)


def _settled(boxes: Tensor, limit: float) -> Tensor:
    """(N,) mask of the boxes that stay, among at most `BLOCK` boxes sorted by score."""
    rank = torch.arange(len(boxes), device=boxes.device)
    is_earlier = rank[:, None] < rank[None, :]  # not triu: it wakes all threads even for the few boxes of a class
    over = (_overlaps(boxes, boxes, limit) & is_earlier).float()
    stays = over.new_ones(len(boxes))
    while True:
        now = (stays @ over == 0).float()
        if torch.equal(now, stays):
            return now.bool()
        stays = now


def _overlaps(boxes: Tensor, others: Tensor, limit: float) -> Tensor:
    """(N, M): whether the pair's intersection over union is above the limit; never for an empty union."""
    sides = [
        torch.minimum(boxes[:, None, axis + 2], others[None, :, axis + 2])
        .sub_(torch.maximum(boxes[:, None, axis], others[None, :, axis]))
        .clamp_(min=0)
        for axis in (0, 1)
    ]
    shared = sides[0].mul_(sides[1])
    return shared / (_area(boxes)[:, None] + _area(others)[None, :] - shared) > limit


def _area(boxes: Tensor) -> Tensor:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def _float32_at_most(value: float) -> float:
    """The largest float32 not above `value`: an IoU in float32 exceeds one exactly if it exceeds the other."""
    nearest = np.float32(value)
    return float(np.nextafter(nearest, np.float32(-np.inf)) if float(nearest) > value else nearest)
