"""Frame-mAP equals the official evaluator's, on its rules one by one, and refuses what it could not read rightly."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest

from longform.metrics import AnnotationError, ava_frame_map
from longform.metrics.ava_map import read_label_map

LABEL_MAP = 'item {\n  name: "stand"\n  id: 12\n}\nitem {\n  name: "talk"\n  label_id: 79\n}\n'
HERE, ELSEWHERE = "0.1,0.1,0.5,0.9", "0.6,0.1,0.9,0.9"


@pytest.fixture(scope="module")
def golden(shared: Path) -> Path:
    return shared / "golden" / "ava_map"


@pytest.fixture(scope="module")
def expected(golden: Path) -> dict:
    return json.loads((golden / "expected.json").read_text())


class Files:
    """Small files of one test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.label_map = self.write("map.pbtxt", LABEL_MAP)

    def write(self, name: str, text: str) -> Path:
        (self.folder / name).write_text(text, encoding="utf-8")
        return self.folder / name

    def evaluate(self, truth: list[str], found: list[str], excluded: list[str] | None = None) -> dict:
        exclusions = None if excluded is None else self.write("excluded.csv", "\n".join(excluded))
        return ava_frame_map(
            self.write("gt.csv", "\n".join(truth)), self.write("det.csv", "\n".join(found)), self.label_map, exclusions
        )


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def test_equals_the_official_evaluator(golden: Path, expected: dict) -> None:
    found = ava_frame_map(golden / "gt.csv", golden / "detections.csv", golden / "label_map.pbtxt")
    official = {int(class_id): ap for class_id, ap in expected["activitynet"]["ap_by_class_id"].items()}
    assert found["mAP"] == pytest.approx(expected["activitynet"]["mAP"], abs=1e-9)
    assert found["per_class"] == pytest.approx(official, abs=1e-9)


def test_equals_the_official_evaluator_without_excluded_frames(golden: Path, expected: dict) -> None:
    names = ("gt.csv", "detections.csv", "label_map.pbtxt", "excluded_timestamps.csv")
    found = ava_frame_map(*(golden / name for name in names))
    assert found["mAP"] == pytest.approx(expected["activitynet_excluded_frames_removed"]["mAP"], abs=1e-9)


def test_the_order_of_rows_changes_nothing(golden: Path, tmp_path: Path) -> None:
    shuffled = []
    for name in ("gt.csv", "detections.csv"):
        rows = (golden / name).read_text().splitlines()
        np.random.default_rng(1).shuffle(rows)
        shuffled.append(tmp_path / name)
        shuffled[-1].write_text("\n".join(rows))
    label_map = golden / "label_map.pbtxt"
    expected = ava_frame_map(golden / "gt.csv", golden / "detections.csv", label_map)
    assert ava_frame_map(*shuffled, label_map) == expected


def test_real_annotations_are_found_by_themselves(shared: Path, tmp_path: Path) -> None:
    folder = shared / "annotations" / "ava"
    truth = folder / "ava_val_v2.2_sample.csv"
    rows = [line.rsplit(",", 1)[0] for line in truth.read_text().splitlines()]
    (tmp_path / "det.csv").write_text("\n".join(f"{row},{1 - i / 1000}" for i, row in enumerate(rows)))
    found = ava_frame_map(truth, tmp_path / "det.csv", folder / "ava_action_list_60.pbtxt")
    assert found["mAP"] == 1.0
    assert {ap for ap in found["per_class"].values() if ap is not None} == {1.0}


def test_nothing_detected_is_zero(files: Files) -> None:
    found = files.evaluate([f"-a,0902,{HERE},12,0"], [])
    assert found == {"mAP": 0.0, "per_class": {12: 0.0, 79: None}}


def test_a_second_detection_on_a_found_box_is_a_false_alarm(files: Files) -> None:
    truth = [f"a,0902,{HERE},12,0", f"a,0902,{ELSEWHERE},12,1"]
    found = [f"a,902,{HERE},12,0.9", f"a,902,{HERE},12,0.8", f"a,0902,{ELSEWHERE},12,0.7"]
    assert files.evaluate(truth, found)["mAP"] == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)


def test_rows_of_one_frame_are_matched_by_score_and_not_as_they_stand(files: Files) -> None:
    near = "0.1,0.1,0.5,0.8"
    found = files.evaluate([f"a,0902,{HERE},12,0"], [f"a,0902,{near},12,0.2", f"a,0902,{HERE},12,0.9"])
    assert found["mAP"] == 1.0


def test_an_overlap_of_exactly_one_half_counts(files: Files) -> None:
    truth = ["a,0902,0,0,1,1,12,0"]
    assert files.evaluate(truth, ["a,0902,0,0,1,0.5,12,1"])["mAP"] == 1.0
    assert files.evaluate(truth, ["a,0902,0,0,1,0.4999,12,1"])["mAP"] == 0.0


@pytest.mark.parametrize("row", [f"a,0903,{HERE},79,0", "a,0903"], ids=["annotated as visible", "annotated as empty"])
def test_a_detection_where_nobody_does_it_is_a_false_alarm(files: Files, row: str) -> None:
    found = files.evaluate([f"a,0902,{HERE},12,0", row], [f"a,0902,{HERE},12,0.5", f"a,0903,{HERE},12,0.9", "a,0904"])
    assert found["per_class"][12] == 0.5


