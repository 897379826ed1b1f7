"""Lists of labelled videos as their data sets publish them: Kinetics, Something-Something v2, Charades, UCF101, HMDB51.

A reader gives the names of the videos and what each is labelled with; `longform.clip_training.opening` finds the
files.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from extractors.classes import class_names
from longform.datasets.charades import CharadesVideo, read_videos
from longform.datasets.frame_lists import ListedFrames, read_frame_lists
from longform.metrics.charades_map import NUM_CLASSES
from longform.metrics.tables import AnnotationError, PathLike, csv_columns, finite, malformed, text_lines

PATH_AND_LABEL = re.compile(r"(?P<path>.*[^\s,])[\s,]+(?P<label>[^\s,]+)")
HMDB_USE = {"train": "1", "val": "2"}
"""What a video's number in a list of HMDB51 is; 0 is in neither set."""


@dataclass(frozen=True, kw_only=True)
class VideoList:
    """The videos of a list, in its order."""

    path: str
    names: tuple[str, ...]
    """Path below a folder, or name of a file without folder and ending."""
    answers: tuple[str, ...] | tuple[int, ...] | tuple[CharadesVideo, ...] | tuple[ListedFrames, ...]
    """Of each: class name, class number, or the actions with their times or frames."""


def read_list(path: PathLike, *, layout: str = "auto", part: str = "train", split: int = 1) -> VideoList:
    """The videos of a list.

    Args:
        layout: a name in `LAYOUTS`, or `auto` to tell by the first line; `ucf101` and `hmdb51` must be named.
        part: `train` or `val`, for the folder of lists of `hmdb51`, which has both.
        split: 1, 2 or 3, for the same.
    Raises:
        AnnotationError: the file cannot be read, has no video, is of another layout, or a line is malformed.
    """
    layout = recognised(path) if layout == "auto" else layout
    if layout == "hmdb51":
        found = _read_hmdb(path, part, split)
    elif layout in LAYOUTS:
        found = LAYOUTS[layout](path)
    else:
        raise AnnotationError(f"No layout of lists is called {layout!r}; expected auto, hmdb51, {', '.join(LAYOUTS)}.")
    if not found.names:
        raise AnnotationError(f"{os.fspath(path)!r} has no video.")
    return found


def recognised(path: PathLike) -> str:
    """The layout of a list: `paths` unless its ending or its header says otherwise."""
    if os.path.isdir(path):
        raise AnnotationError(f"{os.fspath(path)!r} is a folder. Lists of HMDB51 are: then name the layout, hmdb51.")
    if Path(path).suffix == ".json":
        return "ssv2"
    _, first = next(text_lines(path), (1, ""))
    headers = {"label,youtube_id": "kinetics", "id,subject": "charades", "original_vid": "frames"}
    return next((layout for header, layout in headers.items() if first.startswith(header)), "paths")


def _read_paths(path: PathLike) -> VideoList:
    """Lines `path label`, with blanks or a comma between: PySlowFast's lists; labels are numbers, or names."""
    rows = []
    for line, text in text_lines(path):
        stated = PATH_AND_LABEL.fullmatch(text.strip())
        if not stated:
            raise malformed(path, line, f"{text.strip()!r}; expected a path and a label, with a blank between")
        if re.fullmatch(r"-\d+", stated["label"]):
            raise malformed(path, line, f"class {stated['label']}; expected a number from 0 on, or a name")
        rows.append((stated["path"], stated["label"]))
    labels = [label for _, label in rows]
    numbered = all(label.isdecimal() for label in labels)
    return VideoList(
        path=os.fspath(path),
        names=tuple(name for name, _ in rows),
        answers=tuple(map(int, labels)) if numbered else tuple(labels),
    )


def _read_kinetics(path: PathLike) -> VideoList:
    """The official `label,youtube_id,time_start,time_end,split`; files are called `<id>_<start>_<end>`, six digits."""
    names, labels = [], []
    for line, (label, video, start, end) in csv_columns(path, ("label", "youtube_id", "time_start", "time_end")):
        try:
            names.append(f"{video}_{int(finite(start)):06d}_{int(finite(end)):06d}")
        except ValueError as error:
            raise malformed(path, line, error) from error
        labels.append(label)
    return VideoList(path=os.fspath(path), names=tuple(names), answers=tuple(labels))


