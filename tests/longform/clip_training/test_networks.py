"""What training starts from."""

from pathlib import Path

import pytest
import torch
from torch import nn

from extractors.backbones.catalog import build_backbone
from extractors.backbones.residual import Bottleneck
from extractors.errors import WeightsError
from extractors.weights.load import save_weights
from longform.clip_training.batch_norm import FrozenNorm3d, SubBatchNorm3d
from longform.clip_training.networks import network_to_train
from longform.training.errors import TrainingError

torch.set_num_threads(1)


def saved(path: Path, name: str, **options) -> tuple[Path, nn.Module]:
    network = build_backbone(name, width=4, **options)
    save_weights(network, path, name=name)
    return path, network


def test_random_weights_start_as_the_identity() -> None:
    network = network_to_train("slowfast_8x8_r50", num_classes=7, weights=None, width=8)
    blocks = [module for module in network.modules() if isinstance(module, Bottleneck)]
    assert len(blocks) == 32
    assert not any(block.c.bn.weight.any() for block in blocks)
    assert all(isinstance(block.c.bn, SubBatchNorm3d) for block in blocks)
    assert 0.008 < float(network.head.fc.weight.detach().std()) < 0.012
    for frames, size in ((32, 64), (16, 40), (8, 32)):
        assert network(torch.zeros(2, 3, frames, size, size)).shape == (2, 7)


def test_weights_for_other_classes(tmp_path: Path) -> None:
    path, other = saved(tmp_path / "k400.safetensors", "slow_4x16_r50", num_classes=12)
    network = network_to_train("slow_4x16_r50", num_classes=3, weights=path, width=4)
    assert network.head.fc.out_features == 3
    assert torch.equal(network.slow.stem.conv.weight, other.slow.stem.conv.weight)
    assert torch.equal(network.slow.res5[2].c.bn.weight, other.slow.res5[2].c.bn.weight)


def test_nonlocal_blocks_may_be_new(tmp_path: Path) -> None:
    path, other = saved(tmp_path / "i3d.safetensors", "i3d_r50", num_classes=3)
    network = network_to_train("i3d_nl_r50", num_classes=3, weights=path, width=4)
    clip = torch.randn(1, 3, 8, 32, 32)
    features = network.eval().embed(clip)
    expected = other.eval().forward_features(clip)[0].mean((2, 3, 4))
    assert torch.allclose(features, expected, atol=1e-5)


def test_an_image_network_is_inflated(tmp_path: Path) -> None:
    """On a still film, C2D computes what the image network computes for the picture."""
    from safetensors.torch import save_file

    torch.manual_seed(0)
    image = build_backbone("c2d_r50", width=4, num_classes=5)
    state = {name: value.squeeze(2) if value.ndim == 5 else value for name, value in image.state_dict().items()}
    save_file(state, tmp_path / "image.safetensors", {"format": "longform"})
    network = network_to_train("i3d_333_r50", num_classes=3, weights=tmp_path / "image.safetensors", width=4)
    stem = network.slow.stem.conv.weight
    assert stem.shape[2] == 5
    assert torch.allclose(stem.sum(2), state["slow.stem.conv.weight"], atol=1e-6)
    assert torch.equal(stem[:, :, 0], stem[:, :, 4])


def test_weights_that_do_not_fit(tmp_path: Path) -> None:
    path, _ = saved(tmp_path / "slow.safetensors", "slow_4x16_r50", num_classes=3)
    with pytest.raises(WeightsError):
        network_to_train("slowfast_4x16_r50", num_classes=3, weights=path, width=4)
    with pytest.raises(WeightsError):
        network_to_train("slow_4x16_r50", num_classes=3, weights=path, width=8)


def test_frozen_normalisation_needs_weights(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="needs weights"):
        network_to_train("i3d_r50", num_classes=3, weights=None, frozen_norm=True, width=4)
    path, _ = saved(tmp_path / "i3d.safetensors", "i3d_r50", num_classes=3)
    network = network_to_train("i3d_nl_r50", num_classes=3, weights=path, frozen_norm=True, width=4)
    assert any(isinstance(module, FrozenNorm3d) for module in network.modules())
    assert not any(isinstance(module, SubBatchNorm3d) for module in network.modules())


def test_networks_for_boxes_are_refused() -> None:
    with pytest.raises(TrainingError, match="ava_slow_4x16_r50 classifies boxes"):
        network_to_train("ava_slow_4x16_r50", num_classes=3, weights=None)


def test_inception_takes_clips_of_any_size() -> None:
    network = network_to_train("s3dg", num_classes=4, weights=None, width=8)
    assert network(torch.zeros(1, 3, 32, 40, 40)).shape == (1, 4)
