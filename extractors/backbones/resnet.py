"""Networks of one pathway: C2D and I3D (Wang et al., CVPR 2018, Table 1), Slow-only and Fast-only (Feichtenhofer et
al., "SlowFast Networks for Video Recognition", ICCV 2019, Table 1), and the LFB backbone (Wu et al., CVPR 2019).
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from extractors.backbones.residual import BLOCKS, Pathway, PathwaySpec
from extractors.backbones.video_resnet import VideoResNet, VideoResNetConfig

STEM_KERNELS = {"c2d": 1, "i3d": 5, "i3d_333": 5, "slow": 1, "fast": 5}
"""Length in time of the stem's kernel, by architecture."""

TEMPORAL_PATTERNS = {
    "c2d": ((1,), (1,), (1,), (1,)),
    "i3d": ((3,), (3, 1), (3, 1), (1, 3)),
    "i3d_333": ((3,), (3, 1), (3, 1), (1, 3)),
    "slow": ((1,), (1,), (3,), (3,)),
    "fast": ((3,), (3,), (3,), (3,)),
}
"""Length in time of the blocks' kernels in res2 to res5, repeated over the blocks of a stage."""

EARLY_TIME_STRIDE = ("32x2", "128x1")
"""Samplings of the non-local paper, whose stem and pool1 halve time; `8x8` and `32x4` read a quarter of the frames."""

FROZEN_NORM = ("32x4", "128x1")
"""Samplings that were fine-tuned with frozen normalisation; their code groups the frames of res3's non-local blocks."""


@dataclass(frozen=True, kw_only=True)
class ResNetConfig(VideoResNetConfig):
    """Settings of a network of one pathway."""

    architecture: str = "c2d"
    """`c2d`; `i3d`, kernels 3x1x1; `i3d_333`, kernels 3x3x3; `slow` or `fast`, a pathway of SlowFast by itself."""
    early_time_stride: bool | None = None
    """Whether stem and pool1 halve time (C2D and I3D only); None for what the sampling's code does."""
    pool1_padding: int | None = None
    """0 as in video-nonlocal-net, or 1 as in PySlowFast and LFB; None for 1 at `8x8` and 0 at the samplings that only
    video-nonlocal-net has."""
    pool_kernel_t: int = 2
    """Length in time of pools that halve it: 2 in the released code; 3 as printed in the non-local paper's Table 1."""
    pool1_kernel_t: int | None = None
    """The same of pool1 alone: 1 in mmaction2's I3D, whose pool1 drops every other frame; None for `pool_kernel_t`."""
    pool2: bool = True
    """Whether C2D and I3D halve time after res2; not in the zoo's `C2D_NOPOOL_8x8_R50`."""
    temporal_res4_blocks: int | None = None
    """How many blocks of res4 may have a temporal kernel; None for all. `R101_50_50` of the zoo has 6."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._expect("architecture", self.architecture in STEM_KERNELS, f"one of {', '.join(STEM_KERNELS)}")
        self._expect("pool1_padding", self.pool1_padding in (None, 0, 1), "0 or 1")
        self._expect("pool_kernel_t", self.pool_kernel_t in (2, 3), "2 or 3")
        self._expect("pool1_kernel_t", self.pool1_kernel_t in (None, 1, 2, 3), "1, 2 or 3")
        pooled = self.architecture in ("c2d", "i3d", "i3d_333")
        self._expect("early_time_stride", pooled or not self.early_time_stride, "False for a pathway of SlowFast")

    def _default_groups(self) -> dict[int, int]:
        return {3: 4} if self.sampling in FROZEN_NORM else {}

    def pathway(self) -> PathwaySpec:
        """The pathway, with every default decided."""
        in_time = self.architecture in ("c2d", "i3d", "i3d_333")
        nonlocal_code = in_time and self.sampling in (*EARLY_TIME_STRIDE, *FROZEN_NORM)
        strided = in_time and self.sampling in EARLY_TIME_STRIDE
        if self.early_time_stride is not None:
            strided = self.early_time_stride
        padding = int(not nonlocal_code) if self.pool1_padding is None else self.pool1_padding
        return PathwaySpec(
            temporal_kernels=temporal_kernels(self.architecture, self.depth, self.temporal_res4_blocks),
            stem_kernel_t=STEM_KERNELS[self.architecture],
            width=self.width,
            inflated="b" if self.architecture == "i3d_333" else "a",
            stem_stride_t=2 if strided else 1,
            pool1_kernel_t=(self.pool1_kernel_t or self.pool_kernel_t) if strided else 1,
            pool1_stride_t=2 if strided else 1,
            pool1_padding=padding,
            pool2_kernel_t=self.pool_kernel_t if in_time and self.pool2 else 1,
            res5_stride=self.stride_of_res5,
            res5_dilation=self.dilation_of_res5,
            nonlocal_spec=self.nonlocal_spec(),
        )


def temporal_kernels(
    architecture: str, depth: int, temporal_res4_blocks: int | None = None
) -> tuple[tuple[int, ...], ...]:
    """Per stage, per block: length in time of the block's temporal kernel."""
    kernels = []
    for stage, (pattern, count) in enumerate(zip(TEMPORAL_PATTERNS[architecture], BLOCKS[depth], strict=True), start=2):
        allowed = count if stage != 4 or temporal_res4_blocks is None else temporal_res4_blocks
        kernels.append(tuple(pattern[i % len(pattern)] if i < allowed else 1 for i in range(count)))
    return tuple(kernels)


class ResNet(VideoResNet):
    """A network of one pathway. Its parameters are under `slow` and `head`."""

    input_channels = 3

    def __init__(self, config: ResNetConfig) -> None:
        super().__init__()
        spec = config.pathway()
        self.num_frames, self.stride = config.frames_and_stride
        self._spec = spec
        self.slow = Pathway(spec)
        side = config.window_side
        self._finish(config, spec.output_channels[-1:], [(spec.frames_out(self.num_frames), side, side)])

    def shortest_clip(self) -> int:
        """Fewest frames from which there is a map."""
        return next(frames for frames in range(1, 129) if self._spec.frames_out(frames) > 0)

    def forward_features(self, clip: Tensor) -> tuple[Tensor, ...]:
        """(N, C, T', H', W') of res5. Raises `ShapeError` for a clip of another shape."""
        self._check_clip(clip)
        x = self.slow.begin(clip)
        for stage in (2, 3, 4, 5):
            x = self.slow.stage(stage, x)
        return (x,)
