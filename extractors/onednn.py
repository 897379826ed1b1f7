"""Convolutions by oneDNN on a CPU, whatever torch would choose.

For float32 torch decides by thresholds (aten/src/ATen/native/Convolution.cpp, `use_mkldnn`): kernels of one element
on one thread, and small maps of a single clip, go to its own implementation, which was measured to be 3 to 15 times
slower there than oneDNN's.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn


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


def _convolved(conv: nn.Conv2d | nn.Conv3d, maps: Tensor) -> Tensor:
    padding = cast("tuple[int, ...]", conv.padding)
    return torch.mkldnn_convolution(maps, conv.weight, conv.bias, padding, conv.stride, conv.dilation, conv.groups)


def use_onednn(model: nn.Module) -> None:
    """Let oneDNN do every convolution of `model`, in place. Does nothing where torch was built without it."""
    if not torch.backends.mkldnn.is_available():
        return
    for module in model.modules():
        if type(module) is nn.Conv3d and _pads_with_zeros(module):
            module.__class__ = OneDnnConv3d
        elif type(module) is nn.Conv2d and _pads_with_zeros(module):
            module.__class__ = OneDnnConv2d


def _pads_with_zeros(conv: nn.Conv2d | nn.Conv3d) -> bool:
    return conv.padding_mode == "zeros" and not isinstance(conv.padding, str)
