"""Tensor names of the public checkpoints of the ResNet family.

Sources of the names: facebookresearch/SlowFast (its own files, and the Caffe2 files of its zoo), facebookresearch/
video-nonlocal-net and video-long-term-feature-banks (Caffe2), facebookresearch/pytorchvideo, torchvision's 2D ResNets,
open-mmlab/mmaction2. Sizes of kernels are not looked at: the loader compares them with the network.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor

from extractors.errors import WeightsError
from extractors.weights.layouts import Layout, State

Rename = Callable[["re.Match[str]"], str]
Rules = tuple[tuple["re.Pattern[str]", Rename], ...]

LFB_PREFIX = "lfb."
"""Before the names of the feature bank operator of a long-term feature bank model; blobs of it that no rule knows keep
their names after it."""

PATHWAYS = ("slow", "fast")

BN_EPS = 1e-5


def _rules(*pairs: tuple[str, Rename]) -> Rules:
    return tuple((re.compile(pattern), rename) for pattern, rename in pairs)


def _renamed(name: str, rules: Rules) -> str:
    """Our name, or `name` itself where no rule knows it."""
    for pattern, rename in rules:
        match = pattern.fullmatch(name)
        if match:
            return rename(match)
    return name


def _conv_or_bn(bn: str | None) -> str:
    return "bn" if bn else "conv"


# ---- facebookresearch/SlowFast ----

_PYSLOWFAST = _rules(
    (r"s1\.pathway(\d)_stem\.(conv|bn)\.(\w+)", lambda m: f"{PATHWAYS[int(m[1])]}.stem.{m[2]}.{m[3]}"),
    (
        r"s(\d)\.pathway(\d)_res(\d+)\.branch1(_bn)?\.(\w+)",
        lambda m: f"{PATHWAYS[int(m[2])]}.res{m[1]}.{m[3]}.shortcut.{_conv_or_bn(m[4])}.{m[5]}",
    ),
    (
        r"s(\d)\.pathway(\d)_res(\d+)\.branch2\.([abc])(_bn)?\.(\w+)",
        lambda m: f"{PATHWAYS[int(m[2])]}.res{m[1]}.{m[3]}.{m[4]}.{_conv_or_bn(m[5])}.{m[6]}",
    ),
    (
        r"s(\d)\.pathway(\d)_nonlocal(\d+)\.(?:conv_)?(theta|phi|g|out|bn)\.(\w+)",
        lambda m: f"{PATHWAYS[int(m[2])]}.res{m[1]}.{m[3]}.nl.{m[4]}.{m[5]}",
    ),
    (r"s(\d)_fuse\.(conv_f2s|bn)\.(\w+)", lambda m: f"fuse{m[1]}.{m[2].removesuffix('_f2s')}.{m[3]}"),
    (r"head\.projection\.(\w+)", lambda m: f"head.fc.{m[1]}"),
)


def _convert_pyslowfast(tensors: Mapping[str, Tensor]) -> State:
    return {_renamed(name, _PYSLOWFAST): tensor for name, tensor in tensors.items()}


# ---- Caffe2: video-nonlocal-net, video-long-term-feature-banks, SlowFast's zoo ----

_BN_LEAF = {"s": "weight", "b": "bias", "rm": "running_mean", "riv": "running_var"}
"""`_riv` is a variance in spite of its name: the repositories' own converters take sqrt(riv + 1e-5)."""

_LEAF = {"w": "weight", "b": "bias"}
_UNIT = {"1": "shortcut", "2a": "a", "2b": "b", "2c": "c"}
_HISTORY = re.compile(r".*_momentum|lr|model_iter|epoch|weight_decay|ONE|(data|labels|proposals).*")
_LFB_BLOB = re.compile(r"lfb_.*|.*_fbonl_.*")
_BN = r"_bn_(s|b|rm|riv)"


def _pathway(fast: str | None) -> str:
    return "fast" if fast else "slow"


def _fuse_index(stage: str | None) -> str:
    return stage or "1"


