"""Key frames of AVA with the boxes that a model is trained or tested on, and their actions.

In training these are the annotated boxes and the predicted ones with a score of at least 0.9, which carry the actions
of an annotated box they overlap (IoU >= 0.9), or none: the files say which. In testing they are predicted boxes with a
score of at least 0.85 (Long-Term Feature Banks, `lib/datasets/ava.py`).
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from longform.datasets.ava import NUM_ACTIONS, AvaBox, centre_frame, read_ground_truth, read_predicted_boxes
from longform.metrics.tables import AnnotationError, PathLike

TRAINING_MIN_SCORE = 0.9
TESTING_MIN_SCORE = 0.85
TESTED_WHILE_TRAINING_S = 4
"""While it trains, the original tests on the seconds that this divides, with boxes of `TRAINING_MIN_SCORE`."""


@dataclass(frozen=True, kw_only=True, eq=False)
class AvaKeyFrame:
    """One key frame."""

    video: str
    second: int
    boxes: NDArray[np.float64]
    """(N, 4) xyxy in [0, 1], N at least 1, in order of first appearance in the files."""
    labels: NDArray[np.bool_]
    """(N, 80), column 0 for action 1."""

    @property
    def centre_frame(self) -> int:
        """Index of the frame in the middle of its clip."""
        return centre_frame(self.second)


@dataclass(frozen=True, kw_only=True, eq=False)
class AvaKeyFrames:
    """All key frames with a box, ordered by video, as they first appear in the files, then by second."""

    videos: tuple[str, ...]
    num_annotations: int
    """Rows of the files that state an action, double ones too."""
    video_index: NDArray[np.int32]
    """(K,) index into `videos`."""
    seconds: NDArray[np.int32]
    """(K,)."""
    box_starts: NDArray[np.int64]
    """(K + 1,) where in `boxes` those of each key frame begin."""
    boxes: NDArray[np.float64]
    """(N, 4) xyxy in [0, 1]; those with coordinates that are written alike are one."""
    labels: NDArray[np.bool_]
    """(N, 80), column 0 for action 1."""

    def __len__(self) -> int:
        return len(self.video_index)

    def __getitem__(self, index: int) -> AvaKeyFrame:
        if not -len(self) <= index < len(self):
            raise IndexError(f"key frame {index} of {len(self)}")
        index %= len(self)
        rows = slice(self.box_starts[index], self.box_starts[index + 1])
        return AvaKeyFrame(
            video=self.videos[self.video_index[index]],
            second=int(self.seconds[index]),
            boxes=self.boxes[rows],
            labels=self.labels[rows],
        )

    def at_seconds(self, divisor: int) -> NDArray[np.int64]:
        """Indices of the key frames whose second is a multiple of `divisor`."""
        return np.flatnonzero(self.seconds % divisor == 0)


def key_frames_to_train_on(
    ground_truth: Iterable[PathLike], predicted_boxes: Iterable[PathLike], *, min_score: float = TRAINING_MIN_SCORE
) -> AvaKeyFrames:
    """Boxes to train on, of `ava_train_v2.1.csv` and `ava_train_predicted_boxes.csv` or other such files.

    Raises:
        AnnotationError: a file cannot be read, a line is malformed, or there is no box at all.
    """
    annotated = (read_ground_truth(path) for path in ground_truth)
    predicted = (read_predicted_boxes(path, min_score=min_score) for path in predicted_boxes)
    return _key_frames(chain.from_iterable(chain(annotated, predicted)))


def key_frames_to_test_on(predicted_boxes: Iterable[PathLike], *, min_score: float = TESTING_MIN_SCORE) -> AvaKeyFrames:
    """Boxes to test on, of `ava_val_predicted_boxes.csv`, or those that a bank is made of, with 0.9.

    Raises:
        AnnotationError: as `key_frames_to_train_on`.
    """
    return _key_frames(chain.from_iterable(read_predicted_boxes(path, min_score=min_score) for path in predicted_boxes))


def _key_frames(rows: Iterable[AvaBox]) -> AvaKeyFrames:
    """Key frames of rows in any order; `found` has the number of each box by its key frame and written coordinates."""
    videos: dict[str, int] = {}
    found: dict[tuple[int, int], dict[str, int]] = {}
    corners, stated = array("d"), array("q")
    for row in rows:
        key = videos.setdefault(row.video, len(videos)), row.second
        numbers = found.setdefault(key, {})
        if row.written not in numbers:
            numbers[row.written] = len(corners) // 4
            corners.extend(row.box)
        if row.action is not None:
            stated.extend((numbers[row.written], row.action - 1))
    if not found:
        raise AnnotationError("No box is left in the files of boxes; lower the least score, or give other files.")
    order = sorted(found)
    boxes_of = [list(found[key].values()) for key in order]
    labels = np.zeros((len(corners) // 4, NUM_ACTIONS), bool)
    box_and_action = np.array(stated, np.int64).reshape(-1, 2)
    labels[box_and_action[:, 0], box_and_action[:, 1]] = True
    chosen = np.fromiter(chain.from_iterable(boxes_of), np.int64)
    return AvaKeyFrames(
        videos=tuple(videos),
        num_annotations=len(box_and_action),
        video_index=np.array([video for video, _ in order], np.int32),
        seconds=np.array([second for _, second in order], np.int32),
        box_starts=np.cumsum([0, *map(len, boxes_of)]),
        boxes=np.array(corners, np.float64).reshape(-1, 4)[chosen],
        labels=labels[chosen],
    )
