"""The networks of CoViAR for training and evaluation: from ImageNet, from a file, or untrained."""

from __future__ import annotations

import argparse
from pathlib import Path

from extractors.backbones.catalog import build_backbone
from extractors.backbones.coviar import CoviarConfig, CoviarNetwork
from extractors.coviar_source import MODEL, options_of_file, stream_source
from extractors.networks import UNTRAINED
from extractors.weights.load import load_weights, save_weights
from extractors.weights.store import resolve
from longform.training.errors import TrainingError

IMAGENET = {18: "resnet18_imagenet_tv", 152: "resnet152_imagenet_tv"}
"""Weight cards that training starts from, by depth."""


def started_network(options: argparse.Namespace, *, num_classes: int) -> tuple[CoviarNetwork, bool]:
    """The network that training starts from, and whether it was trained before.

    `--weights` is an image network (torchvision's ResNet of the depth, or its card), whose classifier and, for motion,
    first convolution stay untrained; or a file of the same stream, of which all but the classifier is taken; or
    `untrained`. The default is the ImageNet card of the depth.

    Raises:
        TrainingError: there is no such card, and nothing else was asked for.
        WeightsError: the file is not there or does not fit.
    """
    config = CoviarConfig(stream=options.stream, depth=options.depth, width=options.width, num_classes=num_classes)
    network = build_backbone(MODEL, stream=config.stream, depth=config.depth, width=config.width,
                             num_classes=num_classes)  # fmt: skip
    assert isinstance(network, CoviarNetwork)
    if options.weights == UNTRAINED:
        return network, False
    weights = options.weights or IMAGENET.get(config.depth_of_stream)
    if weights is None:
        raise TrainingError(f"No ImageNet weights are known for depth {config.depth}: give a file, or --weights "
                            "untrained.")  # fmt: skip
    path, _ = resolve(weights)
    if options_of_file(path)["stream"] == config.stream and config.stream != "iframe":
        load_weights(network, path, classifier="skip")
    else:
        _take_image_network(network, path, config)
    return network, True


def _take_image_network(network: CoviarNetwork, path: Path, config: CoviarConfig) -> None:
    """Body of an image network; the motion network's first convolution reads two channels and stays as it is."""
    image = build_backbone(MODEL, depth=config.depth_of_stream, width=config.width, num_classes=network.num_classes)
    load_weights(image, path, classifier="skip")
    body = {name: tensor for name, tensor in image.state_dict().items() if name.startswith("slow.")}
    if network.input_channels != image.input_channels:
        del body["slow.stem.conv.weight"]
    network.load_state_dict(body, strict=False)


def read_network(weights: str, stream: str) -> CoviarNetwork:
    """The network of a stream in a file or card, in evaluation mode.

    Raises:
        WeightsError: the file is not there, or of another stream or network.
    """
    network = stream_source(stream, weights).build()
    assert isinstance(network, CoviarNetwork)
    return network


def write_networks(networks: dict[str, CoviarNetwork], files: dict[str, str], folder: Path, *, crop_px: int) -> None:
    """Write each stream's network, with the size it looks at, as preset `compressed` takes it."""
    folder.mkdir(parents=True, exist_ok=True)
    for stream, network in networks.items():
        options = options_of_file(resolve(files[stream])[0]) | {"crop_px": crop_px}
        save_weights(network, folder / f"coviar_{stream}.safetensors", name=MODEL, options=options)
