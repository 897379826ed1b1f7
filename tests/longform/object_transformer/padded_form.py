"""The released network in plain padded tensors, from a state dict: written apart from ours, to compare with.

After the formulas of shared/golden/object_transformer/README.md.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from longform.object_transformer.masking import Corruption

State = dict[str, Tensor]
NAMES = ("link", "inc_position", "dec_position", "center_position", "inc_scene", "dec_scene", "center_scene")


def linear(state: State, name: str, x: Tensor) -> Tensor:
    return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]


def norm(state: State, name: str, x: Tensor) -> Tensor:
    mean, variance = x.mean(-1, keepdim=True), x.var(-1, keepdim=True, unbiased=False)
    return (x - mean) / torch.sqrt(variance + 1e-5) * state[f"{name}.weight"] + state[f"{name}.bias"]


def seen_features(state: State, features: Tensor, corruptions: tuple[Corruption, ...]) -> Tensor:
    """(T, D) with the features of masked tokens replaced, one kind after the other, before anything is projected."""
    seen, start = features.clone(), 0
    for number, corruption in enumerate(corruptions):
        mask = state[f"roberta.embeddings.masked_embedding.{number}"]
        channels = slice(start, start + len(mask))
        for position, source in zip(corruption.positions.tolist(), corruption.sources.tolist(), strict=True):
            seen[position, channels] = mask if source == -1 else features[source, channels]
        start += len(mask)
    return seen


def encode(state: State, features: Tensor, indices: Tensor, spatial: Tensor, heads: int) -> Tensor:
    """(B, L, D), (B, L, 7), (B, L, 5) -> (B, L, W); padding has index 1."""
    prefix = "roberta.embeddings"
    x = linear(state, f"{prefix}.reduction", features) + linear(state, f"{prefix}.spatial_embeddings", spatial)
    for column, name in enumerate(NAMES):
        x = x + state[f"{prefix}.{name}_embeddings.weight"][indices[..., column]]
    x = norm(state, f"{prefix}.LayerNorm", x)
    penalty = torch.where(indices[..., 0] == 1, -10000.0, 0.0)[:, None, None]
    layers = {name.split(".")[3] for name in state if name.startswith("roberta.encoder.layer.")}
    for layer in sorted(layers):
        x = one_layer(state, f"roberta.encoder.layer.{layer}", x, penalty, heads)
    return x


def one_layer(state: State, prefix: str, x: Tensor, penalty: Tensor, heads: int) -> Tensor:
    batch, length, width = x.shape
    q, k, v = (
        linear(state, f"{prefix}.attention.self.{name}", x).view(batch, length, heads, -1).transpose(1, 2)
        for name in ("query", "key", "value")
    )
    weights = (q @ k.transpose(2, 3) / (width // heads) ** 0.5 + penalty).softmax(-1)
    attended = (weights @ v).transpose(1, 2).reshape(batch, length, width)
    x = norm(
        state, f"{prefix}.attention.output.LayerNorm", x + linear(state, f"{prefix}.attention.output.dense", attended)
    )
    inner = F.gelu(linear(state, f"{prefix}.intermediate.dense", x))
    return norm(state, f"{prefix}.output.LayerNorm", x + linear(state, f"{prefix}.output.dense", inner))


def action_logits(state: State, x: Tensor, features: Tensor) -> Tensor:
    """AVA's head: context and the box's own feature, summed; each bias once."""
    hidden = norm(state, "action_lm_head.layer_norm", F.gelu(linear(state, "action_lm_head.dense", x)))
    return linear(state, "action_lm_head.decoder", hidden) + linear(state, "action_lm_head.decoder_feat", features)
