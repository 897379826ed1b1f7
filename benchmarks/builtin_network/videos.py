"""Generated videos as arrays on disk, made once."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.motions.classes import MotionClass
from benchmarks.motions.dataset import DataSet, Entry
from benchmarks.motions.render import render

Video = NDArray[np.uint8]

CHUNK = 64
"""Videos in a file."""

FRAMES, SIZE = 44, 120


@dataclass(frozen=True)
class GeneratedVideos:
    """Videos (T, S, S, 3) with what they show; small to pickle, files are opened on use."""

    data: DataSet
    folder: Path

    def __len__(self) -> int:
        return self.data.videos

    def video(self, index: int) -> Video:
        """A video; what is not looked at is not read."""
        chunk, place = divmod(index, CHUNK)
        return np.asarray(np.load(_path(self.folder, chunk), mmap_mode="r", allow_pickle=False)[place])

    def shown(self, index: int) -> MotionClass:
        """What a video shows."""
        return _shown(self.data)[index]


@cache
def _shown(data: DataSet) -> tuple[MotionClass, ...]:
    return tuple(entry.shown for entry in data.entries())


def generated(folder: Path, *, motions: tuple[str, ...], videos: int, seed: int, workers: int = 1) -> GeneratedVideos:
    """Videos in `folder`, of which those that are missing are made."""
    data = DataSet(videos=videos, motions=motions, seed=seed, size=SIZE, frames=FRAMES)
    folder.mkdir(parents=True, exist_ok=True)
    missing = [(chunk, entries) for chunk, entries in _chunks(data) if not _path(folder, chunk).exists()]
    write = partial(_write, folder, data)
    if workers <= 1:
        for chunk, entries in missing:
            write(chunk, entries)
    elif missing:
        with ProcessPoolExecutor(workers, initializer=cv2.setNumThreads, initargs=(1,)) as pool:
            list(pool.map(write, *zip(*missing, strict=True)))
    return GeneratedVideos(data, folder)


def _path(folder: Path, chunk: int) -> Path:
    return folder / f"videos-{chunk:05}.npy"


def _chunks(data: DataSet) -> Iterator[tuple[int, list[Entry]]]:
    entries = list(data.entries())
    for chunk, first in enumerate(range(0, len(entries), CHUNK)):
        yield chunk, entries[first : first + CHUNK]


def _write(folder: Path, data: DataSet, chunk: int, entries: list[Entry]) -> None:
    """Under another name first, so that what has its name is whole."""
    videos = np.stack([render(entry.shown, entry.seed, frames=data.frames, size=data.size) for entry in entries])
    unfinished = folder / f"unfinished-{chunk:05}.npy"
    np.save(unfinished, videos)
    unfinished.rename(_path(folder, chunk))
