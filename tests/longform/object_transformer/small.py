"""Small tables and networks, with content from a seed."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from longform.object_transformer import build_object_transformer
from longform.object_transformer.batches import TokenBatch, collate
from longform.object_transformer.config import TokenForm
from longform.object_transformer.model import ObjectTransformer
from longform.object_transformer.spans import Span
from longform.object_transformer.tokens import BoxTable, tokens_of

DIM = 12
SMALL: dict[str, Any] = {"feature_dims": (DIM,), "width": 24, "heads": 3}


def table(seconds: int = 90, dim: int = DIM, seed: int = 0, video_id: str = "-film") -> BoxTable:
    """Up to three boxes a second, four tracks, shots of about ten seconds."""
    rng = np.random.default_rng(seed)
    per_second = rng.integers(0, 4, seconds)
    per_second[[0, -1]] = 1
    at = np.repeat(np.arange(seconds), per_second)
    corners = rng.uniform(0, 0.5, (len(at), 2))
    return BoxTable(
        video_id=video_id,
        seconds=at,
        boxes=np.concatenate([corners, corners + rng.uniform(0.1, 0.5, (len(at), 2))], axis=1),
        tracks=rng.integers(0, 4, len(at)) + 10 * (at // 30),
        shots=at // 10,
        features=rng.normal(size=(len(at), dim)).astype(np.float32),
    )


def batch(tails: tuple[int, ...] = (59, 75, 20, 89), form: TokenForm | None = None, dim: int = DIM) -> TokenBatch:
    rng = np.random.default_rng(1)
    source = table(dim=dim)
    return collate([tokens_of(source, Span(tail), form or TokenForm(), rng) for tail in tails])


def network(kind: str, seed: int = 0, **options: Any) -> ObjectTransformer:
    """In evaluation mode, every parameter random, so that none is without effect."""
    torch.manual_seed(seed)
    model = build_object_transformer(kind, **{**SMALL, **options}).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return model
