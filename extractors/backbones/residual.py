"""Bottleneck residual networks over clips: the blocks, and one pathway of them.

The graph is that of facebookresearch/SlowFast and, but for pool1, of facebookresearch/video-nonlocal-net:
post-activation bottlenecks, spatial stride in the 3x3 convolution, no temporal stride inside stages.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor, nn
from torch.nn import functional as F

from extractors.backbones.nonlocal_block import NonLocalBlock

BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
"""Residual blocks of res2 to res5, by depth."""

STAGES = (2, 3, 4, 5)
EXPANSION = 4


@dataclass(frozen=True, kw_only=True)
class NonLocalSpec:
    """Where a pathway has non-local blocks, and of which kind (arguments of `NonLocalBlock`)."""

    at: dict[int, tuple[int, ...]] = field(default_factory=dict)
    """Stage -> indices of the residual blocks that one follows."""
    group_frames: dict[int, int] = field(default_factory=dict)
    """Stage -> frames of a group; stages that are not named attend over the whole clip."""
    form: str = "embedded_gaussian"
    direction: str = "spacetime"
    pool: tuple[int, int, int] = (1, 2, 2)
    scaled: bool | None = None
    attention: str = "fused"

    def block(self, stage: int, index: int, channels: int) -> NonLocalBlock | None:
        """The non-local block after residual block `index` of `stage`, where there is one."""
        if index not in self.at.get(stage, ()):
            return None
        return NonLocalBlock(
            channels,
            form=self.form,
            direction=self.direction,
            pool=self.pool,
            group_frames=self.group_frames.get(stage),
            scaled=self.scaled,
            attention=self.attention,
        )


@dataclass(frozen=True, kw_only=True)
class PathwaySpec:
    """Everything that distinguishes one pathway from another."""

    temporal_kernels: tuple[tuple[int, ...], ...]
    """Per stage, per block: length in time of the block's temporal convolution; 1 for none."""
    stem_kernel_t: int
    input_channels: int = 3
    width: int = 64
    """Channels after the stem; res<s> has width * 2^(s-2) inside its blocks and 4 times that after them."""
    fused_channels: tuple[int, ...] = (0, 0, 0, 0)
    """Channels that lateral connections append to the input of each stage."""
    inflated: str = "a"
    """Which convolution of a block has the temporal kernel: `a`, the first 1x1, or `b`, the 3x3."""
    stem_stride_t: int = 1
    pool1_kernel_t: int = 1
    pool1_stride_t: int = 1
    pool1_padding: int = 1
    """In space. Time is padded only where the kernel is 3 frames long."""
    pool2_kernel_t: int = 1
    """Length in time of the stride-2 max pool after res2; 1 for none."""
    res5_stride: int = 2
    res5_dilation: int = 1
    nonlocal_spec: NonLocalSpec = field(default_factory=NonLocalSpec)

    @property
    def output_channels(self) -> tuple[int, ...]:
        """Channels after the stem and after res2 to res5."""
        return (self.width, *(self.width * EXPANSION * 2**k for k in range(4)))

    def frames_out(self, frames: int) -> int:
        """Frames of the last maps for a clip of `frames`; 0 or less where the clip is too short."""
        frames = (frames - 1) // self.stem_stride_t + 1
        frames = _pooled_length(frames, self.pool1_kernel_t, self.pool1_stride_t)
        return frames if self.pool2_kernel_t == 1 else _pooled_length(frames, self.pool2_kernel_t, 2)


