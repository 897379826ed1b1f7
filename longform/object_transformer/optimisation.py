"""What all training of Object Transformers shares: weight decay, and the draws that depend on the step alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import nn

WEIGHT_DECAY = 0.01
CLIP_NORM = 1.0
WARMUP = 0.1
"""Part of the steps; the released code ignores its own option."""

_PLANNING = 3
"""First key of the random numbers that choose examples, beside those of `longform.training.seeds`."""


def parameter_groups(model: nn.Module) -> list[dict[str, Any]]:
    """Trained parameters: without weight decay the biases and those named `LayerNorm.weight`, as in the released code.

    The heads call theirs `layer_norm`, so it decays these.
    """
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    free = {name for name in trained if name.endswith("bias") or name.endswith("LayerNorm.weight")}
    return [
        {"params": [parameter for name, parameter in trained.items() if name not in free]},
        {"params": [trained[name] for name in trained if name in free], "weight_decay": 0.0},
    ]


def planning_rng(seed: int, step: int) -> np.random.Generator:
    """Chooses the examples of a step."""
    return np.random.default_rng([seed, _PLANNING, step])
