"""Say what a person wears, with no learned weights: colour histograms of three stripes of a box.

`hsv_stripes` cuts a box into three stripes (roughly head, torso, legs) and counts in each how many
pixels have which hue, at two brightnesses, with the colourless ones counted by brightness alone.
Colour histograms for matching objects: Swain & Ballard, "Color Indexing", IJCV 1991; horizontal
stripes of a person: Gray & Tao, "Viewpoint Invariant Pedestrian Recognition with an Ensemble of
Localized Features", ECCV 2008 (six stripes there).

The cosine of two such vectors is in [0, 1]. It tells clothes apart, not people: two in the same
uniform look alike, and it drifts with the light.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from extractors.errors import ShapeError
from extractors.ops import boxes as box_ops

STRIPES = 3
HUES = 8
BRIGHTNESSES = 2  # of coloured pixels
GREYS = 8  # brightnesses of colourless pixels
BINS = HUES * BRIGHTNESSES + GREYS
HSV_STRIPES_DIM = STRIPES * BINS

CROP_HW = (48, 24)  # every box is brought to this size: equal cost, equal weight for every row
KEPT_WIDTH = 0.7  # the sides of a person's box are mostly background
GREY_SATURATION = 40  # of 255; below it, or in the dark, hue is noise
DARK_VALUE = 40  # of 255
HUE_RANGE = 180  # OpenCV counts hue in half degrees
SMOOTHING = (0.25, 0.5, 0.25)  # over neighbouring bins, so that a small change of light changes little


def hsv_stripes(frame_rgb: NDArray[np.uint8], boxes: ArrayLike) -> NDArray[np.float32]:
    """Appearance of every box.

    Args:
        frame_rgb: (H, W, 3) uint8 RGB as displayed.
        boxes: (N, 4) xyxy in [0, 1]; what lies outside the frame is ignored, and a box of no area
            is read as its nearest pixel.
    Returns:
        (N, HSV_STRIPES_DIM) float32, each row of length 1.
    Raises:
        ShapeError: not a (H, W, 3) uint8 frame, or not (N, 4) boxes.
    """
    if frame_rgb.dtype != np.uint8 or frame_rgb.ndim != 3 or frame_rgb.shape[2] != 3 or not frame_rgb.size:
        raise ShapeError(f"Frame is {frame_rgb.shape} {frame_rgb.dtype}; expected (H, W, 3) uint8 RGB.")
    middles = box_ops.resize_about_centre(boxes, width_by=KEPT_WIDTH, height_by=1.0)
    crops = box_ops.pixel_slices(middles, frame_rgb.shape[:2])
    rows = [_describe(frame_rgb[crop]) for crop in crops]
    return np.array(rows, np.float32).reshape(-1, HSV_STRIPES_DIM)


def _describe(crop_rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(HSV_STRIPES_DIM,) of one crop of at least one pixel."""
    smaller = crop_rgb.shape[0] * crop_rgb.shape[1] < CROP_HW[0] * CROP_HW[1]
    interpolation = cv2.INTER_NEAREST if smaller else cv2.INTER_AREA
    crop = cv2.resize(crop_rgb, CROP_HW[::-1], interpolation=interpolation)
    bins = _bin_of_pixels(cv2.cvtColor(crop, cv2.COLOR_RGB2HSV))
    stripe = np.arange(CROP_HW[0])[:, None] * STRIPES // CROP_HW[0]
    counts = np.bincount((stripe * BINS + bins).ravel(), minlength=HSV_STRIPES_DIM).reshape(STRIPES, BINS)
    greys = _smoothed(np.pad(counts[:, :GREYS], ((0, 0), (1, 1)), mode="edge"))[:, 1:-1]
    hues = _smoothed(counts[:, GREYS:].reshape(STRIPES, BRIGHTNESSES, HUES))
    vector = np.concatenate([greys, hues.reshape(STRIPES, -1)], axis=1).ravel()
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def _smoothed(counts: NDArray) -> NDArray[np.float64]:
    """Over the last axis, which closes into a ring: hue 179 is next to hue 0."""
    before, here, after = SMOOTHING
    return before * np.roll(counts, 1, axis=-1) + here * counts + after * np.roll(counts, -1, axis=-1)


def _bin_of_pixels(hsv: NDArray[np.uint8]) -> NDArray[np.intp]:
    """(h, w) bin of every pixel: GREYS by brightness first, then hue within brightness."""
    hue, saturation, value = (hsv[..., i].astype(np.intp) for i in range(3))
    grey = value * GREYS // 256
    bright = (value >= 128).astype(np.intp)
    coloured = GREYS + bright * HUES + hue * HUES // HUE_RANGE
    return np.where((saturation < GREY_SATURATION) | (value < DARK_VALUE), grey, coloured)
