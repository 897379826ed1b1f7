"""Files as the released code writes them, and its network straight from their blobs, written from its description."""

import pickle
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from extractors.ops.roi_align import roi_align

Array = NDArray[np.float32]

BLOCKS = {2: 3, 3: 4, 4: 6, 5: 3}
TEMPORAL = {2: (0, 1, 2), 3: (0, 2), 4: (0, 2, 4), 5: (1,)}
"""Blocks of R50 whose first kernel is 3 long in time."""
NON_LOCAL = {3: (1, 3), 4: (1, 3, 5)}
INPUT_OF_OPERATOR = {True: "box_pooled_fbonl_reduc", False: "res5_2_branch2c_bn_pooled_fbonl_reduc"}
"""By whether boxes are classified: what the released code calls the linear layer on short-term features."""


def blob_shapes(
    width: int, classes: int, *, boxes: bool = True, layers: int = 0, latent: int = 512, pooled: bool = False
) -> dict[str, tuple[int, ...]]:
    """Names and shapes of an R50; with `layers` those of FBO-NL too, with `pooled` the classifier over pooled slots."""
    dim = 32 * width
    shapes = {"conv1_w": (width, 3, 5, 7, 7), **_affine("res_conv1", width)}
    inputs = width
    for stage, count in BLOCKS.items():
        inner = width * 2 ** (stage - 2)
        for block in range(count):
            name = f"res{stage}_{block}_branch"
            kernel = 3 if block in TEMPORAL[stage] else 1
            shapes |= {f"{name}2a_w": (inner, inputs, kernel, 1, 1), **_affine(f"{name}2a", inner)}
            shapes |= {f"{name}2b_w": (inner, inner, 1, 3, 3), **_affine(f"{name}2b", inner)}
            shapes |= {f"{name}2c_w": (4 * inner, inner, 1, 1, 1), **_affine(f"{name}2c", 4 * inner)}
            if block == 0:
                shapes |= {f"{name}1_w": (4 * inner, inputs, 1, 1, 1), **_affine(f"{name}1", 4 * inner)}
            inputs = 4 * inner
            if block in NON_LOCAL.get(stage, ()):
                shapes |= _non_local(f"nonlocal_conv{stage}_{block}", inputs)
    shapes |= _operator(INPUT_OF_OPERATOR[boxes], dim, layers, latent) if layers else {}
    read = dim + (latent if layers else 0) + (dim if pooled else 0)
    return {**shapes, "pred_w": (classes, read), "pred_b": (classes,)}


def _affine(name: str, channels: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}_bn_s": (channels,), f"{name}_bn_b": (channels,)}


def _non_local(name: str, channels: int) -> dict[str, tuple[int, ...]]:
    inner = channels // 2
    sizes = {"theta": (inner, channels), "phi": (inner, channels), "g": (inner, channels), "out": (channels, inner)}
    convolutions = dict(_convolution(f"{name}_{leaf}", *size) for leaf, size in sizes.items())
    biases = {f"{name}_{leaf}_b": size[:1] for leaf, size in sizes.items()}
    return {**convolutions, **biases, **_affine(name, channels)}


def _operator(name_of_input: str, dim: int, layers: int, latent: int) -> dict[str, tuple[int, ...]]:
    names = {name_of_input: dim, "lfb_1x1": dim}
    names |= {f"lfb_nl{i}_{leaf}": latent for i in range(layers) for leaf in ("theta", "phi", "g", "out")}
    shapes = dict(_convolution(name, latent, inputs) for name, inputs in names.items())
    return {**shapes, **{f"{name}_b": (latent,) for name in names}}


def _convolution(name: str, outputs: int, inputs: int) -> tuple[str, tuple[int, ...]]:
    return f"{name}_w", (outputs, inputs, 1, 1, 1)


def random_blobs(shapes: dict[str, tuple[int, ...]]) -> dict[str, Array]:
    """Values that keep activations near 1: what is added to a map is scaled down."""
    random = np.random.RandomState(0)
    blobs = {}
    for name, shape in shapes.items():
        fan_in = int(np.prod(shape[1:]))
        is_sum = name.startswith("nonlocal") or "branch2c" in name
        middle = (0.2 if is_sum else 1.0) if name.endswith("_s") else 0.0
        spread = 1.4 / np.sqrt(fan_in) if len(shape) > 1 else 0.1
        blobs[name] = (middle + spread * random.standard_normal(shape)).astype(np.float32)
    return blobs


