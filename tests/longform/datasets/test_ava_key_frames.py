"""Boxes to train and test on, of both files of AVA, and how many there are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from longform.datasets.ava_key_frames import key_frames_to_test_on, key_frames_to_train_on
from longform.metrics import AnnotationError


def written(folder: Path, name: str, *lines: str) -> Path:
    path = folder / name
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    return written(
        tmp_path,
        "ava_train_v2.1.csv",
        "b,0903,0.100,0.200,0.300,0.400,12",
        "b,0903,0.500,0.200,0.900,0.400,80",
        "b,0903,0.100,0.200,0.300,0.400,1",
        "a,0904,0.000,0.000,1.000,1.000,5",
        "b,0902,0.100,0.200,0.300,0.400,12",
    )


@pytest.fixture
def predicted(tmp_path: Path) -> Path:
    return written(
        tmp_path,
        "ava_train_predicted_boxes.csv",
        "b,0903,0.100,0.200,0.300,0.400,12,0.91",  # the annotated box: one box, one more annotation
        "b,0903,0.1,0.2,0.3,0.4,,0.95",  # written otherwise: another box
        "a,0908,0.000,0.000,0.500,0.500,,0.9",
        "a,0905,0.000,0.000,0.500,0.500,3,0.89",
    )


def test_annotated_and_predicted_boxes_of_training(truth: Path, predicted: Path) -> None:
    frames = key_frames_to_train_on([truth], [predicted])
    assert frames.videos == ("b", "a")
    assert [(frames[i].video, frames[i].second) for i in range(len(frames))] == [
        ("b", 902),
        ("b", 903),
        ("a", 904),
        ("a", 908),
    ]
    assert (len(frames), len(frames.boxes), frames.num_annotations) == (4, 6, 6)
    middle = frames[1]
    assert middle.boxes.tolist() == [[0.1, 0.2, 0.3, 0.4], [0.5, 0.2, 0.9, 0.4], [0.1, 0.2, 0.3, 0.4]]
    assert [(1 + np.flatnonzero(row)).tolist() for row in middle.labels] == [[1, 12], [80], []]
    assert middle.centre_frame == 90
    assert not frames[-1].labels.any()
    with pytest.raises(IndexError):
        frames[4]


def test_predicted_boxes_of_testing(predicted: Path) -> None:
    frames = key_frames_to_test_on([predicted])
    assert [(frames[i].video, frames[i].second, len(frames[i].boxes)) for i in range(len(frames))] == [
        ("b", 903, 2),
        ("a", 905, 1),
        ("a", 908, 1),
    ]
    assert frames.at_seconds(4).tolist() == [2]
    assert len(key_frames_to_test_on([predicted], min_score=0.92)) == 1


def test_no_box_is_an_error(predicted: Path) -> None:
    with pytest.raises(AnnotationError, match="No box is left"):
        key_frames_to_test_on([predicted], min_score=0.99)


def test_real_rows(shared: Path) -> None:
    truth = shared / "annotations/ava/ava_val_v2.2_sample.csv"
    rows = [line.split(",") for line in truth.read_text().split()]
    frames = key_frames_to_train_on([truth], [])
    assert frames.num_annotations == len(rows) == 120
    assert len(frames) == len({row[1] for row in rows})
    assert len(frames.boxes) == len({tuple(row[1:6]) for row in rows})
    assert frames.labels.sum() == len({tuple(row[1:7]) for row in rows})
    for i in range(len(frames)):
        of_second = [row for row in rows if int(row[1]) == frames[i].second]
        assert {tuple(map(float, row[2:6])) for row in of_second} == set(map(tuple, frames[i].boxes.tolist()))
