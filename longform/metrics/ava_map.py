"""Frame-mAP at IoU 0.5 as the AVA benchmark counts it (Gu et al., "AVA", CVPR 2018, section 5).

The rules are those of `Evaluation/get_ava_performance.py` in github.com/activitynet/ActivityNet, commit 82304fa, which
tests hold this equal to. In that file and nowhere in the paper:

- only the 50 highest-scoring rows of a frame count, of all evaluated classes together;
- detections without area are dropped, after that cut;
- rows of classes that the label map does not name are passed over;
- detections on a frame that the ground truth has no row for are passed over too; on a frame with rows of other classes
  only, or with a row of just video and second (nobody there), they are false alarms;
- a row that is there twice counts twice.

Where scores differ, the order of the rows changes nothing. The official program leaves the order of equal scores of
different frames to an unstable sort; here they come in the order of the file.
"""

from __future__ import annotations

import heapq
import re
from array import array
from collections.abc import Container, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from longform.metrics.detection_ap import Boxes, class_precisions, true_positives
from longform.metrics.tables import AnnotationError, PathLike, csv_rows, finite, malformed, text_lines

IOU_THRESHOLD = 0.5
MAX_ROWS_PER_FRAME = 50
GROUND_TRUTH_LAYOUT = (
    "video, second, x1, y1, x2, y2, action and, if known, person; or video, second for a frame without"
)
DETECTION_LAYOUT = "video, second, x1, y1, x2, y2, action, score; or video, second for a frame without"
ONLY_FRAME = 2

FrameKey = tuple[str, int]


def ava_frame_map(
    ground_truth_csv: PathLike, detections_csv: PathLike, label_map: PathLike, excluded: PathLike | None = None
) -> dict[str, object]:
    """Frame-mAP@0.5 of a detections file in the official format.

    Args:
        ground_truth_csv: `ava_val_v2.2.csv` or another version: video, second, x1, y1, x2, y2, action, person.
        detections_csv: video, second, x1, y1, x2, y2, action, score. Boxes are fractions of width and height.
        label_map: the evaluated classes, `ava_action_list_…pbtxt`.
        excluded: `ava_val_excluded_timestamps_….csv`: frames of either file that do not count.
    Returns:
        `mAP` in 0…1, the mean over the classes that are annotated; `per_class`, class id to AP, None for a class
        of the label map without an annotation.
    Raises:
        AnnotationError: a file cannot be read, a line is malformed, an annotated box ends before it begins, or no
            annotation is left to evaluate.
    """
    class_ids = read_label_map(label_map)
    skipped = read_frames(excluded) if excluded is not None else frozenset()
    annotated, frames = _read_ground_truth(ground_truth_csv, class_ids, skipped)
    if not len(annotated.frames):
        raise AnnotationError(f"{str(ground_truth_csv)!r} annotates no frame with a class of {str(label_map)!r}.")
    detected = _read_detections(detections_csv, class_ids, frames)
    found = true_positives(annotated, detected, iou_threshold=IOU_THRESHOLD, only_free=False)
    precisions = class_precisions(annotated, detected, found)
    return {
        "mAP": float(np.mean(list(precisions.values()))),
        "per_class": {class_id: precisions.get(class_id) for class_id in class_ids},
    }


def read_label_map(path: PathLike) -> dict[int, str]:
    """Class ids and names of a label map in protocol buffer text: `item { name: "…" id: … }`.

    Raises:
        AnnotationError: it names no class, or one id twice.
    """
    classes: dict[int, str] = {}
    name = ""
    for line, text in text_lines(path):
        if stated := re.match(r"""\s*name:\s*(["'])(.*)\1\s*$""", text):
            name = stated[2]
        elif stated := re.match(r"\s*(?:label_)?id:\s*(\d+)\s*$", text):
            if int(stated[1]) in classes:
                raise malformed(path, line, f"class {stated[1]} is there a second time")
            classes[int(stated[1])] = name
    if not classes:
        raise AnnotationError(
            f"{Path(path).name!r} names no class; expected lines such as 'id: 12' inside 'item {{…}}'."
        )
    return classes


def read_frames(path: PathLike) -> frozenset[FrameKey]:
    """The frames of a file of excluded timestamps: (video, second)."""
    rows = csv_rows(path, (ONLY_FRAME,), "video, second")
    return frozenset(_frame(path, line, row) for line, row in rows)


