"""Parameters and multiply-adds of a network, counted the way the papers count, without computing anything.

One multiply-add of a convolution, a linear layer or a matrix product counts as one; attention is its two matrix
products. Biases, normalisation, pooling, activations and sums of feature maps count nothing. The elements that
pass a batch normalisation are reported apart, because published figures of some model zoos include them, at 2
operations each (fvcore, evaluation) or 5 (fvcore, training).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from extractors.errors import ConfigError

Run = Callable[[nn.Module, Tensor], object]


@dataclass(frozen=True, slots=True)
class Complexity:
    """What a network costs for one input."""

    params: int
    """Learned numbers: weights, biases, and the scales and shifts of normalisations; not running statistics."""
    norm_params: int
    """Those of `params` that are scales and shifts of batch normalisations; some papers leave them out."""
    macs: int
    """Multiply-adds."""
    macs_by_kind: dict[str, int]
    """`macs` by `convolution` and `matrix product` (linear layers and attention)."""
    normalised: int
    """Elements that pass a batch normalisation; no part of `macs`."""

    def __add__(self, other: Complexity) -> Complexity:
        """Two networks side by side, such as the streams of a two-stream network."""
        kinds = {kind: macs + other.macs_by_kind[kind] for kind, macs in self.macs_by_kind.items()}
        return Complexity(
            params=self.params + other.params,
            norm_params=self.norm_params + other.norm_params,
            macs=self.macs + other.macs,
            macs_by_kind=kinds,
            normalised=self.normalised + other.normalised,
        )


def _forward(model: nn.Module, clip: Tensor) -> object:
    return model(clip)


def count(model: nn.Module, clip_shape: Sequence[int], run: Run = _forward) -> Complexity:
    """Count `run(model, clip)`, by default `model(clip)`, for a clip of this shape, (N, C, T, H, W).

    The network must have been built under `torch.device("meta")`, where tensors have shapes but no values: the
    largest network is counted in the time it takes to build it, in no memory. ConfigError if it was not.
    """
    refuse_real_tensors(model)
    with torch.inference_mode(False), torch.no_grad(), _Counter() as counter:
        run(model, torch.empty(tuple(clip_shape), device="meta"))
    return Complexity(
        params=_numbers(model.parameters()),
        norm_params=_numbers(*(layer.parameters() for layer in model.modules() if isinstance(layer, _BatchNorm))),
        macs=sum(counter.macs_by_kind.values()),
        macs_by_kind=counter.macs_by_kind,
        normalised=counter.normalised,
    )


class _Counter(TorchDispatchMode):
    """Sees every elementary operation; those that count do so by the formulas of `torch.utils.flop_counter`."""

    def __init__(self) -> None:
        super().__init__()
        self.macs_by_kind = {"convolution": 0, "matrix product": 0}
        self.normalised = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        operator = func.overloadpacket
        if operator is aten.native_batch_norm:
            return self._normalise(*args)
        out = func(*args, **kwargs)
        if operator in _KINDS:
            operations = flop_registry[operator](*args, **kwargs, out_val=out)
            self.macs_by_kind[_KINDS[operator]] += operations // 2
        elif operator in (aten.mv, aten.dot):
            self.macs_by_kind["matrix product"] += args[0].numel()
        return out

    def _normalise(self, x: Tensor, *_: object) -> tuple[Tensor, Tensor, Tensor]:
        """Counts the elements, without what torch would do to find out that their shape stays."""
        self.normalised += x.numel()
        return torch.empty_like(x), x.new_empty(0), x.new_empty(0)


def _numbers(*groups: Iterable[nn.Parameter]) -> int:
    return sum(parameter.numel() for group in groups for parameter in group)


def refuse_real_tensors(model: nn.Module) -> None:
    """ConfigError unless all of a network is on torch's meta device."""
    devices = {tensor.device.type for tensor in (*model.parameters(), *model.buffers())}
    if devices - {"meta"}:
        where = ", ".join(sorted(devices))
        raise ConfigError(f"A network on {where} cannot be counted; build it inside 'with torch.device(\"meta\"):'.")


aten = torch.ops.aten
_KINDS = {
    aten.convolution: "convolution",
    **dict.fromkeys((aten.mm, aten.addmm, aten.bmm, aten.baddbmm), "matrix product"),
}
