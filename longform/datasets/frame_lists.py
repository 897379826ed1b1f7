"""Frame lists: one line for each frame of a data set, as Long-Term Feature Banks and PySlowFast read them.

Five columns between blanks: `original_vido_id video_id frame_id path labels`, the first line a header (spelt so). Of
them count the first, the name of the video; the fourth, where the frame lies below the root of the frames; and the
fifth, class numbers with commas between, in double quotes (`""` for none). The frames of a video are those of its
lines, in order: frame 0 is its first line.
"""

from __future__ import annotations

import os
import re
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import overload

import numpy as np
from numpy.typing import NDArray

from longform.metrics.tables import AnnotationError, PathLike, malformed, text_lines, whole

HEADER = "original_vido_id video_id frame_id path labels"
LARGEST_LABEL = 2**31 - 1
MOST_DIGITS = 18
LAST_NUMBER = re.compile(r"\d+(?=\D*$)", re.ASCII)


@dataclass(frozen=True, kw_only=True, eq=False)
class ListedFrames:
    """The frames of one video: where they lie, and their labels."""

    paths: Sequence[str]
    labels: NDArray[np.int32]
    """(L,) the classes of all frames, one after the other."""
    label_starts: NDArray[np.int64]
    """(T + 1,) where in `labels` those of each frame begin."""

    def __len__(self) -> int:
        return len(self.paths)

    def classes(self, first: int, last: int) -> NDArray[np.int32]:
        """The classes of the frames from `first` to `last`, both included, ascending and each once."""
        return np.unique(self.labels[self.label_starts[first] : self.label_starts[last + 1]])


FrameList = Mapping[str, ListedFrames]
"""Frames by the name of the video, in order of first appearance: the order that old banks number videos by."""


def read_frame_lists(*paths: PathLike, num_classes: int | None = None) -> FrameList:
    """The frames of all videos of some lists, such as `train.csv`, in a few bytes each.

    Args:
        num_classes: labels must be below; None for any.
    Raises:
        AnnotationError: a file cannot be read, has another header, or holds no frame; a line has not five columns or
            a label that is no class; frame numbers of a video do not rise.
    """
    videos: dict[str, _Collected] = {}
    for path in paths:
        for line, video, number, frame, labels in _rows(path):
            if video not in videos:
                videos[video] = _Collected(paths=NumberedPaths.like(frame))
            collected = videos[video]
            if number <= collected.last_number:
                raise malformed(
                    path,
                    line,
                    f"frame {number} of video {video!r} after frame {collected.last_number}; sort the list by "
                    "frame_id, and name each video in one list only",
                )
            collected.add(number, frame, _classes(path, line, labels, num_classes))
    if not videos:
        raise AnnotationError(f"No frame in {', '.join(repr(os.fspath(path)) for path in paths)}.")
    return {video: collected.frames() for video, collected in videos.items()}


def write_frame_list(path: PathLike, videos: FrameList) -> None:
    """A list that `read_frame_lists` and the original code read; frames are numbered from 0."""
    with open(path, "w", encoding="utf-8", newline="") as file:
        file.write(f"{HEADER}\n")
        for number, (video, frames) in enumerate(videos.items()):
            for frame, name in enumerate(frames.paths):
                labels = ",".join(map(str, frames.classes(frame, frame).tolist()))
                file.write(f'{video} {number} {frame} {name} "{labels}"\n')


class NumberedPaths(Sequence[str]):
    """Paths that differ only in their last number, such as `a/a_000001.jpg`: eight bytes each."""

    def __init__(self, head: str, digits: int, tail: str, numbers: Iterable[int] = ()) -> None:
        """`digits` is how many a number has at least, with leading zeros."""
        self._head, self._digits, self._tail = head, digits, tail
        self._numbers = array("q", numbers)

    @classmethod
    def like(cls, path: str) -> NumberedPaths:
        """No paths yet, but of the form of this one; a path without a number has no other of its form."""
        number = LAST_NUMBER.search(path)
        return cls(path[: number.start()], len(number[0]), path[number.end() :]) if number else cls(path, 1, "")

    def take(self, path: str) -> bool:
        """Append a path, if it is of this form."""
        text = path[len(self._head) : len(path) - len(self._tail)]
        number = int(text) if len(text) < MOST_DIGITS and text.isascii() and text.isdecimal() else -1
        fits = number >= 0 and path == self._path(number)
        if fits:
            self._numbers.append(number)
        return fits

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...
    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        if isinstance(index, slice):
            return [self._path(number) for number in self._numbers[index]]
        return self._path(self._numbers[index])

    def _path(self, number: int) -> str:
        return f"{self._head}{number:0{self._digits}d}{self._tail}"


@dataclass(kw_only=True)
class _Collected:
    """Lines of one video so far."""

    paths: NumberedPaths | list[str]
    labels: array[int] = field(default_factory=lambda: array("i"))
    label_starts: array[int] = field(default_factory=lambda: array("q", [0]))
    last_number: int = -1

    def add(self, number: int, path: str, classes: Iterable[int]) -> None:
        self.last_number = number
        if isinstance(self.paths, list):
            self.paths.append(path)
        elif not self.paths.take(path):
            self.paths = [*self.paths, path]
        self.labels.extend(classes)
        self.label_starts.append(len(self.labels))

    def frames(self) -> ListedFrames:
        return ListedFrames(
            paths=self.paths,
            labels=np.array(self.labels, np.int32),
            label_starts=np.array(self.label_starts, np.int64),
        )


def _rows(path: PathLike) -> Iterator[tuple[int, str, int, str, str]]:
    """`(line, video, frame number, path, labels)`."""
    lines = text_lines(path)
    line, header = next(lines, (1, ""))
    if not header.startswith("original_vid"):
        raise malformed(path, line, f"{header.strip()!r}; expected the header {HEADER!r}")
    for line, text in lines:
        fields = text.split()
        if len(fields) != 5:
            raise malformed(path, line, f"{len(fields)} columns; expected five between blanks: {HEADER}")
        try:
            yield line, fields[0], whole(fields[2]), fields[3], fields[4].replace('"', "")
        except ValueError as error:
            raise malformed(path, line, f"frame_id {error}") from error


def _classes(path: PathLike, line: int, labels: str, num_classes: int | None) -> list[int]:
    last = LARGEST_LABEL if num_classes is None else num_classes - 1
    try:
        classes = [int(label) for label in labels.split(",")] if labels else []
    except ValueError as error:
        raise malformed(path, line, f"labels {labels!r}; expected class numbers with commas between") from error
    for number in classes:
        if not 0 <= number <= last:
            raise malformed(path, line, f"label {number}; expected 0 to {last}")
    return classes
