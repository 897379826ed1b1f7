"""Split files of the form of LVU 1.0 for the movies of the synthetic world."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.lvu.synthetic.design import Labels
from longform.datasets.lvu import SPLITS, TASKS, Split
from pipeline.errors import ConfigError

ID_CHARACTERS = np.array(list("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"))
ID_LENGTH = 11
DASHED = 20
"""One id in so many begins with "-"."""

FIRST_FILM = 1_000_000


def video_ids(count: int, seed: int) -> list[str]:
    """Different ids of the form of YouTube's; some begin with "-"."""
    rng = np.random.default_rng([seed, ID_LENGTH])
    found: dict[str, None] = {}
    while len(found) < count:
        characters = rng.choice(ID_CHARACTERS, ID_LENGTH)
        if len(found) % DASHED == 0:
            characters[0] = "-"
        found["".join(characters)] = None
    return list(found)


def split_of(place: int, count: int, shares: Sequence[float]) -> Split:
    """The split of one of `count` movies; the shares are of training, validation and test."""
    if len(shares) != len(SPLITS) or min(shares) <= 0 or abs(sum(shares) - 1) > 1e-6:
        raise ConfigError(f"Shares {tuple(shares)} of the splits: expected three above 0 that sum to 1.")
    ends = np.round(np.cumsum(shares) * count)
    return SPLITS[int(np.searchsorted(ends, place, "right"))]


def write_split_files(folder: Path, labels: Mapping[str, Labels], shares: Sequence[float]) -> None:
    """Write `<task>/{train,val,test}.csv` below `folder`: all movies, in this order, are in the files of all tasks."""
    lines: dict[tuple[str, Split], list[str]] = {(task, split): [] for task in TASKS for split in SPLITS}
    for place, (video_id, label) in enumerate(labels.items()):
        split = split_of(place, len(labels), shares)
        for task in TASKS:
            lines[task, split].append(f"{_columns(task, label)} {video_id} tt{FIRST_FILM + place}")
    for (task, split), written in lines.items():
        (folder / task).mkdir(parents=True, exist_ok=True)
        header = " ".join((*TASKS[task].columns, "youtube_id", "imdb_id"))
        (folder / task / f"{split}.csv").write_text("\n".join([header, *written, ""]), encoding="utf-8")


def _columns(task: str, label: Labels) -> str:
    if task == "like_ratio":
        return f"{label.likes} {label.dislikes}"
    if task == "view_count":
        return str(label.views)
    class_id = getattr(label, task)
    return f"{class_id} {TASKS[task].classes[class_id]}"
