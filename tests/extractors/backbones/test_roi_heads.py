"""Heads for boxes on every family: pooled by hand, at and outside the border, without boxes, in batches."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from extractors.backbones.catalog import AVA_PREFIX, build_backbone
from extractors.backbones.inception import INCEPTION, LAYERS, Inception
from extractors.errors import ConfigError, ShapeError
from extractors.ops.roi_align import roi_align
from extractors.weights.load import load_weights, save_weights

AVA_NETWORKS = ("ava_i3d", "ava_s3d", "ava_s3dg", "ava_i3d_nl_r50", "ava_lfb_i3d_nl_r50", "ava_slowfast_8x8_r50")
FRAMES = {"ava_lfb_i3d_nl_r50": 32, "ava_slowfast_8x8_r50": 32}
SIDE = 96


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """The same weights every run, one thread, no gradients."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    with torch.no_grad():
        yield
    torch.set_num_threads(before)


def small(name: str, **options: object) -> torch.nn.Module:
    return build_backbone(name, **{"width": 8, "num_classes": 6, **options}).eval()


def clips(name: str, count: int = 2) -> Tensor:
    return torch.randn(count, 3, FRAMES.get(name, 8), SIDE, SIDE)


@pytest.mark.parametrize("name", [name for name in AVA_NETWORKS if name.startswith(("ava_i", "ava_s3"))])
def test_ava_is_80_classes_with_a_sigmoid_each(name: str) -> None:
    with torch.device("meta"):
        network = build_backbone(name)
    assert (network.num_classes, network.activation) == (80, "sigmoid")


@pytest.mark.parametrize("name", AVA_NETWORKS)
def test_every_box_has_a_feature_and_logits(name: str) -> None:
    network, clip = small(name), clips(name)
    boxes = torch.tensor([[1.0, 10, 20, 60, 90], [0, 0, 0, 96, 96], [1, 30, 30, 50, 40]])
    output = network.run(clip, boxes)
    assert output.embedding.shape == (3, network.embedding_dim)
    assert output.logits.shape == output.probabilities.shape == (3, 6)
    torch.testing.assert_close(output.probabilities, output.logits.sigmoid())
    assert torch.equal(network.embed(clip, boxes), output.embedding)
    assert torch.equal(network(clip, boxes), output.logits)


@pytest.mark.parametrize("name", AVA_NETWORKS)
def test_no_boxes_give_no_rows(name: str) -> None:
    network = small(name)
    output = network.run(clips(name, 1), torch.zeros(0, 5))
    assert output.logits.shape == output.probabilities.shape == (0, 6)
    assert output.embedding.shape == (0, network.embedding_dim)


@pytest.mark.parametrize("name", ["ava_i3d", "ava_s3dg"])
def test_a_box_pooled_by_hand(name: str) -> None:
    """A box of 7 x 7 cells from (2, 3): a bin is one cell, and its one sample the mean of the four around a corner."""
    network, clip = small(name), torch.randn(1, 3, 8, 192, 192)
    (maps,) = network.forward_features(clip)
    assert maps.shape == (1, network.embedding_dim, 2, 12, 12)
    feature = network.roi_features((maps,), torch.tensor([[0.0, 32, 48, 144, 160]]))
    still = maps.mean(2)[0]
    at = torch.arange(7)
    rows, columns = at + 3, at + 2
    corners = [still[:, rows + dy][:, :, columns + dx] for dy in (0, 1) for dx in (0, 1)]
    expected = (sum(corners) / 4).amax((1, 2))
    torch.testing.assert_close(feature[0], expected)


@pytest.mark.parametrize("name", ["ava_i3d", "ava_s3dg"])
@pytest.mark.parametrize("aligned", [False, True])
def test_boxes_are_pooled_from_the_mean_over_time_whatever_their_place(name: str, aligned: bool) -> None:
    network, clip = small(name, roi_aligned=aligned), clips(name)
    boxes = torch.tensor(
        [
            [0.0, 5, 7, 80, 90],
            [1, -40, -30, 30, 40],
            [1, 60, 70, 150, 140],
            [0, 200, 200, 300, 300],
            [1, 40, 40, 40, 40],
        ]
    )
    features = network.forward_features(clip)
    pooled = roi_align(features[0].mean(2), boxes, 7, spatial_scale=1 / 16, aligned=aligned)
    torch.testing.assert_close(network.roi_features(features, boxes), pooled.amax((2, 3)))
    assert network(clip, boxes).isfinite().all()
    assert (network.embed(clip, boxes)[3] == 0).all()  # wholly outside


