"""Weights from other stages: a pre-trained trunk for a task, and the short-term model's classifier.

Files of the same stage load with `extractors.load_weights`, since our names are the released ones.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from extractors.errors import WeightsError
from extractors.weights.containers import read_tensors
from extractors.weights.load import LoadReport, load_weights
from longform.object_transformer.model import ActionTransformer, ObjectTransformer

TRUNK = "roberta."
CLASSIFIER_NAMES = ("head.projection", "head.fc")
"""How the last layer is called in PySlowFast's files and in ours."""


def load_trunk(model: ObjectTransformer, path: str | Path) -> LoadReport:
    """Give a model the trunk of a file of another stage, and the heads that both have; other heads stay new.

    Released files: `mask_compact.bin` and `mask.bin` for end tasks, `pretrained_for_ava.bin` for AVA.
    Raises:
        WeightsError: the file cannot be read, or is none.
        MisfitError: shapes differ.
    """
    there = {name for name in read_tensors(path).tensors if name.startswith(TRUNK)}
    wanted = {name for name in model.state_dict() if name.startswith(TRUNK)}
    if there != wanted:
        raise WeightsError(
            f"{path} has another trunk than this Object Transformer: it lacks {_listed(wanted - there)} and has "
            f"{_listed(there - wanted)} besides. Build the model with the options of the file."
        )
    return load_weights(model, path, strict=False)


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"


def read_short_term_classifier(path: str | Path) -> nn.Linear:
    """The last layer of a short-term model, from D features to K actions: it makes the pseudo-labels. Not trained.

    Raises:
        WeightsError: the file cannot be read, or has no such layer.
    """
    tensors = read_tensors(path).tensors
    for name in CLASSIFIER_NAMES:
        weight, bias = tensors.get(f"{name}.weight"), tensors.get(f"{name}.bias")
        if weight is not None and bias is not None:
            linear = nn.Linear(weight.shape[1], weight.shape[0])
            linear.load_state_dict({"weight": weight.flatten(1).float(), "bias": bias.float()})
            return linear.requires_grad_(False)
    raise WeightsError(
        f"{path} has no classifier: expected the tensors {' or '.join(f'{name}.weight' for name in CLASSIFIER_NAMES)} "
        "and the bias, as the files of SlowFast networks have."
    )


def start_action_transformer(model: ActionTransformer, pretrained: str | Path, short_term: str | Path) -> LoadReport:
    """Ready a model for AVA as the released code does: context from pre-training, late fusion from SlowFast.

    Raises:
        WeightsError: a file cannot be read, or the classifier has another shape than the model's.
        MisfitError: shapes of the pre-trained file differ.
    """
    report = load_trunk(model, pretrained)
    start_late_fusion(model, short_term)
    return report


def start_late_fusion(model: ActionTransformer, short_term: str | Path) -> None:
    """Give a model for AVA the short-term model's classifier, for the boxes' own features.

    Raises WeightsError if the file cannot be read, or the classifier has another shape than the model's.
    """
    classifier = read_short_term_classifier(short_term)
    ours = model.action_lm_head.decoder_feat
    if classifier.weight.shape != ours.weight.shape:
        raise WeightsError(
            f"{short_term}: the classifier has {classifier.out_features} actions of {classifier.in_features} features; "
            f"expected {ours.out_features} of {ours.in_features}."
        )
    with torch.no_grad():
        ours.weight.copy_(classifier.weight)
        ours.bias.copy_(classifier.bias)
