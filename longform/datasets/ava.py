"""Annotated and predicted boxes of AVA (Gu et al., "AVA", CVPR 2018), versions 2.1 and 2.2.

Rows are one box with one action each; files have no header. Boxes are xyxy in [0, 1] of the frame, actions count from
1, and seconds from the start of the film, one key frame a second from 902 to 1798. The label map and the excluded
timestamps are read by `read_label_map` and `read_frames`, as the evaluator reads them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from longform.metrics.ava_map import read_frames, read_label_map
from longform.metrics.tables import PathLike, csv_rows, finite, malformed

__all__ = [
    "NUM_ACTIONS",
    "AvaBox",
    "AvaPerson",
    "merge_actions",
    "read_frames",
    "read_ground_truth",
    "read_label_map",
    "read_predicted_boxes",
]

NUM_ACTIONS = 80

GROUND_TRUTH_LAYOUT = "video, second, x1, y1, x2, y2, action and, from version 2.2, person"
PREDICTED_LAYOUT = "video, second, x1, y1, x2, y2, action or nothing, score"

BoxXyxy = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class AvaBox:
    """One row of a file."""

    video: str
    second: int
    box: BoxXyxy
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
                second=int(row[1]),
                box=_box(row[2:6]),
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
                second=int(row[1]),
                box=_box(row[2:6]),
                action=_action(row[6]) if row[6] else None,
                score=_score(row[7]),
            )
        except ValueError as error:
            raise malformed(path, line, error) from error
        if box.score is not None and box.score >= min_score:
            yield box


def merge_actions(rows: Iterable[AvaBox]) -> list[AvaPerson]:
    """The boxes with their actions, in order of first appearance; rows with equal coordinates are one box."""
    merged: dict[tuple[str, int, BoxXyxy], list[AvaBox]] = {}
    for row in rows:
        merged.setdefault((row.video, row.second, row.box), []).append(row)
    return [
        AvaPerson(
            video=video,
            second=second,
            box=box,
            actions=tuple(sorted({row.action for row in same if row.action is not None})),
            person=next((row.person for row in same if row.person is not None), None),
            score=max((row.score for row in same if row.score is not None), default=None),
        )
        for (video, second, box), same in merged.items()
    ]


def _box(fields: list[str]) -> BoxXyxy:
    x1, y1, x2, y2 = map(finite, fields)
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
