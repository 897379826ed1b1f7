"""AVA rows from real files, what they are merged into, and errors that name the line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from extractors.errors import ShapeError
from longform.datasets.ava import (
    NUM_ACTIONS,
    AvaBox,
    centre_frame,
    merge_actions,
    read_detections,
    read_frames,
    read_ground_truth,
    read_label_map,
    read_predicted_boxes,
    write_detections,
)
from longform.metrics import AnnotationError, ava_frame_map


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
        video="1j20qq1JyX4",
        second=902,
        box=(0.002, 0.118, 0.714, 0.977),
        written="0.002,0.118,0.714,0.977",
        action=79,
        person=1,
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
    """The training list of Long-Term Feature Banks is both files, one after the other; it compares the text."""
    annotated = list(read_ground_truth(written(tmp_path, "a,0902,0.100,0.2,0.3,0.4,12")))
    predicted = list(
        read_predicted_boxes(written(tmp_path, "a,0902,0.100,0.2,0.3,0.4,80,0.99", "a,0902,0.1,0.2,0.3,0.4,7,0.98"))
    )
    people = merge_actions([*annotated, *predicted])
    assert [(person.actions, person.score) for person in people] == [((12, 80), 0.99), ((7,), 0.98)]


def test_frames_are_counted_from_second_900() -> None:
    assert [centre_frame(second) for second in (900, 902, 1798)] == [0, 60, 26940]


def test_results_in_the_official_format_are_read_back_exactly(tmp_path: Path) -> None:
    scores = np.random.default_rng(1).normal(size=(2, NUM_ACTIONS)).astype(np.float32)
    path = tmp_path / "detections.csv"
    rows = write_detections(
        path, [("-5KQ66BBWC4", 902), ("b", 1798)], [[0.1, 0.25, 0.333, 1.0], [0, 0, 1, 1]], scores, actions={80, 3}
    )
    assert path.read_text().splitlines()[0].startswith("-5KQ66BBWC4,0902,0.1,0.25,0.333,1,3,")
    read = list(read_detections(path))
    assert rows == len(read) == 4
    assert [(row.video, row.second, row.action) for row in read] == [
        ("-5KQ66BBWC4", 902, 3),
        ("-5KQ66BBWC4", 902, 80),
        ("b", 1798, 3),
        ("b", 1798, 80),
    ]
    assert [np.float32(row.score) for row in read] == [scores[i, j] for i in (0, 1) for j in (2, 79)]


def test_written_results_have_the_map_of_the_originals(shared: Path, tmp_path: Path) -> None:
    """The golden detections, read and written again by action, score the same."""
    golden = shared / "golden" / "ava_map"
    read = list(read_detections(golden / "detections.csv"))
    again, lines = tmp_path / "again.csv", list[str]()
    for action in {row.action for row in read}:
        rows = [row for row in read if row.action == action]
        scores = np.zeros((len(rows), NUM_ACTIONS))
        scores[:, action - 1] = [row.score for row in rows]
        places = [(row.video, row.second) for row in rows]
        write_detections(again, places, [row.box for row in rows], scores, actions={action})
        lines.append(again.read_text())
    again.write_text("".join(lines))
    files = golden / "gt.csv", golden / "label_map.pbtxt"
    maps = [ava_frame_map(files[0], detections, files[1]) for detections in (golden / "detections.csv", again)]
    expected = json.loads((golden / "expected.json").read_text())["activitynet"]
    assert maps[1]["mAP"] == pytest.approx(maps[0]["mAP"], abs=1e-12)
    assert maps[1]["mAP"] == pytest.approx(expected["mAP"], abs=1e-6)


def test_results_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "detections.csv"
    with pytest.raises(ShapeError, match=r"1 key frames with boxes \(1, 4\) and scores \(1, 60\)"):
        write_detections(path, [("a", 902)], [[0, 0, 1, 1]], np.zeros((1, 60)))
    scores = np.zeros((1, NUM_ACTIONS))
    scores[0, 11] = np.nan
    with pytest.raises(ShapeError, match="'a', second 902, action 12: score nan"):
        write_detections(path, [("a", 902)], [[0, 0, 1, 1]], scores)
    assert not path.exists()
    path.write_text("a,0902,0.1,0.2,0.3,0.4,12,inf\n")
    with pytest.raises(AnnotationError, match=r"detections\.csv, line 1: 'inf' is not a finite number"):
        list(read_detections(path))


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("a,0902,0.1,0.2,0.3,0.4", "6 fields; expected video, second"),
        ("a,now,0.1,0.2,0.3,0.4,12", "now"),
        ("a,0901,0.1,0.2,0.3,0.4,12", "second 0901; expected 902 to 1798"),
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
