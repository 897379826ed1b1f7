"""Clips of the real videos: one a second, each within one shot."""

from __future__ import annotations

import csv
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
from av.video.reformatter import Interpolation
from numpy.typing import NDArray

FPS = 30
"""Rate of the grid on which clips are sampled; a video at another rate shows on it what is on screen."""

CLIP_FRAMES = 32
SHORT_SIDE = 144
MOST_SECONDS = 30.0
"""Of a long video its start is used, so that it does not outweigh the others."""

FILMED: tuple[str, ...] = (
    "S001C001P001R001A001_rgb.avi", "armwrestling.mp4", "bedroom.mp4", "big_buck_bunny_0_30.webm", "bikes.mp4",
    "carphone_pristine.mp4", "chaplin.mp4", "cockatoo.mp4", "coffee.mp4", "fire2.mp4", "flipping_a_pancake.mkv",
    "goldeneye-vfr-drop3.mp4", "issue-195-aspect-ratio.mp4", "issue-236-split-copy.mkv", "juggle.mp4", "makeup.avi",
    "nasa_13013.mp4", "ntu_hug.avi", "one-by-one-person-detection.mp4", "pool_part_0.mp4", "store-aisle-detection.gif",
    "v_GGSY1Qvo990.mp4", "v_ZNVhz7ctTq0.mp4", "video_with_failing_audio.mp4", "worker-zone-detection.gif",
)  # fmt: skip
"""Filmed or animated videos of a second or more, each content once; no test patterns, slides, stills."""


@dataclass(frozen=True, eq=False, kw_only=True)
class RealClip:
    """A bit more than a second of a shot."""

    video: str
    shot: int
    frames: NDArray[np.uint8]
    """(CLIP_FRAMES, H, W, 3) RGB at 30 frames/s, the shorter side of `SHORT_SIDE`."""


def filmed_clips(folder: Path) -> Iterator[RealClip]:
    """Clips of `FILMED`."""
    cuts = _cuts(folder / "cuts.csv")
    for name in FILMED:
        yield from clips_of(folder / name, cuts.get(name, []))


def signing_clips(folder: Path) -> Iterator[RealClip]:
    """Clips of the sign-language videos, which have one shot each."""
    for path in sorted((folder / "asl").glob("*.mkv")):
        yield from clips_of(path, [])


def clips_of(path: Path, cuts: list[tuple[int, int]]) -> Iterator[RealClip]:
    """Clips of a video, one after another within each shot.

    Args:
        cuts: first frame of each change of shot, and first frame after it.
    """
    times, pictures = _decoded(path)
    borders = [0.0, *(time for cut in cuts for time in _moments(times, cut)), times[-1] + 1 / FPS]
    shots = list(zip(borders[::2], borders[1::2], strict=True))
    for shot, (start_s, end_s) in enumerate(shots):
        for first in range(int((end_s - start_s) * FPS) // CLIP_FRAMES):
            grid = start_s + (first * CLIP_FRAMES + np.arange(CLIP_FRAMES) + 0.5) / FPS
            on_screen = [max(0, bisect_right(times, moment) - 1) for moment in grid.tolist()]
            yield RealClip(video=path.name, shot=shot, frames=np.stack([pictures[i] for i in on_screen]))


def _moments(times: list[float], cut: tuple[int, int]) -> tuple[float, float]:
    return tuple(times[min(frame, len(times) - 1)] for frame in cut)  # type: ignore[return-value]


def _decoded(path: Path) -> tuple[list[float], list[NDArray[np.uint8]]]:
    """Moments from 0 in seconds and pictures of the first `MOST_SECONDS`, in the order in which they are shown."""
    times: list[float] = []
    pictures: list[NDArray[np.uint8]] = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        rate = float(stream.average_rate or FPS)
        for number, frame in enumerate(container.decode(stream)):
            scale = SHORT_SIDE / min(frame.height, frame.width)
            small = frame.reformat(
                width=round(frame.width * scale), height=round(frame.height * scale), format="rgb24",
                interpolation=Interpolation.AREA if scale < 1 else Interpolation.BILINEAR,
            )  # fmt: skip
            time_s = frame.time if frame.time is not None else number / rate
            times.append(float(time_s))
            pictures.append(small.to_ndarray())
            if times[-1] - times[0] >= MOST_SECONDS:
                break
    if path.suffix == ".avi" or any(b <= a for a, b in pairwise(times)):
        times = [number / rate for number in range(len(pictures))]
    return [time - times[0] for time in times], pictures


def _cuts(path: Path) -> dict[str, list[tuple[int, int]]]:
    """Of each video the changes of shot in order: first frame after a shot, first of the next one."""
    cuts: dict[str, list[tuple[int, int]]] = {}
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            if row["video_stream"] in ("", "0"):
                frame, last = int(row["frame"]), int(row["last_frame"])
                cuts.setdefault(row["video"], []).append((frame, frame if row["kind"] == "hard" else last + 1))
    return {video: sorted(changes) for video, changes in cuts.items()}


def grey(frames: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """The pictures in grey."""
    return [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
