"""Annotated and predicted boxes of AVA (Gu et al., "AVA", CVPR 2018), versions 2.1 and 2.2.

Rows are one box with one action each; files have no header. Boxes are xyxy in [0, 1] of the frame, actions count from
1, and seconds from the start of the film, one key frame a second from 902 to 1798. The label map and the excluded
timestamps are read by `read_label_map` and `read_frames`, as the evaluator reads them.

Clips are cut and frames counted as in Long-Term Feature Banks (Wu et al., CVPR 2019): frame 0 is the one at second
900 of the film, and there are 30 a second, whatever the film's own rate.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from extractors.errors import ShapeError
from longform.metrics.ava_map import FrameKey, read_frames, read_label_map
from longform.metrics.tables import PathLike, csv_rows, finite, malformed

__all__ = [
    "CUT_START_S",
    "FPS",
    "KEY_SECONDS",
    "NUM_ACTIONS",
    "AvaBox",
    "AvaDetection",
    "AvaPerson",
    "centre_frame",
    "merge_actions",
    "read_detections",
    "read_frames",
    "read_ground_truth",
    "read_label_map",
    "read_predicted_boxes",
    "write_detections",
]

NUM_ACTIONS = 80
FPS = 30
"""Rate at which frames are extracted and counted."""
CUT_START_S = 900
"""Second of the film at which the annotated quarter of an hour, and with it frame 0, begins."""
KEY_SECONDS = range(902, 1799)

GROUND_TRUTH_LAYOUT = "video, second, x1, y1, x2, y2, action and, from version 2.2, person"
PREDICTED_LAYOUT = "video, second, x1, y1, x2, y2, action or nothing, score"
DETECTION_LAYOUT = "video, second, x1, y1, x2, y2, action, score"

BoxXyxy = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class AvaBox:
    """One row of a file."""

    video: str
    second: int
    box: BoxXyxy
    written: str
    """The coordinates as the file writes them, with commas: rows that write them alike are one box."""
    action: int | None
    """1 to 80; None for a predicted box without one."""
    person: int | None = None
    """Links a person over time within a video, in version 2.2."""
    score: float | None = None
    """Of the person detector, in files of predicted boxes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AvaPerson:
    """One box of a key frame with all its actions."""

    video: str
    second: int
    box: BoxXyxy
    actions: tuple[int, ...]
    """Ascending; empty for a predicted box without any."""
    person: int | None
    score: float | None
    """The highest that a row of the box states."""


def read_ground_truth(path: PathLike) -> Iterator[AvaBox]:
    """The rows of `ava_train_v2.1.csv`, `ava_val_v2.2.csv` and the like: 7 columns, or 8 with the person.

    Raises:
        AnnotationError: the file cannot be read, or a line is malformed.
    """
    for line, row in csv_rows(path, (7, 8), GROUND_TRUTH_LAYOUT):
        try:
            yield AvaBox(
                video=row[0],
                second=_second(row[1]),
                box=_box(row[2:6]),
                written=",".join(row[2:6]),
                action=_action(row[6]),
                person=int(row[7]) if len(row) == 8 else None,
            )
        except ValueError as error:
            raise malformed(path, line, error) from error


def read_predicted_boxes(path: PathLike, *, min_score: float = 0.0) -> Iterator[AvaBox]:
    """The rows of `ava_{train,val,test}_predicted_boxes.csv` of Long-Term Feature Banks and SlowFast.

    Args:
        min_score: rows below are passed over; 0.9 in training and in feature banks, 0.85 in testing.
    Raises:
        AnnotationError: the file cannot be read, or a line is malformed.
    """
    for line, row in csv_rows(path, (8,), PREDICTED_LAYOUT):
        try:
            box = AvaBox(
                video=row[0],
                second=_second(row[1]),
                box=_box(row[2:6]),
                written=",".join(row[2:6]),
                action=_action(row[6]) if row[6] else None,
                score=_score(row[7]),
            )
        except ValueError as error:
            raise malformed(path, line, error) from error
        if box.score is not None and box.score >= min_score:
            yield box


def merge_actions(rows: Iterable[AvaBox]) -> list[AvaPerson]:
    """The boxes with their actions, in order of first appearance.

    Rows whose coordinates are written alike are one box, as in Long-Term Feature Banks: `0.1` and `0.100` are two.
    """
    merged: dict[tuple[str, int, str], list[AvaBox]] = {}
    for row in rows:
        merged.setdefault((row.video, row.second, row.written), []).append(row)
    return [
        AvaPerson(
            video=video,
            second=second,
            box=same[0].box,
            actions=tuple(sorted({row.action for row in same if row.action is not None})),
            person=next((row.person for row in same if row.person is not None), None),
            score=max((row.score for row in same if row.score is not None), default=None),
        )
        for (video, second, _), same in merged.items()
    ]