def _read_something(path: PathLike) -> VideoList:
    """`something-something-v2-train.json`: objects with `id` and `template`, whose brackets are no part of a class."""
    rows = _json(path)
    try:
        names = tuple(str(row["id"]) for row in rows)
        labels = tuple(row["template"].replace("[", "").replace("]", "") for row in rows)
    except (AttributeError, KeyError, TypeError) as error:
        raise AnnotationError(f"{os.fspath(path)!r}: expected a list of objects with id and template.") from error
    return VideoList(path=os.fspath(path), names=names, answers=labels)


def _read_charades(path: PathLike) -> VideoList:
    """`Charades_v1_train.csv` or its like; videos without any action are left out."""
    videos = tuple(video for video in read_videos(path) if video.actions)
    return VideoList(path=os.fspath(path), names=tuple(video.video for video in videos), answers=videos)


def _read_frames(path: PathLike) -> VideoList:
    """A frame list of Charades: a line for each picture."""
    lists = read_frame_lists(path, num_classes=NUM_CLASSES)
    return VideoList(path=os.fspath(path), names=tuple(lists), answers=tuple(lists.values()))


def _read_ucf(path: PathLike) -> VideoList:
    """`trainlist01.txt` and `testlist01.txt`: `<class>/<video>.avi`, in the first with a number behind."""
    names = tuple(text.split()[0] for _, text in text_lines(path))
    wrong = next((name for name in names if "/" not in name), None)
    if wrong is not None:
        raise AnnotationError(f"{os.fspath(path)!r}: {wrong!r}; expected <class>/<video>.avi.")
    return VideoList(path=os.fspath(path), names=names, answers=tuple(name.partition("/")[0] for name in names))


def _read_hmdb(path: PathLike, part: str, split: int) -> VideoList:
    """The folder of lists `<class>_test_split<n>.txt`: `<video>.avi` and 1 for training, 2 for testing."""
    ending = f"_test_split{split}.txt"
    files = sorted(Path(path).glob(f"*{ending}"))
    if not files:
        raise AnnotationError(f"{os.fspath(path)!r} has no list '<class>{ending}'.")
    names, labels = [], []
    for file in files:
        for line, text in text_lines(file):
            fields = text.split()
            if len(fields) != 2 or fields[1] not in ("0", "1", "2"):
                raise malformed(file, line, f"{text.strip()!r}; expected a video and 0, 1 or 2")
            if fields[1] == HMDB_USE[part]:
                names.append(fields[0])
                labels.append(file.name.removesuffix(ending))
    return VideoList(path=os.fspath(path), names=tuple(names), answers=tuple(labels))


LAYOUTS: dict[str, Callable[[PathLike], VideoList]] = {
    "paths": _read_paths,
    "kinetics": _read_kinetics,
    "ssv2": _read_something,
    "charades": _read_charades,
    "frames": _read_frames,
    "ucf101": _read_ucf,
}
"""Readers by layout; `hmdb51` is beside them."""


def read_classes(name_or_path: str) -> tuple[str, ...]:
    """Names of classes, by number.

    Args:
        name_or_path: one of `extractors.classes.CLASS_LISTS`; `something-something-v2-labels.json`, which gives numbers
            by name; `classInd.txt` of UCF101, `<number> <name>` a line, from 1; or a file with one name a line.
    Raises:
        AnnotationError, ConfigError: the file cannot be read or is malformed.
    """
    if name_or_path.endswith(".json"):
        numbers = _json(name_or_path)
        try:
            names = sorted(numbers, key=lambda name: int(numbers[name]))
            in_order = [int(numbers[name]) for name in names] == list(range(len(names)))
        except (TypeError, ValueError) as error:
            raise AnnotationError(f"{name_or_path!r}: expected an object with a number for each class.") from error
        if not in_order:
            raise AnnotationError(f"{name_or_path!r}: expected numbers from 0 to {len(names) - 1}, each once.")
        return tuple(names)
    names = list(class_names(name_or_path))
    counted = [f"{number} " for number in range(1, len(names) + 1)]
    if all(name.startswith(number) for name, number in zip(names, counted, strict=True)):
        return tuple(name.removeprefix(number) for name, number in zip(names, counted, strict=True))
    return tuple(names)


def _json(path: PathLike) -> Any:
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise AnnotationError(f"{os.fspath(path)!r} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise AnnotationError(f"{os.fspath(path)!r} is no JSON: {error}.") from error
