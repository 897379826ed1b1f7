"""The pixels of a data set for `longform train` and `longform eval`: which videos are there, and which are not."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from longform.datasets.frame_lists import FrameList
from longform.datasets.frame_reader import FramePictures, FrameReader, VideoFrames
from longform.lfb.video_names import found_names
from longform.training.errors import TrainingError
from pipeline.errors import InputError
from pipeline.inputs import find_videos

NAMED = 5
PICTURE = re.compile(r".*-(\d{6})\.jpg")


@dataclass(frozen=True, kw_only=True)
class Footage:
    """Frames of the videos that are there."""

    reader: FrameReader
    videos: tuple[str, ...]
    missing: tuple[str, ...]

    def require(self, what: str, *, allow_missing: bool) -> None:
        """Refuse missing videos, unless they are allowed.

        Args:
            what: the list that names them.
        Raises:
            InputError: some are missing and not allowed, or all are missing; the message names them.
        """
        if self.missing and (not allow_missing or not self.videos):
            raise InputError(
                f"{missing_words(self.missing, len(self.videos), what)} Give them, or --allow-missing to go on without."
            )


def missing_words(missing: Sequence[str], there: int, what: str) -> str:
    """A sentence that counts and names missing videos."""
    named = ", ".join(missing[:NAMED]) + (", ..." if len(missing) > NAMED else "")
    return f"{len(missing)} of {len(missing) + there} videos of {what} are not there: {named}."


def open_footage(
    options: argparse.Namespace,
    names: Iterable[str],
    *,
    fps: int,
    frames: FrameList | None = None,
    start_s: float = 0.0,
    duration_s: float | None = None,
) -> Footage:
    """The frames that `--videos` or `--frames` names.

    Args:
        names: videos of the data set, in order.
        frames: the frame list; needed for `--frames`.
        start_s, duration_s: see `VideoFrames`.
    Raises:
        TrainingError: neither is given, or there is no frame list.
        InputError: the folder is not there, or a name is there twice.
    """
    wanted = tuple(dict.fromkeys(names))
    if only_results(options):
        return unread(wanted)
    if options.videos is not None:
        files = {video.video_id: video.uri for video in find_videos([options.videos]).videos}
        found = found_names(wanted, files, repr(options.videos))
        reader: FrameReader = VideoFrames(
            {name: files[video_id] for name, video_id in found.items()}, fps=fps, start_s=start_s, duration_s=duration_s
        )
        return _split(reader, wanted, found)
    if options.frames is None:
        raise TrainingError("Clips need pixels: give --videos DIR, or --frames DIR.")
    root = Path(options.frames)
    if not root.is_dir():
        raise InputError(f"There is no folder {options.frames!r} of frames.")
    if frames is None:
        raise TrainingError(
            f"Pictures need a frame list: put train.csv and val.csv into {options.annotations!r}, or give --videos."
        )
    there = {name: name for name in wanted if name in frames and (root / frames[name].paths[0]).is_file()}
    return _split(FramePictures(frames, root), wanted, there)


def only_results(options: argparse.Namespace) -> bool:
    """Whether a file of results is measured, for which no frame is read."""
    return getattr(options, "results", None) is not None


def unread(names: Sequence[str]) -> Footage:
    """All videos, without frames."""
    return Footage(reader=VideoFrames({}, fps=1), videos=tuple(names), missing=())


def counted_pictures(root: Path, videos: Iterable[str]) -> dict[str, int]:
    """How many pictures `<video>/<video>-000001.jpg` and on each video has; those without any are left out.

    Raises:
        InputError: a number is missing between the first and the last.
    """
    counts = {}
    for video in videos:
        folder = root / video
        matches = [PICTURE.fullmatch(path.name) for path in folder.iterdir()] if folder.is_dir() else []
        numbers = sorted(int(match[1]) for match in matches if match)
        if numbers and numbers != list(range(1, len(numbers) + 1)):
            raise InputError(f"Folder {str(folder)!r}: {len(numbers)} pictures, the last is number {numbers[-1]}.")
        if numbers:
            counts[video] = len(numbers)
    return counts


def _split(reader: FrameReader, wanted: Sequence[str], found: Mapping[str, str]) -> Footage:
    return Footage(
        reader=reader,
        videos=tuple(name for name in wanted if name in found),
        missing=tuple(name for name in wanted if name not in found),
    )
