"""Tensor names of public Faster R-CNN files: Detectron2, Detectron (Caffe2) and torchvision.

Our names: `backbone.stem`, `backbone.res<s>.<i>.{shortcut,a,b,c}` with `.conv` and `.bn`; `fpn.{lateral,output}<s>`;
`rpn.{conv,logits,deltas}`; `box_head.{fc1,fc2,classes,boxes}`. Background is the last row of `classes`, and `boxes` has
no rows for it, as in Detectron2.

Keypoint and mask heads of files that have them are left out by name, because their detector is used alone; the name
of the layout in the load report says so. Detectron2's files of ImageNet networks hold the body only, without prefix:
load them with `strict=False`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import Tensor

from extractors.weights.layouts import Layout, State

Rename = tuple[str, str]
"""A pattern for whole names, and what replaces it."""

AFFINE_VARIANCE = 1 - 1e-5
"""Stored variance with which normalisation at eps 1e-5 is scale and shift alone, as Caffe2's AffineChannel is."""

_DETECTRON2: Sequence[Rename] = (
    (r"(?:backbone\.bottom_up\.)?stem\.conv1\.weight", r"backbone.stem.conv.weight"),
    (r"(?:backbone\.bottom_up\.)?stem\.conv1\.norm\.(\w+)", r"backbone.stem.bn.\1"),
    (r"(?:backbone\.bottom_up\.)?(res\d\.\d+)\.(\w+)\.weight", r"backbone.\1.\2.conv.weight"),
    (r"(?:backbone\.bottom_up\.)?(res\d\.\d+)\.(\w+)\.norm\.(\w+)", r"backbone.\1.\2.bn.\3"),
    (r"(backbone\.res\d\.\d+)\.conv1\.(.+)", r"\1.a.\2"),
    (r"(backbone\.res\d\.\d+)\.conv2\.(.+)", r"\1.b.\2"),
    (r"(backbone\.res\d\.\d+)\.conv3\.(.+)", r"\1.c.\2"),
    (r"backbone\.fpn_(lateral|output)(\d)\.(\w+)", r"fpn.\1\2.\3"),
    (r"proposal_generator\.rpn_head\.conv\.(\w+)", r"rpn.conv.\1"),
    (r"proposal_generator\.rpn_head\.objectness_logits\.(\w+)", r"rpn.logits.\1"),
    (r"proposal_generator\.rpn_head\.anchor_deltas\.(\w+)", r"rpn.deltas.\1"),
    (r"roi_heads\.box_head\.(fc[12])\.(\w+)", r"box_head.\1.\2"),
    (r"roi_heads\.box_predictor\.cls_score\.(\w+)", r"box_head.classes.\1"),
    (r"roi_heads\.box_predictor\.bbox_pred\.(\w+)", r"box_head.boxes.\1"),
)
_DETECTRON2_SETTINGS = r"pixel_mean|pixel_std|proposal_generator\.anchor_generator\.cell_anchors\.\d+"
_DETECTRON2_OTHER_HEADS = r"roi_heads\.(keypoint|mask)_head\..+"

_DETECTRON: Sequence[Rename] = (
    (r"(.+)_w", r"\1.weight"),
    (r"(.+)_bn_s", r"\1_bn.weight"),
    (r"(.+)_bn_b", r"\1_bn.bias"),
    (r"(.+)_b", r"\1.bias"),
    (r"conv1\.weight", r"backbone.stem.conv.weight"),
    (r"res_conv1_bn\.(\w+)", r"backbone.stem.bn.\1"),
    (r"res(\d)_(\d+)_branch(\w+?)_bn\.(\w+)", r"backbone.res\1.\2.\3.bn.\4"),
    (r"res(\d)_(\d+)_branch(\w+?)\.weight", r"backbone.res\1.\2.\3.conv.weight"),
    (r"(backbone\.res\d\.\d+)\.1\.(.+)", r"\1.shortcut.\2"),
    (r"(backbone\.res\d\.\d+)\.2([abc])\.(.+)", r"\1.\2.\3"),
    (r"fpn_inner_res(\d)_\d+_sum(?:_lateral)?\.(\w+)", r"fpn.lateral\1.\2"),
    (r"fpn_res(\d)_\d+_sum\.(\w+)", r"fpn.output\1.\2"),
    (r"conv_rpn_fpn2\.(\w+)", r"rpn.conv.\1"),
    (r"rpn_cls_logits_fpn2\.(\w+)", r"rpn.logits.\1"),
    (r"rpn_bbox_pred_fpn2\.(\w+)", r"rpn.deltas.\1"),
    (r"fc6\.(\w+)", r"box_head.fc1.\1"),
    (r"fc7\.(\w+)", r"box_head.fc2.\1"),
    (r"cls_score\.(\w+)", r"box_head.classes.\1"),
    (r"bbox_pred\.(\w+)", r"box_head.boxes.\1"),
)
_DETECTRON_TRAINING = r".+_momentum|lr|model_iter"
_DETECTRON_OTHER_HEADS = r"(conv_fcn|kps_|_\[mask\]_|mask_fcn_|conv5_mask).*"

