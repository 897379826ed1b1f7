"""The models that are compared: a short-term network, an operator, a linear classifier."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from longform.lfb.operators import FBONL, STO, FBOAvg, FBOMax, FBONLConfig, FeatureBankOperator

OperatorName = Literal["none", "sto", "avg", "max", "nl"]

LATENT_DIM = 48
DROPOUT = 0.0
"""Of FBO-NL. The released 0.2 is a condition; with 48 channels it slows training down."""
CLASSIFIER_DROPOUT = 0.3


class SmallLFBModel(nn.Module):
    """S = short-term network(x), scores = linear([S, operator(S, bank)]).

    The short-term network is one layer that starts as the identity; without `short_term` it stays that, which is
    S = the feature of the bank.
    """

    def __init__(self, dim: int, outputs: int, operator: FeatureBankOperator | None, *, short_term: bool) -> None:
        super().__init__()
        self.short_term = nn.Sequential(identity_linear(dim), nn.ReLU()) if short_term else nn.Identity()
        self.operator = operator
        self.dropout = nn.Dropout(CLASSIFIER_DROPOUT)
        self.classifier = nn.Linear(dim + (operator.output_dim if operator else 0), outputs)

    def forward(self, x: Tensor, bank: Tensor, mask: Tensor, clip_index: Tensor) -> Tensor:
        """(N, outputs) for queries (N, D), windows (B, L, D) with their mask (B, L), and each query's window (N,)."""
        short = self.short_term(x)
        parts = [short]
        if isinstance(self.operator, STO):
            parts.append(self.operator.among_boxes(short, clip_index, len(bank)))
        elif self.operator is not None:
            parts.append(self.operator(short, bank, mask, clip_index))
        return self.classifier(self.dropout(torch.cat(parts, dim=1)))


def build_operator(
    name: OperatorName, dim: int, masked: bool, settings: Mapping[str, Any]
) -> FeatureBankOperator | None:
    """An operator of `longform.lfb`; `settings` are those of FBO-NL that differ from its defaults.

    Its linear layers start with Xavier's weights. N(0, 0.01), which it has by itself, is for 2048 and 512 channels; at
    48 it is so near zero that the comparison of features is not learnt in a few thousand steps. Layers that start at
    zero still do.
    """
    if name == "none":
        return None
    if name in ("avg", "max"):
        return (FBOAvg if name == "avg" else FBOMax)(dim, masked=masked)
    config = FBONLConfig(
        **{"feature_dim": dim, "bank_dim": dim, "latent_dim": LATENT_DIM, "dropout": DROPOUT, **settings},
        masked=masked or name == "sto",  # places that only fill up a clip with fewer people are no slots of a bank
    )
    operator = (STO if name == "sto" else FBONL)(config)
    for layer in operator.modules():
        if isinstance(layer, nn.Linear) and layer.weight.any():
            nn.init.xavier_uniform_(layer.weight)
    return operator


def identity_linear(dim: int) -> nn.Linear:
    layer = nn.Linear(dim, dim)
    nn.init.eye_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
