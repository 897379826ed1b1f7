"""The network that training starts with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from extractors.backbones.base import Backbone
from extractors.backbones.catalog import AVA_PREFIX, BACKBONES, build_backbone
from extractors.backbones.residual import Bottleneck
from extractors.errors import WeightsError
from extractors.weights import load_weights
from longform.clip_training.batch_norm import freeze_norms, use_sub_batches
from longform.clip_training.convolutions import pad_short_clips
from longform.training.errors import TrainingError

ALLOWED_NEW = (".nl.", "head.")
"""Parts that weights to start from may lack: non-local blocks and the classifier."""


def network_to_train(
    name: str, *, num_classes: int, weights: Path | None, is_multiple: bool = False, frozen_norm: bool = False,
    **options: Any,
) -> Backbone:  # fmt: skip
    """A backbone of the catalogue whose head pools clips of any size and length.

    Args:
        weights: what it starts from: weights of the same network, with or without non-local blocks, for the same
            classes or others; or an image network, which is inflated. None for random ones: He initialisation, the
            last normalisation of each residual block at scale 0, the classifier N(0, 0.01) (SlowFast, section 4.1).
        is_multiple: whether classes can be true together.
        frozen_norm: keep normalisation as the weights have it; else it is over groups of clips.
        options: of the network's builder.
    Raises:
        TrainingError: the network is one for boxes, or frozen without weights.
        ConfigError: the name or an option is not known.
        WeightsError: the weights are missing, damaged or do not fit.
    """
    if name.startswith(AVA_PREFIX):
        raise TrainingError(f"{name} classifies boxes: train it with a recipe for AVA, or take its network, "
                            f"{name.removeprefix(AVA_PREFIX)}.")  # fmt: skip
    if frozen_norm and weights is None:
        raise TrainingError("Frozen normalisation needs weights to start from: its statistics would be no one's.")
    activation = "sigmoid" if is_multiple else "softmax"
    built = {**head_for_any_clip(name), "num_classes": num_classes, "activation": activation, **options}
    model = build_backbone(name, **built)
    if weights is None:
        start_as_identity(model)
    else:
        load_start(model, weights)
    (freeze_norms if frozen_norm else use_sub_batches)(model)
    pad_short_clips(model)
    return model


def head_for_any_clip(name: str) -> dict[str, Any]:
    """Options of a network's builder for a head that pools clips of any size and length as a whole."""
    return {"head": "global"} if name in BACKBONES else {"crop_px": None}


def start_as_identity(model: nn.Module) -> None:
    """Scale 0 for the last normalisation of each residual block: the block adds nothing at first."""
    for module in model.modules():
        if isinstance(module, Bottleneck):
            nn.init.zeros_(module.c.bn.weight)


def load_start(model: Backbone, path: Path) -> None:
    """Give a network the weights of a file, but for what it has in addition and a classifier of other classes.

    Raises:
        WeightsError: something else is missing, unexpected or of another shape.
    """
    report = load_weights(model, path, strict=False, classifier="skip")
    wrong = [*(f"{name} is missing" for name in report.missing if not any(part in name for part in ALLOWED_NEW)),
             *(f"{name} is unexpected" for name in report.unexpected)]  # fmt: skip
    if wrong:
        raise WeightsError(f"{path} ({report.layout} names) does not fit this network: {'; '.join(wrong)}.")
