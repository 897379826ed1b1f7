"""SlowFast: sizes of the originals, the four lateral connections, the inputs of the Fast pathway."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from extractors.backbones.catalog import build_backbone
from extractors.backbones.slowfast import LATERALS, SlowFast, slow_frames
from extractors.errors import ConfigError, ShapeError

TINY = {"width": 16, "num_classes": 5, "crop_px": 64}

PUBLISHED = [
    # parameters, and multiply-adds at 256 x 256 (convolutions, matrix products, classifier) of the original code
    ("slowfast_4x16_r50", {}, 34_480_216, 36.10),
    ("slowfast_8x8_r50", {}, 34_566_488, 65.71),
    ("slowfast_8x8_r50", {"lateral_kernel": 5}, 34_480_216, 65.30),
    ("slowfast_8x8_r101", {}, 53_774_808, 106.51),
    ("slowfast_8x8_r101_50_101", {}, 53_914_072, 107.66),
    ("slowfast_8x8_r101_101_101", {}, 62_826_968, 125.91),
    ("slowfast_16x8_r101", {}, 53_774_808, 213.02),
    ("slowfast_16x8_r101_nl", {"nonlocal_pool": (1, 2, 2)}, 60_080_088, 242.02),
    ("slowfast_16x8_r101_nl", {}, 60_080_088, 233.96),
]

PAPER_GFLOPS = [
    # Tables 5a to 5c, at 4x16 R50
    ({"lateral": "none"}, 34.2),
    ({"lateral": "time_to_channel_sum"}, 34.2),
    ({"lateral": "time_to_channel_concat"}, 39.8),
    ({"lateral": "sampling"}, 34.9),
    ({"beta": 1 / 6}, 41.8),
    ({"beta": 1 / 12}, 32.8),
    ({"beta": 1 / 16}, 30.6),
    ({"beta": 1 / 32}, 28.6),
    ({"fast_input": "gray"}, 34.1),
    ({"fast_input": "time_difference"}, 34.2),
    ({"fast_input": "flow"}, 35.1),
]


def complexity(name: str, **options: Any) -> tuple[int, float]:
    """Parameters, and billions of multiply-adds at 256 x 256."""
    with torch.device("meta"):
        network = build_backbone(name, nonlocal_attention="plain", **options).eval()
        clip = torch.empty(1, network.input_channels, network.num_frames, 256, 256)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(clip)
    return sum(parameter.numel() for parameter in network.parameters()), counter.get_total_flops() / 2e9


def tiny(name: str = "slowfast_4x16_r50", **options: Any) -> SlowFast:
    torch.manual_seed(0)
    network = build_backbone(name, **{**TINY, **options})
    assert isinstance(network, SlowFast)
    return network.eval()


def random_clip(channels: int = 3, frames: int = 32) -> Tensor:
    return torch.randn(1, channels, frames, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("name", "options", "parameters", "gmacs"), PUBLISHED)
def test_size_and_operations_are_the_originals(
    name: str, options: dict[str, Any], parameters: int, gmacs: float
) -> None:
    assert complexity(name, **options) == (parameters, pytest.approx(gmacs, abs=0.01))


@pytest.mark.parametrize(("options", "gflops"), PAPER_GFLOPS)
def test_operations_of_the_ablations_are_the_papers(options: dict[str, Any], gflops: float) -> None:
    assert complexity("slowfast_4x16_r50", **options)[1] == pytest.approx(gflops, rel=0.01)


def test_boxes_networks_have_the_originals_parameters() -> None:
    with torch.device("meta"):
        sizes = [
            sum(parameter.numel() for parameter in build_backbone(name).parameters())
            for name in ("ava_slowfast_8x8_r50", "ava_slowfast_8x8_r101_nl")
        ]
    assert sizes == [33_828_888, 59_342_488]


def test_slow_pathway_sees_both_ends() -> None:
    assert slow_frames(32, 4) == [0, 4, 8, 13, 17, 22, 26, 31]
    assert slow_frames(32, 8) == [0, 10, 20, 31]
    assert slow_frames(64, 4) == [0, 4, 8, 12, 16, 21, 25, 29, 33, 37, 42, 46, 50, 54, 58, 63]
    assert slow_frames(8, 8) == [0]
    assert slow_frames(32, 4) == torch.linspace(0, 31, 8).long().tolist()


@pytest.mark.parametrize("lateral", LATERALS)
def test_lateral_connection_feeds_fast_into_slow_only(lateral: str) -> None:
    """Frames 1 and 8 are not the Slow pathway's: they reach its maps through a lateral connection or not at all."""
    network, clip = tiny(lateral=lateral), random_clip()
    changed = clip.clone()
    changed[:, :, 1 if lateral != "sampling" else 8] += 1.0
    with torch.inference_mode():
        (slow, fast), (slow_changed, fast_changed) = map(network.forward_features, (clip, changed))
    assert slow.shape == (1, 512, 4, 2, 2)
    assert fast.shape == (1, 64, 32, 2, 2)
    assert not torch.equal(fast, fast_changed)
    assert torch.equal(slow, slow_changed) == (lateral == "none")


def test_what_the_lateral_connections_make_of_maps() -> None:
    fast = torch.randn(2, 3, 8, 1, 1)
    for lateral in ("time_to_channel_concat", "time_to_channel_sum"):
        packed = tiny(lateral=lateral, alpha=8)._lateral(1, fast)
        assert packed.shape == (2, 24, 1, 1, 1)
        torch.testing.assert_close(packed[:, :, 0, 0, 0].view(2, 3, 8), fast[..., 0, 0])
    sampled = tiny(lateral="sampling", alpha=4)._lateral(1, fast)
    assert torch.equal(sampled, fast[:, :, [0, 4]])
    convolved = tiny(alpha=4, width=24)._lateral(1, fast)
    assert convolved.shape == (2, 6, 2, 1, 1)
    assert (convolved >= 0).all()


