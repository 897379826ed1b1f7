"""Networks of one pathway: sizes of the originals, positions, kernels, heads."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from extractors.backbones.catalog import build_backbone
from extractors.backbones.nonlocal_block import NonLocalBlock
from extractors.backbones.residual import BLOCKS
from extractors.backbones.resnet import temporal_kernels
from extractors.backbones.video_resnet import VideoResNet, nonlocal_positions
from extractors.errors import ConfigError, ShapeError

TINY = {"width": 4, "num_classes": 5, "crop_px": 64}

NL_R101_AS_R50 = {3: (1, 3), 4: (1, 3, 5)}

PUBLISHED_PARAMETERS = [
    ("slow_4x16_r50", {}, 32_454_096),
    ("slow_8x8_r50", {}, 32_454_096),
    ("c2d_r50", {}, 24_327_632),
    ("c2d_r50", {"pool2": False}, 24_327_632),
    ("c2d_nl_r50", {}, 31_686_096),
    ("i3d_r50", {}, 28_043_472),
    ("i3d_nl_r50", {}, 35_401_936),
    ("i3d_nl_r50", {"sampling": "32x4"}, 35_401_936),
    ("i3d_r101", {}, 51_754_192),
    ("i3d_nl_r101", {}, 59_112_656),
    ("i3d_nl_r101", {"nonlocal_at": NL_R101_AS_R50}, 59_112_656),
]


def parameters(name: str, **options: Any) -> int:
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in build_backbone(name, **options).parameters())


def tiny(name: str, **options: Any) -> VideoResNet:
    torch.manual_seed(0)
    network = build_backbone(name, **{**TINY, **options})
    assert isinstance(network, VideoResNet)
    return network.eval()


@pytest.mark.parametrize(("name", "options", "expected"), PUBLISHED_PARAMETERS)
def test_parameters_are_the_originals(name: str, options: dict[str, Any], expected: int) -> None:
    assert parameters(name, **options) == expected


def test_inflating_the_3x3_costs_half_the_network_again() -> None:
    """Non-local paper, Table 2e: 1.5 and 1.2 times C2D R101, to the digit printed."""
    c2d = parameters("c2d_r101")
    assert round(parameters("i3d_333_r101") / c2d, 1) == 1.5
    assert round(parameters("i3d_r101") / c2d, 1) == 1.2
    assert round(c2d / 1e6, 1) == 43.3  # 43.2 M in the paper


def test_temporal_kernels() -> None:
    assert temporal_kernels("i3d", 50) == ((3, 3, 3), (3, 1, 3, 1), (3, 1, 3, 1, 3, 1), (1, 3, 1))
    assert temporal_kernels("c2d", 50) == ((1,) * 3, (1,) * 4, (1,) * 6, (1,) * 3)
    assert temporal_kernels("slow", 101, 6)[2] == (3,) * 6 + (1,) * 17
    block = tiny("i3d_333_r50").slow.res3[0]
    assert (block.a.conv.kernel_size, block.b.conv.kernel_size) == ((1, 1, 1), (3, 3, 3))
    block = tiny("i3d_r50").slow.res3[0]
    assert (block.a.conv.kernel_size, block.b.conv.kernel_size) == ((3, 1, 1), (1, 3, 3))


@pytest.mark.parametrize("depth", [50, 101])
@pytest.mark.parametrize("count", [0, 1, 5, 10])
def test_number_and_places_of_non_local_blocks(count: int, depth: int) -> None:
    positions = nonlocal_positions(count, depth)
    assert sum(map(len, positions.values())) == count
    assert all(max(blocks) < BLOCKS[depth][stage - 2] for stage, blocks in positions.items())
    with torch.device("meta"):
        network = build_backbone(f"c2d_r{depth}", nonlocal_blocks=count)
    assert sum(isinstance(module, NonLocalBlock) for module in network.modules()) == count


def test_one_block_is_right_before_the_last_of_res4() -> None:
    assert nonlocal_positions(1, 50) == {4: (4,)}
    assert nonlocal_positions(5, 101) == {3: (1, 3), 4: (6, 13, 20)}
    network = tiny("c2d_r50", nonlocal_at={2: [1]})  # Table 2b, res2
    assert network.slow.res2[1].nl is not None
    assert network.slow.res2[0].nl is None


@pytest.mark.parametrize("name", ["c2d_r50", "i3d_r50"])
def test_new_non_local_blocks_leave_the_output_unchanged(name: str) -> None:
    plain, clip = tiny(name), torch.randn(1, 3, 8, 64, 64)
    for options in ({"nonlocal_blocks": 10}, {"nonlocal_blocks": 5, "nonlocal_form": "concatenation"}):
        with_blocks = tiny(name, **options)
        missing, unexpected = with_blocks.load_state_dict(plain.state_dict(), strict=False)
        assert not unexpected
        assert all(".nl." in key for key in missing)
        with torch.inference_mode():
            assert torch.equal(with_blocks(clip), plain(clip))


def test_both_ways_of_attention_give_the_same_network() -> None:
    clip = torch.randn(1, 3, 8, 64, 64, generator=torch.Generator().manual_seed(0))
    answers = []
    for way in ("fused", "plain"):
        network = tiny("i3d_nl_r50", nonlocal_attention=way)
        for module in network.modules():
            if isinstance(module, NonLocalBlock):
                torch.nn.init.ones_(module.bn.weight)
        with torch.inference_mode():
            answers.append(network.forward_features(clip)[0])
    torch.testing.assert_close(*answers, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("sampling", "options", "frames", "maps"),
    [
        ("8x8", {}, 8, (4, 2, 2)),
        ("32x4", {}, 32, (16, 2, 2)),
        ("32x2", {}, 32, (4, 2, 2)),
        ("128x1", {}, 128, (16, 2, 2)),
        ("32x2", {"pool_kernel_t": 3, "pool1_padding": 1}, 32, (4, 2, 2)),
        ("32x2", {"pool1_kernel_t": 1, "pool1_padding": 1}, 32, (4, 2, 2)),
        ("8x8", {"pool2": False}, 8, (8, 2, 2)),
        ("8x8", {"pool1_padding": 0}, 8, (4, 2, 2)),
    ],
)
def test_sampling_of_the_paper(sampling: str, options: dict[str, Any], frames: int, maps: tuple[int, int, int]) -> None:
    network = tiny("c2d_nl_r50", sampling=sampling, **options)
    assert (network.num_frames, network.stride) == (frames, int(sampling.split("x")[1]))
    with torch.inference_mode():
        features = network.forward_features(torch.zeros(1, 3, frames, 64, 64))
        assert features[0].shape == (1, 128, *maps)
        assert network.pool(features).shape == (1, 128, 1, 1, 1)


@pytest.mark.parametrize(("padding", "side"), [(1, 56), (0, 55)])
def test_pool1_padding(padding: int, side: int) -> None:
    network = tiny("c2d_r50", pool1_padding=padding)
    with torch.inference_mode():
        assert network.slow.begin(torch.zeros(1, 3, 2, 224, 224)).shape[3:] == (side, side)


def test_pool1_of_mmaction2_drops_every_other_frame() -> None:
    """benchmarks/originals compares the whole network with mmaction2's."""
    network = tiny("i3d_r50", sampling="32x2", pool1_kernel_t=1, pool1_padding=1)
    maps = torch.randn(1, 8, 16, 6, 6)
    expected = torch.nn.functional.max_pool3d(maps[:, :, ::2], (1, 3, 3), (1, 2, 2), (0, 1, 1))
    assert torch.equal(network.slow.pool1(maps), expected)


