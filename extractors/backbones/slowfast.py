"""SlowFast (Feichtenhofer et al., "SlowFast Networks for Video Recognition", ICCV 2019).

A Slow pathway over T frames and a Fast pathway over alpha * T frames with beta times the channels; after pool1, res2,
res3 and res4 the Slow pathway receives the Fast one's maps (section 3.4, and Tables 5a to 5c for the variants).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from extractors.backbones.residual import STAGES, ConvBN, Pathway, PathwaySpec
from extractors.backbones.resnet import STEM_KERNELS, temporal_kernels
from extractors.backbones.video_resnet import VideoResNet, VideoResNetConfig
from extractors.errors import ShapeError

LATERALS = ("none", "time_to_channel_sum", "time_to_channel_concat", "sampling", "convolution")

FAST_INPUTS = {"rgb": 3, "half": 3, "gray": 1, "time_difference": 1, "flow": 2}
"""Inputs of the Fast pathway (Table 5c), and their channels."""

LUMA = (0.299, 0.587, 0.114)
"""Weights of R, G and B in brightness (ITU-R BT.601)."""


@dataclass(frozen=True, kw_only=True)
class SlowFastConfig(VideoResNetConfig):
    """Settings of SlowFast. `sampling` is that of the Slow pathway."""

    sampling: str = "4x16"
    alpha: int = 8
    """Frames of the Fast pathway per frame of the Slow one."""
    beta: float = 1 / 8
    """Channels of the Fast pathway over those of the Slow one. The stem's are rounded up, and all others are multiples
    of them; rounded down, 1/12 would have 31.8 GFLOPs, and Table 5b says 32.8."""
    lateral: str = "convolution"
    """`none`: the pathways meet in the head. `time_to_channel_sum`, `time_to_channel_concat`: alpha frames become the
    channels of one. `sampling`: every alpha-th frame. `convolution`: over time, to twice the channels, stride alpha."""
    lateral_kernel: int = 5
    """Length in time of the lateral convolutions: 5 in the paper, 7 in the zoo's 8x8 R50 and its descendants."""
    slow_temporal_res4_blocks: int = 6
    """How many blocks of the Slow pathway's res4 have a temporal kernel: 6, or 23 in `R101_101_101` of the zoo."""
    fast_temporal_res4_blocks: int = 6
    """The same of the Fast pathway: 6, or 23 in `R101_50_101` and `R101_101_101`."""
    fast_input: str = "rgb"
    """What the Fast pathway sees (Table 5c). `half`: half the resolution; its maps are repeated to the Slow pathway's
    size where they meet. `gray`: brightness. `time_difference`: brightness less that of the frame before, 0 for the
    first (one channel: the paper's 34.2 GFLOPs leave no room for three). `flow`: the clip has channels RGB, x, y."""
    nonlocal_form: str = "dot_product"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._expect("alpha", self.alpha >= 1, "1 or more")
        _, tau = self.frames_and_stride
        self._expect("sampling", tau % self.alpha == 0, f"a distance that alpha = {self.alpha} divides")
        self._expect("beta", 0 < self.beta <= 1, "above 0 and at most 1")
        self._expect("lateral", self.lateral in LATERALS, f"one of {', '.join(LATERALS)}")
        packs = self.fast_width * self.alpha == self.width
        self._expect("lateral", packs or self.lateral != "time_to_channel_sum", "another where alpha * beta is not 1")
        odd = self.lateral_kernel >= 1 and self.lateral_kernel % 2 == 1
        self._expect("lateral_kernel", odd, "an odd number, 1 or more")
        self._expect("fast_input", self.fast_input in FAST_INPUTS, f"one of {', '.join(FAST_INPUTS)}")
        needs_global = self.fast_input == "half" and self.head != "global"
        self._expect("head", not needs_global, "'global' where the Fast pathway has half the resolution")

    @property
    def fast_width(self) -> int:
        """Channels after the Fast stem."""
        return math.ceil(self.width * self.beta - 1e-9)

    def fast_pathway(self) -> PathwaySpec:
        """The Fast pathway."""
        return PathwaySpec(
            temporal_kernels=temporal_kernels("fast", self.depth, self.fast_temporal_res4_blocks),
            stem_kernel_t=STEM_KERNELS["fast"],
            input_channels=FAST_INPUTS[self.fast_input],
            width=self.fast_width,
            res5_stride=self.stride_of_res5,
            res5_dilation=self.dilation_of_res5,
        )

    def slow_pathway(self) -> PathwaySpec:
        """The Slow pathway."""
        appended = {"none": 0, "time_to_channel_sum": 0, "time_to_channel_concat": self.alpha, "sampling": 1}
        times = appended.get(self.lateral, 2)
        return PathwaySpec(
            temporal_kernels=temporal_kernels("slow", self.depth, self.slow_temporal_res4_blocks),
            stem_kernel_t=STEM_KERNELS["slow"],
            width=self.width,
            fused_channels=tuple(times * channels for channels in self.fast_pathway().output_channels[:4]),
            res5_stride=self.stride_of_res5,
            res5_dilation=self.dilation_of_res5,
            nonlocal_spec=self.nonlocal_spec(),
        )


