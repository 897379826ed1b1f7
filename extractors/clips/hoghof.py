"""HOG/HOF: what a clip looks like and how it moves, as 162 numbers, without learned weights.

Laptev, Marszalek, Schmid, Rozenfeld, "Learning realistic human actions from movies", CVPR 2008,
section 3.2: a space-time volume is split into 3 x 3 x 2 cells (columns, rows, time); each cell has a
4-bin histogram of gradient orientations (HOG) and a 5-bin histogram of optical flow (HOF, one bin of
which is "no motion"); normalised histograms are concatenated, 72 + 90 values.

Differs from the paper:
* The volume is the whole picture for the length of the clip, not the neighbourhood of an interest point.
* Flow is OpenCV's DIS flow (Kroeger et al., ECCV 2016), not Lucas-Kanade.
* Frames come at a fixed time grid and flow is in picture heights per second, so the descriptor depends
  on neither frame rate nor picture size.

What the paper leaves open and is fixed here:
* HOG bins are unsigned orientations of the gradient, centred at 0, 45, 90, 135 degrees (x right, y down:
  bin 0 is a vertical edge, bin 2 a horizontal one), weighted by gradient magnitude.
* HOF bins are right, down, left, up, no motion. Every pixel counts once, so a cell's five values are
  shares of its area. A pixel's vote is divided between the two nearest directions, as in HOG.
* "Normalised" means each histogram on its own, by its sum (L1): HOF sums to 1; HOG to m / (m + floor),
  where m is the mean gradient magnitude, so that noise on a flat wall does not become texture.
* A cell without evidence is 0: HOF where no frame had a predecessor (a clip of one frame), everything in
  a half of the clip with no frame. Zeros are not "no motion".
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import cv2
import numpy as np

from extractors.errors import ConfigError, ShapeError

_FLOW_MIN_PX = 64


@dataclass(frozen=True, kw_only=True)
class HogHofConfig:
    """Settings of the descriptor; the defaults give the paper's 162 values.

    Attributes:
        short_side_px: pictures are reduced to this short side; smaller ones stay as they are.
        sample_hz: frames are taken on a time grid of this rate, whatever the frame rate of the video.
        clip_s: length of a clip.
        hop_s: time between the starts of two clips.
        grid: cells as (rows, columns).
        time_cells: equal parts of `clip_s`.
        hog_bins: unsigned gradient orientations over 180 degrees.
        hof_directions: directions of motion over 360 degrees; one bin for no motion comes on top.
        still_heights_per_s: slower flow is "no motion".
        hog_floor: mean gradient (grey levels per px) at which a HOG histogram sums to one half.
        flow_preset: of OpenCV's DISOpticalFlow, from quick to exact.
    """

    short_side_px: int = 112
    sample_hz: float = 10.0
    clip_s: float = 1.0
    hop_s: float = 1.0
    grid: tuple[int, int] = (3, 3)
    time_cells: int = 2
    hog_bins: int = 4
    hof_directions: int = 4
    still_heights_per_s: float = 0.05
    hog_floor: float = 1.0
    flow_preset: Literal["ultrafast", "fast", "medium"] = "fast"

    def __post_init__(self) -> None:
        for name in ("sample_hz", "clip_s", "hop_s", "still_heights_per_s", "hog_floor"):
            value = getattr(self, name)
            if not (value > 0 and math.isfinite(value)):
                raise ConfigError(f"{name}: got {value}, expected a number above 0.")
        if min(*self.grid, self.time_cells) < 1 or min(self.hog_bins, self.hof_directions) < 2:
            raise ConfigError(
                f"grid, time_cells, hog_bins, hof_directions: got {self.grid}, {self.time_cells}, "
                f"{self.hog_bins}, {self.hof_directions}, expected at least one cell and two bins."
            )
        if self.short_side_px < 16:
            raise ConfigError(f"short_side_px: got {self.short_side_px}, expected at least 16.")
        if self.flow_preset not in ("ultrafast", "fast", "medium"):
            raise ConfigError(f"flow_preset: got {self.flow_preset!r}, expected ultrafast, fast or medium.")

    @property
    def bins(self) -> int:
        """Values of one cell: HOG, then HOF, whose last is "no motion"."""
        return self.hog_bins + self.hof_directions + 1

    @property
    def dim(self) -> int:
        """Length of a descriptor."""
        return self.grid[0] * self.grid[1] * self.time_cells * self.bins


class HogHof:
    """Computes descriptors. Keeps nothing from call to call, so any worker may compute any frame or clip."""

    def __init__(self, config: HogHofConfig) -> None:
        self.config = config

    def cells(self, prev_gray: np.ndarray | None, gray: np.ndarray, dt_s: float = 0.0) -> np.ndarray:
        """Histograms of one frame, not yet normalised.

        Args:
            prev_gray: (h, w) uint8, the sampled frame before; None where there is none or where it belongs
                to another shot. HOF is then 0.
            gray: (h, w) uint8, at least one px a cell, of a short side of `short_side_px`.
            dt_s: true time from `prev_gray` to `gray`; not looked at without a `prev_gray`.
        Returns:
            (rows, columns, bins) float32: HOG as mean gradient magnitude (grey levels per px) in each
            bin, then HOF as shares of the cell's area.
        Raises:
            ShapeError: pictures of another type or shape, or a time step that is not above 0.
        """
        self._check(gray)
        hog = self._hog(gray)
        hof = np.zeros((*self.config.grid, self.config.hof_directions + 1))
        if prev_gray is not None:
            self._check(prev_gray)
            if prev_gray.shape != gray.shape or not (dt_s > 0 and math.isfinite(dt_s)):
                raise ShapeError(
                    f"Frame pair: got {prev_gray.shape} and {gray.shape} px, {dt_s} s apart, "
                    "expected the same size and a time above 0."
                )
            hof = self._hof(self._flow(prev_gray, gray), dt_s)
        return np.concatenate([hog, hof], axis=-1).astype(np.float32)

    def without_motion(self, cells: np.ndarray) -> np.ndarray:
        """What `cells` would have returned for the same frame without a predecessor."""
        still = cells.copy()
        still[..., self.config.hog_bins :] = 0
        return still

    def describe(self, cells: Iterable[tuple[float, np.ndarray]]) -> np.ndarray:
        """Descriptor of one clip.

        Args:
            cells: (seconds since the start of the clip, what `cells` returned) of each sampled frame; times in
                [0, clip_s). A frame that stands for a later grid time than its own goes with the grid time,
                or the half of the clip it falls in depends on the frame rate.
        Returns:
            (dim,) float32, all HOG values before all HOF values; each as (rows, columns, time, bin).
        Raises:
            ValueError: no frame at all, or a time outside the clip.
        """
        config = self.config
        sums = np.zeros((config.time_cells, *config.grid, config.bins))
        counts = np.zeros(config.time_cells)
        for at_s, frame_cells in cells:
            if not 0.0 <= at_s < config.clip_s:
                raise ValueError(f"Frame at {at_s} s of the clip: expected a time in [0, {config.clip_s}).")
            part = min(int(at_s / config.clip_s * config.time_cells), config.time_cells - 1)
            sums[part] += frame_cells
            counts[part] += 1
        if not counts.any():
            raise ValueError("Clip without frames: got 0, expected at least 1.")
        means = np.moveaxis(sums / np.maximum(counts, 1)[:, None, None, None], 0, 2)
        hog, hof = means[..., : config.hog_bins], means[..., config.hog_bins :]
        hog = hog / (hog.sum(axis=-1, keepdims=True) + config.hog_floor)
        hof = hof / np.maximum(hof.sum(axis=-1, keepdims=True), np.finfo(np.float32).tiny)
        return np.concatenate([hog.ravel(), hof.ravel()]).astype(np.float32)

    def _hog(self, gray: np.ndarray) -> np.ndarray:
        # Central differences; at the border OpenCV mirrors the picture, so the gradient there is 0.
        dx = cv2.Sobel(gray, cv2.CV_32F, 1, 0, ksize=1, scale=0.5)
        dy = cv2.Sobel(gray, cv2.CV_32F, 0, 1, ksize=1, scale=0.5)
        magnitude, angle = cv2.cartToPolar(dx, dy)
        return _orientation_means(angle, math.pi, magnitude, self.config.hog_bins, self.config.grid)

    def _hof(self, flow_px: np.ndarray, dt_s: float) -> np.ndarray:
        magnitude, angle = cv2.cartToPolar(flow_px[..., 0], flow_px[..., 1])
        moves = magnitude >= self.config.still_heights_per_s * dt_s * flow_px.shape[0]
        votes = moves.astype(np.float32)
        directions = _orientation_means(angle, math.tau, votes, self.config.hof_directions, self.config.grid)
        still = _cell_means(1 - votes, self.config.grid)
        return np.concatenate([directions, still[..., None]], axis=-1)

    def _flow(self, prev_gray: np.ndarray, gray: np.ndarray) -> np.ndarray:
        """(h, w, 2) float32 motion in px of `gray` (x right, y down).

        OpenCV 4.14's DIS needs care (measured): it reads out of bounds and crashes on pictures that are wide
        and low (24x96), so small ones are enlarged; and one small picture changes the scales of all later
        calls, so each pair gets an object of its own, which costs next to nothing.
        """
        dis = cv2.DISOpticalFlow.create(_DIS_PRESETS[self.config.flow_preset])
        height, width = gray.shape
        scale = max(1, math.ceil(_FLOW_MIN_PX / min(height, width)))
        if scale == 1:
            return dis.calc(np.ascontiguousarray(prev_gray), np.ascontiguousarray(gray), None)
        large_wh = (width * scale, height * scale)
        large_prev, large = (cv2.resize(g, large_wh) for g in (prev_gray, gray))
        flow = dis.calc(large_prev, large, None)
        return cv2.resize(flow, (width, height), interpolation=cv2.INTER_AREA) / np.float32(scale)

    def _check(self, gray: np.ndarray) -> None:
        grid = self.config.grid
        if gray.dtype != np.uint8 or gray.ndim != 2 or gray.shape[0] < grid[0] or gray.shape[1] < grid[1]:
            raise ShapeError(f"Grey picture: got {gray.dtype} {gray.shape}, expected uint8 (h, w) of at least {grid}.")


def _orientation_means(
    angle: np.ndarray, period: float, weights: np.ndarray, num_bins: int, grid: tuple[int, int]
) -> np.ndarray:
    """Histograms (rows, columns, bins) of angles in [0, 2 pi), with linear interpolation between bins."""
    position = angle * np.float32(num_bins / period)
    position -= np.float32(num_bins) * (position >= num_bins)
    zeros = np.zeros_like(position)  # NumPy's maximum with a scalar is four times slower
    means = []
    for k in range(num_bins):
        distance = np.abs(position - np.float32(k))
        distance = np.minimum(distance, num_bins - distance)
        means.append(_cell_means(weights * np.maximum(1 - distance, zeros), grid))
    return np.stack(means, axis=-1)


def _cell_means(values: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """Mean of an (h, w) map in each cell of the grid."""
    (rows, heights), (columns, widths) = (_cell_spans(s, n) for s, n in zip(values.shape, grid, strict=True))
    sums = np.add.reduceat(np.add.reduceat(values, rows, axis=0), columns, axis=1)
    return sums / (heights[:, None] * widths)


@lru_cache(maxsize=64)
def _cell_spans(size: int, num_cells: int) -> tuple[np.ndarray, np.ndarray]:
    """First pixel and length of each cell; a pixel belongs where its centre lies, so mirroring is exact."""
    cell_of_pixel = (2 * np.arange(size) + 1) * num_cells // (2 * size)
    return np.searchsorted(cell_of_pixel, np.arange(num_cells)), np.bincount(cell_of_pixel)


_DIS_PRESETS = {
    "ultrafast": cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST,
    "fast": cv2.DISOPTICAL_FLOW_PRESET_FAST,
    "medium": cv2.DISOPTICAL_FLOW_PRESET_MEDIUM,
}
