"""What a clip is labelled with: the class of its video, or the classes of its own frames."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from longform.datasets.charades import CharadesVideo
from longform.datasets.frame_lists import ListedFrames
from longform.training.errors import TrainingError

Label = int | NDArray[np.float32]
_SLACK = 1e-6
"""Of a frame, for times that are written in decimals."""


class Labels(Protocol):
    """Labels of the videos of a source, by index."""

    @property
    def num_classes(self) -> int: ...

    @property
    def is_multiple(self) -> bool:
        """Whether a clip can have any number of classes; its label is then (C,) zeros and ones."""
        ...

    def __len__(self) -> int: ...

    def of(self, index: int, first: int, last: int, fps: float) -> Label:
        """The label of the clip of frames `first` to `last` (both included) of a video with `fps` frames a second."""
        ...


@dataclass(frozen=True)
class ClassLabels:
    """One class for each video, whatever the clip."""

    classes: Sequence[int]
    num_classes: int
    is_multiple = False

    def __post_init__(self) -> None:
        wrong = next((label for label in self.classes if not 0 <= label < self.num_classes), None)
        if wrong is not None:
            raise TrainingError(f"A video has class {wrong}: expected 0 to {self.num_classes - 1}.")

    def __len__(self) -> int:
        return len(self.classes)

    def of(self, index: int, first: int, last: int, fps: float) -> int:
        return int(self.classes[index])


@dataclass(frozen=True)
class TimedLabels:
    """The actions of Charades, whose times are in seconds; frame i is at second i / fps."""

    videos: Sequence[CharadesVideo]
    num_classes: int
    is_multiple = True

    def __len__(self) -> int:
        return len(self.videos)

    def of(self, index: int, first: int, last: int, fps: float) -> NDArray[np.float32]:
        """Every action with start <= i / fps < end for a frame i of the clip, those between its own included."""
        shown = []
        for action in self.videos[index].actions:
            begin, end = (math.ceil(moment_s * fps - _SLACK) for moment_s in (action.start_s, action.end_s))
            if max(begin, first) < min(end, last + 1):
                shown.append(action.class_id)
        return _multi_hot(shown, self.num_classes)


@dataclass(frozen=True)
class ListedLabels:
    """The classes that a frame list gives for each frame."""

    videos: Sequence[ListedFrames]
    num_classes: int
    is_multiple = True

    def __len__(self) -> int:
        return len(self.videos)

    def of(self, index: int, first: int, last: int, fps: float) -> NDArray[np.float32]:
        """The classes of all frames from the first to the last, those between included."""
        return _multi_hot(self.videos[index].classes(first, last), self.num_classes)


def _multi_hot(classes: Iterable[int], num_classes: int) -> NDArray[np.float32]:
    label = np.zeros(num_classes, np.float32)
    label[list(classes)] = 1
    return label
