"""From tokens to their representations: embeddings, encoder and pooler, under the released code's names.

The encoder is BERT's, with LayerNorm after each sum (chaoyuaw/lvu, src/models; thesis, section 8.2). Tokens of all
sequences lie one behind the other, so nothing but attention knows of sequences.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from longform.object_transformer.attention import attend
from longform.object_transformer.batches import TokenBatch
from longform.object_transformer.config import ModelConfig
from longform.object_transformer.masking import MASK, Corruption
from longform.object_transformer.tokens import INDEX_NAMES

LAYER_NORM_EPS = 1e-5
FFN_WIDTHS = 4
"""Width of the feed-forward layers, in widths of the network."""

INITIAL_STD, RELEASED_WIDTH = 0.02, 768
"""Of new weights, at the width of the released network."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Encoded:
    """What the encoder gives for a batch of B sequences."""

    pooled: Tensor
    """(B, W) what stands for each span."""
    masked: tuple[Tensor, ...]
    """(M, W) the outputs at the positions of each corruption."""


class Embeddings(nn.Module):
    """The input of the encoder: sum of feature, place, second, shot and track, then LayerNorm and dropout."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.feature_dims = config.feature_dims
        self.columns = {
            "link_embeddings": INDEX_NAMES.index("link_ids"),
            **{f"{view}_position_embeddings": INDEX_NAMES.index(f"{view}_position_ids") for view in config.time_views},
            **{f"{view}_scene_embeddings": INDEX_NAMES.index(f"{view}_scene_ids") for view in config.shot_views},
        }
        for name in self.columns:
            self.add_module(name, nn.Embedding(config.table_rows, config.width))
        self.spatial_embeddings = nn.Linear(config.token_form.spatial_dim, config.width)
        self.reduction = nn.Linear(config.feature_dim, config.width)
        self.masked_embedding = nn.ParameterList([torch.zeros(dim) for dim in config.feature_dims])
        self.start = (
            nn.Parameter(torch.randn(config.width) * initial_std(config.width)) if config.start == "vector" else None
        )
        self.LayerNorm = nn.LayerNorm(config.width, eps=LAYER_NORM_EPS) if config.embedding_norm else nn.Identity()
        self.dropout = nn.Dropout(config.dropout if config.embedding_norm else 0.0)

    def forward(self, batch: TokenBatch, corruptions: Sequence[Corruption] = ()) -> Tensor:
        """(T, W). `corruptions`: one for each kind of feature, or none."""
        x = self.reduced(batch.features, corruptions)
        x = x + self.spatial_embeddings(batch.spatial.to(self.spatial_embeddings.weight.dtype))
        for name, column in self.columns.items():
            x = x + self.get_submodule(name)(batch.indices[:, column])
        if self.start is not None:
            x = x.index_copy(0, batch.starts(), self.start.to(x.dtype).expand(len(batch), -1))
        embedded: Tensor = self.dropout(self.LayerNorm(x))
        return embedded

    def reduced(self, features: Tensor, corruptions: Sequence[Corruption]) -> Tensor:
        """(T, W): projected features, with those of masked tokens replaced.

        The original replaces them before the projection, which comes to the same; here no gradient goes back to all
        features for the sake of the mask embedding.
        """
        features = features.to(self.reduction.weight.dtype)
        if not corruptions:
            out: Tensor = self.reduction(features)
            return out
        parts, weights = (values.split(self.feature_dims, dim=1) for values in (features, self.reduction.weight))
        x: Tensor = self.reduction.bias
        for part, weight, corruption, mask in zip(parts, weights, corruptions, self.masked_embedding, strict=True):
            own = F.linear(part, weight)
            is_hidden = (corruption.sources == MASK).unsqueeze(1)
            seen = torch.where(is_hidden, F.linear(mask, weight), own[corruption.sources.clamp_min(0)])
            x = x + own.index_copy(0, corruption.positions, seen)
        return x


class Projection(nn.Module):
    """End of a sub-layer: dense, dropout, sum with the sub-layer's input, LayerNorm."""

    def __init__(self, width_in: int, config: ModelConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(width_in, config.width)
        self.LayerNorm = nn.LayerNorm(config.width, eps=LAYER_NORM_EPS)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, shortcut: Tensor) -> Tensor:
        """(N, V) and (N, W) -> (N, W)."""
        out: Tensor = self.LayerNorm(self.dropout(self.dense(x)) + shortcut)
        return out


