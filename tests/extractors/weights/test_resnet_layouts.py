"""Names of the public checkpoints: written here from our names, and read back by the layouts."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
import torch
from torch import Tensor

from extractors.backbones.catalog import build_backbone
from extractors.errors import WeightsError
from extractors.weights.layouts import State
from extractors.weights.resnet_layouts import LAYOUTS

LAYOUT = {layout.name: layout for layout in LAYOUTS}
COUNTER = "num_batches_tracked"


def state_of(name: str, **options: object) -> State:
    """Every tensor different, so that none can take another's place."""
    network = build_backbone(name, width=8, crop_px=64, **options)
    generator = torch.Generator().manual_seed(0)
    return {
        key: tensor if key.endswith(COUNTER) else torch.rand(tensor.shape, generator=generator)
        for key, tensor in network.state_dict().items()
    }


def pyslowfast_name(name: str) -> str:
    parts = name.split(".")
    pathway = {"slow": 0, "fast": 1}.get(parts[0])
    if parts[0] == "head":
        return f"head.projection.{parts[2]}"
    if pathway is None:
        kind = "conv_f2s" if parts[1] == "conv" else "bn"
        return f"s{parts[0][-1]}_fuse.{kind}.{parts[2]}"
    if parts[1] == "stem":
        return f"s1.pathway{pathway}_stem.{parts[2]}.{parts[3]}"
    stage, block, unit, kind, *leaf = parts[1][-1], *parts[2:]
    if unit == "nl":
        return f"s{stage}.pathway{pathway}_nonlocal{block}.{'' if kind == 'bn' else 'conv_'}{kind}.{leaf[0]}"
    branch = "branch1" if unit == "shortcut" else f"branch2.{unit}"
    return f"s{stage}.pathway{pathway}_res{block}.{branch}{'_bn' if kind == 'bn' else ''}.{leaf[0]}"


def caffe2_name(name: str) -> str:
    parts = name.split(".")
    prefix = "t_" if parts[0] == "fast" else ""
    if parts[-2] == "bn":
        leaf = {"weight": "bn_s", "bias": "bn_b", "running_mean": "bn_rm", "running_var": "bn_riv"}[parts[-1]]
    else:
        leaf = parts[-1][0]
    if parts[0] == "head":
        return f"pred_{leaf}"
    if parts[0].startswith("fuse"):
        last = {"2": 2, "3": 3, "4": 5}
        index = parts[0][-1]
        source = "t_pool1" if index == "1" else f"t_res{index}_{last[index]}_branch2c_bn"
        return f"{source}_subsample_{leaf}"
    if parts[1] == "stem":
        return f"{prefix}res_conv1_{leaf}" if parts[2] == "bn" else f"{prefix}conv1_w"
    if parts[3] == "nl":
        kind = "" if parts[4] == "bn" else f"{parts[4]}_"
        return f"nonlocal_conv{parts[1][-1]}_{parts[2]}_{kind}{leaf}"
    branch = "branch1" if parts[3] == "shortcut" else f"branch2{parts[3]}"
    return f"{prefix}{parts[1]}_{parts[2]}_{branch}_{leaf}"


def pytorchvideo_name(name: str, *, two: bool, pooled: bool, head: str) -> str:
    parts = name.split(".")
    kind = {"conv": "conv", "bn": "norm"}
    if parts[0] == "head":
        return f"{head}.{parts[2]}"
    if parts[0].startswith("fuse"):
        fusion = {"conv": "conv_fast_to_slow", "bn": "norm"}[parts[1]]
        return f"blocks.{int(parts[0][-1]) - 1}.multipathway_fusion.{fusion}.{parts[2]}"
    pathway = f"multipathway_blocks.{int(parts[0] == 'fast')}." if two else ""
    if parts[1] == "stem":
        return f"blocks.0.{pathway}{kind[parts[2]]}.{parts[3]}"
    stage = int(parts[1][-1])
    block = stage if pooled and stage > 2 else stage - 1
    unit = f"branch1_{kind[parts[4]]}" if parts[3] == "shortcut" else f"branch2.{kind[parts[4]]}_{parts[3]}"
    return f"blocks.{block}.{pathway}res_blocks.{parts[2]}.{unit}.{parts[5]}"


def mmaction2_name(name: str) -> str:
    parts = name.split(".")
    if parts[0] == "head":
        return f"cls_head.fc_cls.{parts[2]}"
    if parts[1] == "stem":
        return f"backbone.conv1.{parts[2]}.{parts[3]}"
    unit = {"shortcut": "downsample", "a": "conv1", "b": "conv2", "c": "conv3"}[parts[3]]
    return f"backbone.layer{int(parts[1][-1]) - 1}.{parts[2]}.{unit}.{parts[4]}.{parts[5]}"


