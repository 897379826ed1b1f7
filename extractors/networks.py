"""A network as a user names it: a model of the catalogue, and where its weights come from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from extractors.backbones.base import Backbone
from extractors.backbones.catalog import build_backbone
from extractors.backbones.residual import Bottleneck
from extractors.clips.input import ClipInput
from extractors.errors import WeightsError
from extractors.weights.cards import CARDS
from extractors.weights.hashes import sha256_of
from extractors.weights.load import classes_in, load_weights
from extractors.weights.store import resolve

UNTRAINED = "untrained"
"""The word by which a user asks for weights that were never trained."""

UNTRAINED_SEED = 0

UNTRAINED_SHARE = 0.2
"""Scale of what a residual block of an untrained network adds to its input."""


@dataclass(frozen=True, kw_only=True)
class NetworkSource:
    """Everything to build a network again in another process. Small, and cheap to pickle."""

    model: str
    options: Mapping[str, Any] = field(default_factory=dict)
    weights: str
    """Name of a weight card, name of a file, or `untrained`."""
    path: str | None
    sha256: str
    """Of the weight file; for `untrained` the seed that the weights are drawn from."""
    input: ClipInput
    classes: str | None = None
    """Name of the class list of the weights, where it is known."""

    def build(self) -> Backbone:
        """The network with its weights, on the CPU in evaluation mode.

        Raises:
            WeightsError: the file is not there, or does not fit the network.
        """
        if self.path is None:
            torch.manual_seed(UNTRAINED_SEED)
        network = build_backbone(self.model, **self.options)
        if self.path is None:
            _keep_small(network)
        else:
            load_weights(network, self.path)
        return network.eval()

    def outline(self) -> Backbone:
        """The network without memory for weights, to ask for its sizes."""
        return _outline(self.model, self.options)


def _keep_small(network: Backbone) -> None:
    """Let an untrained network's features fit float16: at a share of 1, values double with every residual block."""
    for module in network.modules():
        if isinstance(module, Bottleneck):
            torch.nn.init.constant_(module.c.bn.weight, UNTRAINED_SHARE)


def network_source(model: str | None, weights: str, **options: Any) -> NetworkSource:
    """The network that `--model` and `--weights` name.

    A file without a card says itself how its network was built if we wrote it; of any other, the number of classes is
    that of its classifier.

    Args:
        model: a name of the catalogue; None for the network of the weights' card, or that a file of ours states.
        weights: name of a weight card, path of a file, or `untrained`.
        options: arguments of the network's builder, over those of the card or the file.
    Raises:
        WeightsError: the weights are not there (the message says how to get them), cannot be read, or no model is
            named.
    """
    card = CARDS.get(weights)
    if card is not None and model not in (None, card.model):
        raise WeightsError(
            f"Weights {card.name!r} are for {card.model!r}, not for {model!r}. "
            f"For {model!r} there are: {', '.join(cards_for(str(model))) or 'none'}."
        )
    if weights == UNTRAINED:
        path, digest = None, f"{UNTRAINED}:seed={UNTRAINED_SEED}"
    else:
        path, _ = resolve(weights)
        digest = sha256_of(path)
    name, found = (card.model, card.options) if card else _network_of(path, model, options)
    if name is None:
        raise WeightsError(f"{weights!r} is not the name of a weight card: say which network it is for, with --model.")
    merged = {**found, **options}
    return NetworkSource(
        model=name,
        options=merged,
        weights=card.name if card else weights,
        path=None if path is None else str(path),
        sha256=digest,
        input=(card.input if card else None) or _outline(name, merged).default_input(),
        classes=card.classes if card else None,
    )


def _network_of(
    path: Path | None, model: str | None, options: Mapping[str, Any]
) -> tuple[str | None, Mapping[str, Any]]:
    """Name and options of the network whose weights lie in a file without a card, as far as it tells them."""
    stated = None if path is None else stated_network(path)
    if stated is not None and model in (None, stated[0]):
        return stated
    if path is None or model is None or "num_classes" in options:
        return model, {}
    outline = _outline(model, options)
    classes = classes_in(path, outline)
    return model, {} if classes in (None, outline.num_classes) else {"num_classes": classes}


def stated_network(path: str | Path) -> tuple[str, dict[str, Any]] | None:
    """Name and options of the network in a file of `save_weights`; None for all other files."""
    try:
        with safe_open(path, "np") as file:
            facts = file.metadata() or {}
        return (facts["model"], json.loads(facts["options"])) if {"model", "options"} <= facts.keys() else None
    except (OSError, SafetensorError, ValueError):
        return None


def _outline(model: str, options: Mapping[str, Any]) -> Backbone:
    with torch.device("meta"):
        return build_backbone(model, **options)


def cards_for(model: str) -> list[str]:
    """Names of the weight cards whose network is `model`."""
    return [name for name, card in CARDS.items() if card.model == model]