def centre_frame(second: int) -> int:
    """Index of the frame in the middle of the clip of a key frame, from 0."""
    return (second - CUT_START_S) * FPS


@dataclass(frozen=True, slots=True, kw_only=True)
class AvaDetection:
    """One row of a file of results."""

    video: str
    second: int
    box: BoxXyxy
    action: int
    score: float
    """Any finite number: probabilities, sums of them, or logits; only their order counts."""


def read_detections(path: PathLike) -> Iterator[AvaDetection]:
    """The rows of a file of results in the official format, 8 columns.

    Boxes may reach over the edge of the picture or have no area; the evaluator passes over the latter.

    Raises:
        AnnotationError: the file cannot be read, or a line is malformed.
    """
    for line, row in csv_rows(path, (8,), DETECTION_LAYOUT):
        try:
            yield AvaDetection(
                video=row[0],
                second=_second(row[1]),
                box=_corners(row[2:6]),
                action=_action(row[6]),
                score=finite(row[7]),
            )
        except ValueError as error:
            raise malformed(path, line, error) from error


def write_detections(
    path: PathLike,
    key_frames: Sequence[FrameKey],
    boxes: ArrayLike,
    scores: ArrayLike,
    *,
    actions: Container[int] = range(1, NUM_ACTIONS + 1),
) -> int:
    """Write results in the official format: a row for each box and action.

    Scores have 9 digits, enough to give single precision back: the evaluator orders equal scores by chance.

    Args:
        key_frames: video and second of each box.
        boxes: (N, 4) xyxy in [0, 1].
        scores: (N, 80), column 0 for action 1.
        actions: those to write, such as the keys of the label map; the others are never evaluated.
    Returns:
        The number of rows.
    Raises:
        ShapeError: the arrays do not fit together, or a score is not finite.
    """
    corners, values = np.asarray(boxes, np.float64).reshape(-1, 4), np.asarray(scores, np.float64)
    _check_results(key_frames, corners, values)
    columns = [column for column in range(NUM_ACTIONS) if column + 1 in actions]
    with open(path, "w", encoding="utf-8", newline="") as file:
        for (video, second), corner, row in zip(key_frames, corners.tolist(), values.tolist(), strict=True):
            place = f"{video},{second:04d},{','.join(format(edge, '.6g') for edge in corner)}"
            file.writelines(f"{place},{column + 1},{row[column]:.9g}\n" for column in columns)
    return len(key_frames) * len(columns)


def _check_results(key_frames: Sequence[FrameKey], boxes: NDArray[np.float64], scores: NDArray[np.float64]) -> None:
    count = len(key_frames)
    if boxes.shape != (count, 4) or scores.shape != (count, NUM_ACTIONS):
        raise ShapeError(
            f"{count} key frames with boxes {boxes.shape} and scores {scores.shape}; "
            f"expected ({count}, 4) and ({count}, {NUM_ACTIONS})."
        )
    if not np.isfinite(scores).all():
        number, column = np.argwhere(~np.isfinite(scores))[0].tolist()
        video, second = key_frames[number]
        raise ShapeError(f"Video {video!r}, second {second}, action {column + 1}: score {scores[number, column]}.")


def _second(text: str) -> int:
    second = int(text)
    if second not in KEY_SECONDS:
        raise ValueError(f"second {text}; expected {KEY_SECONDS[0]} to {KEY_SECONDS[-1]}")
    return second


def _corners(fields: list[str]) -> BoxXyxy:
    x1, y1, x2, y2 = map(finite, fields)
    return x1, y1, x2, y2


def _box(fields: list[str]) -> BoxXyxy:
    x1, y1, x2, y2 = _corners(fields)
    if not (0.0 <= x1 <= x2 <= 1.0 and 0.0 <= y1 <= y2 <= 1.0):
        raise ValueError(f"box {', '.join(fields)}; expected x1, y1, x2, y2 as fractions, 0 <= x1 <= x2 <= 1")
    return x1, y1, x2, y2


def _action(text: str) -> int:
    action = int(text)
    if not 1 <= action <= NUM_ACTIONS:
        raise ValueError(f"action {action}; expected 1 to {NUM_ACTIONS}")
    return action


def _score(text: str) -> float:
    score = finite(text)
    if not 0.0 <= score <= 1.0:
        raise ValueError(f"score {text}; expected 0 to 1")
    return score
