"""From the name of a Faster R-CNN and of its weights to a detector that is ready to run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from extractors.detectors.faster_rcnn import FasterRCNN, FasterRCNNConfig
from extractors.errors import WeightsError
from extractors.networks import UNTRAINED, UNTRAINED_SEED, cards_for
from extractors.runtime import Runtime
from extractors.weights.cards import CARDS
from extractors.weights.load import load_weights
from extractors.weights.store import resolve


@dataclass(frozen=True, kw_only=True)
class FasterRCNNSettings(FasterRCNNConfig):
    """The detector, where its weights come from, and where and how it runs."""

    weights: str = ""
    """Name of a weight card, path of a file, or `untrained`. There is no default."""
    device: str = "cpu"
    """See `Runtime`."""
    precision: str = "fp32"
    compile: bool = False


def card_options(name: str, weights: str) -> Mapping[str, Any]:
    """The settings with which the detector `name` reproduces the weights, where they have a card.

    Raises:
        WeightsError: no weights are named, or they are for another detector.
    """
    cards = ", ".join(cards_for(name))
    if not weights:
        raise WeightsError(
            f"Detector {name!r} needs weights=: the name of a card ({cards or 'there is none'}; "
            f"`longform weights fetch NAME` gets its file), the path of a file, or {UNTRAINED!r} for weights that were "
            "never trained."
        )
    card = CARDS.get(weights)
    if card is None:
        return {}
    if card.model != name:
        raise WeightsError(
            f"Weights {weights!r} are for {card.model!r}, not for {name!r}. For it there are: {cards or 'none'}."
        )
    return card.options


def build_faster_rcnn(settings: FasterRCNNSettings) -> FasterRCNN:
    """The detector with its weights, ready to run.

    Raises:
        WeightsError: the file is not there (the message says how to get it), or does not fit the network.
        ConfigError: this machine has no such device.
    """
    runtime = Runtime(device=settings.device, precision=settings.precision, compile=settings.compile)
    if settings.weights == UNTRAINED:
        torch.manual_seed(UNTRAINED_SEED)
        return runtime.prepare(FasterRCNN(settings, runtime))
    path, _ = resolve(settings.weights)
    detector = FasterRCNN(settings, runtime)
    load_weights(detector, path)
    return runtime.prepare(detector)
