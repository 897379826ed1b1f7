"""What a weight file without a card tells about its network is not asked of the user."""

from pathlib import Path

import torch

from extractors.backbones.catalog import build_backbone
from extractors.networks import network_source
from extractors.weights.load import save_weights
from tests.extractors.weights.test_resnet_layouts import pyslowfast_name

MODEL = "slow_4x16_r50"


def test_the_number_of_classes_is_that_of_the_file(tmp_path: Path) -> None:
    network = build_backbone(MODEL, width=8, num_classes=7)
    torch.save({"epoch": 1, "model_state": _pyslowfast(network), "optimizer_state": {}}, tmp_path / "mine.pyth")
    source = network_source(MODEL, str(tmp_path / "mine.pyth"), width=8)
    assert source.options == {"width": 8, "num_classes": 7}
    assert torch.equal(source.build().get_parameter("head.fc.weight"), network.get_parameter("head.fc.weight"))


def test_a_file_with_the_usual_classes_has_no_option_of_its_own(tmp_path: Path) -> None:
    torch.save({"model_state": _pyslowfast(build_backbone(MODEL, width=8))}, tmp_path / "mine.pyth")
    assert network_source(MODEL, str(tmp_path / "mine.pyth"), width=8).options == {"width": 8}


def test_a_file_of_ours_says_how_to_build_its_network(tmp_path: Path) -> None:
    options = {"width": 8, "num_classes": 3, "sampling": "2x32"}
    save_weights(build_backbone(MODEL, **options), tmp_path / "a.safetensors", name=MODEL, options=options)
    source = network_source(None, str(tmp_path / "a.safetensors"))
    assert (source.model, source.options) == (MODEL, options)
    assert (source.input.num_frames, source.input.stride) == (2, 32)
    assert source.build().num_classes == 3


def _pyslowfast(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The state of a network under PySlowFast's names."""
    return {pyslowfast_name(name): tensor for name, tensor in network.state_dict().items()}
