"""The Inception family over clips: I2D, I3D, bottom- and top-heavy mixtures, S3D, S3D-G and Fast-S3D.

Xie et al., "Rethinking Spatiotemporal Feature Learning" (ECCV 2018), figure 2; widths, paddings and head are those of
Inception-I3D (Carreira and Zisserman, "Quo Vadis, Action Recognition?", CVPR 2017).

The networks of figure 2 differ only in eleven layers, `LAYERS`, numbered K = 0 to 10 as in the figure. Each is 2D, 3D
or separable. With a transition at k, for k from 1 to 10:

* bottom-heavy: layers 0 to k - 1 have temporal convolutions, layers k to 10 are 2D;
* top-heavy: layers 0 to k - 1 are 2D, layers k to 10 have temporal convolutions.

So the two of one k are complements, and k = 0 would be I2D and I3D. The paper does not spell out on which side of the
transition layer k lies. Fast-S3D keeps the top two layers separable: it is the separable top-heavy network with k = 9
(5b and 5c).

All networks halve time three times, in the stem, before 4b and before 5b; a 2D stem drops every other frame. I2D
therefore gives the same answer for reversed frames only where every step is symmetric, for 8 m - 3 frames (13, 21, 61);
for other lengths the two answers come from other frames and are close only.

With head `roi` a network classifies the actions of boxes from the maps of Mixed_4e, whose stride is 16 px (Xie et al.,
section 5.3; Gu et al., "AVA", CVPR 2018), and has no layer above it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from numbers import Integral
from typing import Literal, get_args

import torch.nn.functional as F
from torch import Tensor, nn

from extractors.backbones.base import Backbone
from extractors.backbones.heads import RoiHead
from extractors.backbones.inception_blocks import BlockWidths, InceptionBlock, Kind, MaxPool, Style, conv_unit, scaled
from extractors.backbones.roi_backbone import RoiBackbone
from extractors.clips.input import ClipInput
from extractors.errors import ConfigError, ShapeError

BLOCKS = {
    "mixed_3b": BlockWidths(64, 96, 128, 16, 32, 32),
    "mixed_3c": BlockWidths(128, 128, 192, 32, 96, 64),
    "mixed_4b": BlockWidths(192, 96, 208, 16, 48, 64),
    "mixed_4c": BlockWidths(160, 112, 224, 24, 64, 64),
    "mixed_4d": BlockWidths(128, 128, 256, 24, 64, 64),
    "mixed_4e": BlockWidths(112, 144, 288, 32, 64, 64),
    "mixed_4f": BlockWidths(256, 160, 320, 32, 128, 128),
    "mixed_5b": BlockWidths(256, 160, 320, 32, 128, 128),
    "mixed_5c": BlockWidths(384, 192, 384, 48, 128, 128),
}
"""Widths of the Inception blocks for a stem of 64 channels."""

LAYERS = ("stem", "conv_2c", *BLOCKS)
"""The layers that K indexes in figure 2, from the pixels up."""

ROI_LAYERS = tuple(name for name in BLOCKS if name.startswith("mixed_4"))
"""The blocks with maps of stride 16, where boxes can be pooled."""

ROI_STRIDE_PX = 16

Kinds = tuple[Kind, ...]


def bottom_heavy(k: int, kind: Kind) -> Kinds:
    """The kind of every one of `LAYERS`: `kind` below the transition, 2D from layer `k` on."""
    return tuple(kind if index < k else "2d" for index in range(len(LAYERS)))


def top_heavy(k: int, kind: Kind) -> Kinds:
    """The kind of every one of `LAYERS`: 2D below the transition, `kind` from layer `k` on."""
    return tuple("2d" if index < k else kind for index in range(len(LAYERS)))


class PositionHead(nn.Module):
    """Logits of clips: average pooling at every position of a window, and a linear classifier at each.

    Args:
        window_frames: places of the window in time.
        window_side: its places in height and width; None for all there are.
    """

    def __init__(self, channels: int, num_classes: int, *, window_frames: int, window_side: int | None) -> None:
        super().__init__()
        self.window_frames, self.window_side = window_frames, window_side
        self.fc = nn.Conv3d(channels, num_classes, 1)

    def pool(self, maps: Tensor) -> Tensor:
        """(N, D, T', H', W') -> (N, D, T'', H'', W''): means over windows at stride 1."""
        height, width = (self.window_side or n for n in maps.shape[3:])
        return F.avg_pool3d(maps.float(), (self.window_frames, height, width), stride=1)

    def classify(self, pooled: Tensor) -> Tensor:
        """(N, D, T'', H'', W'') -> (N, K, T'', H'', W'')."""
        logits: Tensor = self.fc(pooled.to(self.fc.weight.dtype))
        return logits


class Inception(RoiBackbone):
    """Inception-V1 over clips.

    Args:
        kinds: how each of `LAYERS` convolves.
        num_classes: outputs of the classifier.
        input_channels: 3 for RGB, 2 for flow (x, y).
        width: channels of the stem; every other width is that of the paper times width / 64, rounded, at least 1.
        padding: `same` as TensorFlow pads (by the size of the input), or `symmetric` as the PyTorch S3D networks do.
        separable_stem: False makes a separable stem 3D; other stems are as `kinds` says.
        stem_temporal_kernel: 7, or 3 as in the S3D code of TF-slim; a 2D stem has none.
        temporal_branches: branches of a separable block with a temporal convolution: 2, or all 4 (footnote 5).
        gating: feature gating after every temporal convolution of a separable layer.
        gating_bias: whether the gate's matrix has a bias (the paper's has).
        crop_px: side of the picture that one window of the head's pooling covers; larger pictures have several windows.
            None pools the whole picture.
        activation: `softmax`, or `sigmoid` for classes that can be true together (Charades, AVA).
        head: `windowed` classifies clips, `roi` boxes: mean over time, RoIAlign 7x7, maximum, linear, as `RoiHead`.
        roi_layer: one of `ROI_LAYERS`, the last layer of a network with head `roi`.
        roi_aligned: convention of its RoIAlign; see `extractors.ops.roi_align`.
        roi_dropout: before its classifier, in training.
        bn_eps, bn_momentum: of every batch norm (the weight of the newest batch, as PyTorch counts).
    Raises:
        ConfigError: an argument is not one of the above; the message names it.
    """

    num_frames = 64
    stride = 1
    head: PositionHead | RoiHead

    def __init__(
        self,
        kinds: Kinds,
        *,
        num_classes: int = 400,
        input_channels: int = 3,
        width: int = 64,
        padding: Literal["same", "symmetric"] = "same",
        separable_stem: bool = True,
        stem_temporal_kernel: int = 7,
        temporal_branches: Literal[2, 4] = 2,
        gating: bool = False,
        gating_bias: bool = True,
        crop_px: int | None = 224,
        activation: Literal["softmax", "sigmoid"] = "softmax",
        head: Literal["windowed", "roi"] = "windowed",
        roi_layer: str = "mixed_4e",
        roi_aligned: bool = False,
        roi_dropout: float = 0.5,
        bn_eps: float = 1e-3,
        bn_momentum: float = 1e-3,
    ) -> None:
        super().__init__()
        _expect("kinds", kinds, len(kinds) == len(LAYERS) and set(kinds) <= set(get_args(Kind)), "one Kind per layer")
        whole = isinstance(num_classes, Integral) and num_classes >= 1
        _expect("num_classes", num_classes, whole, "a whole number, 1 or more")
        _expect("input_channels", input_channels, input_channels in (2, 3), "3 (RGB) or 2 (flow)")
        _expect("width", width, isinstance(width, Integral) and width >= 1, "a whole number, 1 or more")
        _expect("padding", padding, padding in ("same", "symmetric"), "'same' or 'symmetric'")
        _expect("stem_temporal_kernel", stem_temporal_kernel, stem_temporal_kernel in (3, 7), "7 or 3")
        _expect("temporal_branches", temporal_branches, temporal_branches in (2, 4), "2 or 4")
        _expect("crop_px", crop_px, crop_px is None or crop_px >= 32, "None or at least 32")
        _expect("activation", activation, activation in ("softmax", "sigmoid"), "'softmax' or 'sigmoid'")
        _expect("head", head, head in ("windowed", "roi"), "'windowed' or 'roi'")
        _expect("roi_layer", roi_layer, roi_layer in ROI_LAYERS, f"one of {', '.join(ROI_LAYERS)}")
        _expect("roi_dropout", roi_dropout, 0 <= roi_dropout < 1, "in [0, 1)")
        style = Style(
            padding=padding,
            temporal_branches=temporal_branches,
            gating=gating,
            gating_bias=gating_bias,
            bn_eps=bn_eps,
            bn_momentum=bn_momentum,
        )
        self.input_channels, self.num_classes = input_channels, num_classes
        self.padding, self.bn_eps, self.activation = padding, bn_eps, activation
        kind_of = dict(zip(LAYERS, kinds, strict=True))
        if kind_of["stem"] == "separable" and not separable_stem:
            kind_of["stem"] = "3d"
        self._add_bottom(kind_of, width, stem_temporal_kernel, style)
        self.embedding_dim = self._add_blocks(kind_of, width, style, last=roi_layer if head == "roi" else "mixed_5c")
        self.apply(_initialise)
        if head == "roi":
            scale = 1 / ROI_STRIDE_PX
            self.head = RoiHead([self.embedding_dim], num_classes, roi_dropout, scale=scale, aligned=roi_aligned)
        else:
            self.head = PositionHead(
                self.embedding_dim,
                num_classes,
                window_frames=1 if set(kinds) == {"2d"} else 2,
                window_side=None if crop_px is None else crop_px // 32,
            )

    def _add_bottom(self, kinds: dict[str, Kind], width: int, stem_temporal_kernel: int, style: Style) -> None:
        stem_kernel = (stem_temporal_kernel, 7, 7)
        self.stem = conv_unit(kinds["stem"], self.input_channels, width, stem_kernel, style, stride=(2, 2, 2))
        self.pool_2a = MaxPool((1, 3, 3), (1, 2, 2), style.padding)
        self.conv_2b = conv_unit("2d", width, width, (1, 1, 1), style)
        self.conv_2c = conv_unit(kinds["conv_2c"], width, scaled(192, width / 64), (3, 3, 3), style)
        self.pool_3a = MaxPool((1, 3, 3), (1, 2, 2), style.padding)

    def _add_blocks(self, kinds: dict[str, Kind], width: int, style: Style, last: str) -> int:
        """Adds the Inception blocks up to `last` and the pools between them; returns the channels of that one."""
        channels = scaled(192, width / 64)
        for name, full in BLOCKS.items():
            if name == "mixed_4b":
                self.pool_4a = MaxPool((3, 3, 3), (2, 2, 2), style.padding)
            elif name == "mixed_5b":
                self.pool_5a = MaxPool((2, 2, 2), (2, 2, 2), style.padding)
            widths = full.scaled(width / 64)
            self.add_module(name, InceptionBlock(kinds[name], channels, widths, style))
            channels = widths.out
            if name == last:
                break
        return channels

    def default_input(self) -> ClipInput:
        """64 frames at 25 frames/s in [-1, 1], as for Inception-I3D and kylemin's S3D; torchvision's differs."""
        seen = ClipInput(num_frames=64, stride=1, fps=25, crop_px=224, mean=(0.5,) * 3, std=(0.5,) * 3)
        return seen if self.input_channels == 3 else replace(seen, mean=(0.0,) * 2, std=(1.0,) * 2, channels="flow")

    def forward_features(self, clip: Tensor) -> tuple[Tensor]:
        """Maps of the last block: (N, C, T', H', W') of a clip (N, C, T, H, W).

        Sizes are about 1/8, 1/32 and 1/32 of the clip's; with head `roi`, 1/4, 1/16 and 1/16.

        Raises:
            ShapeError: the clip has other channels or dimensions, or is smaller than `least_input`.
        """
        self._check(clip)
        x = clip
        for name, layer in self.named_children():
            if name != "head":
                x = layer(x)
        return (x,)

    def pool_clips(self, features: tuple[Tensor, ...]) -> Tensor:
        """(N, D, T'', H'', W''): means over windows of 2 x side x side places at stride 1, 1 place in time for I2D."""
        assert isinstance(self.head, PositionHead)
        return self.head.pool(features[0])

    def classify(self, pooled: Tensor) -> Tensor:
        """(N, K, ...): logits of pooled features (N, D, ...)."""
        return self.head.classify(pooled)

    @property
    def least_input(self) -> tuple[int, int]:
        """(frames, pixels of a side) that give the head its first window; boxes need no more than one place."""
        if isinstance(self.head, RoiHead):
            return 1, 1
        return self._least(3, self.head.window_frames), self._least(5, self.head.window_side or 1)

    def _least(self, halvings: int, places: int) -> int:
        """The least size that leaves `places`. Halvings round up; with symmetric padding, the last rounds down."""
        if self.padding == "symmetric":
            halvings, places = halvings - 1, 2 * places
        return (places - 1) * 2**halvings + 1

    def _check(self, clip: Tensor) -> None:
        if clip.ndim != 5 or clip.shape[1] != self.input_channels:
            raise ShapeError(f"A clip has shape {tuple(clip.shape)}; expected (N, {self.input_channels}, T, H, W).")
        if not clip.is_floating_point():
            raise ShapeError(
                f"A clip is {clip.dtype}; expected normalised floats, as extractors.clips.preprocess makes."
            )
        frames, side = self.least_input
        if clip.shape[2] < frames or min(clip.shape[3:]) < side:
            raise ShapeError(
                f"A clip has {clip.shape[2]} frames of {clip.shape[3]} x {clip.shape[4]} px; "
                f"this network needs at least {frames} frames of {side} x {side} px."
            )


TRANSITIONS = range(1, len(LAYERS))

_S3D = partial(Inception, top_heavy(0, "separable"), padding="symmetric", crop_px=None)

INCEPTION: dict[str, Callable[..., Backbone]] = {
    "i2d": partial(Inception, top_heavy(0, "2d")),
    "i3d": partial(Inception, top_heavy(0, "3d")),
    "s3d": _S3D,
    "s3dg": partial(_S3D, gating=True),
    "fast_s3d": partial(Inception, top_heavy(9, "separable")),
    **{f"bottom_heavy_i3d_{k}": partial(Inception, bottom_heavy(k, "3d")) for k in TRANSITIONS},
    **{f"top_heavy_i3d_{k}": partial(Inception, top_heavy(k, "3d")) for k in TRANSITIONS},
    **{f"bottom_heavy_s3d_{k}": partial(Inception, bottom_heavy(k, "separable")) for k in TRANSITIONS},
    **{f"top_heavy_s3d_{k}": partial(Inception, top_heavy(k, "separable")) for k in TRANSITIONS},
}
"""The named networks; every builder takes the options of `Inception`.

`s3d` and `s3dg` have the paddings and branches of the public checkpoints, and pool whole pictures as kylemin's does;
torchvision's pools windows (`crop_px=224`, the same at 224 px). The paper's S3D has `temporal_branches=4`.
"""


def _initialise(module: nn.Module) -> None:
    """He initialisation, so that activations keep their scale through an untrained network."""
    if isinstance(module, nn.Conv3d):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")


def _expect(name: str, value: object, holds: bool, rule: str) -> None:
    if not holds:
        raise ConfigError(f"{name} is {value!r}; expected {rule}.")
