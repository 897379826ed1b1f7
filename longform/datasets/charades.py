"""Actions of Charades (Sigurdsson et al., ECCV 2016), from the official csv files, and results for its evaluator.

`Charades_v1_train.csv` and `Charades_v1_test.csv` state times; training needs the classes of every frame, at the 24
frames a second that the official RGB frames have. Here frame i, from 0, has an action if start <= i / 24 < end. The
frame lists of Long-Term Feature Banks state classes of frames themselves; a user reports that some do not agree with
the times (its issue 49, unanswered). Scores are computed by `longform.metrics.charades_map`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from extractors.errors import ShapeError
from longform.datasets.frame_lists import FrameList, ListedFrames, NumberedPaths
from longform.metrics.charades_map import NUM_CLASSES
from longform.metrics.tables import AnnotationError, PathLike, csv_columns, finite, malformed, text_lines
from pipeline.errors import InputError

FPS = 24
ACTION = re.compile(r"c(\d{3}) (\d+(?:\.\d+)?) (\d+(?:\.\d+)?)", re.ASCII)
CLASS_LINE = re.compile(r"c(\d{3}) (.+)", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class CharadesAction:
    """One action in a video."""

    class_id: int
    start_s: float
    end_s: float
    """Up to 1.6 s after the end of the video; in 7 actions of the training file, before `start_s`."""

    def frames(self, num_frames: int) -> range:
        """The frames that have it; none if it ends before it begins."""
        first, end = (math.ceil(moment_s * FPS - 1e-6) for moment_s in (self.start_s, self.end_s))
        return range(min(first, num_frames), min(end, num_frames))


@dataclass(frozen=True, slots=True, kw_only=True)
class CharadesVideo:
    """One row of a file."""

    video: str
    length_s: float
    actions: tuple[CharadesAction, ...]
    """Empty for 174 videos of the training file and 49 of the test file, which Long-Term Feature Banks leaves out."""


def read_videos(path: PathLike) -> list[CharadesVideo]:
    """The videos of `Charades_v1_train.csv` or `Charades_v1_test.csv`, in the order of the file.

    Raises:
        AnnotationError: the file cannot be read, a column is not there, a line is malformed, or a video twice.
    """
    videos: dict[str, CharadesVideo] = {}
    for line, (video, actions, length) in csv_columns(path, ("id", "actions", "length")):
        if video in videos:
            raise malformed(path, line, f"video {video!r} is there a second time")
        try:
            read = CharadesVideo(video=video, length_s=finite(length), actions=_actions(actions))
        except ValueError as error:
            raise malformed(path, line, error) from error
        videos[video] = read
    if not videos:
        raise AnnotationError(f"{str(path)!r} has no video.")
    return list(videos.values())


def frame_list(videos: Iterable[CharadesVideo], num_frames: Mapping[str, int]) -> FrameList:
    """The frames of the videos with actions, and the classes of each; others are left out, as in the original lists.

    Args:
        num_frames: frames of each video at `FPS`: pictures in its folder of the official RGB frames, or what
            `longform.datasets.frame_reader.VideoFrames` counts.
    Returns:
        Frames called `<video>/<video>-000001.jpg` and so on.
    Raises:
        InputError: `num_frames` lacks a video.
    """
    lists: dict[str, ListedFrames] = {}
    for video in videos:
        if video.actions:
            if video.video not in num_frames:
                raise InputError(f"No number of frames is given for video {video.video!r}.")
            lists[video.video] = _listed(video, num_frames[video.video])
    return lists


def read_class_names(path: PathLike) -> tuple[str, ...]:
    """The 157 names of `Charades_v1_classes.txt`.

    Raises:
        AnnotationError: the file cannot be read, a line is malformed, or they are not c000 to c156 in order.
    """
    names: list[str] = []
    for line, text in text_lines(path):
        stated = CLASS_LINE.fullmatch(text.strip())
        if not stated or int(stated[1]) != len(names):
            raise malformed(path, line, f"{text.strip()!r}; expected c{len(names):03d} and a name")
        names.append(stated[2])
    if len(names) != NUM_CLASSES:
        raise AnnotationError(f"{str(path)!r} names {len(names)} classes; expected {NUM_CLASSES}.")
    return tuple(names)


def write_submission(path: PathLike, videos: Sequence[str], scores: ArrayLike) -> None:
    """Write results as the official script and `longform.metrics.charades_map` read them: id, then 157 scores.

    Args:
        scores: (N, 157), of each video; only their order within a class counts.
    Raises:
        ShapeError: the scores have another shape, one is not finite, or a video is there twice.
    """
    values = np.asarray(scores, np.float64)
    if values.shape != (len(videos), NUM_CLASSES) or not np.isfinite(values).all():
        raise ShapeError(f"The scores are {values.shape}; expected ({len(videos)}, {NUM_CLASSES}), all finite.")
    if len(set(videos)) != len(videos):
        raise ShapeError("A video is there twice; combine the scores of its views first.")
    with open(path, "w", encoding="utf-8", newline="") as file:
        for video, row in zip(videos, values.tolist(), strict=True):
            file.write(f"{video} {' '.join(format(score, '.9g') for score in row)}\n")


def _actions(text: str) -> tuple[CharadesAction, ...]:
    """The actions of `c092 11.90 21.20;c147 0.00 12.60`, or of an empty field."""
    actions = []
    for part in text.split(";") if text else ():
        stated = ACTION.fullmatch(part)
        if not stated or int(stated[1]) >= NUM_CLASSES:
            raise ValueError(f"action {part!r}; expected class c000…c156, start and end, as 'c092 11.90 21.20'")
        actions.append(CharadesAction(class_id=int(stated[1]), start_s=float(stated[2]), end_s=float(stated[3])))
    return tuple(actions)


def _listed(video: CharadesVideo, num_frames: int) -> ListedFrames:
    shown: NDArray[np.bool_] = np.zeros((num_frames, NUM_CLASSES), bool)
    for action in video.actions:
        frames = action.frames(num_frames)
        shown[frames.start : frames.stop, action.class_id] = True
    return ListedFrames(
        paths=NumberedPaths(f"{video.video}/{video.video}-", 6, ".jpg", range(1, num_frames + 1)),
        labels=np.nonzero(shown)[1].astype(np.int32),
        label_starts=np.concatenate([[0], shown.sum(1).cumsum()]).astype(np.int64),
    )