class SlowFast(VideoResNet):
    """Two pathways. Parameters are under `slow`, `fast`, `fuse1` (after pool1) to `fuse4` (after res4), and `head`.

    A clip comes at the Fast pathway's rate: alpha * T frames, or another multiple of alpha with head `global` or `roi`.
    """

    def __init__(self, config: SlowFastConfig) -> None:
        super().__init__()
        frames, tau = config.frames_and_stride
        self.num_frames, self.stride = frames * config.alpha, tau // config.alpha
        self.alpha, self.lateral, self.fast_input = config.alpha, config.lateral, config.fast_input
        self.input_channels = 5 if config.fast_input == "flow" else 3
        slow, fast = config.slow_pathway(), config.fast_pathway()
        self.slow, self.fast = Pathway(slow), Pathway(fast)
        if config.lateral == "convolution":
            for k, channels in enumerate(fast.output_channels[:4], start=1):
                kernel, stride = (config.lateral_kernel, 1, 1), (config.alpha, 1, 1)
                self.add_module(f"fuse{k}", ConvBN(channels, 2 * channels, kernel, stride))
        side = config.window_side
        channels_out = (slow.output_channels[-1], fast.output_channels[-1])
        self._finish(config, channels_out, [(frames, side, side), (self.num_frames, side, side)])

    def shortest_clip(self) -> int:
        """Fewest frames that make one frame of the Slow pathway."""
        return self.alpha

    def forward_features(self, clip: Tensor) -> tuple[Tensor, ...]:
        """(N, C, T, H', W') of the Slow and (N, beta C, alpha T, H', W') of the Fast pathway's res5.

        Raises:
            ShapeError: the clip has another number of channels, or of frames than a multiple of alpha.
        """
        *_, maps = self.levels(clip)
        return maps

    def levels(self, clip: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Maps of the Slow and the Fast pathway after pool1 and after each of res2 to res5.

        Raises:
            ShapeError: as `forward_features`.
        """
        self._check_clip(clip)
        if clip.shape[2] % self.alpha:
            raise ShapeError(f"Clip has {clip.shape[2]} frames; expected a multiple of alpha = {self.alpha}.")
        slow = self.slow.begin(clip[:, :3, slow_frames(clip.shape[2], self.alpha)])
        fast = self.fast.begin(self._fast_clip(clip))
        yield slow, fast
        for k, stage in enumerate(STAGES, start=1):
            slow = self.slow.stage(stage, self._fuse(k, slow, fast))
            fast = self.fast.stage(stage, fast)
            yield slow, fast

    def _fast_clip(self, clip: Tensor) -> Tensor:
        if self.fast_input == "flow":
            return clip[:, 3:]
        if self.fast_input == "half":
            return F.avg_pool3d(clip, (1, 2, 2))
        if self.fast_input == "rgb":
            return clip
        luma = clip.new_tensor(LUMA).view(1, 3, 1, 1, 1)
        brightness = (clip * luma).sum(1, keepdim=True)
        if self.fast_input == "gray":
            return brightness
        return F.pad(brightness.diff(dim=2), (0, 0, 0, 0, 1, 0))

    def _fuse(self, k: int, slow: Tensor, fast: Tensor) -> Tensor:
        """The input of res<k + 1> of the Slow pathway."""
        if self.lateral == "none":
            return slow
        side = self._lateral(k, fast)
        if self.fast_input == "half":
            side = F.interpolate(side, size=slow.shape[2:], mode="nearest")
        return slow + side if self.lateral == "time_to_channel_sum" else torch.cat((slow, side), 1)

    def _lateral(self, k: int, fast: Tensor) -> Tensor:
        """The Fast pathway's maps at the Slow pathway's frame rate."""
        if self.lateral == "convolution":
            fuse: nn.Module = self.get_submodule(f"fuse{k}")
            return F.relu_(fuse(fast))
        if self.lateral == "sampling":
            return fast[:, :, :: self.alpha]
        packed = fast.unflatten(2, (-1, self.alpha)).transpose(2, 3)
        return packed.flatten(1, 2)


def slow_frames(frames: int, alpha: int) -> list[int]:
    """Which of `frames` the Slow pathway sees: both ends and evenly between, rounded down; not every alpha-th."""
    count = frames // alpha
    return [i * (frames - 1) // max(count - 1, 1) for i in range(count)]
