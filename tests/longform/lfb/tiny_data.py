"""Tiny data sets in their official forms: videos of a few seconds, annotations, and a bank of each."""

from __future__ import annotations

import argparse
import csv
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

from longform import train_command
from longform.training import recipes
from pipeline.sample.encode import Coding, encode
from tests.pipeline.bank.helpers import Video, feature, new_bank, put

DIM = 4
SMALL = ("--width", "2", "--clip", "8x2", "--size", "32")
SPACES = {
    "ava": "person.ava_lfb_i3d_nl_r50",
    "epic-verb": "clip.lfb_i3d_nl_r50",
    "epic-noun": "object.faster_rcnn_x101_fpn",
    "charades": "clip.lfb_i3d_nl_r50",
}


def train(*words: str) -> int:
    """`longform train`, without its progress."""
    parser = argparse.ArgumentParser()
    recipes.configure_train(parser)
    return train_command.train(parser.parse_args([*words, "--quiet"]))


def evaluate(*words: str) -> int:
    """`longform eval --json`."""
    parser = argparse.ArgumentParser()
    recipes.configure_eval(parser)
    return train_command.evaluate(parser.parse_args([*words, "--json"]))


def make_ava(folder: Path, seconds: Sequence[int] = (902, 903, 904)) -> Path:
    """Films that were cut at second 900: a, b to train on, c, d to test; two people a second, one of them acts."""
    annotations = folder / "annotations"
    annotations.mkdir(parents=True)
    for split, videos in (("train", "ab"), ("val", "cd")):
        truth, boxes = [], []
        for video in videos:
            shoot(folder / "videos" / f"{video}.mp4", seconds=5, seed=ord(video))
            for second in seconds:
                left, right = "0.100,0.200,0.500,0.900", "0.500,0.200,0.900,0.900"
                truth.append(f"{video},0{second},{left},{1 + second % 2}")
                boxes += [f"{video},0{second},{left},,0.950000", f"{video},0{second},{right},,0.930000"]
        (annotations / f"ava_{split}_v2.1.csv").write_text("\n".join(truth) + "\n")
        (annotations / f"ava_{split}_predicted_boxes.csv").write_text("\n".join(boxes) + "\n")
    (annotations / "ava_val_excluded_timestamps_v2.1.csv").write_text("")
    label_map = "".join(f'label {{\n  name: "act {i}"\n  label_id: {i}\n}}\n' for i in (1, 2))
    (annotations / "ava_action_list_v2.1_for_activitynet_2018.pbtxt").write_text(label_map)
    make_bank(folder / "bank", "ava", ["a", "b", "c", "d"], np.arange(5.0), people=7)
    return folder


def make_epic(folder: Path) -> Path:
    """EPIC-KITCHENS-55 with two kitchens to train on and one, P30, to test; four segments in each."""
    annotations = folder / "annotations"
    annotations.mkdir(parents=True)
    columns = "uid participant_id video_id start_timestamp stop_timestamp verb_class noun_class".split()
    rows = []
    for kitchen, video in enumerate(("P01_01", "P02_01", "P30_01")):
        shoot(folder / "videos" / f"{video}.mp4", seconds=4, seed=kitchen)
        rows += [
            (f"{4 * kitchen + i}", video[:3], video, f"00:00:0{i}.00", f"00:00:0{i}.90", f"{i}", f"{i + 1}")
            for i in range(4)
        ]
    with open(annotations / "EPIC_train_action_labels.csv", "w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([columns, *rows])
    make_bank(folder / "verbs", "epic-verb", ["P01_01", "P02_01", "P30_01"], np.arange(1.0, 4.0))
    make_bank(folder / "nouns", "epic-noun", ["P01_01", "P02_01", "P30_01"], np.arange(4.0), people=3)
    return folder


def make_charades(folder: Path) -> Path:
    """A1, A2 to train on, B1, B2 to test; two actions each. Videos lie in a subfolder."""
    annotations = folder / "annotations"
    annotations.mkdir(parents=True)
    for split, videos in (("train", ("A1", "A2")), ("test", ("B1", "B2"))):
        rows = []
        for number, video in enumerate(videos):
            shoot(folder / "videos" / split / f"{video}.mp4", seconds=3, seed=ord(video[0]) + number)
            rows.append(f"{video},c00{number} 0.00 1.50;c005 1.00 3.00,3.0")
        (annotations / f"Charades_v1_{split}.csv").write_text("\n".join(["id,actions,length", *rows]) + "\n")
    ids = ["train~A1.mp4", "train~A2.mp4", "test~B1.mp4", "test~B2.mp4"]
    make_bank(folder / "bank", "charades", ids, 11 / 24 + 0.5 * np.arange(5))
    return folder


def shoot(path: Path, *, seconds: int, seed: int) -> None:
    """A video of coloured noise at 24 frames a second."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    frames = (rng.integers(0, 256, (40, 56, 3), np.uint8) for _ in range(24 * seconds))
    encode(frames, path, fps=Fraction(24), coding=Coding(codec="mpeg4", gop=6))


def make_bank(
    path: Path, task: str, videos: Sequence[str], times_s: np.ndarray, *, people: int = 0, score: float = 0.95
) -> None:
    """A bank of random features, 0 or more; of `people` boxes at each time, or of clips.

    The first value of a feature is its time.
    """
    space = SPACES[task]
    writer = new_bank(path, {space: DIM})
    rng = np.random.default_rng(5)
    for video in videos:
        content = Video(video)
        rows, detections = [], []
        for moment, at_s in enumerate(times_s.tolist()):
            for person in range(people) if people else (None,):
                value = np.append(at_s, rng.random(DIM - 1))
                number = None if person is None else 100 * moment + person
                rows.append(feature(video, at_s, value, number))
                if number is not None:
                    detections.append(
                        {"video_id": video, "at_s": at_s, "frame": moment, "pts": moment, "detection_id": number,
                         "box": np.array([0.1, 0.2, 0.5, 0.9]), "score": score, "class_id": 1, "label": "person",
                         "track_id": None, "shot_index": None}
                    )  # fmt: skip
        content.rows["detections"], content.rows[f"features/{space}"] = detections, rows
        put(writer, content)