class ConvBN(nn.Module):
    """Convolution without bias and batch normalisation, padded to keep the size at stride 1."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: tuple[int, int, int],
        stride: tuple[int, int, int] = (1, 1, 1),
        dilation: int = 1,
    ) -> None:
        super().__init__()
        padding = (kernel[0] // 2, kernel[1] // 2 * dilation, kernel[2] // 2 * dilation)
        self.conv = nn.Conv3d(
            in_channels, out_channels, kernel, stride, padding, dilation=(1, dilation, dilation), bias=False
        )
        self.bn = nn.BatchNorm3d(out_channels)
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, H, W) -> (N, C', T', H', W'), before any activation."""
        normalised: Tensor = self.bn(self.conv(x))
        return normalised


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 with a shortcut, ReLU after the sum, and then the non-local block, where there is one."""

    def __init__(
        self,
        in_channels: int,
        inner: int,
        out_channels: int,
        *,
        kernel_t: int,
        inflated: str = "a",
        stride: int = 1,
        dilation: int = 1,
        nonlocal_block: NonLocalBlock | None = None,
    ) -> None:
        super().__init__()
        kernel_a, kernel_b = (kernel_t, 1) if inflated == "a" else (1, kernel_t)
        spatial = (1, stride, stride)
        changes_shape = stride > 1 or in_channels != out_channels
        self.shortcut = ConvBN(in_channels, out_channels, (1, 1, 1), spatial) if changes_shape else None
        self.a = ConvBN(in_channels, inner, (kernel_a, 1, 1))
        self.b = ConvBN(inner, inner, (kernel_b, 3, 3), spatial, dilation)
        self.c = ConvBN(inner, out_channels, (1, 1, 1))
        self.nl = nonlocal_block

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, H, W) -> (N, C', T, H', W')."""
        y = F.relu_(self.b(F.relu_(self.a(x))))
        y = F.relu_(self.c(y).add_(x if self.shortcut is None else self.shortcut(x)))
        return y if self.nl is None else self.nl(y)


class Pathway(nn.Module):
    """Stem, pool1 and res2 to res5 at one frame rate."""

    def __init__(self, spec: PathwaySpec) -> None:
        super().__init__()
        channels = spec.output_channels
        self.stem = ConvBN(spec.input_channels, channels[0], (spec.stem_kernel_t, 7, 7), (spec.stem_stride_t, 2, 2))
        self.pool1 = nn.MaxPool3d(
            (spec.pool1_kernel_t, 3, 3),
            (spec.pool1_stride_t, 2, 2),
            (spec.pool1_kernel_t // 3, spec.pool1_padding, spec.pool1_padding),
        )
        self.res2 = _stage(spec, 2)
        self.pool2: nn.Module = nn.Identity()
        if spec.pool2_kernel_t > 1:
            self.pool2 = nn.MaxPool3d((spec.pool2_kernel_t, 1, 1), (2, 1, 1), (spec.pool2_kernel_t // 3, 0, 0))
        self.res3 = _stage(spec, 3)
        self.res4 = _stage(spec, 4)
        self.res5 = _stage(spec, 5)

    def begin(self, clip: Tensor) -> Tensor:
        """Stem and pool1: the input of res2, less what lateral connections append."""
        stem: Tensor = self.pool1(F.relu_(self.stem(clip)))
        return stem

    def stage(self, stage: int, x: Tensor) -> Tensor:
        """res<stage>, and for res2 the pool after it."""
        y: Tensor = self.get_submodule(f"res{stage}")(x)
        return self.pool2(y) if stage == 2 else y


def _stage(spec: PathwaySpec, stage: int) -> nn.Sequential:
    k = stage - 2
    in_channels = spec.output_channels[k] + spec.fused_channels[k]
    inner, out_channels = spec.width * 2**k, spec.output_channels[k + 1]
    stride = {2: 1, 5: spec.res5_stride}.get(stage, 2)
    blocks = []
    for i, kernel_t in enumerate(spec.temporal_kernels[k]):
        blocks.append(
            Bottleneck(
                out_channels if i else in_channels,
                inner,
                out_channels,
                kernel_t=kernel_t,
                inflated=spec.inflated,
                stride=1 if i else stride,
                dilation=spec.res5_dilation if stage == 5 else 1,
                nonlocal_block=spec.nonlocal_spec.block(stage, i, out_channels),
            )
        )
    return nn.Sequential(*blocks)


def _pooled_length(frames: int, kernel: int, stride: int) -> int:
    return (frames + 2 * (kernel // 3) - kernel) // stride + 1
