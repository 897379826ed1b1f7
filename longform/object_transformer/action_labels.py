"""Actions of the boxes of a bank, from AVA's ground truth or from the csv of the released AVA data of LVU."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from longform.datasets.ava import NUM_ACTIONS
from longform.metrics.overlap import iou
from longform.metrics.tables import csv_rows, malformed
from longform.object_transformer.tokens import BoxTable

LAYOUT = "video, second, x1, y1, x2, y2, action, and person, or score, track, shot and a column that is not used"
SAME_BOX_IOU = 0.9
"""From here on a box of the bank is an annotated one, as in Long-Term Feature Banks."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ActionLabels:
    """What is known of the N boxes of a table."""

    known: NDArray[np.bool_]
    """(N,) which boxes are annotated ones."""
    actions: NDArray[np.bool_]
    """(N, 80), column 0 for action 1; nothing where not known."""


@dataclass(frozen=True)
class AnnotatedBoxes:
    """The boxes of a file, by video and second of the film."""

    by_moment: Mapping[tuple[str, int], tuple[NDArray[np.float64], NDArray[np.bool_]]]
    """Boxes (A, 4), and actions (A, 80)."""

    @classmethod
    def read(cls, path: Path) -> AnnotatedBoxes:
        """Read a file of 7, 8 or 11 columns. Raises AnnotationError."""
        found: dict[tuple[str, int], dict[tuple[float, ...], list[int]]] = {}
        for line, row in csv_rows(path, (7, 8, 11), LAYOUT):
            try:
                moment, box = (row[0], int(row[1])), tuple(map(float, row[2:6]))
                action = int(row[6]) if row[6] else None
                if action is not None and not 1 <= action <= NUM_ACTIONS:
                    raise ValueError(f"action {action}; expected 1 to {NUM_ACTIONS}")
            except ValueError as error:
                raise malformed(path, line, error) from error
            actions = found.setdefault(moment, {}).setdefault(box, [])
            if action is not None:
                actions.append(action)
        return cls({moment: _arrays(boxes) for moment, boxes in found.items()})

    @property
    def videos(self) -> list[str]:
        """In the order of the file."""
        return list(dict.fromkeys(video for video, _ in self.by_moment))

    def of_table(self, table: BoxTable, video: str, start_second: int) -> ActionLabels:
        """The actions of the boxes of a table, whose second 0 is `start_second` of the film."""
        known, actions = np.zeros(len(table), bool), np.zeros((len(table), NUM_ACTIONS), bool)
        for second in np.unique(table.seconds):
            annotated = self.by_moment.get((video, int(second) + start_second))
            if annotated is not None:
                rows = np.flatnonzero(table.seconds == second)
                overlaps = iou(table.boxes[rows, None], annotated[0][None])
                known[rows] = overlaps.max(1) >= SAME_BOX_IOU
                actions[rows] = annotated[1][overlaps.argmax(1)] & known[rows, None]
        return ActionLabels(known=known, actions=actions)


def _arrays(boxes: Mapping[tuple[float, ...], list[int]]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    actions = np.zeros((len(boxes), NUM_ACTIONS), bool)
    for number, stated in enumerate(boxes.values()):
        actions[number, np.array(stated, np.int64) - 1] = True
    return np.array(list(boxes), np.float64), actions
