"""The comparison with the originals: its stored table has every card, and what it measures can fail."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmarks.originals import files
from benchmarks.originals.__main__ import STORED, TOLERANCE
from benchmarks.originals.builders import Original, two_rates
from benchmarks.originals.compare import answers_of, boxes_of, load_all, relative
from benchmarks.originals.members import COMPARED_FAMILIES, MEMBERS, not_compared
from extractors.backbones.catalog import build_backbone
from extractors.backbones.slowfast import slow_frames
from extractors.weights import save_weights
from extractors.weights.cards import CARDS, FAMILIES
from extractors.weights.containers import read_tensors
from extractors.weights.resnet_layouts import LAYOUTS

TABLE = json.loads(STORED.read_text())

NAMES = {
    "s1.pathway0_stem.conv.weight": "conv1_w",
    "s1.pathway1_stem.bn.running_var": "t_res_conv1_bn_riv",
    "s2.pathway0_res0.branch1.weight": "res2_0_branch1_w",
    "s2.pathway1_res0.branch1_bn.bias": "t_res2_0_branch1_bn_b",
    "s4.pathway1_res5.branch2.c_bn.running_mean": "t_res4_5_branch2c_bn_rm",
    "s5.pathway0_res2.branch2.a.weight": "res5_2_branch2a_w",
    "s3.pathway0_nonlocal1.conv_theta.bias": "nonlocal_conv3_1_theta_b",
    "s3.pathway0_nonlocal1.bn.weight": "nonlocal_conv3_1_bn_s",
    "s1_fuse.conv_f2s.weight": "t_pool1_subsample_w",
    "s4_fuse.conv_f2s.weight": "t_res4_5_branch2c_bn_subsample_w",
    "s4_fuse.bn.weight": "t_res4_5_branch2c_bn_subsample_bn_s",
    "head.projection.bias": "pred_b",
}


def test_every_card_of_the_families_is_compared_or_has_a_reason() -> None:
    cards = {card.name for family in COMPARED_FAMILIES for card in FAMILIES[family]}
    compared = {row["card"] for row in TABLE["rows"]} - {None}
    assert compared | TABLE["not_compared"].keys() == cards
    assert not compared & TABLE["not_compared"].keys()
    assert TABLE["not_compared"] == not_compared()


def test_the_stored_table_has_every_member_once() -> None:
    wanted = Counter((member.original, name) for member in MEMBERS for name in member.cards or (None,))
    assert Counter((row["original"], row["card"]) for row in TABLE["rows"]) == wanted
    assert set(wanted.values()) == {1}


@pytest.mark.parametrize("row", TABLE["rows"], ids=lambda row: f"{row['original']}-{row['card']}")
def test_no_answer_differs(row: dict) -> None:
    assert {"logits", "embedding"} <= row["differences"].keys()
    assert max(row["differences"].values()) < TOLERANCE
    assert 0.1 < row["spread"] < 30, "logits that hardly differ or explode say nothing"


def test_the_worst_figure_and_the_commits_are_stored() -> None:
    assert TABLE["worst"] == max(value for row in TABLE["rows"] for value in row["differences"].values())
    assert all(TABLE["originals"].values())


def test_not_compared_are_tensorflow_files_and_files_with_an_operator() -> None:
    for name in not_compared():
        assert CARDS[name].container == "tensorflow" or "operator" in CARDS[name].note


def test_caffe2_names() -> None:
    names = {**NAMES, "s4.pathway1_res0.branch1.weight": ""}
    assert {name: files.caffe2_name(name, names) for name in NAMES} == NAMES
    caffe2 = next(layout for layout in LAYOUTS if layout.name == "caffe2")
    pyslowfast = next(layout for layout in LAYOUTS if layout.name == "pyslowfast")
    for name, blob in NAMES.items():
        one = torch.zeros(1)
        assert pyslowfast.convert({name: one}).keys() <= caffe2.convert({blob: one}).keys()


def test_a_name_that_caffe2_does_not_have_is_an_error() -> None:
    with pytest.raises(KeyError, match="x3d"):
        files.caffe2_name("s1.x3d.weight", {})


def test_caffe2_files_have_their_history_and_affine_ones_no_statistics(tmp_path: Path) -> None:
    state = {f"s1.pathway0_stem.bn.{leaf}": torch.ones(2) for leaf in ("weight", "running_mean", "num_batches_tracked")}
    files.write_caffe2(state, tmp_path / "full.pkl")
    files.write_caffe2(state, tmp_path / "affine.pkl", affine=True)
    full, affine = (read_tensors(tmp_path / f"{kind}.pkl").tensors for kind in ("full", "affine"))
    assert full.keys() - affine.keys() == {"res_conv1_bn_rm", "res_conv1_bn_rm_momentum"}
    assert {"res_conv1_bn_s", "res_conv1_bn_s_momentum"} <= affine.keys()


class Block(nn.Module):
    """What `freeze_norms` looks for in a non-local block."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_out, self.bn = nn.Conv3d(2, 3, 1), nn.BatchNorm3d(3)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.bn(self.conv_out(x))
        return y