def test_a_batch_of_clips_answers_like_each_clip_alone() -> None:
    network, clip = small("ava_s3dg"), clips("ava_s3dg", 3)
    box = [12.0, 20, 70, 80]
    together = network(clip, torch.tensor([[n, *box] for n in (2.0, 0, 1)]))
    alone = torch.cat([network(clip[n : n + 1], torch.tensor([[0.0, *box]])) for n in (2, 0, 1)])
    torch.testing.assert_close(together, alone)
    assert not torch.allclose(together[0], together[1])


@pytest.mark.parametrize("size", [(1, 16, 16), (5, 50, 83)])
@pytest.mark.parametrize("name", ["ava_i3d", "ava_s3dg"])
def test_maps_have_stride_16_for_any_picture(name: str, size: tuple[int, int, int]) -> None:
    (maps,) = small(name).forward_features(torch.randn(1, 3, *size))
    frames, height, width = size
    assert maps.shape[2:] == (-(-frames // 4), -(-height // 16), -(-width // 16))


@pytest.mark.parametrize("name", INCEPTION)
def test_every_inception_has_a_form_for_boxes_without_the_layers_above(name: str) -> None:
    with torch.device("meta"):
        network = build_backbone(AVA_PREFIX + name)
    assert isinstance(network, Inception)
    assert network.embedding_dim == 528  # Mixed_4e of Inception-V1
    there = [layer for layer in LAYERS if hasattr(network, layer)]
    assert there == list(LAYERS[: LAYERS.index("mixed_4e") + 1])
    assert not hasattr(network, "pool_5a")


def test_the_layers_below_are_those_of_the_network_for_clips() -> None:
    clip_network, box_network = small("i3d", crop_px=32), small("ava_i3d")
    bottom = {key: value for key, value in clip_network.state_dict().items() if not key.startswith("head.")}
    report = box_network.load_state_dict(bottom, strict=False)
    assert all(key.startswith("head.") for key in report.missing_keys)
    clip, maps = torch.randn(1, 3, 16, SIDE, SIDE), []
    clip_network.mixed_4e.register_forward_hook(lambda *call: maps.append(call[2]))
    clip_network.forward_features(clip)
    assert torch.equal(box_network.forward_features(clip)[0], maps[0])


def test_a_network_for_boxes_starts_from_weights_for_clips(tmp_path: Path) -> None:
    """The file has more layers, and another classifier; neither is loaded, and the report says so."""
    clip_network, box_network = small("s3dg"), small("ava_s3dg", num_classes=80)
    save_weights(clip_network, tmp_path / "s3dg.safetensors", name="s3dg")
    report = load_weights(box_network, tmp_path / "s3dg.safetensors", strict=False, classifier="skip")
    assert report.missing == ()
    assert report.skipped == ("head.fc.bias", "head.fc.weight")
    assert {name.split(".")[0] for name in report.unexpected} == {"mixed_4f", "mixed_5b", "mixed_5c"}


def test_another_layer_of_stride_16() -> None:
    network = small("ava_i3d", roi_layer="mixed_4f", width=64)
    assert network.embedding_dim == 832
    with pytest.raises(ConfigError, match=r"roi_layer is 'mixed_5c'; expected one of mixed_4b, .*mixed_4f"):
        small("ava_i3d", roi_layer="mixed_5c")


def test_clip_and_box_networks_say_what_they_need() -> None:
    with pytest.raises(ShapeError, match="give boxes_px"):
        small("ava_s3d")(clips("ava_s3d"))
    with pytest.raises(ShapeError, match="head='roi'"):
        small("s3d", head="windowed")(torch.randn(1, 3, 16, 64, 64), torch.zeros(1, 5))
    with pytest.raises(ShapeError, match=r"\(R, 5\)"):
        small("ava_s3d")(clips("ava_s3d"), torch.zeros(1, 4))
    with pytest.raises(ShapeError, match="names map"):
        small("ava_s3d")(clips("ava_s3d"), torch.tensor([[2.0, 0, 0, 9, 9]]))
    with pytest.raises(ConfigError, match="head is 'global'"):
        small("s3d", head="global")
