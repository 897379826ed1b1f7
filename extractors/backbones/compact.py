"""A SlowFast small enough for a CPU and for the package, whose embedding sees all its levels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from extractors.backbones.base import ClipOutput
from extractors.backbones.heads import ClipHead
from extractors.backbones.residual import ConvBN
from extractors.backbones.slowfast import SlowFast, SlowFastConfig, slow_frames
from extractors.clips.input import ClipInput
from extractors.errors import ShapeError

STANDARD_EPS = 1e-3
"""Added to the variance of each mean, so that channels that hardly vary are not blown up."""

SIDE_PX = 112
COLOUR_CHANNELS = (32, 64)
COLOUR_CELL_PX = 4
"""Side of the squares whose mean colour the colour level sees."""

DESCRIBED = ((0, 4), (1, 4), (7, 2), (9, 2))
"""Levels of an embedding, as `forward_features` counts them, with the cells along a side of the picture: colours, and
of the Slow pathway pool1, res4 and res5. Chosen on real clips (docs/builtin-weights.md)."""


@dataclass(frozen=True, kw_only=True)
class CompactSlowFastConfig(SlowFastConfig):
    """Settings of `CompactSlowFast`: a quarter of the width, for 16 frames of 112 px; motion from differences."""

    sampling: str = "4x8"
    alpha: int = 4
    width: int = 16
    beta: float = 1 / 4
    head: str = "global"
    crop_px: int = SIDE_PX
    dropout: float = 0.0
    fast_input: str = "time_difference"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._expect("head", self.head == "global", "'global': this network classifies clips, not boxes")


class Standardised(nn.BatchNorm1d):
    """Blocks of numbers, each number with mean 0 and deviation 1, each block with the same share of the squared length.

    One vector alone is standardised by running statistics, in training too.
    """

    balance: Tensor

    def __init__(self, blocks: Sequence[int]) -> None:
        super().__init__(sum(blocks), eps=STANDARD_EPS, affine=False)
        shares = [torch.full((count,), math.sqrt(sum(blocks) / (len(blocks) * count))) for count in blocks]
        self.register_buffer("balance", torch.cat(shares), persistent=False)

    def forward(self, vectors: Tensor) -> Tensor:
        """(N, C) -> the same shape."""
        if len(vectors) > 1:
            return super().forward(vectors) * self.balance
        return F.batch_norm(vectors, self.running_mean, self.running_var, eps=self.eps) * self.balance


class CompactSlowFast(SlowFast):
    """SlowFast whose classifier reads the means of the maps of every level, not of the last one only.

    A small network that learns from little keeps in its early levels what the last one drops. Before the first level
    comes one of colours: two 1x1 convolutions of the pixels, whose means are a soft, learned colour histogram. Every
    mean is standardised (batch normalisation without scale and shift), and all levels of both pathways get the same
    share of the squared length, whatever their number of channels.

    Its embedding is not the classifier's input: it is made for distances between clips, and has the levels of
    `DESCRIBED` only, in cells of the picture, standardised and balanced in the same way.
    """

    def __init__(self, config: CompactSlowFastConfig) -> None:
        super().__init__(config)
        middle, last = COLOUR_CHANNELS
        self.colours = nn.Sequential(
            ConvBN(3, middle, (1, 1, 1)), nn.ReLU(inplace=True), ConvBN(middle, last, (1, 1, 1)), nn.ReLU(inplace=True)
        )
        slow, fast = config.slow_pathway().output_channels, config.fast_pathway().output_channels
        channels = [last, *(count for level in zip(slow, fast, strict=True) for count in level)]
        described = [channels[level] * cells**2 for level, cells in DESCRIBED]
        self.embedding_dim = sum(described)
        self.head = ClipHead(channels, config.num_classes, config.dropout, windows=None)
        self.standard = Standardised(channels)
        self.described = Standardised(described)

    def default_input(self) -> ClipInput:
        """The input that the weights in the package are made for: the whole picture, squeezed into a square."""
        return ClipInput(
            num_frames=self.num_frames, stride=self.stride, short_side_px=SIDE_PX, crop_px=SIDE_PX, square=True,
            resize="smooth",
        )  # fmt: skip

    def forward_features(self, clip: Tensor) -> tuple[Tensor, ...]:
        """(N, C, T', H', W') of colours, then after pool1 and after res2 to res5, the Slow pathway before the Fast one.

        Raises:
            ShapeError: as for `SlowFast`.
        """
        maps = [maps for level in self.levels(clip) for maps in level]
        frames = clip[:, :, slow_frames(clip.shape[2], self.alpha)]
        cells = F.avg_pool3d(frames, (1, COLOUR_CELL_PX, COLOUR_CELL_PX))
        return self.colours(cells), *maps

    def pool_clips(self, features: tuple[Tensor, ...]) -> Tensor:
        """(N, C, 1, 1, 1): the classifier's input, means of all maps."""
        pooled = super().pool_clips(features)
        standard: Tensor = self.standard(pooled.flatten(1))
        return standard.view_as(pooled)

    def describe(self, features: tuple[Tensor, ...]) -> Tensor:
        """(N, D): the embedding, from the maps of `forward_features`."""
        cells = [F.adaptive_avg_pool2d(features[level].float().mean(2), side).flatten(1) for level, side in DESCRIBED]
        described: Tensor = self.described(torch.cat(cells, 1))
        return described

    def embed(self, clip: Tensor, boxes_px: Tensor | None = None) -> Tensor:
        """(N, D). Raises `ShapeError` for boxes."""
        return self.run(clip, boxes_px).embedding

    def run(self, clip: Tensor, boxes_px: Tensor | None = None) -> ClipOutput:
        """Embedding, logits and probabilities from one pass."""
        if boxes_px is not None:
            raise ShapeError("This network classifies clips, not boxes.")
        features = self.forward_features(clip)
        logits = self.classify(self.pool_clips(features).flatten(1))
        return ClipOutput(self.describe(features), logits, self.activate(logits))
