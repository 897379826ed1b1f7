"""Names of the public I3D and S3D files, against lists written by hand from the originals' structure."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from extractors.backbones.inception import INCEPTION
from extractors.errors import WeightsError
from extractors.weights.inception_layouts import LAYOUTS
from extractors.weights.layouts import Layout, State

SMALL = {"width": 4, "num_classes": 5}
BLOCKS = ("3b", "3c", "4b", "4c", "4d", "4e", "4f", "5b", "5c")
UNITS = 3 + 6 * len(BLOCKS)


def layout(name: str) -> Layout:
    (found,) = (one for one in LAYOUTS if one.name == name)
    return found


def weights(network: torch.nn.Module) -> State:
    """A state dict of random values, so that no two tensors are equal."""
    torch.manual_seed(0)
    return {name: torch.randn_like(t) for name, t in network.state_dict().items() if not name.endswith("tracked")}


def piergiaj_name(ours: str) -> str:
    unit, _, leaf = ours.rpartition(".conv." if ".conv." in ours else ".bn.")
    layer = "conv3d" if ".conv." in ours else "bn"
    if ours.startswith("head.fc"):
        return ours.replace("head.fc", "logits.conv3d")
    names = {"stem": "Conv3d_1a_7x7", "conv_2b": "Conv3d_2b_1x1", "conv_2c": "Conv3d_2c_3x3"}
    if unit not in names:
        block, branch = unit.split(".", 1)
        names[unit] = f"{block.capitalize()}.{branch.replace('.', '') if branch != 'b3' else 'b3b'}"
    return f"{names[unit]}.{layer}.{leaf}"


def tensorflow_name(ours: str) -> str:
    """`<scope>/batch_norm/beta` and so on; no name for a batch norm's weight, which TensorFlow's has not."""
    unit, _, leaf = ours.rpartition(".conv." if ".conv." in ours else ".bn.")
    if ours.startswith("head.fc"):
        return "Logits/Conv3d_0c_1x1/conv_3d/" + ("w" if ours.endswith("weight") else "b")
    leaves = {"bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
    layer = "conv_3d/w" if ".conv." in ours else f"batch_norm/{leaves[leaf]}"
    names = {"stem": "Conv3d_1a_7x7", "conv_2b": "Conv3d_2b_1x1", "conv_2c": "Conv3d_2c_3x3"}
    if unit not in names:
        block, branch = unit.split(".", 1)
        inner = {"b0": "0a_1x1", "b1.a": "0a_1x1", "b2.a": "0a_1x1", "b1.b": "0b_3x3", "b2.b": "0b_3x3", "b3": "0b_1x1"}
        last = "0a_3x3" if unit == "mixed_5b.b2.b" else inner[branch]
        names[unit] = f"{block.capitalize()}/Branch_{branch[1]}/Conv3d_{last}"
    return f"{names[unit]}/{layer}"


def assert_equal_states(converted: State, expected: State) -> None:
    assert converted.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(converted[name], tensor), name


def assert_only(name: str, tensors: dict[str, Tensor]) -> None:
    """No other layout of this module takes the file."""
    assert [one.name for one in LAYOUTS if one.recognises(tensors)] == [name]


@pytest.mark.parametrize("prefix", ["", "module."])
def test_piergiaj(prefix: str) -> None:
    expected = weights(INCEPTION["i3d"](**SMALL))
    file = {prefix + piergiaj_name(name): tensor for name, tensor in expected.items()}
    assert f"{prefix}Mixed_5c.b3b.bn.running_var" in file
    assert len(file) == 5 * UNITS + 2
    assert_only("piergiaj", file)
    assert_equal_states(layout("piergiaj").convert(file), expected)


def test_hassony2() -> None:
    expected = weights(INCEPTION["i3d"](**SMALL))
    branches = {
        ".b0.": ".branch_0.",
        ".b1a.": ".branch_1.0.",
        ".b1b.": ".branch_1.1.",
        ".b2a.": ".branch_2.0.",
        ".b2b.": ".branch_2.1.",
        ".b3b.": ".branch_3.1.",
    }
    file = {}
    for ours, tensor in expected.items():
        name = piergiaj_name(ours).lower().replace("logits", "conv3d_0c_1x1").replace(".bn.", ".batch3d.")
        for theirs, here in branches.items():
            name = name.replace(theirs, here)
        file[name] = tensor
    assert "mixed_3b.branch_1.1.batch3d.running_mean" in file
    assert_only("hassony2", file)
    assert_equal_states(layout("hassony2").convert(file), expected)


@pytest.mark.parametrize("scope", ["RGB/inception_i3d/", "Flow/inception_i3d/", ""])
def test_tensorflow(scope: str) -> None:
    expected = weights(INCEPTION["i3d"](**SMALL, input_channels=2 if scope.startswith("Flow") else 3))
    file: dict[str, Tensor] = {}
    for ours, tensor in expected.items():
        if ours.endswith("bn.weight"):
            expected[ours] = torch.ones_like(tensor)
            continue
        stored = tensor.permute(2, 3, 4, 1, 0) if tensor.ndim == 5 else tensor
        # The Kinetics-600 file has batch norm vectors of five dimensions, and the optimiser's history.
        if not scope and ".bn." in ours:
            stored = stored.reshape(1, 1, 1, 1, -1)
        file[scope + tensorflow_name(ours)] = stored
        if not scope and "running" not in ours:
            file[scope + tensorflow_name(ours) + "/Momentum"] = torch.zeros_like(stored)
    assert len(file) == (230 if scope else 346)
    assert f"{scope}Mixed_5b/Branch_2/Conv3d_0a_3x3/conv_3d/w" in file
    assert_only("tensorflow-i3d", file)
    assert_equal_states(layout("tensorflow-i3d").convert(file), expected)


KYLEMIN = {"spatial.conv": "conv_s", "spatial.bn": "bn_s", "temporal.conv": "conv_t", "temporal.bn": "bn_t"}
TORCHVISION = {"spatial.conv": "0.0", "spatial.bn": "0.1", "temporal.conv": "1.0", "temporal.bn": "1.1"}
STAGES = {"stem": 0, "conv_2b": 2, "conv_2c": 3} | dict(
    zip((f"mixed_{block}" for block in BLOCKS), (5, 6, 8, 9, 10, 11, 12, 14, 15), strict=True)
)


def s3d_name(
    ours: str, *, root: str, separable: dict[str, str], plain: dict[str, str], b0: str, classifier: str
) -> str:
    if ours.startswith("head.fc"):
        return ours.replace("head.fc", classifier)
    unit, leaf = ours.rsplit(".", 1)
    suffix = next((name for name in separable if unit.endswith(name)), unit.rsplit(".", 1)[1])
    path = unit.removesuffix("." + suffix).split(".")
    branch = {"b0": f".branch0{b0}", "b3": ".branch3.1", "": ""}
    for number in "12":
        branch |= {f"b{number}.a": f".branch{number}.0", f"b{number}.b": f".branch{number}.1"}
    return f"{root}.{STAGES[path[0]]}{branch['.'.join(path[1:])]}.{({**separable, **plain})[suffix]}.{leaf}"


@pytest.mark.parametrize("prefix", ["", "module."])
def test_kylemin(prefix: str) -> None:
    expected = weights(INCEPTION["s3d"](**SMALL))
    plain = {"conv": "conv", "bn": "bn"}
    file = {
        prefix + s3d_name(ours, root="base", separable=KYLEMIN, plain=plain, b0=".0", classifier="fc.0"): tensor
        for ours, tensor in expected.items()
    }
    assert f"{prefix}base.15.branch2.1.bn_t.running_mean" in file
    assert_only("kylemin", file)
    assert_equal_states(layout("kylemin").convert(file), expected)


def test_torchvision() -> None:
    expected = weights(INCEPTION["s3d"](**SMALL))
    names: dict[str, Any] = {"root": "features", "separable": TORCHVISION, "plain": {"conv": "0", "bn": "1"}, "b0": ""}
    file = {s3d_name(ours, **names, classifier="classifier.1"): tensor for ours, tensor in expected.items()}
    assert {"features.0.0.0.weight", "features.5.branch0.1.bias", "features.6.branch1.1.1.0.weight"} <= file.keys()
    assert_only("torchvision-s3d", file)
    assert_equal_states(layout("torchvision-s3d").convert(file), expected)


@pytest.mark.parametrize("name", ["piergiaj", "hassony2", "tensorflow-i3d", "kylemin", "torchvision-s3d"])
def test_unknown_names_stay_so_that_the_loader_can_report_them(name: str) -> None:
    file = {"Mixed_9z.conv3d.weight": torch.zeros(1), "Mixed_9z/conv_3d/w": torch.zeros(1)}
    assert layout(name).convert(file).keys() == file.keys()


def test_howto100m_is_recognised_and_refused_with_a_way_out() -> None:
    file = {"conv1.conv1.weight": torch.zeros(1), "mixed_3b.gating_b0.fc.weight": torch.zeros(1)}
    assert_only("howto100m", file)
    with pytest.raises(WeightsError, match="kylemin or torchvision"):
        layout("howto100m").convert(file)


def test_other_files_are_not_taken() -> None:
    assert not any(one.recognises({"s1.pathway0_stem.conv.weight": torch.zeros(1)}) for one in LAYOUTS)
