"""The list of backbones: names, defaults, errors, and what the names stand for."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
import torch

from extractors.backbones.base import Backbone
from extractors.backbones.catalog import BACKBONES, backbone_names, build_backbone
from extractors.errors import ConfigError, ShapeError

DESIGNED = """
    c2d_r50 c2d_r101 c2d_nl_r50 c2d_nl_r101 i3d_r50 i3d_r101 i3d_333_r50 i3d_333_r101 i3d_nl_r50 i3d_nl_r101
    lfb_i3d_nl_r50 lfb_i3d_nl_r101 slow_4x16_r50 slow_8x8_r50 fast_4x16_r50 slowfast_4x16_r50 slowfast_8x8_r50
    slowfast_8x8_r101 slowfast_16x8_r101 slowfast_16x8_r101_nl slowfast_8x8_r101_50_101 slowfast_8x8_r101_101_101
    i2d i3d s3d s3dg fast_s3d
""".split()


def test_every_designed_name_is_there() -> None:
    assert set(DESIGNED) <= set(backbone_names())


@pytest.mark.parametrize("name", BACKBONES)
def test_every_network_answers(name: str) -> None:
    """At a width of 8 channels, on the smallest picture it was made for."""
    network = build_backbone(name, width=8, num_classes=6, crop_px=32).eval()
    assert isinstance(network, Backbone)
    clip = torch.randn(2, network.input_channels, network.num_frames, 32, 32)
    with torch.inference_mode():
        output = network.run(clip)
    assert output.embedding.shape == (2, network.embedding_dim)
    assert output.logits.shape == output.probabilities.shape == (2, network.num_classes)
    torch.testing.assert_close(output.probabilities.sum(1), torch.ones(2))


def test_embedding_is_as_wide_as_the_paper_says() -> None:
    with torch.device("meta"):
        dims = {name: build_backbone(name).embedding_dim for name in ("i3d_nl_r50", "slowfast_8x8_r50")}
    assert dims == {"i3d_nl_r50": 2048, "slowfast_8x8_r50": 2048 + 256}


def test_ava_is_a_head_and_not_another_body() -> None:
    with torch.device("meta"):
        plain, ava = build_backbone("slowfast_8x8_r50"), build_backbone("ava_slowfast_8x8_r50")
    assert (ava.num_classes, ava.activation) == (80, "sigmoid")
    assert list(ava.state_dict()) == list(plain.state_dict())


def test_unknown_names_and_options_are_answered_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"Did you mean 'slowfast_8x8_r50'\?.*c2d_r50"):
        build_backbone("slowfast_8x8_r5")
    with pytest.raises(ConfigError, match=r"Did you mean 'num_classes'\?.*beta"):
        build_backbone("slowfast_8x8_r50", num_clases=3)
    with pytest.raises(ConfigError, match="no option alpha"):
        build_backbone("c2d_r50", alpha=8)
    with pytest.raises(ConfigError, match="no option alpha"):
        build_backbone("s3d", alpha=8)
    with pytest.raises(ConfigError, match="no option alpha"):
        build_backbone("ava_s3d", alpha=8)
    with pytest.raises(ConfigError, match="'ava_coviar'"):
        build_backbone("ava_coviar")


def test_reading_the_list_does_not_import_torch() -> None:
    code = "import sys, extractors.backbones.catalog; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("i3d_r50", {"sampling": 8}),
        ("i3d_r50", {"width": 1.5}),
        ("i3d_r50", {"num_classes": "400"}),
        ("i3d_r50", {"dropout": 2}),
        ("i3d_nl_r50", {"nonlocal_pool": (2, 2)}),
        ("i3d_nl_r50", {"nonlocal_pool": 2}),
        ("i3d_nl_r50", {"nonlocal_pool": (0, 1, 1)}),
        ("i3d_nl_r50", {"nonlocal_group": 4}),
        ("i3d_nl_r50", {"nonlocal_group": {3: 0}}),
        ("i3d_nl_r50", {"nonlocal_group": {7: 4}}),
        ("i3d_nl_r50", {"nonlocal_at": 5}),
        ("slowfast_4x16_r50", {"lateral_kernel": -1}),
        ("s3d", {"width": 1.5}),
        ("i3d", {"num_classes": None}),
    ],
)
def test_a_value_that_an_option_cannot_have_is_named(name: str, options: dict[str, object]) -> None:
    ((option, value),) = options.items()
    with pytest.raises(ConfigError, match=rf"{option} is {re.escape(repr(value))}; expected"):
        build_backbone(name, **{"width": 4, **options})


@pytest.mark.parametrize("name", ["slow_8x8_r50", "s3d"])
def test_bytes_are_no_clip(name: str) -> None:
    with pytest.raises(ShapeError, match=r"uint8; expected normalised floats"):
        build_backbone(name, width=4)(torch.zeros(1, 3, 16, 224, 224, dtype=torch.uint8))