def test_a_class_outside_the_label_map_makes_its_frame_known_and_counts_for_nothing_else(files: Files) -> None:
    truth = [f"a,0902,{HERE},12,0", f"a,0903,{HERE},2,0"]
    detections = [f"a,0902,{HERE},12,0.5", f"a,0902,{HERE},2,0.9", f"a,0903,{HERE},12,0.9"]
    assert files.evaluate(truth, detections)["per_class"] == {12: 0.5, 79: None}


def test_a_detection_on_a_frame_that_is_not_annotated_is_passed_over(files: Files) -> None:
    found = [f"a,0902,{HERE},12,0.5", f"a,0903,{HERE},12,0.9", f"b,0902,{HERE},12,0.9"]
    assert files.evaluate([f"a,0902,{HERE},12,0"], found)["mAP"] == 1.0


def test_excluded_frames_count_on_neither_side(files: Files) -> None:
    truth = [f"-a,0902,{HERE},12,0", f"-a,0903,{HERE},12,0"]
    found = [f"-a,0902,{HERE},12,0.5", f"-a,0903,{ELSEWHERE},12,0.9"]
    assert files.evaluate(truth, found)["mAP"] == pytest.approx(0.25)
    assert files.evaluate(truth, found, ["-a,903"])["mAP"] == 1.0


def test_only_fifty_rows_of_a_frame_count_and_inverted_ones_are_among_them(files: Files) -> None:
    truth = [f"a,0902,{HERE},12,0"]
    worst = [f"a,0902,{HERE},12,0.01"]
    for others, ap in ((49, 1.0), (50, 0.0)):
        inverted = [f"a,0902,0.5,0.1,0.1,0.9,79,{0.5 + i / 1000}" for i in range(others)]
        assert files.evaluate(truth, worst + inverted)["mAP"] == ap


def test_of_equal_scores_at_the_cut_the_lowest_class_goes(files: Files) -> None:
    truth = [f"a,0902,{HERE},12,0", f"a,0902,{HERE},79,0"]
    high = [f"a,0902,{ELSEWHERE},79,{0.9 + i / 1000}" for i in range(49)]
    tied = [f"a,0902,{HERE},79,0.1", f"a,0902,{HERE},12,0.1"]
    per_class = files.evaluate(truth, tied + high)["per_class"]
    assert per_class[12] == 0.0
    assert per_class[79] == pytest.approx(1 / 50)


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("a,0902,0.1,0.1,0.5,0.9,12", "7 fields; expected video, second"),
        ("a,0902,0.1,x,0.5,0.9,12,1", "could not convert string to float: 'x'"),
        ("a,0902,0.1,nan,0.5,0.9,12,1", "'nan' is not a finite number"),
        ("a,0902,0.1,0.1,0.5,0.9,12,inf", "'inf' is not a finite number"),
        ("a,0902,0.1,0.1,0.5,0.9,stand,1", "'stand'"),
        ("a,first,0.1,0.1,0.5,0.9,12,1", "second 'first'"),
    ],
)
def test_a_malformed_detection_is_named_with_its_line(files: Files, row: str, why: str) -> None:
    with pytest.raises(AnnotationError, match=r"det\.csv, line 3") as caught:
        files.evaluate([f"a,0902,{HERE},12,0"], [f"a,0902,{HERE},12,0.5", "", row])
    assert why in str(caught.value)


def test_an_annotated_box_that_ends_before_it_begins_is_named(files: Files) -> None:
    with pytest.raises(AnnotationError, match=r"gt\.csv, line 1: the box 0.5,"):
        files.evaluate(["a,0902,0.5,0.1,0.1,0.9,12,0"], [])


def test_files_that_are_not_there_or_hold_nothing_to_evaluate(files: Files) -> None:
    with pytest.raises(AnnotationError, match="annotates no frame"):
        files.evaluate([f"a,0902,{HERE},13,0"], [])
    with pytest.raises(AnnotationError, match=r"nowhere\.csv' cannot be read: No such file"):
        ava_frame_map(files.folder / "nowhere.csv", files.folder / "nowhere.csv", files.label_map)
    (files.folder / "latin.csv").write_bytes(b"\xe9,0902\n")
    with pytest.raises(AnnotationError, match=r"latin\.csv' is no UTF-8"):
        ava_frame_map(files.folder / "latin.csv", files.folder / "latin.csv", files.label_map)


def test_label_maps(files: Files) -> None:
    assert read_label_map(files.label_map) == {12: "stand", 79: "talk"}
    with pytest.raises(AnnotationError, match="names no class"):
        read_label_map(files.write("empty.pbtxt", "item {\n}\n"))
    with pytest.raises(AnnotationError, match=r"twice\.pbtxt, line 2: class 12 is there a second time"):
        read_label_map(files.write("twice.pbtxt", "id: 12\nid: 12\n"))


def test_a_tenth_of_a_validation_set_takes_seconds(files: Files) -> None:
    """A tenth of 57 k frames with a million rows, in a tenth of a minute."""
    rng, rows = np.random.default_rng(0), 100_000
    drawn = zip(rng.integers(0, 5_700, rows), rng.random(rows), strict=True)
    detections = [f"v{f // 900},{902 + f % 900},{x:.4f},0.1,{x + 0.4:.4f},0.9,12,{x:.6f}" for f, x in drawn]
    truth = [row.rsplit(",", 1)[0] for row in detections[::5]]
    began = time.process_time()
    assert 0 < files.evaluate(truth, detections)["mAP"] < 1
    assert time.process_time() - began < 6
