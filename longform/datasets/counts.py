"""How much of a data set is there, beside what its authors count: files that are cut short or old show at once.

The published figures are those of the papers, the data sets' own pages, the configurations of Long-Term Feature Banks
(LFB) and its issue 23, where the authors quote their log and users report what the public files give.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from longform.datasets.ava_key_frames import AvaKeyFrames, key_frames_to_train_on
from longform.datasets.charades import CharadesVideo, read_videos
from longform.datasets.epic import EPIC_55, EpicSegments, lfb_split, read_segments
from longform.datasets.frame_lists import FrameList, read_frame_lists
from longform.metrics.tables import PathLike
from pipeline.errors import ConfigError

PIPE_WIDTH = 160
LFB_CONFIG = "LFB configuration"
LFB_FRAME_LISTS = {"ava": (235, 64), "charades": (7811, 1814)}
"""Videos of the training and the validation list."""
AVA_TRAINING = {
    "boxes": {"authors' log": 666_191, "public files": 664_550},
    "annotations": {"authors' log": 1_607_900, "public files": 1_603_805},
    "key frames": {"authors' log": 193_301, "public files": 193_296},
}
"""With predicted boxes of a score of at least 0.9."""
EPIC_55_SEGMENTS = {"train": 28_472, "test_seen": 8_047, "test_unseen": 2_929}
EPIC_55_SPLIT = (23_191, 5_281)
EPIC_100_SEGMENTS = {"train": 67_217, "validation": 9_668, "test": 13_092}
CHARADES_SPLITS = {
    "train": {"videos": 7_985, "videos without an action": 174, "actions": 49_809},
    "test": {"videos": 1_863, "videos without an action": 49, "actions": 16_691},
}


@dataclass(frozen=True, kw_only=True)
class Count:
    """One number beside the published one."""

    what: str
    found: int
    published: Mapping[str, int]
    """By source."""

    @property
    def agrees(self) -> bool:
        """Whether it is one of the published numbers."""
        return self.found in self.published.values()

    @property
    def verdict(self) -> str:
        """`equal`, or how far it is from each published number."""
        if self.agrees:
            return "equal" + "".join(f" to {s}" for s, n in self.published.items() if n == self.found)
        return ", ".join(f"{self.found - number:+,} against {source}" for source, number in self.published.items())


def frame_list_counts(dataset: str, frames: FrameList, *, split: str) -> list[Count]:
    """Videos of a frame list of `ava` or `charades`, of the split `train` or `val`."""
    published = LFB_FRAME_LISTS[dataset][("train", "val").index(split)]
    return [Count(what=f"videos, {split} frame list", found=len(frames), published={LFB_CONFIG: published})]


def ava_training_counts(key_frames: AvaKeyFrames) -> list[Count]:
    """What `key_frames_to_train_on` found with a least score of 0.9."""
    found = {
        "boxes": len(key_frames.boxes),
        "annotations": key_frames.num_annotations,
        "key frames": len(key_frames),
    }
    return [Count(what=f"{what}, train", found=found[what], published=AVA_TRAINING[what]) for what in AVA_TRAINING]


def epic_counts(read: EpicSegments, *, split: str) -> list[Count]:
    """Segments of one file.

    Args:
        split: `train`, `test_seen` or `test_unseen`; of EPIC-KITCHENS-100 `train`, `validation` or `test`.
    Raises:
        ConfigError: the edition has no such split.
    """
    name = read.edition.name
    published = EPIC_55_SEGMENTS if read.edition is EPIC_55 else EPIC_100_SEGMENTS
    if split not in published:
        raise ConfigError(f"{name} has no split {split!r}; expected one of: {', '.join(published)}.")
    counts = [Count(what=f"segments, {split}", found=len(read.segments), published={name: published[split]})]
    if read.edition is EPIC_55 and split == "train":
        parts = zip(("train", "validation"), lfb_split(read.segments), EPIC_55_SPLIT, strict=True)
        for part, segments, number in parts:
            counts.append(Count(what=f"segments, {part} of LFB", found=len(segments), published={LFB_CONFIG: number}))
    return counts


def charades_counts(videos: Sequence[CharadesVideo], *, split: str) -> list[Count]:
    """Videos and actions of an official file, `train` or `test`, and the videos that are left to train or test on."""
    without = sum(not video.actions for video in videos)
    actions = sum(len(video.actions) for video in videos)
    found = {"videos": len(videos), "videos without an action": without, "actions": actions}
    counts = [
        Count(what=f"{what}, {split}", found=found[what], published={"Charades": number})
        for what, number in CHARADES_SPLITS[split].items()
    ]
    number = LFB_FRAME_LISTS["charades"][("train", "test").index(split)]
    used = Count(what=f"videos with an action, {split}", found=len(videos) - without, published={LFB_CONFIG: number})
    return [*counts, used]


def count(arguments: argparse.Namespace) -> int:
    """Run `longform count`: 0, or 1 where a number is not a published one."""
    counts = COUNTERS[arguments.dataset](arguments)
    if not counts:
        raise ConfigError(f"Nothing to count: give files of {arguments.dataset}, see longform count --help.")
    if arguments.json:
        fields = [
            {"what": c.what, "found": c.found, "published": dict(c.published), "agrees": c.agrees} for c in counts
        ]
        print(json.dumps(fields, indent=2, ensure_ascii=False))
    else:
        console = Console(highlight=False)
        (console if console.is_terminal else Console(highlight=False, width=PIPE_WIDTH)).print(_table(counts))
    return 0 if all(c.agrees for c in counts) else 1


def _table(counts: Sequence[Count]) -> Table:
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column("what")
    table.add_column("found", justify="right")
    table.add_column("published", justify="right")
    table.add_column("")
    for c in counts:
        published = " / ".join(f"{number:,}" for number in c.published.values())
        table.add_row(c.what, f"{c.found:,}", published, c.verdict, style=None if c.agrees else "yellow")
    return table


def _count_ava(arguments: argparse.Namespace) -> list[Count]:
    counts = _count_frame_lists("ava", arguments)
    truth, boxes = arguments.ground_truth, arguments.boxes
    if bool(truth) != bool(boxes):
        raise ConfigError("The boxes of AVA are counted of both files: give --ground-truth and --boxes.")
    return counts + (ava_training_counts(key_frames_to_train_on(truth, boxes)) if truth else [])


def _count_epic(arguments: argparse.Namespace) -> list[Count]:
    files: dict[str, PathLike | None] = {
        "train": arguments.train,
        "validation": arguments.val,
        "test": arguments.test,
        "test_seen": arguments.test_seen,
        "test_unseen": arguments.test_unseen,
    }
    return [c for split, path in files.items() if path for c in epic_counts(read_segments(path), split=split)]


def _count_charades(arguments: argparse.Namespace) -> list[Count]:
    files = {"train": arguments.train, "test": arguments.test}
    counts = [c for split, path in files.items() if path for c in charades_counts(read_videos(path), split=split)]
    return _count_frame_lists("charades", arguments) + counts


def _count_frame_lists(dataset: str, arguments: argparse.Namespace) -> list[Count]:
    lists = {"train": arguments.train_frames, "val": arguments.val_frames}
    return [
        c
        for split, path in lists.items()
        if path
        for c in frame_list_counts(dataset, read_frame_lists(path), split=split)
    ]


COUNTERS = {"ava": _count_ava, "epic": _count_epic, "charades": _count_charades}