_TORCHVISION: Sequence[Rename] = (
    (r"backbone\.body\.conv1\.weight", r"backbone.stem.conv.weight"),
    (r"backbone\.body\.bn1\.(\w+)", r"backbone.stem.bn.\1"),
    (r"backbone\.body\.layer1\.(.+)", r"backbone.res2.\1"),
    (r"backbone\.body\.layer2\.(.+)", r"backbone.res3.\1"),
    (r"backbone\.body\.layer3\.(.+)", r"backbone.res4.\1"),
    (r"backbone\.body\.layer4\.(.+)", r"backbone.res5.\1"),
    (r"(backbone\.res\d\.\d+)\.conv1\.(\w+)", r"\1.a.conv.\2"),
    (r"(backbone\.res\d\.\d+)\.conv2\.(\w+)", r"\1.b.conv.\2"),
    (r"(backbone\.res\d\.\d+)\.conv3\.(\w+)", r"\1.c.conv.\2"),
    (r"(backbone\.res\d\.\d+)\.bn1\.(\w+)", r"\1.a.bn.\2"),
    (r"(backbone\.res\d\.\d+)\.bn2\.(\w+)", r"\1.b.bn.\2"),
    (r"(backbone\.res\d\.\d+)\.bn3\.(\w+)", r"\1.c.bn.\2"),
    (r"(backbone\.res\d\.\d+)\.downsample\.0\.(\w+)", r"\1.shortcut.conv.\2"),
    (r"(backbone\.res\d\.\d+)\.downsample\.1\.(\w+)", r"\1.shortcut.bn.\2"),
    (r"backbone\.fpn\.inner_blocks\.(\d)(?:\.0)?\.(\w+)", r"fpn.lateral\1.\2"),
    (r"backbone\.fpn\.layer_blocks\.(\d)(?:\.0)?\.(\w+)", r"fpn.output\1.\2"),
    (r"rpn\.head\.conv(?:\.0\.0)?\.(\w+)", r"rpn.conv.\1"),
    (r"rpn\.head\.cls_logits\.(\w+)", r"rpn.logits.\1"),
    (r"rpn\.head\.bbox_pred\.(\w+)", r"rpn.deltas.\1"),
    (r"roi_heads\.box_head\.fc6\.(\w+)", r"box_head.fc1.\1"),
    (r"roi_heads\.box_head\.fc7\.(\w+)", r"box_head.fc2.\1"),
    (r"roi_heads\.box_predictor\.cls_score\.(\w+)", r"box_head.classes.\1"),
    (r"roi_heads\.box_predictor\.bbox_pred\.(\w+)", r"box_head.boxes.\1"),
)


def _from_detectron2(tensors: Mapping[str, Tensor]) -> State:
    return _renamed(tensors, _DETECTRON2, without=(_DETECTRON2_SETTINGS, _DETECTRON2_OTHER_HEADS))


def _from_detectron(tensors: Mapping[str, Tensor]) -> State:
    plain = {name.removeprefix("gpu_0/"): tensor for name, tensor in tensors.items()}
    state = _renamed(plain, _DETECTRON, without=(_DETECTRON_TRAINING, _DETECTRON_OTHER_HEADS))
    for name in [name for name in state if name.endswith(".bn.weight")]:
        norm = name.removesuffix("weight")
        state[f"{norm}running_mean"] = torch.zeros_like(state[name])
        state[f"{norm}running_var"] = torch.full_like(state[name], AFFINE_VARIANCE)
    return _background_last(state)


def _from_torchvision(tensors: Mapping[str, Tensor]) -> State:
    state = _renamed(tensors, _TORCHVISION)
    pyramid = re.compile(r"fpn\.(lateral|output)([0-3])\.(\w+)")
    state = {
        f"fpn.{found[1]}{int(found[2]) + 2}.{found[3]}" if (found := pyramid.fullmatch(name)) else name: tensor
        for name, tensor in state.items()
    }
    return _background_last(state)


def _background_last(state: State) -> State:
    """From background first, with offsets of its own, to background last, without."""
    for name in ("box_head.classes.weight", "box_head.classes.bias"):
        if name in state:
            state[name] = state[name].roll(-1, dims=0)
    for name in ("box_head.boxes.weight", "box_head.boxes.bias"):
        if name in state:
            state[name] = state[name][4:]
    return state


def _renamed(tensors: Mapping[str, Tensor], renames: Sequence[Rename], *, without: Sequence[str] = ()) -> State:
    """Tensors under new names: each rename in turn applies to what the ones before it made."""
    state: State = {}
    for name, tensor in tensors.items():
        if any(re.fullmatch(pattern, name) for pattern in without):
            continue
        for pattern, new in renames:
            if match := re.fullmatch(pattern, name):
                name = match.expand(new)
        state[name] = tensor
    return state


def _has(*patterns: str, but: str | None = None) -> Callable[[Mapping[str, Tensor]], bool]:
    """Whether every pattern is the whole name of some tensor, and `but` of none."""

    def recognises(tensors: Mapping[str, Tensor]) -> bool:
        return all(_any(pattern, tensors) for pattern in patterns) and not (but and _any(but, tensors))

    return recognises


def _any(pattern: str, names: Iterable[str]) -> bool:
    return any(re.fullmatch(pattern, name) for name in names)


_STEM = r"(backbone\.bottom_up\.)?stem\.conv1\.weight"
_PYRAMID_BLOB = r"(gpu_0/)?fpn_inner_res5_2_sum_w"

LAYOUTS: tuple[Layout, ...] = (
    Layout("detectron2", _has(_STEM, but=_DETECTRON2_OTHER_HEADS), _from_detectron2),
    Layout("detectron2 (keypoint and mask heads left out)", _has(_STEM, _DETECTRON2_OTHER_HEADS), _from_detectron2),
    Layout("detectron", _has(_PYRAMID_BLOB, but=_DETECTRON_OTHER_HEADS), _from_detectron),
    Layout(
        "detectron (keypoint and mask heads left out)", _has(_PYRAMID_BLOB, _DETECTRON_OTHER_HEADS), _from_detectron
    ),
    Layout("torchvision detection", _has(r"backbone\.body\.conv1\.weight"), _from_torchvision),
)
"""In the order in which they are tried."""
