"""Labelled videos as training reads them: how long each is, what a clip shows, and the pixels of a clip.

A source is read in worker processes. What is read depends on nothing but the arguments.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from longform.clip_training.augmentation import PlaceWindow, Window
from longform.clip_training.labels import Label, Labels
from longform.clip_training.sampling import ClipInfo, Indices
from longform.clip_training.video_reading import VideoIndex, read_index, read_windows
from longform.datasets.frame_lists import FrameList
from longform.datasets.frame_reader import FramePictures
from longform.metrics.tables import PathLike
from longform.training.errors import TrainingError
from pipeline.errors import DecodeError

Pixels = NDArray[np.uint8]


class ClipSource(ABC):
    """Labelled videos, by index."""

    def __init__(self, labels: Labels) -> None:
        self._labels = labels
        if not len(labels):
            raise TrainingError("There is no video to read: the list is empty.")

    def __len__(self) -> int:
        return len(self._labels)

    @property
    def num_classes(self) -> int:
        return self._labels.num_classes

    @property
    def is_multiple(self) -> bool:
        """Whether a clip can have any number of classes."""
        return self._labels.is_multiple

    def labels(self, index: int, first_frame: int, last_frame: int) -> Label:
        """The class of a clip from one frame to another, or (C,) zeros and ones."""
        return self._labels.of(index, first_frame, last_frame, self.clip(index).fps)

    @abstractmethod
    def name(self, index: int) -> str:
        """What a message calls a video."""

    @abstractmethod
    def clip(self, index: int) -> ClipInfo:
        """Length and rate of a video.

        Raises:
            ProbeError: the video cannot be opened.
        """

    @abstractmethod
    def read(self, index: int, frames: Indices, place: PlaceWindow) -> Pixels:
        """(T, S, S, 3) uint8 RGB: the window that `place` gives, of each frame.

        Args:
            frames: (T,) displayed frames; in any order, and several times the same.
        Raises:
            DecodeError: a frame cannot be decoded.
            ProbeError: the video cannot be opened.
        """


class FrameArrays(ClipSource):
    """Videos as arrays (N, H, W, 3) uint8 RGB, in memory or in files of numpy."""

    def __init__(self, videos: Sequence[Pixels] | Pixels, labels: Labels, *, fps: float = 30.0) -> None:
        super().__init__(labels)
        if len(videos) != len(labels):
            raise TrainingError(f"There are {len(videos)} videos and {len(labels)} labels: expected one for each.")
        self._videos, self._fps = videos, fps

    @classmethod
    def of_files(cls, paths: Iterable[PathLike], labels: Labels, *, fps: float = 30.0) -> FrameArrays:
        """Videos in `.npy` files, of which only what a clip shows is read."""
        return cls([np.load(path, mmap_mode="r", allow_pickle=False) for path in paths], labels, fps=fps)

    def name(self, index: int) -> str:
        return f"array {index}"

    def clip(self, index: int) -> ClipInfo:
        return ClipInfo(num_frames=len(self._videos[index]), fps=self._fps)

    def read(self, index: int, frames: Indices, place: PlaceWindow) -> Pixels:
        video = self._videos[index]
        return cut((video[frame] for frame in frames.tolist()), len(frames), place)


class PictureFiles(ClipSource):
    """Videos as pictures in files, such as the official RGB frames of Charades."""

    def __init__(self, frames: FrameList, root: PathLike, labels: Labels, *, fps: float) -> None:
        super().__init__(labels)
        self._frames, self._names, self._root, self._fps = frames, tuple(frames), Path(root), fps
        if len(frames) != len(labels):
            raise TrainingError(f"There are {len(frames)} videos and {len(labels)} labels: expected one for each.")

    def name(self, index: int) -> str:
        return self._names[index]

    def clip(self, index: int) -> ClipInfo:
        return ClipInfo(num_frames=len(self._frames[self._names[index]]), fps=self._fps)

    def read(self, index: int, frames: Indices, place: PlaceWindow) -> Pixels:
        return cut(self.pictures(index, frames), len(frames), place)

    def pictures(self, index: int, frames: Indices) -> list[Pixels]:
        """The pictures as they are, each (H, W, 3) uint8 RGB."""
        return FramePictures(self._frames, self._root).read(self._names[index], frames.tolist())


class VideoFiles(ClipSource):
    """Videos in files, decoded from the last key frame before a clip, straight to the size of the clip."""

    def __init__(self, uris: Sequence[str], labels: Labels) -> None:
        super().__init__(labels)
        if len(uris) != len(labels):
            raise TrainingError(f"There are {len(uris)} videos and {len(labels)} labels: expected one for each.")
        self._uris = tuple(uris)
        self._last: tuple[int, VideoIndex] | None = None

    def name(self, index: int) -> str:
        return self._uris[index]

    def clip(self, index: int) -> ClipInfo:
        found = self._index(index)
        return ClipInfo(num_frames=len(found.pts), fps=found.fps)

    def read(self, index: int, frames: Indices, place: PlaceWindow) -> Pixels:
        return read_windows(self._uris[index], self._index(index), frames, place)

    def _index(self, index: int) -> VideoIndex:
        """Of the video asked for last, which is read next, it is kept."""
        if self._last is None or self._last[0] != index:
            self._last = index, read_index(self._uris[index])
        return self._last[1]


def cut(pictures: Iterable[Pixels], count: int, place: PlaceWindow) -> Pixels:
    """(T, S, S, 3): the window of each of `count` pictures (H, W, 3), scaled bilinearly, or by areas where it shrinks.

    Raises:
        DecodeError: a picture has another size than the first one.
    """
    clip, window, hw = np.empty((count, 0, 0, 3), np.uint8), None, (0, 0)
    for number, picture in enumerate(pictures):
        if window is None:
            hw = picture.shape[:2]
            window = place(*hw)
            clip = np.empty((count, window.size, window.size, 3), np.uint8)
        if picture.shape[:2] != hw:
            raise DecodeError(f"Frame {number} of a clip is {picture.shape[:2]}; the first one is {hw}.")
        clip[number] = _scaled(picture, window)
    return clip


def _scaled(picture: Pixels, window: Window) -> Pixels:
    part = picture[window.top : window.top + window.height, window.left : window.left + window.width]
    if part.shape[:2] != (window.size, window.size):
        shrinks = window.size < min(part.shape[:2])
        how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        part = cv2.resize(part, (window.size, window.size), interpolation=how)
    return part[:, ::-1] if window.flip else part
