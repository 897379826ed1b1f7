"""Find upright people with the HOG detector that comes inside OpenCV: no weights to fetch.

Histograms of oriented gradients in a 64x128 window, judged by a linear SVM at every place and
size: Dalal & Triggs, "Histograms of Oriented Gradients for Human Detection", CVPR 2005. The SVM is
OpenCV's `HOGDescriptor_getDefaultPeopleDetector`, trained on pedestrians who stand or walk in full
view; sitting, kneeling and half-hidden people are mostly missed.

Differs from `cv2.HOGDescriptor.detectMultiScale` used plainly (measured with `benchmarks.people`):

- The picture is padded by repeating its border pixels. The window holds a margin around the person,
  so without padding somebody who fills the height of the frame is never seen.
- Overlapping windows are merged here, greedily by margin, not by OpenCV's grouping, which drops
  people found by one window only. A merged box is the mean of the windows that agree with the best.
- It runs on one thread, and windows are sorted: OpenCV's threads return them in an order that changes from
  run to run, now and then with the margins of others.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from extractors.errors import ConfigError
from extractors.ops import boxes as box_ops
from extractors.types import Detections, check_frame

WINDOW_HW = (128, 64)
MAX_ENLARGEMENT = 2.0  # beyond this there is nothing in the pixels for a gradient to show
AGREEING_IOU = 0.5  # windows this close to the best of a group are averaged into its box
MIN_VISIBLE_SHARE = 0.5  # a box with less of its area inside the frame was found in the padding


@dataclass(frozen=True, kw_only=True, slots=True)
class HogConfig:
    """How hard to look, and what counts as a person. Defaults: see `benchmarks.people`.

    Attributes:
        short_side_px: the picture is resized to this short side; a person shorter than about
            90 pixels in the resized picture cannot be found.
        hit_threshold: least margin of a window that counts, after the size prior.
        size_prior: margin taken off for each halving of the person's height below the frame's short
            side. Halving the size quadruples the windows tried, and false alarms with them. 0: all
            sizes alike, to look for small people with a larger `short_side_px`.
        win_stride_px: step between windows, in the resized picture; 8 costs a third of 4 and finds less.
        scale_step: ratio between one size of person and the next, above 1.
        border: padding on every side, as a share of the short side.
        nms_iou: of two boxes that overlap more than this, the weaker one goes.
        person_width, person_height: size of the visible person as a share of the window.
    """

    short_side_px: int = 208
    hit_threshold: float = -0.1
    size_prior: float = 0.6
    win_stride_px: int = 4
    scale_step: float = 1.1
    border: float = 0.17
    nms_iou: float = 0.2
    person_width: float = 0.6
    person_height: float = 0.85

    def __post_init__(self) -> None:
        rules = {
            "short_side_px": (self.short_side_px >= 1, "at least 1"),
            "hit_threshold": (math.isfinite(self.hit_threshold), "a finite number"),
            "win_stride_px": (self.win_stride_px >= 1, "at least 1"),
            "size_prior": (self.size_prior >= 0.0, "0 or more"),
            "scale_step": (self.scale_step > 1.0, "above 1"),
            "border": (self.border >= 0.0, "0 or more"),
            "nms_iou": (0.0 <= self.nms_iou <= 1.0, "in [0, 1]"),
            "person_width": (0.0 < self.person_width <= 1.0, "in (0, 1]"),
            "person_height": (0.0 < self.person_height <= 1.0, "in (0, 1]"),
        }
        for name, (holds, rule) in rules.items():
            if not holds:
                raise ConfigError(f"HogConfig.{name} is {getattr(self, name)!r}; expected {rule}.")


class HogPersonDetector:
    """People in a frame, as boxes around what can be seen of them. The same frame gives the same answer."""

    class_names = ("person",)

    def __init__(self, config: HogConfig | None = None) -> None:
        self.config = config or HogConfig()
        self._hog = cv2.HOGDescriptor()
        self._hog.setSVMDetector(cv2.HOGDescriptor.getDefaultPeopleDetector())

    def detect(self, frame_rgb: NDArray[np.uint8]) -> Detections:
        """The people in one frame, surest first.

        A frame too small to hold a window after being enlarged twofold and padded (about 48 pixels
        high or 24 wide) gives no detections.

        Args:
            frame_rgb: (H, W, 3) uint8 RGB as displayed.
        Returns:
            Detections with `scores` in (0, 1], the logistic function of the margin after the size
            prior (`margin_to_score`), one class, and no features.
        Raises:
            ShapeError: not a (H, W, 3) uint8 array, or an empty one.
        """
        check_frame(frame_rgb)
        boxes, margins = self._person_boxes(frame_rgb)
        boxes, margins = merge_overlapping(boxes, margins, iou=self.config.nms_iou)
        return Detections(
            boxes=box_ops.clip(boxes),  # an average may miss 1.0 by a rounding
            scores=margin_to_score(margins),
            classes=np.zeros(len(boxes), np.int32),
            class_names=self.class_names,
        )

    def _person_boxes(self, frame_rgb: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Boxes (N, 4) of every window that counts, shrunk to the person and clipped; margins (N,)."""
        picture = _resized(frame_rgb, self.config.short_side_px)
        hw = picture.shape[:2]
        border_px = round(self.config.border * min(hw))
        windows_px, margins = self._windows(picture, border_px)
        boxes = box_ops.to_normalised(box_ops.from_xywh(windows_px) - border_px, hw)
        boxes = box_ops.resize_about_centre(
            boxes, width_by=self.config.person_width, height_by=self.config.person_height
        )
        heights = (boxes[:, 3] - boxes[:, 1]) * np.float32(hw[0] / min(hw))
        margins = margins + self.config.size_prior * np.log2(np.minimum(heights, 1.0))
        clipped = box_ops.clip(boxes)
        seen = box_ops.area(clipped) >= MIN_VISIBLE_SHARE * box_ops.area(boxes)
        counts = seen & (margins >= self.config.hit_threshold)
        return clipped[counts], margins[counts]

    def _windows(self, picture: NDArray[np.uint8], border_px: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(N, 4) xywh in pixels of the padded picture and (N,) margins, in a repeatable order."""
        padded = cv2.copyMakeBorder(picture, *(border_px,) * 4, cv2.BORDER_REPLICATE)
        if padded.shape[0] < WINDOW_HW[0] or padded.shape[1] < WINDOW_HW[1]:
            return np.zeros((0, 4), np.float32), np.zeros(0, np.float32)
        stride = self.config.win_stride_px
        with one_thread():
            windows, weights = self._hog.detectMultiScale(
                padded,
                hitThreshold=self.config.hit_threshold,
                winStride=(stride, stride),
                padding=(8, 8),
                scale=self.config.scale_step,
                groupThreshold=0,
            )
        windows_px = np.asarray(windows, np.float32).reshape(-1, 4)
        margins = np.asarray(weights, np.float32).reshape(-1)
        order = np.lexsort((*windows_px.T, -margins))
        return windows_px[order], margins[order]


@contextmanager
def one_thread() -> Iterator[None]:
    """OpenCV on one thread: its HOG threads add windows and margins under two locks, and then mix them up.

    Seen as one score in some thousands that belongs to another box, on a busy machine (OpenCV 4.14).
    """
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def margin_to_score(margins: NDArray[np.float32]) -> NDArray[np.float32]:
    """SVM margins -> scores in (0, 1]: 1 / (1 + exp(-2 margin)), so the SVM's own border is 0.5."""
    return (1.0 / (1.0 + np.exp(-2.0 * margins.astype(np.float64)))).astype(np.float32)


def merge_overlapping(
    boxes: NDArray[np.float32], margins: NDArray[np.float32], *, iou: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Greedy non-maximum suppression whose survivors are averaged with the boxes that agree.

    The strongest box left takes away all that overlap it by more than `iou`; its own sides become
    the mean of those that overlap it by `AGREEING_IOU` or more, weighted by score. Its margin stays.

    Args:
        boxes: (N, 4) any unit. margins: (N,), not necessarily sorted.
    Returns:
        (M, 4) and (M,), largest margin first.
    """
    order = np.argsort(-margins, kind="stable")
    boxes, margins = boxes[order], margins[order]
    overlaps = box_ops.iou_matrix(boxes, boxes)
    weights = margin_to_score(margins)
    left = np.ones(len(boxes), bool)
    merged, kept = [], []
    for i in range(len(boxes)):
        if not left[i]:
            continue
        agreeing = overlaps[i] >= AGREEING_IOU
        agreeing[i] = True  # a box without area does not overlap itself
        merged.append(np.average(boxes[agreeing], axis=0, weights=weights[agreeing]))
        kept.append(i)
        left &= overlaps[i] <= iou
    return np.array(merged, np.float32).reshape(-1, 4), margins[kept]


def _resized(frame_rgb: NDArray[np.uint8], short_side_px: int) -> NDArray[np.uint8]:
    height, width = frame_rgb.shape[:2]
    factor = min(short_side_px / min(height, width), MAX_ENLARGEMENT)
    size_wh = (max(1, round(width * factor)), max(1, round(height * factor)))
    interpolation = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    return cv2.resize(frame_rgb, size_wh, interpolation=interpolation)