def test_sum_needs_as_many_channels_as_it_packs() -> None:
    with pytest.raises(ConfigError, match="alpha \\* beta"):
        tiny(lateral="time_to_channel_sum", beta=1 / 4)


@pytest.mark.parametrize("fast_input", ["gray", "time_difference"])
def test_weaker_input_sees_brightness_only(fast_input: str) -> None:
    """Two colours of the same brightness are one to the Fast pathway; a still video has no difference in time."""
    network, clip = tiny(fast_input=fast_input, lateral="none"), random_clip()
    tinted = clip + torch.tensor([0.587, -0.299, 0.0]).view(1, 3, 1, 1, 1)
    with torch.inference_mode():
        (slow, fast), (slow_tinted, fast_tinted) = map(network.forward_features, (clip, tinted))
        still = network._fast_clip(clip[:, :, :1].expand(-1, -1, 32, -1, -1))
    torch.testing.assert_close(fast, fast_tinted, rtol=1e-3, atol=1e-3)
    assert not torch.allclose(slow, slow_tinted, rtol=1e-3, atol=1e-3)
    assert still.any() == (fast_input == "gray")


def test_time_difference_is_to_the_frame_before() -> None:
    clip = torch.zeros(1, 3, 32, 64, 64)
    clip[:, :, 5:] = 1.0
    seen = tiny(fast_input="time_difference")._fast_clip(clip)
    assert seen.shape == (1, 1, 32, 64, 64)
    torch.testing.assert_close(seen[0, 0, :, 0, 0], torch.eye(32)[5])


def test_half_resolution_meets_the_slow_pathway() -> None:
    network = tiny(fast_input="half", head="global", beta=1 / 4)
    with torch.inference_mode():
        slow, fast = network.forward_features(random_clip())
        assert (slow.shape[3:], fast.shape[3:]) == ((2, 2), (1, 1))
        assert network(random_clip()).shape == (1, 5)
    with pytest.raises(ConfigError, match="'global' where the Fast pathway has half"):
        tiny(fast_input="half")


def test_flow_goes_to_the_fast_pathway() -> None:
    network, clip = tiny(fast_input="flow"), random_clip(channels=5)
    assert network.input_channels == 5
    assert torch.equal(network._fast_clip(clip), clip[:, 3:])
    with torch.inference_mode():
        assert network(clip).shape == (1, 5)
    with pytest.raises(ShapeError, match=r"\(N, 5, T, H, W\)"):
        network(random_clip())


def test_larger_pictures_have_several_positions_longer_clips_do_not_fit() -> None:
    network = tiny()
    with torch.inference_mode():
        features = network.forward_features(torch.zeros(1, 3, 32, 96, 64))
        assert network.pool(features).shape == (1, 576, 1, 2, 1)
        longer = network.forward_features(torch.zeros(1, 3, 64, 64, 64))
    with pytest.raises(ShapeError, match="different numbers of positions"):
        network.pool(longer)


def test_frames_must_be_a_multiple_of_alpha() -> None:
    with pytest.raises(ShapeError, match="multiple of alpha = 8"):
        tiny()(torch.zeros(1, 3, 30, 64, 64))


def test_slow_comes_before_fast_in_the_embedding() -> None:
    network, clip = tiny(), random_clip()
    with torch.inference_mode():
        slow, fast = network.forward_features(clip)
        embedding = network.embed(clip)
    torch.testing.assert_close(embedding, torch.cat((slow.mean((2, 3, 4)), fast.mean((2, 3, 4))), 1))


def test_boxes_of_both_pathways() -> None:
    network = tiny("ava_slowfast_8x8_r50")
    boxes = torch.tensor([[0, 4.0, 4.0, 60.0, 50.0]])
    with torch.inference_mode():
        slow, fast = network.forward_features(random_clip())
        assert (slow.shape[2:], fast.shape[2:]) == ((8, 4, 4), (32, 4, 4))
        assert network.embed(random_clip(), boxes).shape == (1, 576)
    dilations = {block.b.conv.dilation for pathway in (network.slow, network.fast) for block in pathway.res5}
    assert dilations == {(1, 2, 2)}


@pytest.mark.parametrize(
    ("name", "frames", "stride", "kernel"),
    [
        ("slowfast_4x16_r50", 32, 2, 5),
        ("slowfast_8x8_r50", 32, 2, 7),
        ("slowfast_8x8_r101", 32, 2, 5),
        ("slowfast_16x8_r101_nl", 64, 2, 5),
    ],
)
def test_clips_and_lateral_kernels_of_the_zoo(name: str, frames: int, stride: int, kernel: int) -> None:
    network = tiny(name)
    assert (network.num_frames, network.stride) == (frames, stride)
    assert network.state_dict()["fuse1.conv.weight"].shape == (4, 2, kernel, 1, 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lateral": "sum"}, "time_to_channel_sum"),
        ({"fast_input": "grey"}, "gray"),
        ({"beta": 0.0}, "above 0"),
        ({"alpha": 3}, "alpha = 3 divides"),
        ({"lateral_kernel": 4}, "odd"),
    ],
)
def test_bad_settings_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        tiny(**options)