def test_groups_of_frames_where_the_released_code_has_them() -> None:
    def groups(network: VideoResNet) -> dict[str, int | None]:
        blocks = dict(network.named_modules()).items()
        return {name: block.group_frames for name, block in blocks if isinstance(block, NonLocalBlock)}

    grouped = {"slow.res3.1.nl": 4, "slow.res3.3.nl": 4}
    whole = {f"slow.res4.{i}.nl": None for i in (1, 3, 5)}
    assert groups(tiny("lfb_i3d_nl_r50")) == {**grouped, **whole}
    assert groups(tiny("i3d_nl_r50", sampling="32x4")) == {**grouped, **whole}
    assert set(groups(tiny("i3d_nl_r50")).values()) == {None}


@pytest.mark.parametrize(("options", "dilation"), [({}, 2), ({"res5_dilation": 1}, 1)])
def test_lfb_backbone_keeps_the_size_in_res5(options: dict[str, Any], dilation: int) -> None:
    network = tiny("lfb_i3d_nl_r50", **options)
    assert {block.b.conv.dilation[1] for block in network.slow.res5} == {dilation}
    with torch.inference_mode():
        clip = torch.zeros(1, 3, 32, 96, 64)
        assert network.forward_features(clip)[0].shape == (1, 128, 16, 6, 4)
        assert network.embed(clip).shape == (1, 128)


