"""Files of public detectors, written with their own names and conventions, come out as our network."""

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from extractors.detectors.faster_rcnn import FasterRCNN, FasterRCNNConfig
from extractors.errors import WeightsError
from extractors.weights import load_weights

SMALL = FasterRCNNConfig(num_classes=3, width=8, fpn_channels=16, feature_dim=32)
LAST_BLOCK = {2: 2, 3: 3, 4: 5, 5: 2}
NORM = {"weight": "s", "bias": "b"}


def state_of() -> dict[str, Tensor]:
    """Every tensor different, so that none can take another's place."""
    generator = torch.Generator().manual_seed(0)
    state = FasterRCNN(SMALL).state_dict()
    return {name: torch.rand(tensor.shape, generator=generator) for name, tensor in state.items()}


def detectron_name(name: str) -> str:
    """Our name as a Caffe2 blob (fact sheet, 11.2)."""
    part, *rest = name.split(".")
    leaf = {"weight": "w", "bias": "b"}.get(rest[-1], "")
    if part == "backbone":
        *where, kind, last = rest
        if where == ["stem"]:
            return f"res_conv1_bn_{NORM[last]}" if kind == "bn" else "conv1_w"
        stage, block, unit = where
        branch = "branch1" if unit == "shortcut" else f"branch2{unit}"
        return f"{stage}_{block}_{branch}" + (f"_bn_{NORM[last]}" if kind == "bn" else "_w")
    if part == "fpn":
        kind, stage = rest[0][:-1], int(rest[0][-1])
        if kind == "output":
            return f"fpn_res{stage}_{LAST_BLOCK[stage]}_sum_{leaf}"
        return f"fpn_inner_res{stage}_{LAST_BLOCK[stage]}_sum{'' if stage == 5 else '_lateral'}_{leaf}"
    heads = {"conv": "conv_rpn_fpn2", "logits": "rpn_cls_logits_fpn2", "deltas": "rpn_bbox_pred_fpn2"}
    heads |= {"fc1": "fc6", "fc2": "fc7", "classes": "cls_score", "boxes": "bbox_pred"}
    return f"{heads[rest[0]]}_{leaf}"


def torchvision_name(name: str) -> str:
    part, *rest = name.split(".")
    if part == "backbone":
        *where, kind, last = rest
        if where == ["stem"]:
            return f"backbone.body.{'conv1' if kind == 'conv' else 'bn1'}.{last}"
        stage, block, unit = where
        begin = f"backbone.body.layer{int(stage[-1]) - 1}.{block}"
        if unit == "shortcut":
            return f"{begin}.downsample.{int(kind == 'bn')}.{last}"
        return f"{begin}.{kind}{'abc'.index(unit) + 1}.{last}"
    if part == "fpn":
        blocks = "inner_blocks" if rest[0].startswith("lateral") else "layer_blocks"
        return f"backbone.fpn.{blocks}.{int(rest[0][-1]) - 2}.0.{rest[1]}"
    heads = {"conv": "rpn.head.conv.0.0", "logits": "rpn.head.cls_logits", "deltas": "rpn.head.bbox_pred"}
    heads |= {"fc1": "roi_heads.box_head.fc6", "fc2": "roi_heads.box_head.fc7"}
    heads |= {"classes": "roi_heads.box_predictor.cls_score", "boxes": "roi_heads.box_predictor.bbox_pred"}
    return f"{heads[rest[0]]}.{rest[1]}"


def background_first(name: str, tensor: Tensor) -> Tensor:
    """As files keep it whose class 0 is the background, which has offsets too."""
    if name.startswith("box_head.classes"):
        return torch.cat([tensor[-1:], tensor[:-1]])
    if name.startswith("box_head.boxes"):
        return torch.cat([torch.full_like(tensor[:4], 9.0), tensor])
    return tensor


def write_detectron(state: dict[str, Tensor], path: Path, **extra: np.ndarray) -> None:
    blobs = {
        detectron_name(name): background_first(name, tensor).numpy()
        for name, tensor in state.items()
        if not name.endswith(("running_mean", "running_var"))
    }
    blobs |= {f"{name}_momentum": array for name, array in blobs.items()} | {"lr": np.float32(0.1), **extra}
    with path.open("wb") as stream:
        pickle.dump({"blobs": blobs, "cfg": "MODEL: {}"}, stream, protocol=2)


def write_torchvision(state: dict[str, Tensor], path: Path) -> None:
    torch.save({torchvision_name(name): background_first(name, tensor) for name, tensor in state.items()}, path)


@pytest.mark.parametrize(
    ("write", "layout"), [(write_detectron, "detectron"), (write_torchvision, "torchvision detection")]
)
def test_a_file_of_another_code_base_becomes_our_network(tmp_path: Path, write: Callable, layout: str) -> None:
    state = state_of()
    write(state, tmp_path / "model.pkl")
    network = FasterRCNN(SMALL)
    report = load_weights(network, tmp_path / "model.pkl")
    assert report.layout == layout
    loaded = network.state_dict()
    for name, tensor in state.items():
        if layout == "detectron" and name.endswith("running_mean"):
            assert not loaded[name].any()
        elif layout == "detectron" and name.endswith("running_var"):
            assert torch.allclose(loaded[name] + 1e-5, torch.ones(1)), "an affine layer only scales and shifts"
        else:
            assert torch.equal(loaded[name], tensor), name


def test_a_keypoint_detector_is_used_without_its_keypoints(tmp_path: Path) -> None:
    extra = {
        "kps_score_lowres_w": np.zeros((8, 17, 4, 4), np.float32),
        "conv_fcn1_w": np.zeros((8, 8, 3, 3), np.float32),
    }
    write_detectron(state_of(), tmp_path / "model_final.pkl", **extra)
    report = load_weights(FasterRCNN(SMALL), tmp_path / "model_final.pkl")
    assert report.layout == "detectron (keypoint and mask heads left out)"


def test_another_number_of_classes_is_named(tmp_path: Path) -> None:
    write_torchvision(state_of(), tmp_path / "model.pth")
    other = FasterRCNN(FasterRCNNConfig(num_classes=5, width=8, fpn_channels=16, feature_dim=32))
    with pytest.raises(WeightsError, match=r"box_head\.classes\.weight"):
        load_weights(other, tmp_path / "model.pth")
