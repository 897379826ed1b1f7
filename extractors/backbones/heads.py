"""Heads of the ResNet family: from the last maps of every pathway to logits.

Numbers are PySlowFast's (facebookresearch/SlowFast, head_helper.py): average pool per pathway over the size trained on,
at every position it fits; slow before fast; dropout; linear. For boxes: average over time, RoIAlign 7x7, maximum.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from extractors.errors import ConfigError, ShapeError
from extractors.ops.roi_align import roi_align

HEADS = ("windowed", "global", "roi")
Window = tuple[int, int, int]


class LinearHead(nn.Module):
    """Dropout and a linear classifier; what comes before differs."""

    def __init__(self, channels: Sequence[int], num_classes: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(sum(channels), num_classes)
        nn.init.normal_(self.fc.weight, std=0.01)
        nn.init.zeros_(self.fc.bias)

    def classify(self, pooled: Tensor) -> Tensor:
        """(N, D, ...) -> (N, K, ...)."""
        logits: Tensor = self.fc(self.dropout(pooled.movedim(1, -1).to(self.fc.weight.dtype)))
        return logits.movedim(-1, 1)


class ClipHead(LinearHead):
    """Logits of clips.

    Args:
        channels: of each pathway's maps.
        windows: (t, h, w) of each pathway's average pool, stride 1; None for a global average.
    """

    def __init__(
        self, channels: Sequence[int], num_classes: int, dropout: float, windows: Sequence[Window] | None
    ) -> None:
        super().__init__(channels, num_classes, dropout)
        self.windows = windows

    def pool(self, features: tuple[Tensor, ...]) -> Tensor:
        """(N, D, T'', H'', W''): average over every position of the window.

        Raises:
            ShapeError: maps are smaller than the window, or the pathways have different numbers of positions.
        """
        if self.windows is None:
            return torch.cat([maps.float().mean((2, 3, 4), keepdim=True) for maps in features], 1)
        sizes = [tuple(maps.shape[2:]) for maps in features]
        room = [
            side - needed
            for size, window in zip(sizes, self.windows, strict=True)
            for side, needed in zip(size, window, strict=True)
        ]
        if min(room) < 0:
            raise ShapeError(
                f"The clip is smaller or shorter than the network was trained on: maps (T, H, W) {sizes}, pooling "
                f"windows {list(self.windows)}. Enlarge it, set crop_px and sampling to its size, or use head='global'."
            )
        precise = [maps.float() for maps in features]
        pooled = [F.avg_pool3d(maps, window, stride=1) for maps, window in zip(precise, self.windows, strict=True)]
        if len({maps.shape[2:] for maps in pooled}) > 1:
            raise ShapeError(
                f"The pathways have different numbers of positions for maps (T, H, W) {sizes}: a clip of two pathways "
                "has the length it was trained on. Use head='global' for other lengths."
            )
        return torch.cat(pooled, 1)


class RoiHead(LinearHead):
    """Logits of boxes.

    Args:
        channels: of each pathway's maps.
        scale: size of the maps over that of the input.
        aligned: convention of RoIAlign; False in all AVA checkpoints.
    """

    bins = 7

    def __init__(
        self, channels: Sequence[int], num_classes: int, dropout: float, *, scale: float, aligned: bool
    ) -> None:
        super().__init__(channels, num_classes, dropout)
        self.scale, self.aligned = scale, aligned

    def pool_boxes(self, features: tuple[Tensor, ...], boxes_px: Tensor) -> Tensor:
        """(R, D) for boxes (R, 5): index of the clip, x1, y1, x2, y2 in pixels of the clip."""
        pooled = [
            roi_align(maps, boxes_px, self.bins, spatial_scale=self.scale, aligned=self.aligned).amax((2, 3))
            for maps in (maps.float().mean(2) for maps in features)
        ]
        return torch.cat(pooled, 1)


def build_head(
    kind: str,
    channels: Sequence[int],
    num_classes: int,
    *,
    dropout: float,
    windows: Sequence[Window],
    scale: float,
    aligned: bool,
) -> ClipHead | RoiHead:
    """The head called `kind`: `windowed`, `global` or `roi`."""
    if kind not in HEADS:
        raise ConfigError(f"No head is called {kind!r}; expected one of: {', '.join(HEADS)}.")
    if kind == "roi":
        return RoiHead(channels, num_classes, dropout, scale=scale, aligned=aligned)
    return ClipHead(channels, num_classes, dropout, windows if kind == "windowed" else None)
