"""The Inception family: which layers are 3D, published sizes, SAME padding, gates, inflation, fusion."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from extractors.backbones.inception import INCEPTION, LAYERS, Inception, top_heavy
from extractors.backbones.inception_blocks import ConvUnit, Gate, MaxPool, SameConv3d, SeparableUnit
from extractors.backbones.inception_inflation import inflate
from extractors.backbones.two_stream import TwoStream
from extractors.errors import ConfigError, ShapeError, WeightsError

SMALL = {"width": 4, "num_classes": 5, "crop_px": 32}


@pytest.fixture(autouse=True)
def _same_weights_every_run() -> None:
    torch.manual_seed(0)


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """Threads that wait for each other cost more than such small networks, tenfold on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def _no_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


def small(name: str, **options: object) -> Inception:
    """A narrow network in eval mode whose batch norms do something."""
    network = INCEPTION[name](**{**SMALL, **options}).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm3d):
            nn.init.uniform_(module.weight, 0.8, 1.2)
            nn.init.uniform_(module.running_var, 0.8, 1.2)
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.normal_(module.bias, std=0.1)
    assert isinstance(network, Inception)
    return network


def clip(frames: int, side: int = 48, channels: int = 3) -> Tensor:
    return torch.randn(1, channels, frames, side, side)


def relative(a: Tensor, b: Tensor) -> float:
    """Largest difference, relative to the largest value of `b`."""
    return float((a - b).abs().max() / b.abs().max())


def kinds_of(network: nn.Module) -> list[str]:
    """How each of `LAYERS` convolves, seen from the kernels it holds."""

    def kind(layer: nn.Module) -> str:
        kernels = [m.kernel_size for m in layer.modules() if isinstance(m, nn.Conv3d)]
        if any(t > 1 and h > 1 for t, h, _ in kernels):
            return "3d"
        return "separable" if any(t > 1 for t, _, _ in kernels) else "2d"

    return [kind(network.get_submodule(name)) for name in LAYERS]


def test_layers_are_the_eleven_of_figure_2() -> None:
    assert LAYERS[0] == "stem"
    assert LAYERS[1] == "conv_2c"
    assert LAYERS[5:7] == ("mixed_4c", "mixed_4d")
    assert LAYERS[10] == "mixed_5c"


@pytest.mark.parametrize("k", range(1, 11))
@pytest.mark.parametrize(("family", "kind"), [("i3d", "3d"), ("s3d", "separable")])
def test_bottom_and_top_heavy_networks_change_at_layer_k(family: str, kind: str, k: int) -> None:
    bottom, top = INCEPTION[f"bottom_heavy_{family}_{k}"](**SMALL), INCEPTION[f"top_heavy_{family}_{k}"](**SMALL)
    assert kinds_of(bottom) == [kind] * k + ["2d"] * (11 - k)
    assert kinds_of(top) == ["2d"] * k + [kind] * (11 - k)


def test_pure_networks_and_fast_s3d_have_the_kinds_of_the_paper() -> None:
    assert kinds_of(INCEPTION["i2d"](**SMALL)) == ["2d"] * 11
    assert kinds_of(INCEPTION["i3d"](**SMALL)) == ["3d"] * 11
    assert kinds_of(INCEPTION["s3d"](**SMALL)) == ["separable"] * 11
    assert kinds_of(INCEPTION["fast_s3d"](**SMALL)) == ["2d"] * 9 + ["separable"] * 2
    assert kinds_of(INCEPTION["s3d"](**SMALL, separable_stem=False)) == ["3d"] + ["separable"] * 10


@pytest.mark.parametrize("name", INCEPTION)
def test_every_network_answers_a_small_clip(name: str) -> None:
    network = small(name)
    output = network.run(clip(*network.least_input))
    assert output.logits.shape == (1, 5)
    assert output.embedding.shape == (1, network.embedding_dim)
    assert output.probabilities.sum() == pytest.approx(1)
    assert torch.isfinite(output.logits).all()
    assert output.logits.std() > 0


