"""Sequences of many lengths side by side, without padding.

batch = collate([tokens_of(...), ...])
batch.lengths                    # (79, 256, 12)
batch.features.shape             # (347, 2304)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from longform.object_transformer.tokens import END, NO_ROW, PADDING, TokenSequence
from pipeline.errors import ConfigError


@dataclass(frozen=True, kw_only=True, eq=False)
class TokenBatch:
    """B sequences one behind the other, T tokens together. `longform.training.loading.to_device` moves it."""

    lengths: tuple[int, ...]
    """Tokens of each sequence."""
    features: Tensor
    """(T, D) float; 0 for tokens that are no boxes."""
    indices: Tensor
    """(T, 7) int64, columns as `INDEX_NAMES`."""
    spatial: Tensor
    """(T, 5) or (T, 4) float32."""
    rows: Tensor
    """(T,) int64, row in the video's table, -1 for tokens that are no boxes."""

    def __len__(self) -> int:
        return len(self.lengths)

    def starts(self) -> Tensor:
        """(B,) where each sequence begins."""
        starts = np.cumsum((0, *self.lengths[:-1]))
        return torch.from_numpy(starts).to(self.indices.device, non_blocking=True)

    def is_box(self) -> Tensor:
        """(T,) bool: neither start nor end token."""
        return self.rows != NO_ROW


TENSORS = ("features", "indices", "spatial", "rows")


def collate(sequences: Sequence[TokenSequence]) -> TokenBatch:
    """The batch of some sequences, in their order.

    For the compatibility loss the first spans of all pairs come first, then the second spans in the same order.
    """
    if not sequences:
        raise ConfigError("A batch needs at least one sequence.")
    return TokenBatch(
        lengths=tuple(map(len, sequences)),
        **{
            name: torch.from_numpy(np.concatenate([getattr(sequence, name) for sequence in sequences]))
            for name in TENSORS
        },
    )


def padded(values: Tensor, lengths: Sequence[int], padding: float = 0) -> Tensor:
    """Values of packed tokens (T, ...) as (B, L, ...), L the longest sequence, in the form of the original."""
    return torch.nn.utils.rnn.pad_sequence(values.split(list(lengths)), batch_first=True, padding_value=padding)


def pack(
    features: Tensor, indices: Tensor, spatial: Tensor, rows: Tensor | None = None, padding: int = PADDING
) -> TokenBatch:
    """A batch from the original's padded tensors: (B, L, D), (B, L, 7), (B, L, 5) and, where it is known, (B, L).

    Without `rows`, boxes are numbered as they come.
    """
    real = indices[..., 0] != padding
    packed = indices[real]
    if rows is None:
        box = packed[:, 0] > END
        numbered = torch.where(box, torch.cumsum(box, 0) - 1, NO_ROW)
    else:
        numbered = rows[real]
    return TokenBatch(
        lengths=tuple(real.sum(1).tolist()),
        features=features[real],
        indices=packed,
        spatial=spatial[real],
        rows=numbered,
    )
