"""The split files of LVU 1.0: counts, odd ids, labels, and files that are not as they should be."""

import math
from pathlib import Path

import pytest

from longform.datasets.lvu import (
    SPLITS,
    TASKS,
    VIEW_COUNT_MEAN,
    like_ratio_target,
    read_split,
    view_count_target,
)
from longform.metrics.tables import AnnotationError

COUNTS = {
    "relationship": (149, 53, 42),
    "way_speaking": (939, 205, 201),
    "scene": (557, 120, 86),
    "director": (680, 163, 107),
    "writer": (769, 174, 168),
    "year": (770, 165, 143),
    "genre": (3063, 597, 647),
    "like_ratio": (658, 142, 140),
    "view_count": (577, 124, 126),
}
MOVIES = {
    "relationship": (132, 50, 40),
    "way_speaking": (767, 191, 193),
    "scene": (445, 116, 82),
    "director": (74, 17, 12),
    "writer": (85, 19, 18),
    "year": (519, 110, 110),
    "genre": (896, 195, 193),
    "like_ratio": (366, 112, 117),
    "view_count": (427, 120, 115),
}


@pytest.fixture(scope="module")
def annotations(shared: Path) -> Path:
    return shared / "annotations/lvu_1.0"


@pytest.mark.parametrize("task", TASKS)
def test_counts_of_videos_and_movies(annotations: Path, task: str) -> None:
    splits = [read_split(annotations, task, split) for split in SPLITS]
    assert tuple(map(len, splits)) == COUNTS[task]
    assert tuple(len({video.imdb_id for video in split}) for split in splits) == MOVIES[task]


def test_all_videos_together(annotations: Path) -> None:
    ids = {video.video_id for task in TASKS for split in SPLITS for video in read_split(annotations, task, split)}
    assert len(ids) == 9996
    assert {len(video_id) for video_id in ids} == {11}
    assert sum(video_id.startswith("-") for video_id in ids) > 50


def test_no_writer_is_a_writer(annotations: Path) -> None:
    train = read_split(annotations, "writer", "train")
    assert TASKS["writer"].classes[0] == r"\N"
    assert (train[0].video_id, train[0].label) == ("--UgPWRVt8A", 0)
    assert {video.label for video in train} == set(TASKS["writer"].classes)


def test_relationships_and_a_director_of_the_sheet(annotations: Path) -> None:
    labels = [video.label for split in SPLITS for video in read_split(annotations, "relationship", split)]
    assert [labels.count(label) for label in range(4)] == [136, 5, 65, 38]
    tarantino = [sum(v.label == 9 for v in read_split(annotations, "director", split)) for split in SPLITS]
    assert tarantino == [64, 12, 0]


@pytest.mark.parametrize(("task", "mse"), [("like_ratio", 0.606), ("view_count", 4.09)])
def test_the_error_of_predicting_the_training_mean(annotations: Path, task: str, mse: float) -> None:
    labels = [video.label for video in read_split(annotations, task, "test")]
    assert sum(label**2 for label in labels) / len(labels) == pytest.approx(mse, rel=0.005)


def test_targets() -> None:
    assert view_count_target(math.exp(VIEW_COUNT_MEAN)) == pytest.approx(0)
    assert like_ratio_target(3, 1) == pytest.approx(7.5 - 9.138220535629456)


@pytest.mark.parametrize(
    ("task", "text", "message"),
    [
        ("scene", "class_id class_name youtube_id\n0 office abc\n", "expected the header"),
        ("scene", "class_id class_name youtube_id imdb_id\n0 office abc\n", "line 2: 3 fields; expected 4"),
        ("scene", "class_id class_name youtube_id imdb_id\n0 hotel abc tt1\n", "class 0 hotel; expected one of: 0 off"),
        ("director", "class_id class_name youtube_id imdb_id\n2 nm1 abc tt1\n", "class 2 nm1"),
        ("scene", "class_id class_name youtube_id imdb_id\n0 office a t\n0 office a t\n", "'a' a second time"),
        ("view_count", "view_count youtube_id imdb_id\n0 abc tt1\n", "0 views have no logarithm"),
        ("view_count", "view_count youtube_id imdb_id\nnan abc tt1\n", "not a finite number"),
        ("like_ratio", "like_count dislike_count youtube_id imdb_id\n0 0 abc tt1\n", "have no ratio"),
    ],
)
def test_files_that_are_not_as_they_should_be(tmp_path: Path, task: str, text: str, message: str) -> None:
    (tmp_path / task).mkdir()
    (tmp_path / task / "train.csv").write_text(text)
    with pytest.raises(AnnotationError, match=message):
        read_split(tmp_path, task, "train")


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match="cannot be read"):
        read_split(tmp_path, "scene", "train")
    with pytest.raises(AnnotationError, match="no task 'scenes'"):
        read_split(tmp_path, "scenes", "train")
