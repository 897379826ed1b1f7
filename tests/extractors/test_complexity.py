"""Counting: by hand on small networks, and against what the original implementations were measured to cost."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from extractors.backbones.catalog import build_backbone
from extractors.complexity import Complexity, count
from extractors.errors import ConfigError


def on_meta(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(*layers).to("meta").eval()


def test_a_convolution_costs_its_kernel_at_every_output() -> None:
    strided = on_meta(nn.Conv3d(3, 8, (5, 7, 7), stride=(1, 2, 2), padding=(2, 3, 3), bias=True))
    counted = count(strided, (1, 3, 4, 16, 12))
    outputs = 8 * 4 * 8 * 6
    assert counted.macs == outputs * 3 * 5 * 7 * 7
    assert counted.params == 8 * 3 * 5 * 7 * 7 + 8
    assert counted.macs_by_kind == {"convolution": counted.macs, "matrix product": 0}


def test_groups_and_clips_count() -> None:
    grouped = on_meta(nn.Conv3d(4, 8, 1, groups=2, bias=False))
    assert count(grouped, (3, 4, 2, 5, 5)).macs == 3 * 2 * 5 * 5 * 8 * (4 // 2)


def test_normalisation_pooling_and_activation_cost_nothing_but_are_counted_apart() -> None:
    plain = on_meta(nn.Conv3d(3, 4, 1, bias=False), nn.BatchNorm3d(4), nn.ReLU(), nn.MaxPool3d(2))
    counted = count(plain, (1, 3, 2, 6, 6))
    assert counted.macs == 3 * 4 * 2 * 6 * 6
    assert counted.normalised == 4 * 2 * 6 * 6
    assert counted.params == 3 * 4 + 2 * 4
    assert counted.norm_params == 2 * 4
    assert count(plain.train(), (1, 3, 2, 6, 6)) == counted


def test_a_linear_layer_costs_its_weights() -> None:
    assert count(on_meta(nn.Linear(7, 5)), (2, 3, 7)).macs == 2 * 3 * 7 * 5


@pytest.mark.parametrize("form", ["bmm", "einsum", "attention", "baddbmm"])
def test_attention_costs_two_matrix_products(form: str) -> None:
    queries, keys, dim = 30, 10, 8

    def run(model: nn.Module, clip: Tensor) -> Tensor:
        query, key = clip, clip[:, :keys]
        if form == "attention":
            return nn.functional.scaled_dot_product_attention(query, key, key)
        if form == "einsum":
            return torch.einsum("nqk,nkc->nqc", torch.einsum("nqc,nkc->nqk", query, key), key)
        if form == "baddbmm":
            affinity = torch.baddbmm(clip.new_zeros(1, queries, keys), query, key.mT)
            return torch.baddbmm(clip, affinity, key)
        return torch.bmm(torch.bmm(query, key.mT), key)

    counted = count(on_meta(nn.Identity()), (2, queries, dim), run)
    assert counted == Complexity(
        params=0,
        norm_params=0,
        macs=2 * 2 * queries * keys * dim,
        macs_by_kind={"convolution": 0, "matrix product": 2 * 2 * queries * keys * dim},
        normalised=0,
    )


def test_a_matrix_times_a_vector_is_counted() -> None:
    assert count(on_meta(nn.Identity()), (6, 4), lambda model, clip: clip @ clip[0]).macs == 6 * 4


def test_counting_inside_inference_mode_is_no_different() -> None:
    network = on_meta(nn.Conv3d(3, 4, 1), nn.BatchNorm3d(4))
    with torch.inference_mode():
        inside = count(network, (1, 3, 2, 2, 2))
    assert inside == count(network, (1, 3, 2, 2, 2))
    assert inside.macs == 3 * 4 * 8


def test_streams_add_up() -> None:
    rgb, flow = on_meta(nn.Conv3d(3, 4, 1)), on_meta(nn.Conv3d(2, 4, 1))
    both = count(rgb, (1, 3, 2, 2, 2)) + count(flow, (1, 2, 2, 2, 2))
    assert both.params == (3 * 4 + 4) + (2 * 4 + 4)
    assert both.macs == 8 * 4 * (3 + 2) == sum(both.macs_by_kind.values())


def test_a_network_with_values_is_refused() -> None:
    with pytest.raises(ConfigError, match="meta"):
        count(nn.Conv3d(3, 4, 1), (1, 3, 2, 2, 2))


def counted(name: str, frames: int, side: int, **options: Any) -> Complexity:
    with torch.device("meta"):
        network = build_backbone(name, **options).eval()
    return count(network, (1, 3, frames, side, side))


PLAIN = {"nonlocal_attention": "plain"}

MEASURED = [
    # name, frames, options; parameters, G of the paper's kind at 256, G with normalisation at 256 and at 224
    ("slowfast_4x16_r50", 32, {}, 34_480_216, 36.10, 36.34, 27.82),
    ("slowfast_8x8_r50", 32, {}, 34_566_488, 65.71, 66.07, 50.58),
    ("slowfast_8x8_r50", 32, {"lateral_kernel": 5}, 34_480_216, 65.30, 65.66, None),
    ("slowfast_8x8_r101", 32, {}, 53_774_808, 106.51, 107.03, 81.94),
    ("slowfast_8x8_r101_50_101", 32, {}, 53_914_072, 107.66, 108.17, 82.82),
    ("slowfast_8x8_r101_101_101", 32, {}, 62_826_968, 125.91, 126.43, 96.79),
    ("slowfast_16x8_r101", 64, {}, 53_774_808, 213.02, 214.06, 163.89),
    ("slowfast_16x8_r101_nl", 64, {**PLAIN, "nonlocal_pool": (1, 2, 2)}, 60_080_088, 242.02, 243.08, 183.79),
    ("slowfast_16x8_r101_nl", 64, PLAIN, 60_080_088, 233.96, 235.02, None),
    ("slow_4x16_r50", 4, {}, 32_454_096, 27.26, 27.38, 20.96),
    ("slow_8x8_r50", 8, {}, 32_454_096, 54.52, 54.75, 41.92),
    ("c2d_r50", 8, {}, 24_327_632, 25.46, 25.63, 19.62),
    ("c2d_r50", 8, {"pool2": False}, 24_327_632, 42.71, 42.94, None),
    ("c2d_nl_r50", 8, {}, 31_686_096, 37.27, 37.46, 27.76),
    ("i3d_r50", 8, {}, 28_043_472, 37.11, 37.28, 28.54),
    ("i3d_r50", 8, {"pool1_padding": 0}, 28_043_472, 36.76, 36.93, 28.24),
    ("i3d_nl_r50", 8, {}, 35_401_936, 48.92, 49.10, 36.68),
    ("i3d_nl_r50", 32, {"sampling": "32x4"}, 35_401_936, 203.96, 204.69, None),
    ("i3d_r101", 8, {}, 51_754_192, 61.33, 61.56, None),
    ("i3d_nl_r101", 8, {}, 59_112_656, 73.14, 73.38, None),
]


@pytest.mark.parametrize(("name", "frames", "options", "params", "macs", "with_norm", "with_norm_224"), MEASURED)
def test_the_original_residual_networks_were_measured_to_cost_the_same(
    name: str,
    frames: int,
    options: dict[str, Any],
    params: int,
    macs: float,
    with_norm: float,
    with_norm_224: float | None,
) -> None:
    """Measured with fvcore on the original code, to 0.01 G; normalisation at two operations an element."""
    ours = counted(name, frames, 256, **options)
    assert ours.params == params
    assert ours.macs / 1e9 == pytest.approx(macs, abs=0.006)
    assert (ours.macs + 2 * ours.normalised) / 1e9 == pytest.approx(with_norm, abs=0.0101)
    if with_norm_224:
        smaller = counted(name, frames, 224, **options)
        assert (smaller.macs + 2 * smaller.normalised) / 1e9 == pytest.approx(with_norm_224, abs=0.0101)


@pytest.mark.parametrize(("name", "params", "macs"), [("i3d", 12_697_264, 111.15), ("s3d", 8_320_048, 71.92)])
def test_the_original_inception_networks_were_measured_to_cost_the_same(name: str, params: int, macs: float) -> None:
    ours = counted(name, 64, 224)
    assert ours.params == params
    assert ours.macs / 1e9 == pytest.approx(macs, abs=0.006)
