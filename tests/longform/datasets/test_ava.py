"""AVA rows from real files, what they are merged into, and errors that name the line."""

from __future__ import annotations

from pathlib import Path

import pytest

from longform.datasets.ava import (
    NUM_ACTIONS,
    AvaBox,
    merge_actions,
    read_frames,
    read_ground_truth,
    read_label_map,
    read_predicted_boxes,
)
from longform.metrics.tables import AnnotationError


@pytest.fixture(scope="module")
def ava(shared: Path) -> Path:
    return shared / "annotations" / "ava"


def written(folder: Path, *lines: str) -> Path:
    path = folder / "rows.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_rows_of_version_2_2(ava: Path) -> None:
    rows = list(read_ground_truth(ava / "ava_val_v2.2_sample.csv"))
    assert len(rows) == 120
    assert {row.video for row in rows} == {"1j20qq1JyX4"}
    assert rows[1] == AvaBox(
        video="1j20qq1JyX4", second=902, box=(0.002, 0.118, 0.714, 0.977), action=79, person=1, score=None
    )


def test_actions_of_one_box_are_merged(ava: Path) -> None:
    rows = list(read_ground_truth(ava / "ava_val_v2.2_sample.csv"))
    people = merge_actions(rows)
    assert sum(len(person.actions) for person in people) == len(rows)
    assert (people[0].actions, people[0].person, people[0].score) == ((12, 79), 1, None)
    by_box = {(row.second, row.box) for row in rows}
    assert len(people) == len(by_box) < len(rows)


def test_every_action_of_a_real_file_has_a_name(ava: Path) -> None:
    evaluated = read_label_map(ava / "ava_action_list_60.pbtxt")
    assert len(evaluated) == 60
    assert max(evaluated) == NUM_ACTIONS
    rows = list(read_ground_truth(ava / "ava_sample_mmaction2.csv"))
    assert len(rows) == 8
    assert {row.action for row in rows} & evaluated.keys()


def test_a_file_of_the_evaluator_is_read_whole(shared: Path) -> None:
    golden = shared / "golden" / "ava_map"
    rows = list(read_ground_truth(golden / "gt.csv"))
    assert len(rows) == 960
    assert len({row.video for row in rows}) == 6
    assert len(list(read_frames(golden / "excluded_timestamps.csv"))) > 0


def test_excluded_frames(ava: Path) -> None:
    frames = read_frames(ava / "ava_excluded_timestamps_sample_mmaction2.csv")
    assert frames == {("0f39OWEqJ24", 903), ("_-Z6wFjXtGQ", 902)}


def test_rows_of_version_2_1_have_no_person(tmp_path: Path) -> None:
    (row,) = read_ground_truth(written(tmp_path, "a,0902,0.1,0.2,0.3,0.4,80"))
    assert (row.action, row.person) == (80, None)


def test_predicted_boxes_with_and_without_an_action(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "a,0902,0.1,0.2,0.3,0.4,12,0.95",
        "a,0902,0.1,0.2,0.3,0.4,7,0.97",
        "a,0902,0.5,0.2,0.9,0.4,,0.90",
        "a,0903,0.5,0.2,0.9,0.4,,0.89",
    )
    assert [row.action for row in read_predicted_boxes(path)] == [12, 7, None, None]
    people = merge_actions(read_predicted_boxes(path, min_score=0.9))
    assert [(person.second, person.actions, person.score) for person in people] == [
        (902, (7, 12), 0.97),
        (902, (), 0.9),
    ]


def test_predictions_join_the_annotated_box_with_their_coordinates(tmp_path: Path) -> None:
    """The training list of Long-Term Feature Banks is both files, one after the other."""
    annotated = list(read_ground_truth(written(tmp_path, "a,0902,0.100,0.2,0.3,0.4,12")))
    predicted = list(read_predicted_boxes(written(tmp_path, "a,0902,0.1,0.2,0.3,0.4,80,0.99")))
    (person,) = merge_actions([*annotated, *predicted])
    assert (person.actions, person.score) == ((12, 80), 0.99)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("a,0902,0.1,0.2,0.3,0.4", "6 fields; expected video, second"),
        ("a,now,0.1,0.2,0.3,0.4,12", "now"),
        ("a,0902,0.5,0.2,0.3,0.4,12", "0 <= x1 <= x2 <= 1"),
        ("a,0902,10,20,300,400,12", "fractions"),
        ("a,0902,0.1,nan,0.3,0.4,12", "not a finite number"),
        ("a,0902,0.1,0.2,0.3,0.4,81", "action 81; expected 1 to 80"),
        ("a,0902,0.1,0.2,0.3,0.4,", "invalid literal"),
    ],
)
def test_a_malformed_annotation_is_named_with_its_line(tmp_path: Path, row: str, reason: str) -> None:
    path = written(tmp_path, "a,0902,0.1,0.2,0.3,0.4,12", "", row)
    with pytest.raises(AnnotationError, match=r"rows\.csv, line 3: .*" + reason):
        list(read_ground_truth(path))


@pytest.mark.parametrize(
    ("row", "reason"), [("a,0902,0.1,0.2,0.3,0.4,12,7", "score 7"), ("a,0902,0.1,0.2,0.3,0.4,0.9", "7 fields")]
)
def test_a_malformed_prediction_is_named_with_its_line(tmp_path: Path, row: str, reason: str) -> None:
    with pytest.raises(AnnotationError, match=r"rows\.csv, line 1: .*" + reason):
        list(read_predicted_boxes(written(tmp_path, row)))


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match="cannot be read"):
        list(read_ground_truth(tmp_path / "absent.csv"))
