"""A still image repeated in time gives the image network's maps and answers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from extractors.backbones.catalog import build_backbone
from extractors.backbones.inflation import inflate
from extractors.errors import WeightsError

WIDTH = 4
CLASSES = 7


class ImageBlock(nn.Module):
    """A bottleneck of torchvision's ResNet, by its names."""

    def __init__(self, in_channels: int, inner: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(in_channels, inner, 1, bias=False), nn.BatchNorm2d(inner)
        self.conv2, self.bn2 = nn.Conv2d(inner, inner, 3, stride, 1, bias=False), nn.BatchNorm2d(inner)
        self.conv3, self.bn3 = nn.Conv2d(inner, 4 * inner, 1, bias=False), nn.BatchNorm2d(4 * inner)
        self.downsample = None
        if stride > 1 or in_channels != 4 * inner:
            shortcut = nn.Conv2d(in_channels, 4 * inner, 1, stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(4 * inner))

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn1(self.conv1(x)).relu()
        y = self.bn3(self.conv3(self.bn2(self.conv2(y)).relu()))
        return (y + (x if self.downsample is None else self.downsample(x))).relu()


class ImageResNet(nn.Module):
    """ResNet-50 over images with few channels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, WIDTH, 7, 2, 3, bias=False), nn.BatchNorm2d(WIDTH)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        channels = WIDTH
        for n, blocks in enumerate((3, 4, 6, 3)):
            inner = WIDTH * 2**n
            layer = [ImageBlock(4 * inner if i else channels, inner, 2 if n and not i else 1) for i in range(blocks)]
            self.add_module(f"layer{n + 1}", nn.Sequential(*layer))
            channels = 4 * inner
        self.fc = nn.Linear(channels, CLASSES)

    def maps(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.bn1(self.conv1(x)).relu())
        for n in range(4):
            x = self.get_submodule(f"layer{n + 1}")(x)
        return x


@pytest.fixture(scope="module")
def image_net() -> ImageResNet:
    """Random weights, with statistics measured so that activations keep their scale."""
    torch.manual_seed(0)
    net = ImageResNet()
    for _ in range(30):
        net.maps(torch.randn(4, 3, 64, 64))
    return net.eval()


@pytest.fixture(scope="module")
def image() -> Tensor:
    return torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", ["c2d_r50", "c2d_nl_r50", "slow_8x8_r50", "i3d_r50", "i3d_333_r50"])
def test_still_image_gives_the_image_networks_maps_away_from_the_ends(
    name: str, image_net: ImageResNet, image: Tensor
) -> None:
    """In C2D everywhere; where kernels reach over time, zeros beyond the clip's ends reach some frames inwards."""
    clip = image[:, :, None].expand(-1, -1, 48, -1, -1)
    with torch.inference_mode():
        maps = inflated(name, image_net).forward_features(clip)[0]
        expected = image_net.maps(image)[:, :, None].expand_as(maps)
    reached = {"c2d_r50": 0, "c2d_nl_r50": 0}.get(name, 9)  # I3D: 5 frames before pool2, and 6 after
    inside = slice(reached, maps.shape[2] - reached)
    torch.testing.assert_close(maps[:, :, inside], expected[:, :, inside], rtol=1e-4, atol=1e-4)
    assert expected.abs().max() > 0.1
    if reached:
        assert not torch.allclose(maps[:, :, 0], expected[:, :, 0], rtol=1e-2, atol=1e-2)


def test_still_image_gives_the_image_networks_logits(image_net: ImageResNet, image: Tensor) -> None:
    clip = image[:, :, None].expand(-1, -1, 8, -1, -1)
    with torch.inference_mode():
        logits = inflated("c2d_r50", image_net)(clip)
        expected = image_net.fc(image_net.maps(image).mean((2, 3)))
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-5)


def test_classifier_of_other_classes_and_non_local_blocks_stay(image_net: ImageResNet) -> None:
    network = build_backbone("i3d_nl_r50", width=WIDTH, num_classes=3, crop_px=64)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    state = inflate(image_net.state_dict(), network)
    assert torch.equal(state["head.fc.weight"], before["head.fc.weight"])
    assert torch.equal(state["slow.res3.1.nl.theta.weight"], before["slow.res3.1.nl.theta.weight"])
    stem = image_net.state_dict()["conv1.weight"]
    torch.testing.assert_close(state["slow.stem.conv.weight"].sum(2), stem)


def test_pyslowfast_names(image_net: ImageResNet) -> None:
    network = build_backbone("c2d_r50", width=WIDTH, num_classes=CLASSES, crop_px=64)
    theirs = {}
    for name, tensor in image_net.state_dict().items():
        parts = name.split(".")
        if name.startswith(("conv1", "bn1")):
            theirs[f"s1.pathway0_stem.{parts[0][:-1]}.{parts[1]}"] = tensor
        elif name.startswith("layer"):
            unit = f"s{int(parts[0][-1]) + 1}.pathway0_res{parts[1]}"
            if parts[2] == "downsample":
                theirs[f"{unit}.branch1{'_bn' if parts[3] == '1' else ''}.{parts[4]}"] = tensor
            else:
                suffix = "_bn" if parts[2].startswith("bn") else ""
                theirs[f"{unit}.branch2.{'abc'[int(parts[2][-1]) - 1]}{suffix}.{parts[3]}"] = tensor
        else:
            theirs[f"head.projection.{parts[1]}"] = tensor
    ours, expected = inflate(theirs, network), inflate(image_net.state_dict(), network)
    assert all(torch.equal(ours[name], tensor) for name, tensor in expected.items())


def test_everything_that_does_not_fit_is_named(image_net: ImageResNet) -> None:
    state = {**image_net.state_dict(), "extra": torch.zeros(1)}
    del state["layer2.0.conv1.weight"]
    network = build_backbone("c2d_r50", width=2 * WIDTH, crop_px=64)
    with pytest.raises(
        WeightsError, match=r"extra is unexpected.*slow\.res3\.0\.a\.conv\.weight is missing.*slow\.stem"
    ):
        inflate(state, network)
    with pytest.raises(WeightsError, match="Not an image ResNet"):
        inflate({"weight": torch.zeros(1)}, network)


def inflated(name: str, image_net: ImageResNet) -> nn.Module:
    network = build_backbone(name, width=WIDTH, num_classes=CLASSES, crop_px=64)
    network.load_state_dict(inflate(image_net.state_dict(), network))
    return network.eval()
