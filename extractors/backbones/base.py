"""What every clip backbone is: a float clip in, maps, an embedding, logits and probabilities out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from extractors.clips.input import ClipInput
from extractors.errors import ShapeError


@dataclass(frozen=True, slots=True)
class ClipOutput:
    """What a network says of N clips."""

    embedding: Tensor
    """(N, D): the classifier's input, mean over positions."""
    logits: Tensor
    """(N, K): before the activation, mean over positions."""
    probabilities: Tensor
    """(N, K): the activation of each position's logits, mean over positions (PySlowFast's test-time head)."""


class Backbone(nn.Module, ABC):
    """A network over clips (N, C, T, H, W) float, normalised, at the rate of its fastest pathway.

    A *position* is one place of the head's pooling window: inputs larger or longer than the network was
    trained on have several, and a video-level answer is their mean (fully-convolutional testing).
    """

    embedding_dim: int
    num_classes: int
    input_channels: int
    num_frames: int
    """Frames of the clip it was trained on (T of the input)."""
    stride: int
    """Distance of these frames, in frames of the source."""
    activation: str = "softmax"
    """`softmax`, or `sigmoid` for classes that can be true together."""

    def default_input(self) -> ClipInput:
        """The input of its family's public checkpoints, for weights without a card: PySlowFast's unless it differs."""
        return ClipInput(num_frames=self.num_frames, stride=self.stride)

    @abstractmethod
    def forward_features(self, clip: Tensor) -> tuple[Tensor, ...]:
        """Last feature maps (N, C, T', H', W'), one per pathway, slow before fast."""

    @abstractmethod
    def pool(self, features: tuple[Tensor, ...]) -> Tensor:
        """(N, D, T'', H'', W''): the classifier's input at every position."""

    @abstractmethod
    def classify(self, pooled: Tensor) -> Tensor:
        """(N, K, T'', H'', W''): logits at every position of `pool`."""

    def run(self, clip: Tensor, boxes_px: Tensor | None = None) -> ClipOutput:
        """Embedding, logits and probabilities from one pass; of boxes, where the network classifies them.

        Args:
            boxes_px: (R, 5): index of the clip, x1, y1, x2, y2 in pixels of the clip. The output has R rows.
        """
        if boxes_px is not None:
            raise ShapeError("This network classifies clips, not boxes: build it with head='roi'.")
        pooled = self.pool(self.forward_features(clip))
        scores = self.classify(pooled)
        return ClipOutput(_mean(pooled), _mean(scores), _mean(self.activate(scores)))

    def activate(self, scores: Tensor) -> Tensor:
        """Probabilities of logits whose classes are in dimension 1."""
        return scores.softmax(1) if self.activation == "softmax" else scores.sigmoid()

    def embed(self, clip: Tensor) -> Tensor:
        """(N, D): the classifier's input, mean over positions."""
        return _mean(self.pool(self.forward_features(clip)))

    def forward(self, clip: Tensor) -> Tensor:
        """(N, K): logits, mean over positions."""
        return _mean(self.classify(self.pool(self.forward_features(clip))))


def _mean(positions: Tensor) -> Tensor:
    return torch.flatten(positions, 2).mean(2)
