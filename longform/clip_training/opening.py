"""From a list of labelled videos to a source of clips: its classes numbered, its files found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from longform.clip_training.labels import ClassLabels, Labels, ListedLabels, TimedLabels
from longform.clip_training.lists import VideoList
from longform.clip_training.sources import ClipSource, PictureFiles, VideoFiles
from longform.datasets.charades import FPS, CharadesVideo, frame_list
from longform.datasets.frame_lists import FrameList, ListedFrames
from longform.lfb.footage import counted_pictures, missing_words
from longform.lfb.video_names import found_names
from longform.metrics.charades_map import NUM_CLASSES
from longform.metrics.tables import AnnotationError
from pipeline.errors import InputError

MOST_CLASSES = 100_000
"""Of a list that has them as numbers: a larger number is a slip, and a classifier for as many fits nowhere."""


@dataclass(frozen=True, kw_only=True)
class OpenedList:
    """A list whose files were found."""

    source: ClipSource
    missing: tuple[str, ...]
    """Names of videos that are not there."""


def numbered_classes(train: VideoList, classes: Sequence[str] | None) -> tuple[str, ...]:
    """The classes of a training list, by number: those given, or the names that occur in alphabetical order.

    Classes that a list has as numbers are called `0`, `1` and so on, where no names are given.

    Raises AnnotationError for a number from `MOST_CLASSES` on.
    """
    if isinstance(train.answers[0], CharadesVideo | ListedFrames):
        return tuple(classes or (f"c{number:03d}" for number in range(NUM_CLASSES)))
    if classes is not None:
        return tuple(classes)
    if isinstance(train.answers[0], int):
        largest = max(train.answers)
        if largest >= MOST_CLASSES:
            name = train.names[train.answers.index(largest)]
            raise AnnotationError(f"{train.path!r}: video {name!r} has class {largest}; expected numbers from 0 to "
                                  f"{MOST_CLASSES - 1}.")  # fmt: skip
        return tuple(map(str, range(largest + 1)))
    return tuple(sorted(set(train.answers)))


def open_list(
    videos: VideoList,
    classes: Sequence[str],
    *,
    folder: str | None = None,
    frames: str | None = None,
    allow_missing: bool = False,
) -> OpenedList:
    """The source of a list.

    Args:
        classes: by number, as `numbered_classes` gives them for the training list.
        folder: where the videos are; None for the folder of the list.
        frames: folder of extracted pictures, for lists of Charades; `folder` is not looked at then.
        allow_missing: go on without videos that are not there.
    Raises:
        AnnotationError: a class of the list is not known.
        InputError: videos are missing and not allowed to be, or all are; a name is there twice.
    """
    if frames is not None:
        return _open_pictures(videos, classes, Path(frames), allow_missing)
    if isinstance(videos.answers[0], ListedFrames):
        raise InputError(f"{videos.path!r} lists pictures: give the folder they are in, --frames DIR.")
    files = _files(videos, Path(folder) if folder is not None else Path(videos.path).parent)
    there, missing = _split(videos, [name in files for name in videos.names], allow_missing)
    uris = [files[videos.names[place]] for place in there]
    return OpenedList(source=VideoFiles(uris, _labels(videos, there, classes)), missing=missing)


def _open_pictures(videos: VideoList, classes: Sequence[str], root: Path, allow_missing: bool) -> OpenedList:
    answers = videos.answers
    if isinstance(answers[0], ListedFrames):
        listed: FrameList = dict(zip(videos.names, answers, strict=True))
    elif isinstance(answers[0], CharadesVideo):
        counts = counted_pictures(root, videos.names)
        listed = frame_list((video for video in answers if video.video in counts), counts)
    else:
        raise InputError(f"--frames is for lists of Charades; {videos.path!r} names videos: give --videos DIR.")
    is_there = [name in listed and (root / listed[name].paths[0]).is_file() for name in videos.names]
    there, missing = _split(videos, is_there, allow_missing)
    kept = {videos.names[place]: listed[videos.names[place]] for place in there}
    labels = ListedLabels(tuple(kept.values()), len(classes))
    return OpenedList(source=PictureFiles(kept, root, labels, fps=FPS), missing=missing)


def _files(videos: VideoList, folder: Path) -> dict[str, str]:
    """File of each name that is there: at that path, or anywhere below the folder with any ending."""
    files = {name: str(folder / name) for name in videos.names if (folder / name).is_file()}
    rest = [name for name in videos.names if name not in files]
    if rest:
        held = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        found = found_names(list(dict.fromkeys(rest)), held, repr(str(folder)))
        files |= {name: str(folder / path) for name, path in found.items()}
    return files


def _split(videos: VideoList, is_there: Sequence[bool], allow_missing: bool) -> tuple[list[int], tuple[str, ...]]:
    """Places of the videos that are there, and names of the others, which must be allowed."""
    there = [place for place, known in enumerate(is_there) if known]
    missing = tuple(name for name, known in zip(videos.names, is_there, strict=True) if not known)
    if missing and (not allow_missing or not there):
        words = missing_words(missing, len(there), videos.path)
        raise InputError(f"{words} Give their folder with --videos, or --allow-missing to go on without.")
    return there, missing


def _labels(videos: VideoList, there: Sequence[int], classes: Sequence[str]) -> Labels:
    answers = [videos.answers[place] for place in there]
    if isinstance(answers[0], CharadesVideo):
        return TimedLabels(cast("list[CharadesVideo]", answers), len(classes))
    numbers = {name: number for number, name in enumerate(classes)}
    chosen = [answer if isinstance(answer, int) else numbers.get(cast(str, answer), -1) for answer in answers]
    wrong = next((place for place, number in enumerate(chosen) if not 0 <= number < len(classes)), None)
    if wrong is not None:
        raise AnnotationError(
            f"{videos.path!r}: video {videos.names[there[wrong]]!r} has class {answers[wrong]!r}, which is none of the "
            f"{len(classes)} classes of training. Give all their names with --classes."
        )
    return ClassLabels(tuple(chosen), len(classes))
