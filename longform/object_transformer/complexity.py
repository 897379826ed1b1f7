"""What an Object Transformer costs for one span."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from extractors.complexity import Complexity, count
from longform.object_transformer.batches import TokenBatch
from longform.object_transformer.model import ObjectTransformer, build_object_transformer
from longform.object_transformer.tokens import INDEX_NAMES


def count_span(options: Mapping[str, Any], num_tokens: int) -> Complexity:
    """Parameters of the whole model, and multiply-adds of its trunk for a span of `num_tokens` tokens.

    Every layer is counted at all tokens, as the original computes it; ours leaves out of the last layer what no head
    reads. `options` are those of `build_object_transformer`, with its `kind`.
    """
    with torch.device("meta"):
        model = build_object_transformer(**options).eval()
    config = model.config

    def run(network: nn.Module, features: Tensor) -> None:
        assert isinstance(network, ObjectTransformer)
        batch = TokenBatch(
            lengths=(num_tokens,),
            features=features,
            indices=torch.empty(num_tokens, len(INDEX_NAMES), dtype=torch.int64, device="meta"),
            spatial=torch.empty(num_tokens, config.token_form.spatial_dim, device="meta"),
            rows=torch.empty(num_tokens, dtype=torch.int64, device="meta"),
        )
        network.roberta.pool(network.encode(batch)[:1])

    return count(model, (num_tokens, config.feature_dim), run)
