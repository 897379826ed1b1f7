"""Three-dimensional convolutions as two-dimensional ones, for CPUs.

Nearly all kernels of the networks here are flat: (1, k, k) or (k, 1, 1). In channels-last memory such a convolution
is a two-dimensional one over a view of the same bytes: time folded into the batch, or the picture into one axis.
oneDNN has faster two-dimensional kernels, above all for few channels.

torch gives single-threaded float32 convolutions of small kernels to its own slow implementation, unless they are
dilated. Dilation means nothing along an axis on which the kernel has one element, so it is set there.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class PlanarConv3d(nn.Module):
    """An `nn.Conv3d` with a flat kernel, for inference. Clips in channels-last layout are not copied."""

    def __init__(self, convolution: nn.Conv3d) -> None:
        super().__init__()
        self.is_spatial = _is_spatial(convolution)
        axes = slice(1, 3) if self.is_spatial else slice(0, 2)
        weight = convolution.weight.squeeze(2 if self.is_spatial else 4)
        self.weight = nn.Parameter(weight.contiguous(memory_format=torch.channels_last), requires_grad=False)
        self.bias = convolution.bias
        self.stride, self.padding = convolution.stride[axes], convolution.padding[axes]
        sides = zip(self.weight.shape[2:], convolution.dilation[axes], strict=True)
        self.dilation = tuple(2 if side == 1 else dilation for side, dilation in sides)
        self.groups = convolution.groups

    @staticmethod
    def fits(convolution: nn.Conv3d) -> bool:
        """Whether the convolution has a flat kernel."""
        return convolution.padding_mode == "zeros" and (_is_spatial(convolution) or _is_temporal(convolution))

    def forward(self, clip: Tensor) -> Tensor:
        """As the convolution's, in channels-last layout."""
        batch, _, frames, height, width = clip.shape
        last = clip.permute(0, 2, 3, 4, 1)
        if self.is_spatial:
            planes = last.reshape(batch * frames, height, width, -1)
        else:
            planes = last.reshape(batch, frames, height * width, -1)
        made = functional.conv2d(
            planes.permute(0, 3, 1, 2), self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups
        )
        made = made.permute(0, 2, 3, 1)
        size = (batch, frames, *made.shape[1:3]) if self.is_spatial else (batch, made.shape[1], height, width)
        return made.reshape(*size, -1).permute(0, 4, 1, 2, 3)


def _is_spatial(convolution: nn.Conv3d) -> bool:
    return (convolution.kernel_size[0], convolution.stride[0], convolution.padding[0]) == (1, 1, 0)


def _is_temporal(convolution: nn.Conv3d) -> bool:
    return (convolution.kernel_size[1:], convolution.stride[1:], convolution.padding[1:]) == ((1, 1), (1, 1), (0, 0))


def make_planar(model: nn.Module) -> None:
    """Replace every convolution with a flat kernel, in place."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Conv3d) and PlanarConv3d.fits(child):
                setattr(parent, name, PlanarConv3d(child))
