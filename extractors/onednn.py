"""Convolutions, linear layers and attention by oneDNN on a CPU, whatever torch would choose.

For float32 convolutions torch decides by thresholds (aten/src/ATen/native/Convolution.cpp, `use_mkldnn`): kernels of
one element on one thread, and small maps of a single clip, go to its own implementation, which was measured to be 3 to
15 times slower there than oneDNN's. Its float32 matrix products are MKL's, at half of oneDNN's speed on an AMD Zen 5;
its fused attention takes as long in bfloat16 as in float32, four times oneDNN's two products.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from extractors.backbones.nonlocal_block import NonLocalBlock

QUERIES_AT_A_TIME = 512
"""Rows of attention weights that are held at once."""


class OneDnnConv3d(nn.Conv3d):
    """An `nn.Conv3d` for inference."""

    def forward(self, clip: Tensor) -> Tensor:
        """As the convolution's."""
        return _convolved(self, clip)


class OneDnnConv2d(nn.Conv2d):
    """An `nn.Conv2d` for inference."""

    def forward(self, image: Tensor) -> Tensor:
        """As the convolution's."""
        return _convolved(self, image)


class OneDnnLinear(nn.Linear):
    """An `nn.Linear` for inference."""

    def forward(self, rows: Tensor) -> Tensor:
        """As the layer's."""
        return _product(rows, self.weight, self.bias)


class OneDnnNonLocalBlock(NonLocalBlock):
    """A `NonLocalBlock` for inference."""

    def _attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        maps = zip(query, key * self.scale, value.transpose(1, 2).contiguous(), strict=True)
        return torch.stack([_attended(*of_one_map) for of_one_map in maps])


def _attended(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """(Q, I), (K, I) and (I, K) -> (Q, I)."""
    parts = query.split(QUERIES_AT_A_TIME)
    return torch.cat([_product(_product(part, key).softmax(1), value) for part in parts])


def _product(rows: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """(..., C) and (D, C) -> (..., D), as a linear layer."""
    product: Tensor = torch.ops.mkldnn._linear_pointwise(rows, weight, bias, "none", [], "")
    return product


def _convolved(conv: nn.Conv2d | nn.Conv3d, maps: Tensor) -> Tensor:
    padding = cast("tuple[int, ...]", conv.padding)
    return torch.mkldnn_convolution(maps, conv.weight, conv.bias, padding, conv.stride, conv.dilation, conv.groups)


def use_onednn(model: nn.Module) -> None:
    """Let oneDNN compute `model`, in place. Does nothing where torch was built without it."""
    if not torch.backends.mkldnn.is_available():
        return
    for module in model.modules():
        if type(module) is nn.Conv3d and _pads_with_zeros(module):
            module.__class__ = OneDnnConv3d
        elif type(module) is nn.Conv2d and _pads_with_zeros(module):
            module.__class__ = OneDnnConv2d
        elif type(module) is nn.Linear:
            module.__class__ = OneDnnLinear
        elif type(module) is NonLocalBlock and module.attention == "fused":
            module.__class__ = OneDnnNonLocalBlock


def _pads_with_zeros(conv: nn.Conv2d | nn.Conv3d) -> bool:
    return conv.padding_mode == "zeros" and not isinstance(conv.padding, str)