@pytest.mark.parametrize(
    ("name", "options", "parameters"),
    [
        ("i3d", {}, 12_697_264),
        ("i3d", {"input_channels": 2}, 12_675_312),
        ("s3d", {}, 8_320_048),
    ],
)
def test_parameters_are_those_of_the_originals(name: str, options: dict[str, int], parameters: int) -> None:
    with torch.device("meta"):
        network = INCEPTION[name](**options)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters
    assert network.embedding_dim == 1024


@pytest.mark.parametrize(("name", "giga"), [("i3d", 111.15), ("s3d", 71.92)])
def test_multiply_adds_are_those_measured_on_the_originals(name: str, giga: float) -> None:
    with torch.device("meta"):
        network = INCEPTION[name]().eval()
        with FlopCounterMode(display=False) as counter:
            network(torch.empty(1, 3, 64, 224, 224))
    assert counter.get_total_flops() / 2e9 == pytest.approx(giga, rel=1e-4)


def padded_same(x: Tensor, kernel: tuple[int, ...], stride: tuple[int, ...], fill: float) -> Tensor:
    """TensorFlow's SAME, padded by hand: the odd one of an odd total goes to the far end."""
    pads: list[int] = []
    for n, k, s in zip(x.shape[2:], kernel, stride, strict=True):
        total = max((-(-n // s) - 1) * s + k - n, 0)
        pads = [total // 2, total - total // 2, *pads]
    return F.pad(x, pads, value=fill)


SIZES = [(8, 10, 12), (9, 11, 13), (8, 11, 10), (1, 2, 3), (5, 7, 6)]


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("kernel", [(7, 7, 7), (1, 7, 7), (3, 7, 7), (7, 1, 1)])
def test_strided_convolutions_pad_like_tensorflow(sizes: tuple[int, int, int], kernel: tuple[int, int, int]) -> None:
    convolution = SameConv3d(2, 3, kernel, (2, 2, 2), bias=False)
    x = torch.randn(1, 2, *sizes)
    expected = F.conv3d(padded_same(x, kernel, (2, 2, 2), 0.0), convolution.weight, stride=2)
    assert expected.shape[2:] == tuple(-(-n // 2) for n in sizes)
    torch.testing.assert_close(convolution(x), expected)


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize(
    ("kernel", "stride"),
    [((1, 3, 3), (1, 2, 2)), ((3, 3, 3), (2, 2, 2)), ((2, 2, 2), (2, 2, 2)), ((3, 3, 3), (1, 1, 1))],
)
def test_max_pools_pad_like_tensorflow(
    sizes: tuple[int, int, int], kernel: tuple[int, int, int], stride: tuple[int, int, int]
) -> None:
    x = torch.randn(1, 2, *sizes)
    expected = F.max_pool3d(padded_same(x, kernel, stride, -torch.inf), kernel, stride)
    assert torch.equal(MaxPool(kernel, stride, "same")(x), expected)


@pytest.mark.parametrize("name", ["i2d", "i3d", "s3d", "top_heavy_s3d_5"])
@pytest.mark.parametrize("crop_px", [32, 64])
def test_the_least_input_passes_and_less_is_refused(name: str, crop_px: int) -> None:
    network = small(name, crop_px=crop_px)
    frames, side = network.least_input
    assert network.run(clip(frames, side)).logits.shape == (1, 5)
    for too_small in (clip(frames - 1, side), clip(frames, side - 1)):
        with pytest.raises(ShapeError, match=f"at least {frames} frames of {side} x {side} px"):
            network(too_small)


def test_a_clip_of_the_wrong_kind_is_refused() -> None:
    network = small("i3d")
    with pytest.raises(ShapeError, match=r"expected \(N, 3, T, H, W\)"):
        network(clip(16, channels=2))
    with pytest.raises(ShapeError, match=r"expected \(N, 3, T, H, W\)"):
        network(clip(16)[0])


def test_larger_and_longer_clips_have_more_positions_whose_answers_are_averaged() -> None:
    network, long_clip = small("i3d"), clip(17, 64)
    pooled = network.pool(network.forward_features(long_clip))
    assert pooled.shape == (1, network.embedding_dim, 2, 2, 2)
    scores = network.classify(pooled)
    output = network.run(long_clip)
    torch.testing.assert_close(output.logits, scores.mean((2, 3, 4)))
    torch.testing.assert_close(output.probabilities, scores.softmax(1).mean((2, 3, 4)))
    torch.testing.assert_close(network.embed(long_clip), pooled.mean((2, 3, 4)))


def test_without_a_crop_size_the_whole_picture_is_one_window() -> None:
    network = small("s3d", crop_px=None)
    assert network.pool(network.forward_features(clip(16, 96))).shape[2:] == (1, 1, 1)


@pytest.mark.parametrize("frames", [13, 21])
def test_i2d_does_not_see_the_arrow_of_time_and_i3d_does(frames: int) -> None:
    forwards = clip(frames)
    i2d, i3d = small("i2d"), small("i3d")
    assert relative(i2d(forwards.flip(2)), i2d(forwards)) < 1e-5
    assert relative(i3d(forwards.flip(2)), i3d(forwards)) > 1e-2


def test_gates_follow_every_temporal_convolution_and_none_else() -> None:
    def gated(network: nn.Module) -> int:
        return sum(isinstance(module, Gate) for module in network.modules())

    assert gated(INCEPTION["s3d"](**SMALL)) == 0
    assert gated(INCEPTION["s3dg"](**SMALL)) == 2 + 9 * 2
    assert gated(INCEPTION["s3dg"](**SMALL, temporal_branches=4)) == 2 + 9 * 4
    assert gated(INCEPTION["s3dg"](**SMALL, separable_stem=False)) == 1 + 9 * 2
    assert gated(INCEPTION["fast_s3d"](**SMALL, gating=True)) == 2 * 2


def test_a_gate_multiplies_channels_by_the_sigmoid_of_their_mixed_means() -> None:
    gate, x = Gate(3, bias=True), torch.randn(2, 3, 4, 5, 6)
    weight, bias = gate.fc.weight, gate.fc.bias
    for n in range(2):
        opening = torch.sigmoid(weight @ x[n].flatten(1).mean(1) + bias)
        torch.testing.assert_close(gate(x)[n], torch.stack([x[n, c] * opening[c] for c in range(3)]))
    assert Gate(3, bias=False).fc.bias is None


def test_four_temporal_branches_put_a_temporal_convolution_after_each_pointwise_one() -> None:
    block = INCEPTION["s3d"](**SMALL, temporal_branches=4).get_submodule("mixed_4b")
    for name in ("b0", "b3"):
        unit = block.get_submodule(name)
        assert isinstance(unit, SeparableUnit)
        assert unit.spatial.conv.kernel_size == (1, 1, 1)
        assert unit.temporal.conv.kernel_size == (3, 1, 1)
    assert isinstance(INCEPTION["s3d"](**SMALL).get_submodule("mixed_4b.b0"), ConvUnit)


@pytest.mark.parametrize(("separable", "unit"), [(True, "stem.temporal"), (False, "stem")])
def test_the_stem_can_span_three_frames(separable: bool, unit: str) -> None:
    network = INCEPTION["s3d"](**SMALL, separable_stem=separable, stem_temporal_kernel=3)
    convolution = network.get_submodule(unit).get_submodule("conv")
    assert convolution.weight.shape[2] == 3
    assert network(clip(16)).shape == (1, 5)


@pytest.mark.parametrize(
    "wrong",
    [
        {"padding": "valid"},
        {"input_channels": 4},
        {"width": 0},
        {"num_classes": 0},
        {"stem_temporal_kernel": 5},
        {"temporal_branches": 3},
        {"crop_px": 16},
        {"activation": "relu"},
    ],
)
def test_wrong_options_are_refused_by_name(wrong: dict[str, object]) -> None:
    (name,) = wrong
    with pytest.raises(ConfigError, match=f"{name} is "):
        INCEPTION["i3d"](**wrong)
    with pytest.raises(ConfigError, match="kinds is "):
        Inception(("2d",))


@pytest.mark.parametrize(
    ("name", "options"),
    [("i3d", {}), ("s3d", {"padding": "same", "crop_px": 32}), ("top_heavy_i3d_5", {}), ("bottom_heavy_s3d_3", {})],
)
def test_an_inflated_network_treats_a_still_image_like_the_2d_network(name: str, options: dict[str, object]) -> None:
    """At 5c one place sees 99 frames, so that of 112 frames the middle place sees no padding."""
    flat, deep = small("i2d"), small(name, **options)
    deep.load_state_dict(inflate(flat.state_dict(), deep))
    still = clip(1, 40).expand(-1, -1, 112, -1, -1)
    (expected,), (maps,) = flat.forward_features(still), deep.forward_features(still)
    assert relative(maps[:, :, 7], expected[:, :, 7]) < 1e-4
    torch.testing.assert_close(expected, expected[:, :, :1].expand_as(expected))


def test_inflation_takes_the_weights_of_an_image_network() -> None:
    flat, deep = small("i2d"), small("i3d")
    images = {name: w[:, :, 0] if w.ndim == 5 and "head" not in name else w for name, w in flat.state_dict().items()}
    inflated, expected = inflate(images, deep), inflate(flat.state_dict(), deep)
    assert all(torch.equal(inflated[name], tensor) for name, tensor in expected.items())


def test_inflation_names_what_is_missing_and_refuses_gates() -> None:
    weights = small("i2d").state_dict()
    del weights["stem.conv.weight"], weights["mixed_5c.b3.bn.bias"]
    with pytest.raises(WeightsError, match=r"2 tensors .*mixed_5c\.b3\.bn\.bias, stem\.conv\.weight"):
        inflate(weights, small("i3d"))
    with pytest.raises(ConfigError, match="gating"):
        inflate(small("i2d").state_dict(), small("s3dg"))


def test_bfloat16_answers_point_the_same_way() -> None:
    network, x = small("s3dg", width=16), clip(16)
    exact = network(x)
    assert torch.cosine_similarity(network.bfloat16()(x.bfloat16()).float(), exact) > 0.999


def test_sigmoid_networks_give_every_class_a_probability_of_its_own() -> None:
    output = small("i3d", activation="sigmoid").run(clip(9, 32))
    torch.testing.assert_close(output.probabilities, output.logits.sigmoid())


def test_the_default_input_is_that_of_the_originals() -> None:
    rgb, flow = small("i3d").default_input(), small("i3d", input_channels=2).default_input()
    assert (rgb.num_frames, rgb.fps, rgb.crop_px, rgb.channels) == (64, 25, 224, "rgb")
    assert [(value - rgb.mean[0]) / rgb.std[0] for value in (0, 1)] == [-1, 1]
    assert (flow.channels, flow.mean, flow.std) == ("flow", (0, 0), (1, 1))


def test_two_streams_add_or_average_their_logits() -> None:
    rgb, flow = small("i3d"), small("i3d", input_channels=2)
    rgb_clip, flow_clip = clip(16), clip(24, channels=2)
    total = rgb(rgb_clip) + flow(flow_clip)
    torch.testing.assert_close(TwoStream(rgb, flow)(rgb_clip, flow_clip), total)
    torch.testing.assert_close(TwoStream(rgb, flow, "mean")(rgb_clip, flow_clip), total / 2)


def test_streams_that_do_not_fit_are_refused() -> None:
    rgb, flow = small("i3d"), small("i3d", input_channels=2)
    with pytest.raises(ConfigError, match="channels"):
        TwoStream(flow, rgb)
    with pytest.raises(ConfigError, match="classes"):
        TwoStream(rgb, small("i3d", input_channels=2, num_classes=4))
    with pytest.raises(ConfigError, match="fusion is 'max'"):
        TwoStream(rgb, flow, "max")  # type: ignore[arg-type]


def test_a_symmetric_network_differs_from_one_padded_like_tensorflow() -> None:
    same = small("i3d")
    symmetric = Inception(top_heavy(0, "3d"), **{**SMALL, "padding": "symmetric"}).eval()
    symmetric.load_state_dict(same.state_dict())
    x = clip(16, 64)
    assert relative(symmetric(x), same(x)) > 1e-2