_CAFFE2 = _rules(
    (r"(t_)?conv1_w", lambda m: f"{_pathway(m[1])}.stem.conv.weight"),
    (rf"(t_)?res_conv1{_BN}", lambda m: f"{_pathway(m[1])}.stem.bn.{_BN_LEAF[m[2]]}"),
    (
        r"(t_)?res(\d)_(\d+)_branch(1|2[abc])_w",
        lambda m: f"{_pathway(m[1])}.res{m[2]}.{m[3]}.{_UNIT[m[4]]}.conv.weight",
    ),
    (
        rf"(t_)?res(\d)_(\d+)_branch(1|2[abc]){_BN}",
        lambda m: f"{_pathway(m[1])}.res{m[2]}.{m[3]}.{_UNIT[m[4]]}.bn.{_BN_LEAF[m[5]]}",
    ),
    (
        r"nonlocal_conv(\d)_(\d+)_(theta|phi|g|out)_(w|b)",
        lambda m: f"slow.res{m[1]}.{m[2]}.nl.{m[3]}.{_LEAF[m[4]]}",
    ),
    (rf"nonlocal_conv(\d)_(\d+){_BN}", lambda m: f"slow.res{m[1]}.{m[2]}.nl.bn.{_BN_LEAF[m[3]]}"),
    (
        r"t_(?:pool1|res(\d)_\d+_branch2c_bn)_subsample_w",
        lambda m: f"fuse{_fuse_index(m[1])}.conv.weight",
    ),
    (
        rf"t_(?:pool1|res(\d)_\d+_branch2c_bn)_subsample{_BN}",
        lambda m: f"fuse{_fuse_index(m[1])}.bn.{_BN_LEAF[m[2]]}",
    ),
    (r"pred_(w|b)", lambda m: f"head.fc.{_LEAF[m[1]]}"),
    (r"(?:box|res5_\d+_branch2c_bn)_pooled_fbonl_reduc_(w|b)", lambda m: f"{LFB_PREFIX}reduce_input.{_LEAF[m[1]]}"),
    (r"lfb_1x1_(w|b)", lambda m: f"{LFB_PREFIX}reduce_bank.{_LEAF[m[1]]}"),
    (
        r"lfb_nl(\d)_(theta|phi|g|out)_(w|b)",
        lambda m: f"{LFB_PREFIX}layers.{m[1]}.{m[2]}.{_LEAF[m[3]]}",
    ),
    (_LFB_BLOB.pattern, lambda m: f"{LFB_PREFIX}{m[0]}"),
)


def _convert_caffe2(tensors: Mapping[str, Tensor]) -> State:
    """Training history is dropped; normalisation folded into an affine map gets the statistics that leave it so."""
    blobs = {name.removeprefix("gpu_0/"): tensor for name, tensor in tensors.items()}
    state = {_renamed(name, _CAFFE2): tensor for name, tensor in blobs.items() if not _HISTORY.fullmatch(name)}
    return {**state, **_affine_statistics(state), **_identity_norms(state)}


def _affine_statistics(state: State) -> State:
    """Mean and variance of every normalisation that has a scale and a shift only.

    With mean 0 and variance 1 - eps, batch normalisation is x * weight + bias.
    """
    statistics: State = {}
    for name, weight in state.items():
        norm = name.removesuffix(".weight")
        if norm.endswith(".bn") and norm != name and f"{norm}.running_mean" not in state:
            statistics[f"{norm}.running_mean"] = torch.zeros_like(weight)
            statistics[f"{norm}.running_var"] = torch.full_like(weight, 1 - BN_EPS)
    return statistics


def _identity_norms(state: State) -> State:
    """Normalisations that change nothing, for non-local blocks that end without (nets trained with frozen BN)."""
    norms: State = {}
    for name, bias in state.items():
        block = name.removesuffix(".out.bias")
        if block.endswith(".nl") and block != name and f"{block}.bn.weight" not in state:
            norms[f"{block}.bn.weight"] = torch.ones_like(bias)
            norms[f"{block}.bn.bias"] = torch.zeros_like(bias)
            norms[f"{block}.bn.running_mean"] = torch.zeros_like(bias)
            norms[f"{block}.bn.running_var"] = torch.full_like(bias, 1 - BN_EPS)
    return norms


# ---- facebookresearch/pytorchvideo ----

_PTV_BLOCK = r"(?:model\.)?blocks\.(\d)\.(?:multipathway_blocks\.(\d)\.)?"


def _ptv_rules(stages: Mapping[str, int]) -> Rules:
    """`stages`: index of the file's block -> number of the residual stage."""

    def pathway(index: str | None) -> str:
        return PATHWAYS[int(index or 0)]

    def leaf(kind: str) -> str:
        return "bn" if kind == "norm" else "conv"

    return _rules(
        (rf"{_PTV_BLOCK}(conv|norm)\.(\w+)", lambda m: f"{pathway(m[2])}.stem.{leaf(m[3])}.{m[4]}"),
        (
            rf"{_PTV_BLOCK}res_blocks\.(\d+)\.branch1_(conv|norm)\.(\w+)",
            lambda m: f"{pathway(m[2])}.res{stages[m[1]]}.{m[3]}.shortcut.{leaf(m[4])}.{m[5]}",
        ),
        (
            rf"{_PTV_BLOCK}res_blocks\.(\d+)\.branch2\.(conv|norm)_([abc])\.(\w+)",
            lambda m: f"{pathway(m[2])}.res{stages[m[1]]}.{m[3]}.{m[5]}.{leaf(m[4])}.{m[6]}",
        ),
        (
            rf"{_PTV_BLOCK}multipathway_fusion\.(conv_fast_to_slow|norm)\.(\w+)",
            lambda m: f"fuse{int(m[1]) + 1}.{leaf(m[3])}.{m[4]}",
        ),
        (r"(?:model\.)?(?:blocks\.\d|detection_head)\.proj\.(\w+)", lambda m: f"head.fc.{m[1]}"),
    )


