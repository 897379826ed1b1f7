"""How many multiply-adds of a network meet a padded zero, for figures that were counted without those."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from extractors.complexity import refuse_real_tensors

Axes = Literal["space", "space and time"]


def padding_macs(model: nn.Module, clip_shape: Sequence[int], axes: Axes) -> int:
    """Multiply-adds of `model(clip)` in which a convolution's kernel lies on its padding.

    They are part of `Complexity.macs`, since the papers count whole kernels at every place; a count of what has to be
    computed leaves them out. Padding that a network adds itself, before a convolution, counts as input.

    Args:
        model: built under `torch.device("meta")`.
        clip_shape: (N, C, T, H, W).
        axes: `space` for padding in height and width alone; time is the first axis of a three-dimensional convolution.
    Raises:
        ConfigError: the network has values.
    """
    refuse_real_tensors(model)
    with torch.inference_mode(False), torch.no_grad(), _PaddingCounter(axes) as counter:
        model(torch.empty(tuple(clip_shape), device="meta"))
    return counter.macs


class _PaddingCounter(TorchDispatchMode):
    def __init__(self, axes: Axes) -> None:
        super().__init__()
        self.axes = axes
        self.macs = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        if func.overloadpacket is torch.ops.aten.convolution:
            self._add(out, *args)
        return out

    def _add(
        self,
        out: Tensor,
        x: Tensor,
        weight: Tensor,
        _bias: Tensor | None,
        stride: Sequence[int],
        padding: Sequence[int],
        dilation: Sequence[int],
        transposed: bool,
        *_: object,
    ) -> None:
        if transposed:
            return
        sizes, places, kernel = x.shape[2:], out.shape[2:], weight.shape[2:]
        hits = [products_on_input(*axis) for axis in zip(sizes, places, kernel, stride, padding, dilation, strict=True)]
        if self.axes == "space":
            hits[:-2] = [n * k for n, k in zip(places[:-2], kernel[:-2], strict=True)]
        whole = math.prod(places) * math.prod(kernel)
        channels = out.shape[0] * weight.shape[0] * weight.shape[1]
        self.macs += channels * (whole - math.prod(hits))


def products_on_input(size: int, places: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    """How many of `places` * `kernel` products along one axis are with an element of the input, not of its padding."""
    products = 0
    for tap in range(kernel):
        offset = tap * dilation - padding
        first = max(0, -(offset // stride))
        last = min(places - 1, (size - 1 - offset) // stride)
        products += max(0, last - first + 1)
    return products
