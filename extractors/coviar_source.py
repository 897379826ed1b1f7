"""The networks of CoViAR as a user names them: a weight file or card for each stream, from which their sizes follow."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from extractors.backbones.coviar import BASIC_BLOCKS, BOTTLENECKS, STREAMS
from extractors.errors import WeightsError
from extractors.networks import UNTRAINED, NetworkSource, network_source
from extractors.weights import coviar_layout
from extractors.weights.containers import read_tensors
from extractors.weights.layouts import State
from extractors.weights.store import resolve

MODEL = "coviar"
FIRST, CLASSIFIER = "slow.stem.conv.weight", "head.fc.weight"


def stream_source(stream: str, weights: str, **options: Any) -> NetworkSource:
    """The network of a stream.

    Args:
        stream: `iframe`, `motion` or `residual`.
        weights: a file of pytorch-coviar or of ours, a weight card, or `untrained`.
        options: of `CoviarConfig`, over those that the file implies.
    Raises:
        WeightsError: the weights are not there, of another network, or of another stream.
    """
    if weights == UNTRAINED:
        return network_source(MODEL, weights, stream=stream, **options)
    path, _ = resolve(weights)
    found = options_of_file(path)
    if found["stream"] != stream:
        raise WeightsError(f"{weights} is of stream {found['stream']!r}, not of {stream!r}.")
    return network_source(MODEL, weights, **{**found, **options})


def options_of_file(path: str | Path) -> dict[str, Any]:
    """Stream, depth, width and number of classes of the network in a file, by its tensors; the crop, if it says so.

    Raises:
        WeightsError: the file cannot be read, or its tensors are of no such network.
    """
    contents = read_tensors(path)
    state = _ours(contents.tensors)
    if FIRST not in state or CLASSIFIER not in state:
        raise WeightsError(
            f"{path} holds no network of CoViAR: expected a file of pytorch-coviar's or our training, or torchvision's "
            f"ResNet; its first tensor is {next(iter(state), 'none')}."
        )
    width, channels = state[FIRST].shape[:2]
    stream = "iframe" if "data_bn.weight" not in state else "motion" if channels == 2 else "residual"
    if channels != STREAMS[stream].channels:
        raise WeightsError(f"{path}: its first convolution reads {channels} channels, which no stream of CoViAR has.")
    stated = json.loads(contents.facts.get("options", "{}"))
    return {
        "stream": stream,
        "depth": _depth(state, path),
        "width": width,
        "num_classes": len(state[CLASSIFIER]),
        **{name: stated[name] for name in ("crop_px",) if name in stated},
    }


def _ours(tensors: Mapping[str, Tensor]) -> State:
    """The tensors under our names."""
    return dict(tensors) if FIRST in tensors else coviar_layout.LAYOUTS[0].convert(tensors)


def _depth(state: Mapping[str, object], path: str | Path) -> int:
    known = BOTTLENECKS if "slow.res2.0.c.conv.weight" in state else BASIC_BLOCKS
    blocks = tuple(sum(name.endswith(".a.conv.weight") and f".res{stage}." in name for name in state)
                   for stage in (2, 3, 4, 5))  # fmt: skip
    for depth, expected in known.items():
        if blocks == expected:
            return depth
    raise WeightsError(f"{path} has {blocks} residual blocks in its four stages, as no ResNet of CoViAR.")