def test_larger_and_longer_clips_have_several_positions() -> None:
    """Probabilities are averaged over positions, which is not the softmax of the mean."""
    network = tiny("slow_4x16_r50", num_classes=50)
    torch.nn.init.normal_(network.head.fc.weight, std=1.0)
    clip = torch.randn(2, 3, 6, 96, 128, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        features = network.forward_features(clip)
        pooled = network.pool(features)
        assert pooled.shape == (2, 128, 3, 2, 3)
        torch.testing.assert_close(pooled[:, :, 1, 0, 2], features[0][:, :, 1:5, 0:2, 2:4].mean((2, 3, 4)))
        output = network.run(clip)
        scores = network.classify(pooled)
    torch.testing.assert_close(output.probabilities, scores.softmax(1).mean((2, 3, 4)))
    assert not torch.allclose(output.probabilities, output.logits.softmax(1), atol=1e-3)


def test_global_head_takes_any_size() -> None:
    network = tiny("c2d_r50", head="global")
    with torch.inference_mode():
        clip = torch.randn(1, 3, 4, 48, 80)
        torch.testing.assert_close(network.embed(clip), network.forward_features(clip)[0].mean((2, 3, 4)))


@pytest.mark.parametrize("shape", [(1, 3, 8, 32, 64), (1, 3, 6, 64, 64)])
def test_clips_smaller_than_the_window_are_an_error(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match="head='global'"):
        tiny("c2d_r50")(torch.zeros(shape))


@pytest.mark.parametrize("shape", [(3, 8, 64, 64), (1, 2, 8, 64, 64), (1, 3, 1, 64, 64)])
def test_clips_of_another_shape_are_an_error(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=r"expected \(N, 3, T, H, W\) with T of at least 2"):
        tiny("c2d_r50").forward_features(torch.zeros(shape))


def test_boxes_are_pooled_from_the_mean_over_time() -> None:
    network = tiny("ava_slow_4x16_r50")
    clip = torch.randn(2, 3, 4, 64, 96, generator=torch.Generator().manual_seed(0))
    boxes = torch.tensor([[1, 0.0, 0.0, 95.0, 63.0], [0, 10.0, 8.0, 40.0, 60.0], [1, 10.0, 8.0, 40.0, 60.0]])
    with torch.inference_mode():
        features = network.forward_features(clip)
        assert features[0].shape == (2, 128, 4, 4, 6)
        output = network.run(clip, boxes)
        torch.testing.assert_close(network(clip, boxes), output.logits)
        torch.testing.assert_close(network.embed(clip, boxes), network.roi_features(features, boxes))
        still = tuple(maps.mean(2, keepdim=True) for maps in features)
        torch.testing.assert_close(network.roi_features(still, boxes), output.embedding)
    assert output.logits.shape == (3, 5)
    torch.testing.assert_close(output.probabilities, output.logits.sigmoid())
    assert not torch.allclose(output.embedding[1], output.embedding[2])  # the same box in two clips


def test_clip_and_box_networks_say_what_they_need() -> None:
    clip = torch.zeros(1, 3, 4, 64, 64)
    with pytest.raises(ShapeError, match="boxes_px"):
        tiny("ava_slow_4x16_r50")(clip)
    with pytest.raises(ShapeError, match="head='roi'"):
        tiny("slow_4x16_r50")(clip, torch.zeros(1, 5))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": 18}, "depth is 18; expected one of 50, 101"),
        ({"sampling": "8"}, "sampling is '8'"),
        ({"head": "max"}, "windowed, global, roi"),
        ({"nonlocal_blocks": 3}, "0, 1, 5 or 10"),
        ({"nonlocal_at": {3: (9,)}}, "blocks of"),
        ({"pool1_padding": 2}, "0 or 1"),
        ({"nonlocal_form": "softmax", "nonlocal_blocks": 1}, "embedded_gaussian"),
    ],
)
def test_bad_settings_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        tiny("c2d_r50", **options)