def write(blobs: dict[str, Array], path: Path) -> Path:
    """A checkpoint: blobs, momenta, iteration and learning rate, pickled as by Python 2."""
    momenta = {f"{name}_momentum": np.ones_like(blob) for name, blob in blobs.items() if "_bn_" not in name}
    history = {"model_iter": 140000, "lr": np.array([4e-4], np.float32)}
    path.write_bytes(pickle.dumps({"blobs": {**blobs, **momenta, **history}}, 2))
    return path


class ReleasedNetwork:
    """The network of frozen norms up to the feature of boxes or clips."""

    def __init__(self, blobs: dict[str, Array], dilation: int) -> None:
        self.blobs = {name: torch.from_numpy(blob) for name, blob in blobs.items()}
        self.dilation = dilation

    def maps(self, clip: Tensor) -> Tensor:
        x = F.conv3d(clip, self.blobs["conv1_w"], stride=(1, 2, 2), padding=(2, 3, 3))
        x = F.max_pool3d(self._scaled(x, "res_conv1").relu(), (1, 3, 3), (1, 2, 2), (0, 1, 1))
        for stage, count in BLOCKS.items():
            for block in range(count):
                x = self._block(x, stage, block)
                if block in NON_LOCAL.get(stage, ()):
                    groups = x.split(4 if stage == 3 else x.shape[2], dim=2)
                    x = torch.cat([self._non_local(group, f"nonlocal_conv{stage}_{block}") for group in groups], 2)
            if stage == 2:
                x = F.max_pool3d(x, (2, 1, 1))
        return x

    def boxes(self, clip: Tensor, boxes_px: Tensor) -> Tensor:
        maps = self.maps(clip).mean(2)
        return roi_align(maps, boxes_px, 7, spatial_scale=1 / 16, aligned=False).amax((2, 3))

    def clips(self, clip: Tensor) -> Tensor:
        return self.maps(clip).mean((2, 3, 4))

    def _scaled(self, x: Tensor, name: str) -> Tensor:
        scale, bias = (self.blobs[f"{name}_bn_{leaf}"].view(-1, 1, 1, 1) for leaf in "sb")
        return x * scale + bias

    def _block(self, x: Tensor, stage: int, block: int) -> Tensor:
        name = f"res{stage}_{block}_branch"
        stride = (1, 2, 2) if block == 0 and stage in (3, 4) else (1, 1, 1)
        around = self.dilation if stage == 5 else 1
        temporal = self.blobs[f"{name}2a_w"]
        y = self._scaled(F.conv3d(x, temporal, padding=(temporal.shape[2] // 2, 0, 0)), f"{name}2a").relu()
        y = F.conv3d(y, self.blobs[f"{name}2b_w"], None, stride, (0, around, around), (1, around, around))
        y = self._scaled(y, f"{name}2b").relu()
        y = self._scaled(F.conv3d(y, self.blobs[f"{name}2c_w"]), f"{name}2c")
        if f"{name}1_w" in self.blobs:
            x = self._scaled(F.conv3d(x, self.blobs[f"{name}1_w"], stride=stride), f"{name}1")
        return (x + y).relu()

    def _non_local(self, x: Tensor, name: str) -> Tensor:
        def convolved(maps: Tensor, leaf: str) -> Tensor:
            return F.conv3d(maps, self.blobs[f"{name}_{leaf}_w"], self.blobs[f"{name}_{leaf}_b"])

        pooled = F.max_pool3d(x, (1, 2, 2))
        theta, phi, g = convolved(x, "theta"), convolved(pooled, "phi"), convolved(pooled, "g")
        affinity = torch.einsum("nci,ncj->nij", theta.flatten(2), phi.flatten(2)) / theta.shape[1] ** 0.5
        y = torch.einsum("nij,ncj->nci", affinity.softmax(2), g.flatten(2)).view_as(theta)
        return x + self._scaled(convolved(y, "out"), name)


def named_blobs(blobs: dict[str, Array]) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """Blobs of the operator for the NumPy version: matrices in double precision, the input's under one name."""
    for name, blob in blobs.items():
        if name.startswith("lfb_") or "fbonl" in name:
            leaf = name.rsplit("_", 1)[1]
            yield (f"reduc_{leaf}" if "fbonl" in name else name), blob.reshape(blob.shape[:2]).astype(np.float64)
