"""Lay drawn people over a picture and measure what of them can be seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.sample.figures import Patch


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What can be seen of a pasted person."""

    box: tuple[float, float, float, float]
    """xyxy in [0, 1] of the silhouette inside the frame."""
    visible: float
    """Share of the silhouette inside the frame and not covered, in (0, 1]."""


def paste(rgb: NDArray[np.float32], patches: Sequence[Patch]) -> list[Seen | None]:
    """Lay people over a picture in place, each with a soft shadow, the nearest last.

    Args:
        rgb: (H, W, 3) in [0, 255]; changed.
        patches: the people, the farthest first.
    Returns:
        one entry per patch: what can be seen of it, None for nothing.
    """
    owner = np.zeros(rgb.shape[:2], np.uint8)
    sizes = []
    for number, patch in enumerate(patches, start=1):
        _shadow(rgb, patch)
        window, inside = _overlap(rgb.shape[:2], (patch.top_px, patch.left_px), patch.alpha.shape)
        alpha = patch.alpha[inside]
        rgb[window] += alpha[..., None] * (patch.rgb[inside] - rgb[window])
        owner[window][alpha > 0.5] = number
        sizes.append((_bounds(alpha > 0.5, window), int((patch.alpha > 0.5).sum())))
    seen: list[Seen | None] = []
    for number, (bounds, area) in enumerate(sizes, start=1):
        share = float((owner == number).sum()) / max(1, area)
        if bounds is None or share == 0:
            seen.append(None)
            continue
        seen.append(Seen(box=_normalised(bounds, rgb.shape[:2]), visible=min(1.0, share)))
    return seen


def _overlap(
    size_hw: tuple[int, ...], corner_yx: tuple[int, int], patch_hw: tuple[int, ...]
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """The part of the frame under a patch, and the part of the patch inside the frame."""
    window, inside = [], []
    for offset, length, limit in zip(corner_yx, patch_hw, size_hw, strict=True):
        first, last = min(max(0, offset), limit), max(0, min(limit, offset + length))
        window.append(slice(first, max(first, last)))
        inside.append(slice(first - offset, max(first, last) - offset))
    return (window[0], window[1]), (inside[0], inside[1])


def _bounds(mask: NDArray[np.bool_], window: tuple[slice, slice]) -> tuple[int, int, int, int] | None:
    """xyxy of the set pixels, in pixels of the frame."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return None
    y, x = window[0].start, window[1].start
    return int(x + columns[0]), int(y + rows[0]), int(x + columns[-1] + 1), int(y + rows[-1] + 1)


def _normalised(bounds: tuple[int, int, int, int], size_hw: tuple[int, ...]) -> tuple[float, float, float, float]:
    """xyxy in [0, 1], to a millionth."""
    left, top, right, bottom = bounds
    height, width = size_hw
    return round(left / width, 6), round(top / height, 6), round(right / width, 6), round(bottom / height, 6)


def _shadow(rgb: NDArray[np.float32], patch: Patch) -> None:
    """Darken the ground around the feet."""
    height, width = patch.alpha.shape
    rows = np.arange(int(0.86 * height), height)
    y = (rows - 0.954 * height) / (0.022 * height)
    x = (np.arange(width) - width / 2) / (0.25 * width)
    light = (1 - 0.45 * np.exp(-(y[:, None] ** 2 + x[None, :] ** 2))).astype(np.float32)
    corner_yx = (patch.top_px + int(rows[0]), patch.left_px)
    window, inside = _overlap(rgb.shape[:2], corner_yx, light.shape)
    rgb[window] *= light[inside][..., None]