def torchvision_name(name: str) -> str:
    parts = name.split(".")
    if parts[0] == "head":
        return f"fc.{parts[2]}"
    if parts[1] == "stem":
        return f"{parts[2]}1.{parts[3]}"
    if parts[3] == "shortcut":
        unit = f"downsample.{int(parts[4] == 'bn')}"
    else:
        unit = f"{parts[4]}{'abc'.index(parts[3]) + 1}"
    return f"layer{int(parts[1][-1]) - 1}.{parts[2]}.{unit}.{parts[5]}"


def read_back(layout: str, ours: Mapping[str, Tensor], rename: Callable[[str], str]) -> None:
    """The layout, and no other, recognises the renamed tensors and gives ours back."""
    theirs = {rename(name): tensor for name, tensor in ours.items()}
    assert len(theirs) == len(ours)
    assert [known.name for known in LAYOUTS if known.recognises(theirs)] == [layout]
    found = LAYOUT[layout].convert(theirs)
    assert found.keys() == ours.keys()
    assert all(found[name] is tensor for name, tensor in ours.items())


@pytest.mark.parametrize(
    ("name", "options", "entries", "counters"),
    [
        ("slowfast_8x8_r50", {}, 662, 110),
        ("slowfast_8x8_r101", {}, 1274, 212),
        ("slowfast_16x8_r101_nl", {}, 1313, 215),
        ("slow_4x16_r50", {}, 320, 53),
        ("i3d_nl_r50", {}, 385, 58),
        ("ava_slowfast_8x8_r50", {}, 662, 110),
    ],
)
def test_pyslowfast(name: str, options: dict[str, object], entries: int, counters: int) -> None:
    ours = state_of(name, **options)
    assert len(ours) == entries
    assert sum(key.endswith(COUNTER) for key in ours) == counters
    read_back("pyslowfast", ours, pyslowfast_name)


@pytest.mark.parametrize(
    ("name", "blobs"), [("slowfast_4x16_r50", 552), ("slow_8x8_r50", 267), ("i3d_nl_r50", 327), ("c2d_r50", 267)]
)
def test_caffe2(name: str, blobs: int) -> None:
    ours = {key: tensor for key, tensor in state_of(name).items() if not key.endswith(COUNTER)}
    assert len(ours) == blobs
    read_back("caffe2", ours, caffe2_name)


def test_caffe2_r101_names_its_last_block() -> None:
    """The lateral connection after res4 has the number of its last block in its name: 22 in R101."""
    blobs = {"conv1_w": torch.zeros(1), "t_res4_22_branch2c_bn_subsample_w": torch.ones(1)}
    assert LAYOUT["caffe2"].convert(blobs)["fuse4.conv.weight"] is blobs["t_res4_22_branch2c_bn_subsample_w"]


def test_caffe2_training_history_is_dropped_and_scopes_are_stripped() -> None:
    names = ["conv1_w_momentum", "res2_0_branch1_bn_s_momentum", "lr", "model_iter", "epoch", "weight_decay", "ONE"]
    names += ["data", "data_train", "labels", "proposals_val", "gpu_0/pred_w_momentum"]
    blobs = {name: torch.zeros(1) for name in names}
    weights = {"gpu_0/conv1_w": torch.ones(1), "something_else_w": torch.ones(1)}
    assert set(LAYOUT["caffe2"].convert({**blobs, **weights})) == {"slow.stem.conv.weight", "something_else_w"}


def test_caffe2_blobs_of_feature_bank_operators_are_under_a_prefix() -> None:
    names = {
        "lfb_1x1_w": "lfb.reduce_bank.weight",
        "lfb_nl1_theta_w": "lfb.layers.1.theta.weight",
        "lfb_nl0_out_b": "lfb.layers.0.out.bias",
        "box_pooled_fbonl_reduc_b": "lfb.reduce_input.bias",
        "res5_2_branch2c_bn_pooled_fbonl_reduc_w": "lfb.reduce_input.weight",
        "lfb_something_else_w": "lfb.lfb_something_else_w",
    }
    for theirs, ours in names.items():
        assert set(LAYOUT["caffe2"].convert({theirs: torch.zeros(1)})) == {ours}


