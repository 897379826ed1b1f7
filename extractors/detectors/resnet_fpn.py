"""The body of Faster R-CNN: a residual network over pictures, and the feature pyramid on top of it.

ResNet (He et al., CVPR 2016), ResNeXt (Xie et al., CVPR 2017), FPN (Lin et al., CVPR 2017), with the details of
facebookresearch/detectron2: normalisation is frozen, and plain bottlenecks stride in their first 1x1 convolution.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from extractors.backbones.nonlocal_block import NonLocalBlock
from extractors.errors import ConfigError

STAGES = (2, 3, 4, 5)
EXPANSION = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Body:
    """What distinguishes one residual network from another."""

    blocks: tuple[int, int, int, int]
    """Residual blocks of res2 to res5."""
    groups: int = 1
    """Groups of the 3x3 convolutions; above 1 it is a ResNeXt."""
    inner: int = 1
    """Channels inside the blocks of res2, as a multiple of the stem's width."""


BODIES: dict[str, Body] = {
    "r50": Body(blocks=(3, 4, 6, 3)),
    "r101": Body(blocks=(3, 4, 23, 3)),
    "x101_32x8d": Body(blocks=(3, 4, 23, 3), groups=32, inner=4),
    "x101_64x4d": Body(blocks=(3, 4, 23, 3), groups=64, inner=4),
}


def body_named(name: str) -> Body:
    """The body of that name.

    Raises:
        ConfigError: there is none; the message lists those there are.
    """
    if name not in BODIES:
        raise ConfigError(f"No detector body is called {name!r}; expected one of: {', '.join(BODIES)}.")
    return BODIES[name]


class FrozenBatchNorm2d(nn.Module):
    """Batch normalisation by stored statistics, none of which is learned: the four tensors are buffers."""

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.register_buffer("weight", torch.ones(channels))
        self.register_buffer("bias", torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same shape."""
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)


class ConvFrozenBN(nn.Module):
    """Convolution without bias and frozen normalisation, padded to keep the size at stride 1."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, *, stride: int = 1, groups: int = 1, eps: float
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.bn = FrozenBatchNorm2d(out_channels, eps)
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H', W'), before any activation."""
        normalised: Tensor = self.bn(self.conv(x))
        return normalised


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 with a shortcut, ReLU after the sum, and then the non-local block, where there is one."""

    def __init__(
        self, in_channels: int, inner: int, out_channels: int, *, strides: tuple[int, int], groups: int, eps: float
    ) -> None:
        super().__init__()
        stride = strides[0] * strides[1]
        changes_shape = stride > 1 or in_channels != out_channels
        self.shortcut = ConvFrozenBN(in_channels, out_channels, 1, stride=stride, eps=eps) if changes_shape else None
        self.a = ConvFrozenBN(in_channels, inner, 1, stride=strides[0], eps=eps)
        self.b = ConvFrozenBN(inner, inner, 3, stride=strides[1], groups=groups, eps=eps)
        self.c = ConvFrozenBN(inner, out_channels, 1, eps=eps)
        self.nl: NonLocalBlock | None = None

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H', W')."""
        y = F.relu_(self.b(F.relu_(self.a(x))))
        y = F.relu_(self.c(y).add_(x if self.shortcut is None else self.shortcut(x)))
        return y if self.nl is None else self.nl(y.unsqueeze(2)).squeeze(2)


class ResNet(nn.Module):
    """Stem and res2 to res5.

    Args:
        width: channels after the stem; res<s> has 4 * width * 2^(s-2) of them.
        stride_in_1x1: whether plain bottlenecks stride in their first convolution; ResNeXt always in the 3x3.
        eps: of the normalisations.
        nonlocal_res4: one non-local block right before the last block of res4 (Wang et al., "Non-local Neural
            Networks", CVPR 2018, section 6).
    """

    def __init__(
        self, body: Body, *, width: int = 64, stride_in_1x1: bool = True, eps: float = 1e-5, nonlocal_res4: bool = False
    ) -> None:
        super().__init__()
        if (width * body.inner) % body.groups:
            raise ConfigError(f"A body of width {width} has {width * body.inner} channels inside its first blocks; "
                              f"expected a multiple of its {body.groups} groups.")  # fmt: skip
        self.output_channels = tuple(EXPANSION * width * 2**k for k in range(4))
        self.stem = ConvFrozenBN(3, width, 7, stride=2, eps=eps)
        in_channels = width
        for stage, blocks, out_channels in zip(STAGES, body.blocks, self.output_channels, strict=True):
            residual = []
            for i in range(blocks):
                stride = 2 if i == 0 and stage > 2 else 1
                strides = (stride, 1) if stride_in_1x1 and body.groups == 1 else (1, stride)
                inner = width * body.inner * 2 ** (stage - 2)
                residual.append(
                    Bottleneck(in_channels, inner, out_channels, strides=strides, groups=body.groups, eps=eps)
                )
                in_channels = out_channels
            self.add_module(f"res{stage}", nn.Sequential(*residual))
        if nonlocal_res4:
            before_last = self.get_submodule(f"res4.{body.blocks[2] - 2}")
            before_last.nl = NonLocalBlock(self.output_channels[2])

    def forward(self, images: Tensor) -> list[Tensor]:
        """(N, 3, H, W) -> outputs of res2 to res5, with strides 4, 8, 16 and 32."""
        x = F.max_pool2d(F.relu_(self.stem(images)), kernel_size=3, stride=2, padding=1)
        outputs = []
        for stage in STAGES:
            x = self.get_submodule(f"res{stage}")(x)
            outputs.append(x)
        return outputs


class FPN(nn.Module):
    """Feature pyramid P2 to P6, each with `channels` channels; P6 is every other cell of P5."""

    def __init__(self, in_channels: tuple[int, ...], channels: int) -> None:
        super().__init__()
        for stage, source in zip(STAGES, in_channels, strict=True):
            self.add_module(f"lateral{stage}", nn.Conv2d(source, channels, 1))
            self.add_module(f"output{stage}", nn.Conv2d(channels, channels, 3, padding=1))

    def forward(self, maps: list[Tensor]) -> tuple[Tensor, ...]:
        """Outputs of res2 to res5 -> P2 to P6, (N, C, H, W) with strides 4, 8, 16, 32 and 64."""
        summed: Tensor | None = None
        outputs: list[Tensor] = []
        for stage, x in zip(reversed(STAGES), reversed(maps), strict=True):
            lateral = self.get_submodule(f"lateral{stage}")(x)
            summed = lateral if summed is None else lateral + F.interpolate(summed, scale_factor=2.0, mode="nearest")
            outputs.insert(0, self.get_submodule(f"output{stage}")(summed))
        return *outputs, F.max_pool2d(outputs[-1], kernel_size=1, stride=2)