class SelfAttention(nn.Module):
    """Queries, keys and values."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.heads, self.dropout = config.heads, config.dropout
        self.query = nn.Linear(config.width, config.width)
        self.key = nn.Linear(config.width, config.width)
        self.value = nn.Linear(config.width, config.width)

    def forward(self, asking: Tensor, x: Tensor, asking_lengths: Sequence[int], lengths: Sequence[int]) -> Tensor:
        """(Q, W) for the tokens that ask, which are some or all of `x` (T, W)."""
        dropout = self.dropout if self.training else 0.0
        return attend(
            self.query(asking), self.key(x), self.value(x), asking_lengths, lengths, self.heads, dropout=dropout
        )


class Layer(nn.Module):
    """One layer of the encoder."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.attention = nn.ModuleDict({"self": SelfAttention(config), "output": Projection(config.width, config)})
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(config.width, FFN_WIDTHS * config.width)})
        self.output = Projection(FFN_WIDTHS * config.width, config)

    def forward(self, asking: Tensor, x: Tensor, asking_lengths: Sequence[int], lengths: Sequence[int]) -> Tensor:
        """The outputs (Q, W) of the tokens that ask."""
        attended = self.attention["self"](asking, x, asking_lengths, lengths)
        asking = self.attention["output"](attended, asking)
        out: Tensor = self.output(F.gelu(self.intermediate["dense"](asking)), asking)
        return out


class Encoder(nn.Module):
    """All layers. The last computes only what is asked for."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.layer = nn.ModuleList([Layer(config) for _ in range(config.layers)])

    def forward(
        self, x: Tensor, lengths: Sequence[int], wanted: Tensor | None = None, wanted_lengths: Sequence[int] = ()
    ) -> Tensor:
        """(T, W), or (Q, W) at the positions `wanted` (Q,), ascending, of which `wanted_lengths` are in a sequence."""
        *first, last = self.layer
        for layer in first:
            x = layer(x, x, lengths, lengths)
        if wanted is None:
            out: Tensor = last(x, x, lengths, lengths)
        else:
            out = last(x[wanted], x, wanted_lengths, lengths)
        return out


class Trunk(nn.Module):
    """Embeddings, encoder and pooler."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.embeddings = Embeddings(config)
        self.encoder = Encoder(config)
        pooler = nn.ModuleDict({"dense": nn.Linear(config.width, config.width)})
        self.pooler = pooler if config.representation == "pooler" else None

    def forward(self, batch: TokenBatch, corruptions: Sequence[Corruption] = ()) -> Tensor:
        """The encoder's outputs (T, W) at all tokens."""
        out: Tensor = self.encoder(self.embeddings(batch, corruptions), batch.lengths)
        return out

    def pool(self, first: Tensor) -> Tensor:
        """What stands for a span, from the output (B, W) at its first token."""
        return first if self.pooler is None else torch.tanh(self.pooler["dense"](first))

    def encode(self, batch: TokenBatch, corruptions: Sequence[Corruption] = ()) -> Encoded:
        """The outputs at first and masked tokens only, which saves most of the last layer."""
        starts = batch.starts()
        positions = [starts, *(corruption.positions for corruption in corruptions)]
        wanted, order = torch.sort(torch.cat(positions), stable=True)
        asked = [sum(counts) for counts in zip(*(corruption.counts for corruption in corruptions), strict=True)]
        wanted_lengths = [1 + count for count in asked] or [1] * len(batch)
        out = self.encoder(self.embeddings(batch, corruptions), batch.lengths, wanted, wanted_lengths)
        back = torch.empty_like(out).index_copy(0, order, out)
        first, *masked = back.split([len(part) for part in positions])
        return Encoded(pooled=self.pool(first), masked=tuple(masked))


def initial_std(width: int) -> float:
    """Standard deviation of new weights: 0.02 for the released width, and such that sums over a width stay alike."""
    return INITIAL_STD * math.sqrt(RELEASED_WIDTH / width)


def initialise(module: nn.Module, width: int) -> None:
    """Weights of linear layers and tables from N(0, 0.02), biases 0; LayerNorm and mask embeddings as they are made.

    Args:
        width: of the network, see `initial_std`.
    """
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Embedding):
            nn.init.normal_(part.weight, std=initial_std(width))
        if isinstance(part, nn.Linear) and part.bias is not None:
            nn.init.zeros_(part.bias)
