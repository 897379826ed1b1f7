"""Frames of the videos of a data set by their number at the data set's rate, from pictures or from video files.

The numbers are those of the frame lists: AVA and EPIC-KITCHENS have 30 frames a second, Charades 24, whatever the
videos themselves have. From a video file, frame i is what is on screen i / fps seconds after the start: the last frame
that begins by then, or within a quarter of a frame after it. `ffmpeg -r`, which made the original pictures, chooses
the nearest frame instead, so where the rates differ a picture may be one frame of the video off; where they are equal
it is the same one.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from longform.chosen_frames import chosen_frames
from longform.datasets.frame_lists import FrameList
from longform.metrics.tables import PathLike
from pipeline.errors import DecodeError, InputError
from pipeline.video.frames import DecodeStats
from pipeline.video.geometry import PictureSpec
from pipeline.video.probe import PacketIndex, VideoFacts, probe

Picture = NDArray[np.uint8]
WHOLE_PICTURE = PictureSpec()


class FrameReader(Protocol):
    """Where the pixels of a data set come from."""

    def num_frames(self, video: str) -> int:
        """Frames of the video at the data set's rate.

        Raises:
            InputError: there is no such video.
        """
        ...

    def read(self, video: str, indices: Sequence[int]) -> list[Picture]:
        """The frames, each (H, W, 3) uint8 RGB and read only; an index may be there several times.

        Raises:
            InputError: there is no such video, or no such frame.
            DecodeError: a picture cannot be decoded.
        """
        ...


class FramePictures:
    """Pictures in files, one for each line of a frame list."""

    def __init__(self, frames: FrameList, root: PathLike) -> None:
        """`root` is the folder that the paths of the list lie in."""
        self._frames, self._root = frames, Path(root)

    def num_frames(self, video: str) -> int:
        _known(video, self._frames, "the frame list")
        return len(self._frames[video])

    def read(self, video: str, indices: Sequence[int]) -> list[Picture]:
        _check_indices(video, indices, self.num_frames(video))
        paths = self._frames[video].paths
        pictures = {index: self._picture(self._root / paths[index]) for index in set(indices)}
        return [pictures[index] for index in indices]

    def _picture(self, path: Path) -> Picture:
        try:
            stored = np.fromfile(path, np.uint8)
        except OSError as error:
            raise InputError(
                f"{os.fspath(path)!r} cannot be read: {error.strerror}. The frame list and the folder of frames must "
                "be of the same data."
            ) from error
        decoded = cv2.imdecode(stored, cv2.IMREAD_COLOR) if len(stored) else None
        if decoded is None:
            raise DecodeError(f"{os.fspath(path)!r} is no picture ({len(stored)} bytes). Extract the frames again.")
        picture = np.ascontiguousarray(decoded[..., ::-1])
        picture.flags.writeable = False
        return picture


@dataclass(frozen=True, kw_only=True)
class _Timed:
    """A probed video, and the frame on screen at each moment of the data set's grid."""

    facts: VideoFacts
    index: PacketIndex
    shown: NDArray[np.int64]
    """(N,) display index of every frame at the data set's rate."""


class VideoFrames:
    """Frames of video files. Each file is read once in full, when it is first asked for: its packets are listed."""

    def __init__(
        self, videos: Mapping[str, str], *, fps: int, start_s: float = 0.0, duration_s: float | None = None
    ) -> None:
        """
        Args:
            videos: file or uri of each video.
            fps: rate of the data set: 30 for AVA and EPIC-KITCHENS, 24 for Charades.
            start_s: second of the file at which frame 0 is: 900 for whole films of AVA.
            duration_s: how much of the file counts: 901 for whole films of AVA; None for all that follows.
        """
        self._videos, self._fps = videos, fps
        self._start_s, self._duration_s = start_s, duration_s
        self._timed: dict[str, _Timed] = {}

    def num_frames(self, video: str) -> int:
        return len(self._of(video).shown)

    def read(self, video: str, indices: Sequence[int]) -> list[Picture]:
        _check_indices(video, indices, self.num_frames(video))
        timed = self._of(video)
        wanted = timed.shown[list(indices)]
        stats = DecodeStats()
        pictures = dict[int, Picture]()
        for index, frame in chosen_frames(timed.facts, timed.index, np.unique(wanted).tolist(), stats):
            if frame.index != index:
                raise DecodeError(
                    f"{self._videos[video]!r}: frame {index} cannot be decoded ({stats.first_error}). Repair or leave "
                    "out the video."
                )
            pictures[index] = frame.picture(WHOLE_PICTURE)
        return [pictures[index] for index in wanted.tolist()]

    def _of(self, video: str) -> _Timed:
        _known(video, self._videos, "the list of videos")
        if video not in self._timed:
            facts, index = probe(self._videos[video])
            self._timed[video] = _Timed(facts=facts, index=index, shown=self._on_screen(facts, index))
        return self._timed[video]

    def _on_screen(self, facts: VideoFacts, index: PacketIndex) -> NDArray[np.int64]:
        measured = facts.measured
        length_s = measured.duration_s - self._start_s
        if length_s <= 0:
            raise InputError(
                f"{facts.uri!r} lasts {measured.duration_s:.1f} s, and frame 0 is at {self._start_s:g} s. Is it a cut "
                "of the film? Then give start_s=0."
            )
        length_s = min(length_s, self._duration_s or length_s)
        count = max(1, round(length_s * self._fps))
        moments_s = self._start_s + np.arange(count) / self._fps
        slack_s = measured.duration_s / measured.num_frames / 4
        begins_s = (index.pts - measured.clock.start_pts) * float(Fraction(measured.clock.time_base))
        return np.maximum(np.searchsorted(begins_s, moments_s + slack_s, side="right") - 1, 0)


def _known(video: str, videos: Mapping[str, object], where: str) -> None:
    if video not in videos:
        raise InputError(f"No video {video!r} in {where} ({len(videos)} videos). Are the files of one split?")


def _check_indices(video: str, indices: Sequence[int], count: int) -> None:
    for index in indices:
        if not 0 <= index < count:
            raise InputError(f"Video {video!r} has no frame {index}; expected 0 to {count - 1}.")