def _convert_pytorchvideo(tensors: Mapping[str, Tensor]) -> State:
    """C2D and I3D count the pool after res2 as a block, so later stages have the next number there."""
    pooled = not any(re.match(r"(model\.)?blocks\.2\.", name) for name in tensors)
    stages = {"1": 2, "3": 3, "4": 4, "5": 5} if pooled else {"1": 2, "2": 3, "3": 4, "4": 5}
    rules = _ptv_rules(stages)
    return {_renamed(name, rules): tensor for name, tensor in tensors.items()}


# ---- torchvision's ResNets over images, and mmaction2's SlowOnly and I3D ----

_UNIT_OF_CONV = {"1": "a", "2": "b", "3": "c"}

_TORCHVISION = _rules(
    (r"(?:module\.)?(conv|bn)1\.(\w+)", lambda m: f"slow.stem.{m[1]}.{m[2]}"),
    (
        r"(?:module\.)?layer(\d)\.(\d+)\.(conv|bn)([123])\.(\w+)",
        lambda m: f"slow.res{int(m[1]) + 1}.{m[2]}.{_UNIT_OF_CONV[m[4]]}.{m[3]}.{m[5]}",
    ),
    (
        r"(?:module\.)?layer(\d)\.(\d+)\.downsample\.([01])\.(\w+)",
        lambda m: f"slow.res{int(m[1]) + 1}.{m[2]}.shortcut.{'bn' if m[3] == '1' else 'conv'}.{m[4]}",
    ),
    (r"(?:module\.)?fc\.(\w+)", lambda m: f"head.fc.{m[1]}"),
)

_MMACTION2 = _rules(
    (r"backbone\.conv1\.(conv|bn)\.(\w+)", lambda m: f"slow.stem.{m[1]}.{m[2]}"),
    (
        r"backbone\.layer(\d)\.(\d+)\.conv([123])\.(conv|bn)\.(\w+)",
        lambda m: f"slow.res{int(m[1]) + 1}.{m[2]}.{_UNIT_OF_CONV[m[3]]}.{m[4]}.{m[5]}",
    ),
    (
        r"backbone\.layer(\d)\.(\d+)\.downsample\.(conv|bn)\.(\w+)",
        lambda m: f"slow.res{int(m[1]) + 1}.{m[2]}.shortcut.{m[3]}.{m[4]}",
    ),
    (r"cls_head\.fc_cls\.(\w+)", lambda m: f"head.fc.{m[1]}"),
)


def _convert_torchvision(tensors: Mapping[str, Tensor]) -> State:
    return {_renamed(name, _TORCHVISION): tensor for name, tensor in tensors.items()}


def _convert_mmaction2(tensors: Mapping[str, Tensor]) -> State:
    if any(name.startswith("backbone.slow_path.") for name in tensors):
        raise WeightsError(
            "mmaction2's SlowFast is another network than the paper's code: its lateral connections have neither "
            "normalisation nor ReLU, and its head reads the Fast pathway first. Use a file of PySlowFast or "
            "PyTorchVideo."
        )
    if any(".non_local_block." in name for name in tensors):
        raise WeightsError(
            "mmaction2's non-local blocks pool after phi and g instead of before, which is another function. "
            "Use a file of video-nonlocal-net or PySlowFast."
        )
    return {_renamed(name, _MMACTION2): tensor for name, tensor in tensors.items()}


def _any_matches(pattern: str) -> Callable[[Iterable[str]], bool]:
    """Whether a file has a name like this."""
    compiled = re.compile(pattern)
    return lambda names: any(compiled.fullmatch(name) for name in names)


def _is_caffe2(tensors: Mapping[str, Tensor]) -> bool:
    """Detectron's files have the same names for the body, and names of their own for the rest."""
    names = {name.removeprefix("gpu_0/") for name in tensors}
    return {"conv1_w", "res_conv1_bn_s"} <= names and not any(name.startswith(("fpn_", "rpn_")) for name in names)


LAYOUTS: tuple[Layout, ...] = (
    Layout("pyslowfast", _any_matches(r"s1\.pathway0_stem\.conv\.weight"), _convert_pyslowfast),
    Layout("caffe2", _is_caffe2, _convert_caffe2),
    Layout(
        "pytorchvideo",
        _any_matches(r"(model\.)?blocks\.0\.(multipathway_blocks\.0\.)?conv\.weight"),
        _convert_pytorchvideo,
    ),
    Layout("mmaction2", _any_matches(r"backbone\.(slow_path\.)?conv1\.conv\.weight"), _convert_mmaction2),
    Layout("torchvision-resnet", _any_matches(r"(module\.)?layer1\.0\.conv1\.weight"), _convert_torchvision),
)
