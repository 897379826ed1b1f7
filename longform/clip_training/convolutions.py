"""Convolutions over clips that are shorter than the kernel, with right gradients.

Measured with torch 2.13 on a CPU, against float64: in bfloat16, where a map has more than one frame and fewer than the
kernel, the gradient of the weights is made of memory that was never written (errors of 70 % up to 10^36); the result,
its gradient and float32 are right. Padding in time by hand instead of by the convolution avoids it.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class TimePaddedConv3d(nn.Conv3d):
    """An `nn.Conv3d` that pads short clips in time itself."""

    def forward(self, clip: Tensor) -> Tensor:
        """As the convolution's."""
        if clip.device.type != "cpu" or not 1 < clip.shape[2] < self.kernel_size[0]:
            return super().forward(clip)
        time, height, width = (int(side) for side in self.padding)
        padded = F.pad(clip, (0, 0, 0, 0, time, time))
        return F.conv3d(padded, self.weight, self.bias, self.stride, (0, height, width), self.dilation, self.groups)


def pad_short_clips(model: nn.Module) -> None:
    """Make every convolution over time of a network, padded with zeros, a `TimePaddedConv3d`, in place."""
    for module in model.modules():
        if type(module) is nn.Conv3d and module.kernel_size[0] > 1 and _pads_with_zeros(module):
            module.__class__ = TimePaddedConv3d


def _pads_with_zeros(conv: nn.Conv3d) -> bool:
    return conv.padding_mode == "zeros" and not isinstance(conv.padding, str)