class _Rows:
    """Rows of a file as they are read, in little memory."""

    def __init__(self) -> None:
        self._whole, self._real = array("q"), array("d")

    def add(self, frame: int, class_id: int, box: tuple[float, float, float, float], score: float) -> None:
        self._whole.extend((frame, class_id))
        self._real.extend((*box, score))

    def whole(self) -> NDArray[np.int64]:
        """(N, 2) frame, class."""
        return np.array(self._whole, np.int64).reshape(-1, 2)

    def real(self) -> NDArray[np.float64]:
        """(N, 5) x1, y1, x2, y2, score."""
        return np.array(self._real, np.float64).reshape(-1, 5)

    def boxes(self, chosen: NDArray[np.bool_] | None = None) -> Boxes:
        """The chosen rows, or all."""
        whole, real = self.whole(), self.real()
        if chosen is not None:
            whole, real = whole[chosen], real[chosen]
        return Boxes(frames=whole[:, 0], classes=whole[:, 1], boxes=real[:, :4], scores=real[:, 4])


def _read_ground_truth(
    path: PathLike, class_ids: Container[int], skipped: Container[FrameKey]
) -> tuple[Boxes, dict[FrameKey, int]]:
    """The rows that count, and a number for every frame there is a row of."""
    collected, frames = _Rows(), dict[FrameKey, int]()
    for line, row in csv_rows(path, (ONLY_FRAME, 7, 8), GROUND_TRUTH_LAYOUT):
        frame = _frame(path, line, row)
        number = -1 if frame in skipped else frames.setdefault(frame, len(frames))
        if len(row) == ONLY_FRAME:
            continue
        class_id, box = _action(path, line, row)
        if box[2] < box[0] or box[3] < box[1]:
            raise malformed(path, line, f"the box {', '.join(row[2:6])} ends before it begins; expected x1, y1, x2, y2")
        if class_id in class_ids and number >= 0:
            collected.add(number, class_id, box, 0.0)
    return collected.boxes(), frames


def _read_detections(path: PathLike, class_ids: Container[int], frames: Mapping[FrameKey, int]) -> Boxes:
    """What counts of the rows on annotated frames."""
    collected = _Rows()
    for line, row in csv_rows(path, (ONLY_FRAME, 8), DETECTION_LAYOUT):
        frame = _frame(path, line, row)
        if len(row) == ONLY_FRAME:
            continue
        class_id, box = _action(path, line, row)
        try:
            score = finite(row[7])
        except ValueError as error:
            raise malformed(path, line, error) from error
        if class_id in class_ids and (number := frames.get(frame)) is not None:
            collected.add(number, class_id, box, score)
    real = collected.real()
    has_area = (real[:, 2:4] > real[:, :2]).all(1)
    return collected.boxes(has_area & _among_best_of_frame(collected.whole(), real))


def _among_best_of_frame(whole: NDArray[np.int64], real: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(N,) which rows are among the `MAX_ROWS_PER_FRAME` best of their frame.

    Of equal scores at the cut, those stay that the official program keeps: a row does not displace one of its own
    score, and a better one displaces the one of lowest class, then y1, x1, y2, x2.
    """
    kept = np.ones(len(whole), bool)
    crowded = np.flatnonzero((np.bincount(whole[:, 0], minlength=1) > MAX_ROWS_PER_FRAME)[whole[:, 0]])
    best: dict[int, list[tuple[float, int, float, float, float, float, int]]] = {}
    for row in crowded.tolist():
        frame, class_id = whole[row].tolist()
        x1, y1, x2, y2, score = real[row].tolist()
        entry = (score, class_id, y1, x1, y2, x2, row)
        held = best.setdefault(frame, [])
        if len(held) < MAX_ROWS_PER_FRAME:
            heapq.heappush(held, entry)
        elif score > held[0][0]:
            kept[heapq.heapreplace(held, entry)[-1]] = False
        else:
            kept[row] = False
    return kept


def _frame(path: PathLike, line: int, row: list[str]) -> FrameKey:
    try:
        return row[0], int(row[1])
    except ValueError as error:
        raise malformed(path, line, f"second {row[1]!r}; expected a whole number such as 0902") from error


def _action(path: PathLike, line: int, row: list[str]) -> tuple[int, tuple[float, float, float, float]]:
    """Class and box."""
    try:
        return int(row[6]), (finite(row[2]), finite(row[3]), finite(row[4]), finite(row[5]))
    except ValueError as error:
        raise malformed(path, line, error) from error