@pytest.mark.parametrize("nonlocal_norms", [True, False])
@torch.no_grad()
def test_frozen_norms_are_the_same_function_without_statistics(nonlocal_norms: bool) -> None:
    network = nn.Sequential(nn.Conv3d(1, 2, 1, bias=False), nn.BatchNorm3d(2), Block()).eval()
    clip = torch.randn(1, 1, 4, 6, 6, generator=torch.Generator().manual_seed(0))
    files.fill(network, lambda: network(clip))
    before = network(clip)
    files.freeze_norms(network, nonlocal_norms=nonlocal_norms)
    assert relative(network(clip), before) < 1e-6
    assert not network[1].running_mean.any()
    assert isinstance(network[2].bn, nn.BatchNorm3d) == nonlocal_norms


@torch.no_grad()
def test_fill_keeps_activations_moderate_and_is_no_identity() -> None:
    network = build_backbone("slow_4x16_r50", width=8, num_classes=20, head="global").eval()
    clip = torch.randn(1, 3, 4, 64, 64, generator=torch.Generator().manual_seed(0))
    files.fill(network, lambda: network(clip))
    assert 0.1 < float(network(clip).std()) < 30
    norm = network.slow.res2[0].a.bn
    assert (norm.running_mean.abs() > 1e-3).all()
    assert (norm.weight != 1).all()


@torch.no_grad()
def test_answers_are_those_of_the_classifier() -> None:
    network = build_backbone("slow_4x16_r50", width=8, num_classes=20, head="global").eval()
    clip = torch.randn(1, 3, 4, 64, 64, generator=torch.Generator().manual_seed(0))
    original = Original(
        network=network,
        classifier=network.head.fc,
        run=lambda clip, boxes: network.run(clip).probabilities,
        gives="probabilities",
        write={},
    )
    ours, theirs = network.run(clip), answers_of(original, clip, None)
    for key in ("embedding", "logits", "probabilities"):
        assert relative(getattr(ours, key), theirs[key]) < 1e-6
    network.slow.res5[0].a.conv.weight.mul_(1.01)
    assert relative(network.run(clip).logits, theirs["logits"]) > TOLERANCE


def test_answers_of_another_shape_do_not_compare() -> None:
    with pytest.raises(AssertionError, match="20"):
        relative(torch.zeros(1, 20), torch.zeros(1, 30))


@torch.no_grad()
def test_containers_that_give_different_states_are_found(tmp_path: Path) -> None:
    network = build_backbone("s3d", width=2, num_classes=3).eval()
    for value in (1, 2):
        network.head.fc.bias.fill_(value)
        save_weights(network, tmp_path / f"{value}.safetensors", name="s3d")
    with pytest.raises(AssertionError, match=r"differ in \['head\.fc\.bias'\]"):
        load_all(network, [tmp_path / "1.safetensors", tmp_path / "2.safetensors"])


@pytest.mark.parametrize(("frames", "alpha"), [(32, 8), (32, 4), (64, 4)])
def test_slow_frames_are_those_of_linspace(frames: int, alpha: int) -> None:
    slow, _ = two_rates(torch.arange(frames).float().view(1, 1, frames, 1, 1), alpha)
    assert slow.flatten().tolist() == slow_frames(frames, alpha)


def test_boxes_reach_over_the_edges() -> None:
    boxes = boxes_of(128, 160).numpy()
    assert boxes[:, 1].min() < 0
    assert boxes[:, 3].max() > 160
    assert np.diff(boxes[:, [2, 4]]).min() < 1
