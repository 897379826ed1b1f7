"""The lists of `longform train|eval coviar`, and the compressed videos that they name."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from longform.clip_training.class_names import CLASSES
from longform.clip_training.lists import VideoList, read_classes, read_list
from longform.clip_training.opening import numbered_classes, open_list
from longform.coviar.videos import CodeSource, VectorReading, open_videos
from longform.lfb.footage import missing_words
from longform.training.errors import TrainingError
from longform.training.run_folder import CONFIG

READING = ("vectors", "motion_precision", "max_gop", "size", "no_flip")
"""Options that must be in testing as they were in training."""


@dataclass(frozen=True, kw_only=True)
class LabelledVideos:
    """Videos with one class each."""

    source: CodeSource
    labels: Sequence[int]


@dataclass(frozen=True, kw_only=True)
class ListedVideos(LabelledVideos):
    """The videos of a list that could be read."""

    names: Sequence[str]
    """Paths of the files."""
    num_missing: int
    """Videos of the list that are not there or could not be read."""


def read_part(options: argparse.Namespace, part: str) -> VideoList:
    """The list of `train` or `val`, with one class for each video.

    Raises:
        TrainingError: the option is missing, or videos have several classes.
        AnnotationError: the list cannot be read.
    """
    name = {"train": "list", "val": "val"}[part]
    path = getattr(options, name)
    if path is None:
        raise TrainingError(f"Labelled videos are needed: give --{name} FILE.")
    found = read_list(path, layout=options.layout, part=part, split=options.split)
    if not isinstance(found.answers[0], int | str):
        raise TrainingError(
            f"{path} has several classes for a video: expected one, as UCF101, HMDB51 or Kinetics have."
        )
    return found


def classes_of(options: argparse.Namespace, videos: VideoList, weights: Sequence[str] = ()) -> tuple[str, ...]:
    """Names of the classes by number: those of `--classes`, of the run that made the weights, or of the list."""
    if options.classes is not None:
        return read_classes(options.classes)
    for file in weights:
        if (folder := _folder_of_run(file)) is not None and (folder / CLASSES).is_file():
            return read_classes(str(folder / CLASSES))
    return numbered_classes(videos, None)


def opened(
    options: argparse.Namespace, videos: VideoList, classes: Sequence[str], *, needs_motion: bool
) -> ListedVideos:
    """The videos of a list; those that are left out are counted on standard error.

    Args:
        needs_motion: whether a video of I-frames only cannot be used.
    Raises:
        InputError, AnnotationError: videos are not there, or have other classes.
        TrainingError: the motion of videos cannot be read.
    """
    videos = _recompressed(videos, Path(options.videos or Path(videos.path).parent))
    found = open_list(videos, classes, folder=options.videos, allow_missing=options.allow_missing)
    paths = [found.source.name(index) for index in range(len(found.source))]
    gone = set(found.missing)
    answers = [answer for name, answer in zip(videos.names, videos.answers, strict=True) if name not in gone]
    numbers = {name: number for number, name in enumerate(classes)}
    labels = [answer if isinstance(answer, int) else numbers[str(answer)] for answer in answers]
    reading = VectorReading(
        accumulate=options.vectors == "accumulated", precision=options.motion_precision, max_gop=options.max_gop
    )
    source, good = open_videos(paths, reading, needs_motion=needs_motion, skip_unreadable=options.skip_unreadable)
    if found.missing:
        print(missing_words(found.missing, len(paths), videos.path), file=sys.stderr)
    if len(good) < len(paths):
        left_out = f"{len(paths) - len(good)} of {len(paths)} videos of {videos.path}"
        print(f"{left_out} have no motion that can be read, and are left out.", file=sys.stderr)
    return ListedVideos(
        source=source,
        labels=[labels[index] for index in good],
        names=[paths[index] for index in good],
        num_missing=len(videos.names) - len(good),
    )


def _recompressed(videos: VideoList, folder: Path) -> VideoList:
    """The list with the names that `longform recompress` gives, `.mp4` for any ending, where only those are there."""

    def name_there(name: str) -> str:
        converted = Path(name).with_suffix(".mp4")
        return str(converted) if not (folder / name).is_file() and (folder / converted).is_file() else name

    return replace(videos, names=tuple(map(name_there, videos.names)))


def refuse_other_reading(weights: str, options: argparse.Namespace) -> None:
    """Refuse weights of a run that saw other vectors or other sizes than `options` ask for.

    Raises:
        TrainingError: config.json of the run says so; a file of no run is taken as it is.
    """
    folder = _folder_of_run(weights)
    if folder is None:
        return
    trained = json.loads((folder / CONFIG).read_text(encoding="utf-8"))["settings"]["recipe"]
    for name in READING:
        if name in trained and trained[name] != getattr(options, name):
            option = f"--{name.replace('_', '-')}"
            raise TrainingError(f"{weights} was trained with {option} {trained[name]}, and is asked to be measured "
                                f"with {getattr(options, name)}.")  # fmt: skip


def _folder_of_run(weights: str) -> Path | None:
    return next((parent for parent in Path(weights).parents if (parent / CONFIG).is_file()), None)
