"""Average precision of boxes: which detections count as found, and the area under precision over recall.

What benchmarks call AP differs in three choices, which are arguments here: which annotated box a detection is compared
with, whether a box in pixels holds its last row and column, and how the area is taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from extractors.errors import ShapeError
from longform.metrics.overlap import iou

Area = Literal["envelope", "trapezoid", "101-point"]
"""How the area under the curve is taken.

`envelope`: every step of recall times the best precision at that recall or beyond (PASCAL VOC since 2010, AVA).
`trapezoid`: straight lines between the points, from precision 1 at recall 0 (ACT, JHMDB and UCF101-24).
`101-point`: mean of the envelope at recalls 0, 0.01 … 1 (COCO).
"""


@dataclass(frozen=True, kw_only=True, eq=False)
class Boxes:
    """Labelled boxes of many frames: the annotated ones, or those detected.

    Raises:
        ShapeError: the arrays do not fit together, hold numbers that are not finite, or a box ends before it begins.
    """

    frames: NDArray[Any]
    """(N,) which frame: numbers or strings, the same in annotations and detections."""
    classes: NDArray[np.int64]
    """(N,)"""
    boxes: NDArray[np.float64]
    """(N, 4) xyxy in any unit."""
    scores: NDArray[np.float64]
    """(N,) how sure; no meaning for annotations."""

    def __post_init__(self) -> None:
        count = len(self.frames)
        if not (self.boxes.shape == (count, 4) and self.classes.shape == self.scores.shape == (count,)):
            raise ShapeError(
                f"Boxes do not fit together: frames {self.frames.shape}, classes {self.classes.shape}, boxes "
                f"{self.boxes.shape}, scores {self.scores.shape}; expected (N,), (N,), (N, 4), (N,)."
            )
        if not (np.isfinite(self.boxes).all() and np.isfinite(self.scores).all()):
            raise ShapeError("Boxes or scores hold numbers that are not finite.")
        inverted = np.flatnonzero((self.boxes[:, 2:] < self.boxes[:, :2]).any(1))
        if len(inverted):
            raise ShapeError(
                f"Box {inverted[0]} is {self.boxes[inverted[0]].tolist()}; expected x1 <= x2 and y1 <= y2."
            )

    @staticmethod
    def of(frames: Any, classes: Any, boxes: Any, scores: Any = None) -> Boxes:
        """From anything array-like; without scores for annotations."""
        frame_ids = np.asarray(frames)
        return Boxes(
            frames=frame_ids,
            classes=np.asarray(classes, np.int64),
            boxes=np.asarray(boxes, np.float64).reshape(-1, 4),
            scores=np.zeros(len(frame_ids)) if scores is None else np.asarray(scores, np.float64),
        )

    def best(self, limit: int) -> Boxes:
        """The `limit` highest-scoring of every class of a frame; of equal scores the first given."""
        keys, _ = _group_keys(self, self)
        kept = _ranks(keys, self.scores) < limit
        return Boxes(
            frames=self.frames[kept], classes=self.classes[kept], boxes=self.boxes[kept], scores=self.scores[kept]
        )


def true_positives(
    annotated: Boxes, detected: Boxes, *, iou_threshold: float, only_free: bool, inclusive: bool = False
) -> NDArray[np.bool_]:
    """Which detections find an annotated box of their frame and class that no higher-scoring one found before.

    Every detection is compared with the annotated box it overlaps most (of equals, the first given). Detections of
    equal score come in the order given.

    Args:
        iou_threshold: least intersection over union.
        only_free: compare with boxes not yet found only (COCO, ACT), so that a second detection on a found box may
            still find its neighbour; otherwise that second one is a false alarm (PASCAL, AVA).
        inclusive: coordinates name pixels, so a box from 3 to 5 is 3 wide.
    Returns:
        (N,) one for each of `detected`, in its order.
    """
    annotated_key, detected_key = _group_keys(annotated, detected)
    by_key = np.argsort(annotated_key, kind="stable")
    boxes, keys = annotated.boxes[by_key], annotated_key[by_key]
    first = np.searchsorted(keys, detected_key, "left")
    count = np.searchsorted(keys, detected_key, "right") - first
    free = np.ones(len(boxes), bool)
    found = np.zeros(len(detected.frames), bool)
    for turn in _turns(detected_key, _ranks(detected_key, detected.scores), count > 0):
        rivals = _Rivals(first[turn], count[turn])
        overlap = iou(detected.boxes[turn][rivals.detection], boxes[rivals.annotated], inclusive=inclusive)
        if only_free:
            overlap[~free[rivals.annotated]] = -1.0
        best = rivals.best(overlap)
        hit = (overlap[best] >= iou_threshold) & free[rivals.annotated[best]]
        free[rivals.annotated[best[hit]]] = False
        found[turn[hit]] = True
    return found


def average_precision(
    scores: NDArray[np.float64], found: NDArray[np.bool_], num_annotated: int, area: Area = "envelope"
) -> float:
    """The area under precision over recall of one class.

    Args:
        scores: (N,); equal ones are taken in the order given.
        found: (N,) of `true_positives`.
        num_annotated: how many there were to find, above 0.
    """
    hits = found[np.argsort(-scores, kind="stable")]
    recall = np.cumsum(hits) / num_annotated
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    if area == "trapezoid":
        heights = np.concatenate([[1.0], precision])
        return float((np.diff(recall, prepend=0.0) * (heights[1:] + heights[:-1])).sum() / 2)
    best_beyond = np.maximum.accumulate(precision[::-1])[::-1]
    if area == "envelope":
        return float(best_beyond[hits].sum() / num_annotated)
    at = np.searchsorted(recall, np.linspace(0, 1, 101), "left")
    return float(np.append(best_beyond, 0.0)[at].mean())


def class_precisions(
    annotated: Boxes, detected: Boxes, found: NDArray[np.bool_], area: Area = "envelope"
) -> dict[int, float]:
    """Average precision of every class that is annotated, by class."""
    classes, counts = np.unique(annotated.classes, return_counts=True)
    by_class = np.argsort(detected.classes, kind="stable")
    ordered = detected.classes[by_class]
    result = {}
    for class_id, count in zip(classes.tolist(), counts.tolist(), strict=True):
        rows = by_class[np.searchsorted(ordered, class_id, "left") : np.searchsorted(ordered, class_id, "right")]
        result[class_id] = average_precision(detected.scores[rows], found[rows], count, area)
    return result


def _group_keys(annotated: Boxes, detected: Boxes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """One number for each frame and class."""
    split = len(annotated.frames)
    _, frames = np.unique(np.concatenate([annotated.frames, detected.frames]), return_inverse=True)
    classes, labels = np.unique(np.concatenate([annotated.classes, detected.classes]), return_inverse=True)
    keys = frames.reshape(-1).astype(np.int64) * len(classes) + labels.reshape(-1)
    return keys[:split], keys[split:]


def _turns(keys: NDArray[np.int64], ranks: NDArray[np.int64], matters: NDArray[np.bool_]) -> list[NDArray[np.intp]]:
    """Indices of the best detection of every group, then of the second of every group, and so on."""
    rows = np.flatnonzero(matters)
    rows = rows[np.lexsort((keys[rows], ranks[rows]))]
    return np.split(rows, np.flatnonzero(np.diff(ranks[rows])) + 1) if len(rows) else []


def _ranks(keys: NDArray[np.int64], scores: NDArray[np.float64]) -> NDArray[np.int64]:
    """(N,) how many of the same group stand before each: of higher score, or equal and given before."""
    order = np.lexsort((-scores, keys))
    starts = np.flatnonzero(np.diff(keys[order], prepend=-1))
    ranks = np.empty(len(keys), np.int64)
    ranks[order] = np.arange(len(keys)) - np.repeat(starts, np.diff(starts, append=len(keys)))
    return ranks


class _Rivals:
    """Every pair of a detection and an annotated box of its group, one detection after the other."""

    def __init__(self, first: NDArray[np.intp], count: NDArray[np.intp]) -> None:
        self._count = count
        self._starts = np.cumsum(count) - count
        self.detection = np.repeat(np.arange(len(count)), count)
        self.annotated = np.arange(len(self.detection)) + np.repeat(first - self._starts, count)

    def best(self, overlap: NDArray[np.float64]) -> NDArray[np.intp]:
        """For every detection, the first of its pairs with the most overlap."""
        most = np.repeat(np.maximum.reduceat(overlap, self._starts), self._count)
        reached = np.flatnonzero(overlap == most)
        return reached[np.searchsorted(reached, self._starts)]
