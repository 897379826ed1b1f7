"""Weights for an original by a rule, and files of them as the originals' publishers write them."""

from __future__ import annotations

import pickle
import re
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

State = Mapping[str, Tensor]

ATTENTION_SCALE = 0.3
"""Of theta's weights: with more, one key takes all of the softmax."""

DOT_PRODUCT_SCALE = 0.2
"""Of what a non-local block adds whose affinity is a dot product: its cube of the activations would explode."""

_COUNTER = "num_batches_tracked"


def fill(network: nn.Module, run: Callable[[], object]) -> None:
    """Weights from tensor names, as in the golden cases, and statistics of `run`, moved a little, so that activations
    keep their size and no normalisation is the identity. Means over keys hardly vary: variances of non-local blocks
    are at least the squared mean, or they would enlarge rounding errors.
    """
    for name, tensor in network.state_dict().items():
        if not name.endswith((_COUNTER, "running_mean", "running_var")):
            tensor.copy_(_by_rule(name, tensor))
    norms = {name: module for name, module in network.named_modules() if isinstance(module, nn.BatchNorm3d)}
    for name, norm in norms.items():
        block = network.get_submodule(name.rpartition(".")[0])
        if getattr(block, "instantiation", "") == "dot_product":
            norm.weight.mul_(DOT_PRODUCT_SCALE)
        norm.momentum = 1.0
        norm.train()
    run()
    for name, norm in norms.items():
        norm.eval()
        mean, variance = _statistics(norm)
        if "nonlocal" in name:
            variance.copy_(torch.maximum(variance, mean.square()))
        mean.add_(0.1 * variance.sqrt() * _normal(f"{name}.running_mean", mean))
        variance.mul_(torch.exp(0.1 * _normal(f"{name}.running_var", variance)))


def _by_rule(name: str, like: Tensor) -> Tensor:
    values = _normal(name, like)
    if like.dim() == 1:
        return 1 + 0.2 * values if name.endswith("weight") else 0.2 * values
    scale = ATTENTION_SCALE if name.endswith("theta.weight") else 1.0
    return values * float(scale * np.sqrt(2 / np.prod(like.shape[1:])))


def _normal(name: str, like: Tensor) -> Tensor:
    values = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(tuple(like.shape))
    return torch.from_numpy(values.astype(np.float32))


def freeze_norms(network: nn.Module, *, nonlocal_norms: bool) -> None:
    """Normalisation becomes scale and shift, as in files that were trained with frozen statistics.

    Args:
        nonlocal_norms: whether non-local blocks keep theirs, or lose them to the convolution before.
    """
    for name, norm in list(network.named_modules()):
        if not isinstance(norm, nn.BatchNorm3d):
            continue
        mean, variance = _statistics(norm)
        norm.weight.div_((variance + norm.eps).sqrt())
        norm.bias.sub_(mean * norm.weight)
        mean.zero_()
        variance.fill_(1 - norm.eps)
        block: Any = network.get_submodule(name.rpartition(".")[0])
        if hasattr(block, "conv_out") and not nonlocal_norms:
            block.conv_out.weight.mul_(norm.weight.view(-1, 1, 1, 1, 1))
            block.conv_out.bias.mul_(norm.weight).add_(norm.bias)
            block.bn = nn.Identity()


def _statistics(norm: nn.BatchNorm3d) -> tuple[Tensor, Tensor]:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    return norm.running_mean, norm.running_var


# ---- containers ----


def write_pyslowfast(state: State, path: Path) -> None:
    torch.save({"epoch": 1, "model_state": state, "optimizer_state": {}, "cfg": ""}, path)


def write_model_state(state: State, path: Path) -> None:
    torch.save({"model_state": state}, path)


def write_mmaction2(state: State, path: Path) -> None:
    torch.save({"meta": {}, "state_dict": state}, path)


def write_prefixed(prefix: str) -> Callable[[State, Path], None]:
    """Writes a bare dictionary whose names begin with `prefix`."""
    return lambda state, path: torch.save({prefix + name: tensor for name, tensor in state.items()}, path)


def write_caffe2(state: State, path: Path, *, affine: bool = False) -> None:
    """A training file of Caffe2, with its history; `affine` ones have no statistics."""
    blobs: dict[str, object] = {"model_iter": 1000, "lr": 0.1}
    for name, tensor in state.items():
        if not name.endswith(_COUNTER) and not (affine and "running_" in name):
            blob = caffe2_name(name, state)
            blobs |= {blob: tensor.numpy()}
            if tensor.dim() == 1:  # the history of the others would only make the file larger
                blobs[f"{blob}_momentum"] = np.zeros_like(tensor.numpy())
    path.write_bytes(pickle.dumps({"blobs": blobs}, 2))


_LEAF = {"weight": "w", "bias": "b"}
_BN_LEAF = {"weight": "s", "bias": "b", "running_mean": "rm", "running_var": "riv"}
_TO_CAFFE2: tuple[tuple[str, str], ...] = (
    (r"s1\.pathway(\d)_stem\.conv\.", "{t}conv1_"),
    (r"s1\.pathway(\d)_stem\.bn\.", "{t}res_conv1_bn_"),
    (r"s(?P<s>\d)\.pathway(\d)_res(?P<i>\d+)\.branch1\.", "{t}res{s}_{i}_branch1_"),
    (r"s(?P<s>\d)\.pathway(\d)_res(?P<i>\d+)\.branch1_bn\.", "{t}res{s}_{i}_branch1_bn_"),
    (r"s(?P<s>\d)\.pathway(\d)_res(?P<i>\d+)\.branch2\.(?P<u>[abc])\.", "{t}res{s}_{i}_branch2{u}_"),
    (r"s(?P<s>\d)\.pathway(\d)_res(?P<i>\d+)\.branch2\.(?P<u>[abc])_bn\.", "{t}res{s}_{i}_branch2{u}_bn_"),
    (r"s(?P<s>\d)\.pathway0_nonlocal(?P<i>\d+)\.(?:conv_)?(?P<u>\w+)\.", "nonlocal_conv{s}_{i}_{u}_"),
    (r"s1_fuse\.conv_f2s\.", "t_pool1_subsample_"),
    (r"s1_fuse\.bn\.", "t_pool1_subsample_bn_"),
    (r"s(?P<s>\d)_fuse\.conv_f2s\.", "t_res{s}_{last}_branch2c_bn_subsample_"),
    (r"s(?P<s>\d)_fuse\.bn\.", "t_res{s}_{last}_branch2c_bn_subsample_bn_"),
    (r"head\.projection\.", "pred_"),
)


def caffe2_name(name: str, names: State) -> str:
    """The Caffe2 blob of a tensor of PySlowFast (checkpoint zoo of SlowFast and of video-nonlocal-net).

    Args:
        names: of all tensors; they tell which block is the last of its stage.
    """
    stem, leaf = name.rsplit(".", 1)
    for pattern, blob in _TO_CAFFE2:
        if match := re.fullmatch(pattern, f"{stem}."):
            part = match.groupdict()
            blocks = [re.match(rf"s{part.get('s')}\.pathway1_res(\d+)\.", other) for other in names]
            last = max((int(block[1]) for block in blocks if block), default=0)
            prefix = "t_" if "pathway1" in stem else ""
            suffix = _BN_LEAF if blob.endswith("bn_") or part.get("u") == "bn" else _LEAF
            return blob.format(t=prefix, last=last, **part) + suffix[leaf]
    raise KeyError(f"No Caffe2 blob is known for {name}.")
