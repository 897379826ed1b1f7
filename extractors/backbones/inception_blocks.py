"""Parts of the Inception networks over clips: convolutions, pools, gates and the Inception block.

Xie et al., "Rethinking Spatiotemporal Feature Learning" (ECCV 2018), figures 3 and 6 and section 4.6; paddings and
batch norm as in Carreira and Zisserman's Inception-I3D. Every convolution is without bias and followed by batch norm
and ReLU.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Kind = Literal["2d", "3d", "separable"]
"""A k x k convolution as (1, k, k), as (k, k, k), or as (1, k, k) followed by (k, 1, 1)."""
Triple = tuple[int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """What all units of one network share; `Inception` documents the fields."""

    padding: Literal["same", "symmetric"]
    temporal_branches: Literal[2, 4]
    gating: bool
    gating_bias: bool
    bn_eps: float
    bn_momentum: float


@dataclass(frozen=True, slots=True)
class BlockWidths:
    """Output channels of the convolutions of one Inception block, named like its modules."""

    b0: int
    b1a: int
    b1b: int
    b2a: int
    b2b: int
    b3: int

    @property
    def out(self) -> int:
        """Channels of the concatenated branches."""
        return self.b0 + self.b1b + self.b2b + self.b3

    def scaled(self, factor: float) -> BlockWidths:
        """Every width times `factor`, rounded, at least 1."""
        return BlockWidths(*(scaled(width, factor) for width in astuple(self)))


def scaled(channels: int, factor: float) -> int:
    """`channels` times `factor`, rounded, at least 1."""
    return max(1, round(channels * factor))


def same_padding(sizes: Sequence[int], kernel: Triple, stride: Triple) -> tuple[Triple, Triple]:
    """TensorFlow's SAME: (padding on both sides, extra padding at the far end), for (T, H, W) `sizes`.

    The output has ceil(size / stride) places, and an odd total leaves its odd one at the far end.
    """
    totals = [max((-(-n // s) - 1) * s + k - n, 0) for n, k, s in zip(sizes, kernel, stride, strict=True)]
    t, h, w = totals
    return (t // 2, h // 2, w // 2), (t % 2, h % 2, w % 2)


class SameConv3d(nn.Conv3d):
    """A strided convolution with SAME padding, which depends on the size of the input."""

    def forward(self, input: Tensor) -> Tensor:
        both, (t, h, w) = same_padding(input.shape[2:], _triple(self.kernel_size), _triple(self.stride))
        if t or h or w:
            input = F.pad(input, (0, w, 0, h, 0, t))
        return F.conv3d(input, self.weight, self.bias, self.stride, both)


class MaxPool(nn.Module):
    """Max pooling; symmetric padding is (k - 1) // 2."""

    def __init__(self, kernel: Triple, stride: Triple, padding: str) -> None:
        super().__init__()
        self.kernel, self.stride, self.padding = kernel, stride, padding

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, H, W) to the same with fewer places. Ceil mode adds the far end's extra padding, without a copy."""
        if self.padding == "same":
            both, _ = same_padding(x.shape[2:], self.kernel, self.stride)
            return F.max_pool3d(x, self.kernel, self.stride, both, ceil_mode=True)
        return F.max_pool3d(x, self.kernel, self.stride, _halves(self.kernel))


class ConvUnit(nn.Module):
    """Convolution, batch norm, ReLU."""

    def __init__(self, channels: int, out: int, kernel: Triple, stride: Triple, style: Style) -> None:
        super().__init__()
        if style.padding == "same" and stride != (1, 1, 1):
            self.conv: nn.Conv3d = SameConv3d(channels, out, kernel, stride, bias=False)
        else:
            self.conv = nn.Conv3d(channels, out, kernel, stride, _halves(kernel), bias=False)
        self.bn = nn.BatchNorm3d(out, style.bn_eps, style.bn_momentum)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu_(self.bn(self.conv(x)))


class Gate(nn.Module):
    """Feature gating: sigmoid(W pool(X) + b) * X, with the mean over time and space as pool (section 4.6)."""

    def __init__(self, channels: int, bias: bool) -> None:
        super().__init__()
        self.fc = nn.Linear(channels, channels, bias)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.fc(x.mean((2, 3, 4))))[:, :, None, None, None]


class SeparableUnit(nn.Module):
    """A convolution over space, then one over time, each with batch norm and ReLU; then the gate, if any."""

    def __init__(self, channels: int, out: int, kernel: Triple, stride: Triple, style: Style) -> None:
        super().__init__()
        (kt, kh, kw), (st, sh, sw) = kernel, stride
        self.spatial = ConvUnit(channels, out, (1, kh, kw), (1, sh, sw), style)
        self.temporal = ConvUnit(out, out, (kt, 1, 1), (st, 1, 1), style)
        self.gate = Gate(out, style.gating_bias) if style.gating else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.gate(self.temporal(self.spatial(x)))


def conv_unit(
    kind: Kind, channels: int, out: int, kernel: Triple, style: Style, stride: Triple = (1, 1, 1)
) -> nn.Module:
    """`kernel` in the form of `kind`. A 2D convolution keeps the temporal stride: it drops frames."""
    if kind == "separable":
        return SeparableUnit(channels, out, kernel, stride, style)
    return ConvUnit(channels, out, (1, *kernel[1:]) if kind == "2d" else kernel, stride, style)


class InceptionBlock(nn.Module):
    """Four branches side by side, concatenated (figure 3): 1x1, 1x1 and 3x3 (twice), pool and 1x1.

    Temporal convolutions on all four branches (footnote 5) follow the 1x1x1 convolutions of branches 0 and 3, as
    (3, 1, 1) with batch norm and ReLU. A 2D block pools over space only.
    """

    def __init__(self, kind: Kind, channels: int, widths: BlockWidths, style: Style) -> None:
        super().__init__()
        outer: Kind = "separable" if kind == "separable" and style.temporal_branches == 4 else "2d"
        self.b0 = conv_unit(outer, channels, widths.b0, (3, 1, 1), style)
        self.b1 = _two_convolutions(kind, channels, widths.b1a, widths.b1b, style)
        self.b2 = _two_convolutions(kind, channels, widths.b2a, widths.b2b, style)
        self.pool = MaxPool((1 if kind == "2d" else 3, 3, 3), (1, 1, 1), style.padding)
        self.b3 = conv_unit(outer, channels, widths.b3, (3, 1, 1), style)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat((self.b0(x), self.b1(x), self.b2(x), self.b3(self.pool(x))), 1)


def _two_convolutions(kind: Kind, channels: int, inner: int, out: int, style: Style) -> nn.Sequential:
    branch = nn.Sequential()
    branch.add_module("a", conv_unit("2d", channels, inner, (1, 1, 1), style))
    branch.add_module("b", conv_unit(kind, inner, out, (3, 3, 3), style))
    return branch


def _halves(kernel: Triple) -> Triple:
    t, h, w = kernel
    return (t - 1) // 2, (h - 1) // 2, (w - 1) // 2


def _triple(values: tuple[int, ...]) -> Triple:
    t, h, w = values
    return t, h, w
