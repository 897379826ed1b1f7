"""The nine tasks of LVU 1.0 (Wu and Krähenbühl, CVPR 2021) and their public split files.

Files `<task>/{train,val,test}.csv` are columns between blanks below a header; the last two are the YouTube id, which
may begin with "-", and the IMDb id. Before them stand class id and class name, or counts. The writer class "no
writer" is called "\\N". Label rules: chaoyuaw/lvu, src/data/video_data_helper.py.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from longform.metrics.tables import AnnotationError, PathLike, finite, malformed, text_lines, whole

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)

VIEW_COUNT_MEAN = 11.76425435683139
"""Of the natural logarithm of views; taken off by the released code."""

LIKE_RATIO_MEAN = 9.138220535629456
"""Of ten times the part of likes; taken off by the released code."""

CLASS_COLUMNS = ("class_id", "class_name")


@dataclass(frozen=True, kw_only=True)
class LvuTask:
    """One of the nine tasks."""

    name: str
    classes: Mapping[int, str]
    """Name of each class id that the files use; empty for regression."""
    num_outputs: int
    """Of the released head: directors and writers have 10, of which some are never used; regression has 1."""
    columns: tuple[str, ...] = CLASS_COLUMNS
    """Before the two ids."""

    @property
    def is_regression(self) -> bool:
        """Whether the label is a number; then the metric is the mean squared error."""
        return not self.classes


def _task(name: str, classes: Mapping[int, str], num_outputs: int | None = None) -> LvuTask:
    return LvuTask(name=name, classes=classes, num_outputs=num_outputs or len(classes))


def _counted(*names: str) -> dict[int, str]:
    return dict(enumerate(names))


_DIRECTORS = {
    0: "nm0000229", 1: "nm0000217", 4: "nm0000165", 5: "nm0001675", 6: "nm0040630", 7: "nm0001392", 8: "nm0000631",
    9: "nm0000233",
}  # fmt: skip
_WRITERS = {
    0: r"\N", 1: "nm0001220", 2: "nm0000175", 5: "nm0000455", 6: "nm0462895", 7: "nm0000230", 9: "nm0326040",
}  # fmt: skip

TASKS: dict[str, LvuTask] = {
    task.name: task
    for task in (
        _task("relationship", _counted("friend", "ex_boyfriend_ex_girlfriend", "husband_wife", "boyfriend_girlfriend")),
        _task("way_speaking", _counted("explains", "confronts", "discuss", "teaches", "threatens")),
        _task("scene", _counted("office", "airport", "school", "hotel", "prison", "restaurant")),
        LvuTask(name="like_ratio", classes={}, num_outputs=1, columns=("like_count", "dislike_count")),
        LvuTask(name="view_count", classes={}, num_outputs=1, columns=("view_count",)),
        _task("director", _DIRECTORS, 10),
        _task("genre", _counted("Comedy", "Action-Crime-Adventure", "Romance", "Thriller-Horror")),
        _task("writer", _WRITERS, 10),
        _task("year", _counted(*(str(1930 + 10 * decade) for decade in range(9)))),
    )
}
"""By name, in the order of the thesis's tables."""


@dataclass(frozen=True, slots=True)
class LvuVideo:
    """One line of a split file."""

    video_id: str
    imdb_id: str
    label: int | float
    """Class id, or the centred target of a regression."""


def read_split(annotations: PathLike, task: str, split: Split) -> list[LvuVideo]:
    """The videos of a split, in the file's order.

    Args:
        annotations: the folder `lvu_1.0`, with a folder for each task.
    Raises:
        AnnotationError: the task or split is not known, the file cannot be read, or a line is malformed, has a class
            that the task has not, or a video that came before.
    """
    if task not in TASKS:
        raise AnnotationError(f"LVU has no task {task!r}; expected one of: {', '.join(TASKS)}.")
    if split not in SPLITS:
        raise AnnotationError(f"LVU has no split {split!r}; expected one of: {', '.join(SPLITS)}.")
    path = Path(os.fspath(annotations)) / task / f"{split}.csv"
    columns = (*TASKS[task].columns, "youtube_id", "imdb_id")
    lines = text_lines(path)
    number, header = next(lines, (1, ""))
    if tuple(header.split()) != columns:
        raise malformed(path, number, f"{header.strip()!r}; expected the header {' '.join(columns)!r}")
    videos: dict[str, LvuVideo] = {}
    for number, line in lines:
        fields = line.split()
        if len(fields) != len(columns):
            raise malformed(path, number, f"{len(fields)} fields; expected {len(columns)}: {' '.join(columns)}")
        *values, video_id, imdb_id = fields
        if video_id in videos:
            raise malformed(path, number, f"video {video_id!r} a second time")
        try:
            videos[video_id] = LvuVideo(video_id, imdb_id, _label(TASKS[task], values))
        except ValueError as error:
            raise malformed(path, number, error) from error
    return list(videos.values())


def _label(task: LvuTask, values: list[str]) -> int | float:
    return _TARGETS[task.name](*map(finite, values)) if task.is_regression else _class_id(task, *values)


def _class_id(task: LvuTask, class_id: str, class_name: str) -> int:
    number = whole(class_id)
    if task.classes.get(number) != class_name:
        known = ", ".join(f"{key} {name}" for key, name in task.classes.items())
        raise ValueError(f"class {class_id} {class_name}; expected one of: {known}")
    return number


def view_count_target(views: float) -> float:
    """What is predicted for a number of views. Raises ValueError for none."""
    if views <= 0:
        raise ValueError(f"{views:g} views have no logarithm")
    return math.log(views) - VIEW_COUNT_MEAN


def like_ratio_target(likes: float, dislikes: float) -> float:
    """What is predicted for numbers of likes and dislikes. Raises ValueError for no vote at all."""
    if min(likes, dislikes) < 0 or likes + dislikes == 0:
        raise ValueError(f"{likes:g} likes and {dislikes:g} dislikes have no ratio")
    return 10.0 * likes / (likes + dislikes) - LIKE_RATIO_MEAN


_TARGETS: Mapping[str, Callable[..., float]] = {"view_count": view_count_target, "like_ratio": like_ratio_target}
