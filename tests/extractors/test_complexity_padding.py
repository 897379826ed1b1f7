"""Products with padded zeros: against networks of ones, whose sums count them, and in the networks of the S3D paper."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from extractors.backbones.catalog import build_backbone
from extractors.backbones.inception import Inception, Kinds
from extractors.complexity import count
from extractors.complexity_padding import padding_macs
from extractors.errors import ConfigError


def meta(build: Callable[[], nn.Module]) -> nn.Module:
    with torch.device("meta"):
        return build().eval()


CONVOLUTIONS: list[tuple[dict[str, Any], tuple[int, int, int]]] = [
    ({"kernel_size": 3, "padding": 1}, (4, 5, 6)),
    ({"kernel_size": (5, 7, 7), "stride": (1, 2, 2), "padding": (2, 3, 3)}, (4, 16, 13)),
    ({"kernel_size": (3, 1, 1), "stride": (2, 1, 1), "padding": (1, 0, 0)}, (8, 3, 3)),
    ({"kernel_size": (1, 3, 3), "padding": (0, 2, 2), "dilation": (1, 2, 2)}, (2, 3, 7)),
    ({"kernel_size": 3, "padding": 4, "stride": 3}, (2, 2, 2)),
    ({"kernel_size": 3, "padding": 1, "groups": 2}, (3, 4, 4)),
    ({"kernel_size": 2}, (3, 4, 4)),
]


@pytest.mark.parametrize(("options", "size"), CONVOLUTIONS)
def test_ones_convolved_with_ones_sum_to_the_products_on_the_input(
    options: dict[str, Any], size: tuple[int, int, int]
) -> None:
    real = nn.Conv3d(4, 6, **options, bias=False)
    nn.init.ones_(real.weight)
    on_input = int(real(torch.ones(2, 4, *size)).sum())
    network = meta(lambda: nn.Conv3d(4, 6, **options))
    shape = (2, 4, *size)
    assert count(network, shape).macs - padding_macs(network, shape, "space and time") == on_input


def test_space_leaves_the_padding_of_time_in() -> None:
    network = meta(lambda: nn.Conv3d(1, 1, 3, padding=1))
    frames, side = 4, 5
    along_time, along_side = 3 * frames - 2, 3 * side - 2
    whole = 27 * frames * side**2
    shape = (1, 1, frames, side, side)
    assert padding_macs(network, shape, "space") == whole - 3 * frames * along_side**2
    assert padding_macs(network, shape, "space and time") == whole - along_time * along_side**2


def test_a_network_with_values_is_refused() -> None:
    with pytest.raises(ConfigError, match="meta"):
        padding_macs(nn.Conv3d(3, 4, 1), (1, 3, 2, 2, 2), "space")


CLIP = (1, 3, 64, 224, 224)

WIDE_STEM: dict[str, Any] = {
    "temporal_branches": 4,
    "stem_temporal_kernel": 3,
    "separable_stem": False,
    "padding": "symmetric",
}
"""A stem of 3x7x7, as TF-slim has it, and temporal convolutions on all branches (footnote 5 of the S3D paper)."""

FAST_S3D: Kinds = ("3d", *("2d",) * 8, "separable", "separable")
"""How each of `LAYERS` convolves: the top two separable, and a stem that sees time."""


@pytest.mark.parametrize(
    ("build", "published", "space", "space_and_time"),
    [
        (lambda: build_backbone("i3d", padding="symmetric"), 107.89, 106.99, 104.40),
        (lambda: build_backbone("s3d", **WIDE_STEM), 66.38, 66.76, 66.00),
        (lambda: Inception(FAST_S3D, **WIDE_STEM), 43.47, 43.64, 43.47),
    ],
    ids=("i3d", "s3d", "fast_s3d"),
)
def test_three_figures_of_the_s3d_paper_are_within_a_hundredth_without_padding_in_space(
    build: Callable[[], nn.Module], published: float, space: float, space_and_time: float
) -> None:
    """The nearest that one reading comes to I3D, S3D and Fast-S3D; S3D-G is 6.5 % off."""
    network = meta(build)
    macs = count(network, CLIP).macs
    in_space = (macs - padding_macs(network, CLIP, "space")) / 1e9
    assert in_space == pytest.approx(space, abs=0.006)
    assert in_space == pytest.approx(published, rel=0.01)
    assert (macs - padding_macs(network, CLIP, "space and time")) / 1e9 == pytest.approx(space_and_time, abs=0.006)
