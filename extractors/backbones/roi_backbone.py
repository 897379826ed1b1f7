"""What every backbone is that can also answer for boxes: with a `RoiHead`, methods that take a clip take boxes too."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor, nn

from extractors.backbones.base import Backbone, ClipOutput
from extractors.backbones.heads import RoiHead
from extractors.errors import ShapeError


class RoiBackbone(Backbone):
    """A backbone whose head classifies clips, or boxes in them if it is a `RoiHead`.

    Boxes are (R, 5): index of the clip, x1, y1, x2, y2 in pixels of the network's input; they are not clipped. No
    boxes, (0, 5), give no rows.
    """

    head: nn.Module

    @abstractmethod
    def pool_clips(self, features: tuple[Tensor, ...]) -> Tensor:
        """`pool` of a network for clips."""

    def pool(self, features: tuple[Tensor, ...]) -> Tensor:
        """(N, D, T'', H'', W''): the classifier's input at every position.

        Raises:
            ShapeError: the maps are smaller than the pooling window, or the network classifies boxes.
        """
        if isinstance(self.head, RoiHead):
            raise ShapeError("This network classifies boxes: give boxes_px, or call roi_features.")
        return self.pool_clips(features)

    def roi_features(self, features: tuple[Tensor, ...], boxes_px: Tensor) -> Tensor:
        """(R, D): the classifier's input for each box, from the maps of `forward_features`.

        Raises:
            ShapeError: the boxes have another shape, or the network classifies clips.
        """
        if isinstance(self.head, RoiHead):
            return self.head.pool_boxes(features, boxes_px)
        raise ShapeError("This network classifies clips, not boxes: build it with head='roi'.")

    def run(self, clip: Tensor, boxes_px: Tensor | None = None) -> ClipOutput:
        """Embedding, logits and probabilities from one pass, per clip or per box."""
        if boxes_px is None:
            return super().run(clip)
        embedding = self.embed(clip, boxes_px)
        logits = self.classify(embedding)
        return ClipOutput(embedding, logits, self.activate(logits))

    def embed(self, clip: Tensor, boxes_px: Tensor | None = None) -> Tensor:
        """(N, D) per clip, mean over positions; (R, D) per box."""
        if boxes_px is None:
            return super().embed(clip)
        return self.roi_features(self.forward_features(clip), boxes_px)

    def forward(self, clip: Tensor, boxes_px: Tensor | None = None) -> Tensor:
        """(N, K) logits per clip, mean over positions; (R, K) per box."""
        return super().forward(clip) if boxes_px is None else self.classify(self.embed(clip, boxes_px))
