"""Generated videos as files, with the lists that trainers read."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.motions.classes import APPEARANCES, MotionClass, class_names
from benchmarks.motions.render import FPS, render
from pipeline.sample.encode import Coding, encode

SPLITS = ("train", "val", "test")

SPLIT_OF_ROUND = ("train", "test", "val", "train", "train", "test", "train", "train", "train", "train")
"""Every motion is shown once in a round; of ten rounds, seven are for training."""

CRFS = (18, 32)
"""Best and worst quality of a file, as x264 counts it."""


class Entry(NamedTuple):
    """One video of a data set."""

    path: str
    """Relative to the folder of the lists."""
    shown: MotionClass
    seed: int
    split: str


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """What to generate."""

    videos: int
    motions: tuple[str, ...]
    seed: int = 0
    size: int = 112
    frames: int = 48

    def entries(self) -> Iterator[Entry]:
        """The videos: motions in turns, each round with one split, appearances at random."""
        for number in range(self.videos):
            rng = np.random.default_rng([self.seed, number])
            turn, place = divmod(number, len(self.motions))
            shown = MotionClass(self.motions[place], APPEARANCES[rng.integers(len(APPEARANCES))])
            path = f"videos/{number:06}-{shown.motion}-{shown.appearance}.mp4"
            yield Entry(path, shown, int(rng.integers(2**62)), SPLIT_OF_ROUND[turn % len(SPLIT_OF_ROUND)])


def write_data_set(data: DataSet, folder: Path, *, labels: str = "motion", workers: int = 1) -> None:
    """Write the videos that are not there yet as H.264, and the lists.

    `train.csv`, `val.csv` and `test.csv` have a line `path label` per video, as Kinetics lists have; `classes.txt` has
    the names of the labels, the first of which is 0; `seeds.csv` says of each video what it shows and its seed.

    Args:
        labels: what the labels stand for, one of `LABELS`.
        workers: processes that render and encode.
    """
    entries = list(data.entries())
    (folder / "videos").mkdir(parents=True, exist_ok=True)
    missing = [entry for entry in entries if not (folder / entry.path).exists()]
    write = partial(_write_video, folder, data)
    if workers == 1:
        for entry in missing:
            write(entry)
    else:
        with ProcessPoolExecutor(workers) as pool:
            list(pool.map(write, missing, chunksize=16))
    _write_lists(folder, entries, labels)


def _write_video(folder: Path, data: DataSet, entry: Entry) -> None:
    """Under another name first, so that what has its name is whole."""
    video = render(entry.shown, entry.seed, frames=data.frames, size=data.size)
    crf = np.random.default_rng([entry.seed, 1]).integers(CRFS[0], CRFS[1] + 1)
    path = folder / entry.path
    unfinished = path.with_name(f"unfinished-{path.name}")
    encode(video, unfinished, fps=Fraction(FPS), coding=Coding(options={"crf": str(crf)}))
    unfinished.rename(path)


def _write_lists(folder: Path, entries: Sequence[Entry], labels: str) -> None:
    for split in SPLITS:
        lines = [f"{entry.path} {entry.shown.label(labels)}\n" for entry in entries if entry.split == split]
        (folder / f"{split}.csv").write_text("".join(lines))
    (folder / "classes.txt").write_text("".join(f"{name}\n" for name in class_names(labels)))
    with (folder / "seeds.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("path", "motion", "appearance", "seed", "split"))
        rows.writerows((entry.path, *entry.shown, entry.seed, entry.split) for entry in entries)