def test_caffe2_affine_nets_compute_scale_and_shift_only() -> None:
    """Nets trained with frozen normalisation: no statistics, and none at all after non-local blocks."""
    ours = state_of("i3d_nl_r50", sampling="32x4")
    blobs = {
        caffe2_name(name): tensor
        for name, tensor in ours.items()
        if not name.endswith(("running_mean", "running_var", COUNTER)) and ".nl.bn." not in name
    }
    assert LAYOUT["caffe2"].recognises(blobs)
    found = LAYOUT["caffe2"].convert(blobs)
    network = build_backbone("i3d_nl_r50", sampling="32x4", width=8, crop_px=64).eval()
    missing, unexpected = network.load_state_dict(found, strict=False)
    assert not unexpected
    assert all(name.endswith(COUNTER) for name in missing)
    x = torch.randn(2, 64, 3, 4, 4)
    with torch.inference_mode():
        torch.testing.assert_close(network.slow.res3[1].nl.bn(x), x)
        weight, bias = (found[f"slow.res3.1.c.bn.{leaf}"].view(1, -1, 1, 1, 1) for leaf in ("weight", "bias"))
        torch.testing.assert_close(network.slow.res3[1].c.bn(x), x * weight + bias)


def test_affine_non_local_norms_are_kept_where_there_are_some() -> None:
    """LFB: the normalisation after a non-local block is an affine map too."""
    blobs = {f"nonlocal_conv3_1_{leaf}": torch.rand(4) for leaf in ("out_w", "out_b", "bn_s", "bn_b")}
    found = LAYOUT["caffe2"].convert(blobs)
    assert found["slow.res3.1.nl.bn.weight"] is blobs["nonlocal_conv3_1_bn_s"]
    assert found["slow.res3.1.nl.bn.bias"] is blobs["nonlocal_conv3_1_bn_b"]
    torch.testing.assert_close(found["slow.res3.1.nl.bn.running_var"] + 1e-5, torch.ones(4))


@pytest.mark.parametrize("prefix", ["", "model."])
@pytest.mark.parametrize(
    ("name", "two", "pooled", "head"),
    [
        ("slowfast_8x8_r50", True, False, "blocks.6.proj"),
        ("slow_8x8_r50", False, False, "blocks.5.proj"),
        ("c2d_r50", False, True, "blocks.6.proj"),
        ("i3d_r50", False, True, "blocks.6.proj"),
        ("ava_slowfast_8x8_r50", True, False, "detection_head.proj"),
        ("ava_slow_4x16_r50", False, False, "detection_head.proj"),
    ],
)
def test_pytorchvideo(name: str, two: bool, pooled: bool, head: str, prefix: str) -> None:
    def rename(ours: str) -> str:
        theirs = pytorchvideo_name(ours, two=two, pooled=pooled, head=head)
        return theirs if theirs.startswith("detection_head") else f"{prefix}{theirs}"

    read_back("pytorchvideo", state_of(name), rename)


@pytest.mark.parametrize("name", ["slow_4x16_r50", "slow_8x8_r50", "i3d_r50"])
def test_mmaction2(name: str) -> None:
    read_back("mmaction2", state_of(name), mmaction2_name)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("backbone.slow_path.conv1.conv.weight", "neither normalisation nor ReLU"),
        ("backbone.layer2.1.non_local_block.theta.conv.weight", "pool after phi and g"),
    ],
)
def test_mmaction2_networks_that_are_not_ours_are_refused(name: str, reason: str) -> None:
    tensors = {"backbone.conv1.conv.weight": torch.zeros(1), name: torch.zeros(1)}
    with pytest.raises(WeightsError, match=reason):
        LAYOUT["mmaction2"].convert(tensors)


def test_mmaction2_slowfast_is_recognised_to_be_refused() -> None:
    assert LAYOUT["mmaction2"].recognises({"backbone.slow_path.conv1.conv.weight": torch.zeros(1)})


def test_torchvision() -> None:
    read_back("torchvision-resnet", state_of("c2d_r50"), torchvision_name)


def test_detectron_files_are_left_to_others() -> None:
    body = {"conv1_w": torch.zeros(1), "res_conv1_bn_s": torch.zeros(1)}
    assert LAYOUT["caffe2"].recognises(body)
    assert not LAYOUT["caffe2"].recognises({**body, "fpn_res5_2_sum_w": torch.zeros(1)})


def test_unknown_names_stay_so_that_the_loader_reports_them() -> None:
    for layout in LAYOUTS:
        assert list(layout.convert({"what.is.this": torch.zeros(1)})) == ["what.is.this"]
