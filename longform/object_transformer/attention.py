"""Attention within each of the sequences that lie one behind the other, at no cost for padding."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    query_lengths: Sequence[int],
    key_lengths: Sequence[int],
    heads: int,
    dropout: float = 0.0,
) -> Tensor:
    """Scaled dot-product attention, each sequence to itself.

    On a CPU each sequence is a call of its own: nothing is computed for padding. On other devices, where calls cost
    more than padding, all go in one call, padded in here and nowhere else.

    Args:
        query: (Q, W), the queries of all sequences one behind the other.
        key: (T, W), and `value` alike.
        query_lengths: queries of each sequence; `key_lengths` its keys.
        dropout: of the attention's weights.
    Returns:
        (Q, W).
    """
    attention = _one_by_one if query.device.type == "cpu" else _padded
    return attention(query, key, value, tuple(query_lengths), tuple(key_lengths), heads, dropout)


Lengths = tuple[int, ...]


def _one_by_one(
    query: Tensor, key: Tensor, value: Tensor, query_lengths: Lengths, key_lengths: Lengths, heads: int, dropout: float
) -> Tensor:
    parts = zip(query.split(query_lengths), key.split(key_lengths), value.split(key_lengths), strict=True)
    attended = [
        F.scaled_dot_product_attention(_heads(q, heads), _heads(k, heads), _heads(v, heads), dropout_p=dropout)
        for q, k, v in parts
    ]
    return torch.cat([part.transpose(1, 2).flatten(2).squeeze(0) for part in attended])


def _heads(x: Tensor, heads: int) -> Tensor:
    """(L, W) -> (1, heads, L, W / heads)."""
    return x.unflatten(1, (heads, -1)).transpose(0, 1).unsqueeze(0)


def _padded(
    query: Tensor, key: Tensor, value: Tensor, query_lengths: Lengths, key_lengths: Lengths, heads: int, dropout: float
) -> Tensor:
    query_places = _places(query_lengths, query.device)
    key_places = query_places if key_lengths == query_lengths else _places(key_lengths, key.device)
    batch, longest = len(key_lengths), max(key_lengths)
    seen = torch.zeros(batch * longest, dtype=torch.bool, device=key.device).index_fill(0, key_places, True)

    def spread(x: Tensor, places: Tensor, length: int) -> Tensor:
        padded = x.new_zeros(batch * length, x.shape[1]).index_copy(0, places, x)
        return padded.view(batch, length, heads, -1).transpose(1, 2)

    attended = F.scaled_dot_product_attention(
        spread(query, query_places, max(query_lengths)),
        spread(key, key_places, longest),
        spread(value, key_places, longest),
        attn_mask=seen.view(batch, 1, 1, longest),
        dropout_p=dropout,
    )
    return attended.transpose(1, 2).flatten(0, 1).flatten(1)[query_places]


def _places(lengths: Lengths, device: torch.device) -> Tensor:
    """(T,) where each token lies when sequences are padded to the longest and flattened."""
    longest = max(lengths)
    places = np.concatenate([np.arange(length) + i * longest for i, length in enumerate(lengths)])
    return torch.from_numpy(places).to(device, non_blocking=True)
