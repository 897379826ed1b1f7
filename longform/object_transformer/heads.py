"""Heads on the encoder's outputs, under the released code's names (chaoyuaw/lvu, src/models/modeling_roberta.py)."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from longform.object_transformer.config import ModelConfig
from longform.object_transformer.trunk import LAYER_NORM_EPS

COMPAT_DIM = 128


class Transform(nn.Module):
    """Dense, GELU, LayerNorm; then `decoder`."""

    def __init__(self, config: ModelConfig, outputs: int) -> None:
        super().__init__()
        self.dense = nn.Linear(config.width, config.width)
        self.layer_norm = nn.LayerNorm(config.width, eps=LAYER_NORM_EPS)
        self.decoder = nn.Linear(config.width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(N, W) -> (N, K)."""
        out: Tensor = self.decoder(self.layer_norm(F.gelu(self.dense(x))))
        return out


class TiedTransform(Transform):
    """A transform whose last bias has a second name, `bias`, in state dicts, as in released files."""

    def __init__(self, config: ModelConfig, outputs: int) -> None:
        super().__init__(config, outputs)
        self.bias = self.decoder.bias
        self.register_state_dict_post_hook(_separate_bias)


def _separate_bias(module: nn.Module, state: dict[str, Any], prefix: str, _: object) -> None:
    """A copy under the second name: safetensors holds no tensor twice."""
    state[f"{prefix}bias"] = state[f"{prefix}bias"].clone()


class MaskHead(TiedTransform):
    """Logits of what a masked box shows. The released head adds its last bias twice, and so does this."""

    def forward(self, x: Tensor) -> Tensor:
        """(M, W) -> (M, K)."""
        return super().forward(x) + self.bias


class ActionHead(TiedTransform):
    """Late fusion for AVA: logits from context, and from the box's own feature, summed."""

    def __init__(self, config: ModelConfig, num_actions: int) -> None:
        super().__init__(config, num_actions)
        self.decoder_feat = nn.Linear(config.feature_dim, num_actions)

    def forward(self, x: Tensor, features: Tensor | None = None) -> Tensor:
        """(M, W) and clean features (M, D) -> (M, K); without features, the context's logits alone."""
        context = super().forward(x)
        return context if features is None else context + self.decoder_feat(features.to(self.decoder.weight.dtype))


class EndTaskHead(nn.Module):
    """Dropout and a linear layer."""

    def __init__(self, config: ModelConfig, outputs: int) -> None:
        super().__init__()
        self.dropout = nn.Dropout(config.dropout)
        self.dense = nn.Linear(config.width, outputs)

    def forward(self, pooled: Tensor) -> Tensor:
        """(B, W) -> (B, K)."""
        out: Tensor = self.dense(self.dropout(pooled))
        return out


class LinearCompatibility(nn.Module):
    """The thesis's compatibility head: dropout and a linear layer."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.dropout = nn.Dropout(config.dropout)
        self.decoder = nn.Linear(config.width, COMPAT_DIM)

    def forward(self, pooled: Tensor) -> Tensor:
        """(B, W) -> (B, 128)."""
        out: Tensor = self.decoder(self.dropout(pooled))
        return out


def compatibility_head(config: ModelConfig) -> nn.Module:
    """From what stands for a span (B, W) to the vector (B, 128) by which spans are compared; not normalised."""
    return Transform(config, COMPAT_DIM) if config.compat_head == "mlp" else LinearCompatibility(config)
