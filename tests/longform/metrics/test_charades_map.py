"""Charades mAP equals the data set's own script, and refuses what it could not read rightly."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from longform.metrics import AnnotationError, charades_map
from longform.metrics.charades_map import NUM_CLASSES, read_charades_labels

HEADER = "id,script,actions,length\n"


@pytest.fixture(scope="module")
def golden(shared: Path) -> Path:
    return shared / "golden" / "charades_map"


@pytest.fixture(scope="module")
def expected(golden: Path) -> dict:
    return json.loads((golden / "expected.json").read_text())


def scored(video: str, **scores: float) -> str:
    """A line of a submission; classes not given have 0."""
    return " ".join([video, *(str(scores.get(f"c{c:03d}", 0.0)) for c in range(NUM_CLASSES))])


def evaluate(folder: Path, truth: str, submission: list[str]) -> dict:
    (folder / "gt.csv").write_text(HEADER + truth)
    (folder / "scores.txt").write_text("\n".join(submission))
    return charades_map(folder / "gt.csv", folder / "scores.txt")


def test_equals_the_script_of_the_data_set(golden: Path, expected: dict) -> None:
    found = charades_map(golden / "gt.csv", golden / "submission_classify.txt")
    assert found["mAP"] == pytest.approx(expected["official_m_file"]["mAP"], abs=1e-9)
    assert found["wAP"] == pytest.approx(expected["charades_algorithms_port"]["wAP"], abs=1e-9)
    assert found["per_class"] == pytest.approx(expected["official_m_file"]["ap_by_class"], abs=1e-9)
    assert (found["num_videos"], found["num_missing"], found["num_unknown"]) == (140, 0, 0)


def test_equals_the_script_where_a_video_is_missing(golden: Path, expected: dict) -> None:
    found = charades_map(golden / "gt.csv", golden / "submission_missing.txt")
    official = expected["official_m_file_submission_missing"]
    assert found["mAP"] == pytest.approx(official["mAP"], abs=1e-9)
    assert found["wAP"] == pytest.approx(official["wAP"], abs=1e-6)
    assert found["num_missing"] == 1


def test_the_order_of_a_submission_changes_nothing(golden: Path, tmp_path: Path) -> None:
    lines = (golden / "submission_classify.txt").read_text().splitlines()
    (tmp_path / "shuffled.txt").write_text("\n".join(np.random.default_rng(0).permutation(lines)))
    expected = charades_map(golden / "gt.csv", golden / "submission_classify.txt")
    assert charades_map(golden / "gt.csv", tmp_path / "shuffled.txt") == expected


def test_real_annotations_are_read_and_found_by_themselves(shared: Path, tmp_path: Path) -> None:
    truth = shared / "annotations" / "charades" / "Charades_v1_test_sample.csv"
    labels = read_charades_labels(truth)
    assert len(labels) == 20
    assert [video for video, shown in labels.items() if not shown.any()] == list(labels)[-2:]
    perfect = [scored(v, **{f"c{c:03d}": 1.0 for c in np.flatnonzero(shown)}) for v, shown in labels.items()]
    (tmp_path / "perfect.txt").write_text("\n".join(perfect))
    found = charades_map(truth, tmp_path / "perfect.txt")
    assert (found["mAP"], found["wAP"]) == (1.0, 1.0)


def test_a_case_by_hand(tmp_path: Path) -> None:
    """c000 ranks a, b, c of which a and c show it; c001 ranks b first, which alone shows it; c002 nobody shows."""
    truth = "a,,c000 0.0 1.0;c000 2 3.5,9\nb,,c001 0 1,9\nc,,c000 0 1,9\n"
    scores = [scored("b", c000=0.5, c001=0.9), scored("c", c000=0.1), scored("a", c000=0.9), scored("z", c000=1.0)]
    found = evaluate(tmp_path, truth, scores)
    assert [found["per_class"][c] for c in ("c000", "c001", "c002")] == [pytest.approx(5 / 6), 1.0, None]
    assert found["mAP"] == pytest.approx((5 / 6 + 1) / 2)
    assert found["wAP"] == pytest.approx((2 * 5 / 6 + 1) / 3)
    assert found["num_unknown"] == 1


def test_a_video_without_actions_comes_last_whatever_its_scores(tmp_path: Path) -> None:
    found = evaluate(tmp_path, "a,,,9\nb,,c000 0 1,9\n", [scored("a", c000=1.0), scored("b", c000=0.1)])
    assert found["mAP"] == 1.0


def test_equal_scores_stand_in_the_order_of_the_ground_truth(tmp_path: Path) -> None:
    rows = {"a": "a,,c001 0 1,9\n", "b": "b,,c000 0 1,9\n"}
    submission = [scored("b"), scored("a")]
    assert evaluate(tmp_path, rows["a"] + rows["b"], submission)["per_class"]["c000"] == 0.5
    assert evaluate(tmp_path, rows["b"] + rows["a"], submission)["per_class"]["c000"] == 1.0


@pytest.mark.parametrize(
    ("truth", "why"),
    [
        ("a,,c000 0 1,9\na,,c001 0 1,9\n", r"gt\.csv, line 3: video 'a' is there a second time"),
        ("a,,c157 0 1,9\n", r"gt\.csv, line 2: action 'c157 0 1'; expected class c000…c156"),
        ("a,,c000 0,9\n", r"gt\.csv, line 2: action 'c000 0'"),
        ("a,,c000 0 1\n", r"gt\.csv, line 2: 3 fields; the header has 4"),
        ("a,,,9\n", "has no video with an action"),
    ],
)
def test_malformed_ground_truth_is_named_with_its_line(tmp_path: Path, truth: str, why: str) -> None:
    with pytest.raises(AnnotationError, match=why):
        evaluate(tmp_path, truth, [scored("a")])


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("b 0.5", "line 2: 1 scores of video 'b'; expected 157"),
        (scored("b", c003=float("nan")), "line 2: 'nan' is not a finite number"),
        (scored("b").replace("0.0", "x", 1), "line 2: could not convert string to float: 'x'"),
        (scored("a"), "line 2: video 'a' is there a second time"),
    ],
)
def test_a_malformed_submission_is_named_with_its_line(tmp_path: Path, line: str, why: str) -> None:
    with pytest.raises(AnnotationError, match=why):
        evaluate(tmp_path, "a,,c000 0 1,9\n", [scored("a"), line])


def test_files_that_do_not_belong_together(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match="holds none of the videos"):
        evaluate(tmp_path, "a,,c000 0 1,9\n", [scored("b")])
    (tmp_path / "headless.csv").write_text("a,,c000 0 1,9\n")
    with pytest.raises(AnnotationError, match=r"headless\.csv, line 1: .*expected a header with id, actions"):
        charades_map(tmp_path / "headless.csv", tmp_path / "scores.txt")
