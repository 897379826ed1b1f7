"""A small bank of films, with split files: the class of a film is in the features of its people."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from longform.datasets.lvu import TASKS
from pipeline.bank import FeatureBank
from tests.pipeline.bank.helpers import Video, feature, new_bank, put

SPACE, DIM, ACTIONS = "person.small", 8, 80
SPLITS = {"train": range(12), "val": range(12, 16), "test": range(16, 20)}
FILMS = [f"{'-' if number % 5 == 0 else ''}film{number}" for number in range(20)]
SECONDS = 64
SMALL = ("--width", "24", "--layers", "1", "--heads", "3")


def class_of(number: int) -> int:
    return number % 2


def film(number: int, seconds: int = SECONDS) -> Video:
    """Two people every other second; films of class 1 have 1 where others have -1 in half of the channels."""
    rng = np.random.default_rng(number)
    content = Video(FILMS[number])
    name = content.video_id
    content.rows["shots"] = [
        {"video_id": name, "shot_index": 0, "start_s": 0.0, "end_s": float(seconds), "start_frame": 0,
         "end_frame": 25 * seconds, "start_pts": 0, "end_pts": seconds}
    ]  # fmt: skip
    detections, features = [], []
    for second in range(0, seconds, 2):
        for person in range(2):
            left = 0.1 + 0.4 * person
            box = np.array([left, 0.2, left + 0.3, 0.8], np.float32)
            detections.append(
                {"video_id": name, "at_s": float(second), "frame": 25 * second, "pts": second,
                 "detection_id": 2 * second + person, "box": box, "score": 0.9, "class_id": 0, "label": "person",
                 "track_id": person, "shot_index": 0}
            )  # fmt: skip
            value = rng.normal(size=DIM)
            value[: DIM // 2] += 2 * class_of(number) - 1
            features.append(feature(name, float(second), value, 2 * second + person, person))
    content.rows["detections"], content.rows[f"features/{SPACE}"] = detections, features
    return content


def write_bank(folder: Path, numbers: range | list[int] = range(20)) -> FeatureBank:
    writer = new_bank(folder, {SPACE: DIM})
    for number in numbers:
        put(writer, film(number))
    return FeatureBank.open(folder)


def write_annotations(folder: Path, tasks: tuple[str, ...] = ("relationship", "view_count")) -> Path:
    """Split files: friends or husband and wife; 30,000 or 500,000 views."""
    for task in tasks:
        (folder / task).mkdir(parents=True)
        for split, numbers in SPLITS.items():
            header = " ".join((*TASKS[task].columns, "youtube_id", "imdb_id"))
            rows = [f"{_label(task, number)} {FILMS[number]} tt{number}" for number in numbers]
            (folder / task / f"{split}.csv").write_text("\n".join([header, *rows, ""]), encoding="utf-8")
    return folder


def _label(task: str, number: int) -> str:
    if task == "view_count":
        return "500000" if class_of(number) else "30000"
    return "2 husband_wife" if class_of(number) else "0 friend"


def write_classifier(path: Path, dim: int = DIM) -> Path:
    """A short-term model's last layer."""
    torch.manual_seed(3)
    state: Mapping[str, torch.Tensor] = {
        "head.projection.weight": torch.randn(ACTIONS, dim),
        "head.projection.bias": torch.randn(ACTIONS),
    }
    save_file(dict(state), path)
    return path
