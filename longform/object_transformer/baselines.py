"""What the thesis compares Object Transformers with on the same features (tables 8.1 and 8.2).

`average-pool` and `max-pool` pool the features of a span's boxes and classify the result; `short-term` classifies each
box by itself and averages its answers (late fusion). `video-bert`, a transformer over seconds instead of boxes, is the
`EndTaskTransformer` over the frames of `sources.frame_table`. The thesis does not describe the first three in detail:
here they are a dense layer, GELU, LayerNorm, dropout and a linear layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from longform.object_transformer.batches import TokenBatch
from longform.object_transformer.config import ModelConfig
from longform.object_transformer.masking import Corruption
from longform.object_transformer.trunk import LAYER_NORM_EPS, initialise

Pool = Literal["average", "max"]


class _Classifier(nn.Module):
    """(N, D) -> (N, K)."""

    def __init__(self, config: ModelConfig, outputs: int) -> None:
        super().__init__()
        self.config = config
        self.dense = nn.Linear(config.feature_dim, config.width)
        self.LayerNorm = nn.LayerNorm(config.width, eps=LAYER_NORM_EPS)
        self.dropout = nn.Dropout(config.dropout)
        self.decoder = nn.Linear(config.width, outputs)
        initialise(self, config.width)

    def classify(self, features: Tensor) -> Tensor:
        """Logits, or numbers, of features of any kind."""
        hidden = self.LayerNorm(F.gelu(self.dense(features.to(self.dense.weight.dtype))))
        out: Tensor = self.decoder(self.dropout(hidden))
        return out


class PoolingModel(_Classifier):
    """Classifies the mean or the maximum of the features of a span's boxes."""

    def __init__(self, config: ModelConfig, outputs: int, pool: Pool) -> None:
        super().__init__(config, outputs)
        self.pool = pool

    def forward(self, batch: TokenBatch, corruptions: Sequence[Corruption] = ()) -> Tensor:
        """Logits (B, K) of the spans."""
        spans = _boxes_of_spans(batch)
        pooled = [span.mean(0) if self.pool == "average" else span.amax(0) for span in spans]
        return self.classify(torch.stack(pooled))


class ShortTermModel(_Classifier):
    """Classifies each box by itself."""

    def __init__(self, config: ModelConfig, outputs: int) -> None:
        super().__init__(config, outputs)
        self.is_regression = outputs == 1

    def each(self, batch: TokenBatch) -> tuple[Tensor, Tensor]:
        """Logits (N, K) of all boxes, and the number (N,) of the span of each: training is on boxes."""
        spans = _boxes_of_spans(batch)
        counts = torch.tensor([len(span) for span in spans], device=batch.features.device)
        owners = torch.repeat_interleave(torch.arange(len(spans), device=counts.device), counts)
        return self.classify(torch.cat(spans)), owners

    def forward(self, batch: TokenBatch, corruptions: Sequence[Corruption] = ()) -> Tensor:
        """(B, K): the logarithm of the mean of the boxes' probabilities, or the mean of their numbers."""
        logits, owners = self.each(batch)
        answers = logits if self.is_regression else logits.softmax(1)
        sums = torch.zeros(len(batch), answers.shape[1], dtype=answers.dtype, device=answers.device)
        means = sums.index_add(0, owners, answers) / torch.bincount(owners, minlength=len(batch)).unsqueeze(1)
        return means if self.is_regression else means.log()


def _boxes_of_spans(batch: TokenBatch) -> list[Tensor]:
    """The features (N, D) of the boxes of each span."""
    parts = zip(batch.features.split(batch.lengths), batch.is_box().split(batch.lengths), strict=True)
    return [features[is_box].float() for features, is_box in parts]
