"""Region proposals (Ren et al., "Faster R-CNN", NIPS 2015, section 3.1) over a feature pyramid (FPN, section 4.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from extractors.detectors.anchors import ASPECT_RATIOS, STRIDES_PX, anchors_at, cell_anchors
from extractors.detectors.box_coding import clip, decode, is_large_enough
from extractors.detectors.conventions import Convention
from extractors.ops.nms import grouped_nms

NMS_IOU = 0.7
MAX_PER_LEVEL = 1000
"""Anchors of a level that are decoded, by score."""


@dataclass(frozen=True, slots=True)
class Proposals:
    """Boxes of one picture that may hold an object, surest first."""

    boxes_px: Tensor
    """(R, 4) in pixels of the network's input."""
    logits: Tensor
    """(R,): how sure the network is that there is an object."""


class RPN(nn.Module):
    """One small head for all levels: three anchors a cell, a score and four offsets for each."""

    def __init__(self, channels: int, convention: Convention, max_proposals: int) -> None:
        super().__init__()
        self.convention, self.max_proposals = convention, max_proposals
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.logits = nn.Conv2d(channels, len(ASPECT_RATIOS), 1)
        self.deltas = nn.Conv2d(channels, 4 * len(ASPECT_RATIOS), 1)
        for layer in (self.conv, self.logits, self.deltas):
            nn.init.normal_(layer.weight, std=0.01)

    def forward(self, pyramid: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """P2 to P6 -> logits (N, H*W*3) and offsets (N, H*W*3, 4) of each level, float32."""
        logits, deltas = [], []
        for level in pyramid:
            hidden = F.relu_(self.conv(level))
            logits.append(self.logits(hidden).permute(0, 2, 3, 1).flatten(1).float())
            deltas.append(self.deltas(hidden).permute(0, 2, 3, 1).flatten(1).unflatten(1, (-1, 4)).float())
        return logits, deltas

    def propose(self, pyramid: Sequence[Tensor], pictures_hw: Sequence[tuple[int, int]]) -> list[Proposals]:
        """The proposals of each picture.

        Args:
            pyramid: P2 to P6 of N pictures.
            pictures_hw: size of each picture in the network's input, without padding.
        """
        logits, deltas = self(pyramid)
        input_hw = (pyramid[0].shape[2] * STRIDES_PX[0], pyramid[0].shape[3] * STRIDES_PX[0])
        best = [
            self._best(level, level_logits, level_deltas, (pyramid[level].shape[2], pyramid[level].shape[3]), input_hw)
            for level, (level_logits, level_deltas) in enumerate(zip(logits, deltas, strict=True))
        ]
        boxes = torch.cat([boxes for boxes, _ in best], 1)
        scores = torch.cat([scores for _, scores in best], 1)
        levels = torch.cat([torch.full_like(scores[0], k, dtype=torch.long) for k, (_, scores) in enumerate(best)])
        bounds = [input_hw] * len(pictures_hw) if self.convention.clips_to_padding else pictures_hw
        return [self._suppress(boxes[n], scores[n], levels, hw) for n, hw in enumerate(bounds)]

    def _best(
        self, level: int, logits: Tensor, deltas: Tensor, map_hw: tuple[int, int], input_hw: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        """Boxes (N, K, 4) and logits (N, K) of the surest anchors of one level."""
        stride_xy = (STRIDES_PX[level], STRIDES_PX[level])
        if self.convention.strides_from_maps:
            stride_xy = (input_hw[1] // map_hw[1], input_hw[0] // map_hw[0])
        top, index = logits.topk(min(MAX_PER_LEVEL, logits.shape[1]), dim=1)
        cells = cell_anchors(self.convention.anchors, level).to(logits.device)
        anchors = anchors_at(index.flatten(), cells, map_hw[1], stride_xy)
        chosen = deltas.gather(1, index[..., None].expand(-1, -1, 4)).flatten(0, 1)
        boxes = decode(anchors, chosen[:, None], (1.0, 1.0, 1.0, 1.0), self.convention.extra_px)
        return boxes.view(*index.shape, 4), top

    def _suppress(self, boxes: Tensor, logits: Tensor, levels: Tensor, hw: tuple[int, int]) -> Proposals:
        extra_px = self.convention.extra_px
        boxes = clip(boxes, hw, extra_px)
        usable = is_large_enough(boxes, hw, self.convention.min_proposal_px, extra_px)
        usable &= boxes.isfinite().all(1) & logits.isfinite()
        boxes, logits, levels = boxes[usable], logits[usable], levels[usable]
        touched = boxes + boxes.new_tensor([0.0, 0.0, extra_px, extra_px])
        kept = grouped_nms(touched, logits, levels, NMS_IOU)[: self.max_proposals]
        return Proposals(boxes[kept], logits[kept])
