"""CoViAR's networks against torchvision's graph, written out with plain operations over torchvision's tensor names."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from extractors.backbones.catalog import backbone_names, build_backbone
from extractors.errors import ConfigError, ShapeError
from extractors.runtime import Runtime
from tests.extractors.coviar_files import torchvision_state

STREAMS = {"iframe": 3, "motion": 2, "residual": 3}


def norm(x: Tensor, state: Mapping[str, Tensor], name: str) -> Tensor:
    statistics = (state[f"{name}.running_mean"], state[f"{name}.running_var"])
    return F.batch_norm(x, *statistics, state[f"{name}.weight"], state[f"{name}.bias"], eps=1e-5)


def torchvision_scores(image: Tensor, state: Mapping[str, Tensor]) -> Tensor:
    """(N, K) of images (N, C, H, W): torchvision's ResNet, whose depth follows from the names."""
    x = F.relu(norm(F.conv2d(image, state["conv1.weight"], stride=2, padding=3), state, "bn1"))
    x = F.max_pool2d(x, 3, 2, 1)
    for layer in range(1, 5):
        block = 0
        while f"layer{layer}.{block}.conv1.weight" in state:
            x = torchvision_block(x, state, f"layer{layer}.{block}", 2 if layer > 1 and block == 0 else 1)
            block += 1
    return x.mean((2, 3)) @ state["fc.weight"].T + state["fc.bias"]


def torchvision_block(x: Tensor, state: Mapping[str, Tensor], name: str, stride: int) -> Tensor:
    is_bottleneck = f"{name}.conv3.weight" in state
    y = x
    for i in range(1, 4 if is_bottleneck else 3):
        strided = stride if i == (2 if is_bottleneck else 1) else 1
        kernel = state[f"{name}.conv{i}.weight"]
        y = norm(F.conv2d(y, kernel, stride=strided, padding=kernel.shape[2] // 2), state, f"{name}.bn{i}")
        y = y if f"{name}.conv{i + 1}.weight" not in state else F.relu(y)
    if f"{name}.downsample.0.weight" in state:
        x = norm(F.conv2d(x, state[f"{name}.downsample.0.weight"], stride=stride), state, f"{name}.downsample.1")
    return F.relu(x + y)


def randomised(network: torch.nn.Module) -> torch.nn.Module:
    """Normalisations that do something, so that a forgotten one shows."""
    generator = torch.Generator().manual_seed(1)
    for name, tensor in network.state_dict().items():
        if tensor.ndim == 1 and tensor.is_floating_point():
            tensor.copy_(torch.rand(tensor.shape, generator=generator) * 0.4 + (0.1 if "mean" in name else 0.3))
    return network


@pytest.mark.parametrize(("stream", "depth"), [("iframe", 50), ("motion", 18), ("residual", 18), ("iframe", 34)])
def test_scores_are_the_mean_of_torchvisions_scores_of_each_frame(stream: str, depth: int) -> None:
    network = randomised(build_backbone("coviar", stream=stream, depth=depth, width=8, num_classes=5)).eval()
    clip = torch.randn(2, STREAMS[stream], 3, 64, 64)
    state = torchvision_state(network)
    with torch.inference_mode():
        frames = clip.transpose(1, 2).flatten(0, 1)
        if stream != "iframe":
            frames = norm(frames, {f"data_bn.{k}": v for k, v in network.data_bn.state_dict().items()}, "data_bn")
        expected = torchvision_scores(frames, state).unflatten(0, (2, 3)).mean(1)
        torch.testing.assert_close(network(clip), expected, rtol=1e-4, atol=1e-5)
        prepared = Runtime().prepare(network)
        torch.testing.assert_close(prepared(clip), expected, rtol=1e-3, atol=1e-4)


def test_the_papers_networks_have_torchvisions_parameters() -> None:
    """torchvision's ResNet-152 and ResNet-18 have 60,192,808 and 11,689,512 with ImageNet's classes."""
    with torch.device("meta"):
        params = {
            stream: sum(p.numel() for p in build_backbone("coviar", stream=stream, num_classes=1000).parameters())
            for stream in STREAMS
        }
    first_convolution = 64 * 7 * 7
    assert params == {"iframe": 60_192_808, "motion": 11_689_512 - first_convolution + 4, "residual": 11_689_512 + 6}


def test_embeddings_are_of_2048_and_512_channels_and_average_over_frames() -> None:
    with torch.device("meta"):
        dims = {stream: build_backbone("coviar", stream=stream).embedding_dim for stream in STREAMS}
    assert dims == {"iframe": 2048, "motion": 512, "residual": 512}
    network = build_backbone("coviar", stream="motion", width=8).eval()
    clip = torch.randn(1, 2, 4, 48, 80)
    with torch.inference_mode():
        single = torch.cat([network.embed(frame) for frame in clip.split(1, dim=2)])
        torch.testing.assert_close(network.embed(clip)[0], single.mean(0))


def test_the_data_normalisation_learns_the_scale_of_vectors() -> None:
    network = build_backbone("coviar", stream="motion", width=8)
    assert network.data_bn is not None
    network.train()(3 + 2 * torch.randn(4, 2, 3, 32, 32))
    torch.testing.assert_close(network.data_bn.running_mean, torch.full((2,), 0.3), rtol=0.1, atol=0)


def test_the_catalogue_knows_it_and_refuses_what_it_cannot_be() -> None:
    assert "coviar" in backbone_names()
    with pytest.raises(ConfigError, match="'flow'; expected one of iframe, motion, residual"):
        build_backbone("coviar", stream="flow")
    with pytest.raises(ConfigError, match="depth is 19"):
        build_backbone("coviar", depth=19)
    with pytest.raises(ConfigError, match=r"Did you mean 'stream'\?"):
        build_backbone("coviar", streams="motion")
    with pytest.raises(ShapeError, match=r"expected \(N, 2, T, H, W\)"):
        build_backbone("coviar", stream="motion", width=8)(torch.zeros(1, 3, 1, 32, 32))
