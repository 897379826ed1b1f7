"""Tracking measures equal TrackEval's on real sequences, and follow its rules in small cases worked by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from extractors import ConfigError, ShapeError
from longform.metrics import AnnotationError, TrackedBoxes, mot_metrics, tracking_metrics

PERSON, STATIC_PERSON, VEHICLE = 1, 7, 6


def track(identity: int, frames: range | list[int], x: float = 0.0) -> list[tuple[int, int, float]]:
    """Somebody who stands at x."""
    return [(frame, identity, x) for frame in frames]


def tracked(*tracks: list[tuple[int, int, float]]) -> TrackedBoxes:
    rows = np.array([row for rows in tracks for row in rows], float).reshape(-1, 3)
    x = rows[:, 2]
    return TrackedBoxes(
        frames=rows[:, 0].astype(int),
        ids=rows[:, 1].astype(int),
        boxes=np.stack([x, np.zeros_like(x), x + 10, np.full_like(x, 20)], axis=1),
    )


def truth_line(frame: int, identity: int, x: float, *, mark: int = 1, class_id: int = PERSON) -> str:
    return f"{frame},{identity},{x},0,10,20,{mark},{class_id},1\n"


def tracker_line(frame: int, identity: int, x: float) -> str:
    return f"{frame},{identity},{x},0,10,20,0.9,-1,-1,-1\n"


def evaluate(folder: Path, truth: list[str], found: list[str], **rules: str) -> dict:
    (folder / "gt.txt").write_text("".join(truth))
    (folder / "found.txt").write_text("".join(found))
    return mot_metrics(folder / "gt.txt", folder / "found.txt", **rules)


@pytest.mark.parametrize("sequence", ["TUD-Campus", "MOT16-11"])
def test_equals_trackeval_on_a_real_sequence(shared: Path, sequence: str) -> None:
    folder = shared / "golden" / "mot" / sequence
    expected = json.loads((folder / "expected.json").read_text())["expected"]
    found = mot_metrics(folder / "gt.txt", folder / "tracker.txt")
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name] == (value if isinstance(value, int) else pytest.approx(value, abs=1e-9)), name


def test_the_order_of_rows_changes_nothing(shared: Path, tmp_path: Path) -> None:
    folder = shared / "golden" / "mot" / "TUD-Campus"
    for name in ("gt.txt", "tracker.txt"):
        lines = (folder / name).read_text().splitlines()
        (tmp_path / name).write_text("\n".join(np.random.default_rng(0).permutation(lines)))
    expected = mot_metrics(folder / "gt.txt", folder / "tracker.txt")
    found = mot_metrics(tmp_path / "gt.txt", tmp_path / "tracker.txt")
    assert {name: pytest.approx(value, abs=1e-12) for name, value in expected.items()} == found


def test_a_perfect_tracker() -> None:
    truth = tracked(track(3, range(1, 9)), track(5, range(4, 12), x=50))
    found = tracking_metrics(truth, tracked(track(30, range(1, 9)), track(1, range(4, 12), x=50)))
    shares = ("HOTA", "DetA", "AssA", "LocA", "MOTA", "MOTP", "IDF1", "IDR", "IDP", "HOTA(0)")
    assert {found[name] for name in shares} == {1.0}
    assert (found["IDSW"], found["Frag"], found["MT"], found["CLR_FP"], found["CLR_FN"]) == (0, 0, 2, 0, 0)


def test_a_switch_half_way_by_hand() -> None:
    """One person for 8 frames, two identities for 4 each: A(c) = 4 / 8 everywhere, one switch, half the identity."""
    found = tracking_metrics(tracked(track(1, range(1, 9))), tracked(track(1, range(1, 5)), track(2, range(5, 9))))
    assert (found["DetA"], found["AssA"], found["AssPr"], found["AssRe"]) == (1.0, 0.5, 1.0, 0.5)
    assert found["HOTA"] == pytest.approx(np.sqrt(0.5))
    assert (found["IDSW"], found["MOTA"], found["Frag"]) == (1, 1 - 1 / 8, 0)
    assert (found["IDTP"], found["IDF1"]) == (4, 0.5)


def test_misses_and_false_alarms_by_hand() -> None:
    """Ten boxes, six found in two pieces, three false alarms."""
    pieces = track(1, [1, 2, 3]), track(1, [8, 9, 10])
    found = tracking_metrics(tracked(track(1, range(1, 11))), tracked(*pieces, track(9, [1, 2, 3], x=90)))
    assert (found["CLR_TP"], found["CLR_FN"], found["CLR_FP"], found["IDSW"]) == (6, 4, 3, 0)
    assert found["MOTA"] == pytest.approx(0.3)
    assert found["DetA"] == pytest.approx(6 / 13)
    assert (found["MT"], found["PT"], found["ML"]) == (0, 1, 0)


def test_a_gap_with_others_in_sight_interrupts_a_track() -> None:
    alone = track(1, range(1, 11))
    other = track(2, range(1, 11), x=90)
    pieces = track(1, [1, 2, 3]), track(1, [8, 9, 10])
    assert tracking_metrics(tracked(alone, other), tracked(*pieces, other))["Frag"] == 1
    assert tracking_metrics(tracked(alone), tracked(*pieces))["Frag"] == 0  # TrackEval passes empty frames over


def test_who_was_matched_before_stays_matched_though_another_fits_better() -> None:
    truth = tracked(track(1, [1, 2]))
    found = tracked([(1, 1, 0.0), (2, 1, 2.0)], [(2, 2, 0.0)])
    assert tracking_metrics(truth, found)["IDSW"] == 0


@pytest.mark.parametrize(("x", "hits"), [(10 / 3, 1), (3.4, 0)])
def test_an_overlap_of_one_half_counts(x: float, hits: int) -> None:
    assert tracking_metrics(tracked(track(1, [1])), tracked(track(1, [1], x=x)))["CLR_TP"] == hits


def test_nobody_there_or_nobody_found() -> None:
    one, nobody = tracked(track(1, range(1, 4))), tracked()
    missed = tracking_metrics(one, nobody)
    assert (missed["HOTA"], missed["MOTA"], missed["IDF1"], missed["CLR_FN"], missed["ML"]) == (0, 0, 0, 3, 1)
    imagined = tracking_metrics(nobody, one)
    assert (imagined["HOTA"], imagined["MOTA"], imagined["IDF1"], imagined["CLR_FP"]) == (0, 0, 0, 3)
    assert tracking_metrics(nobody, nobody)["LocA"] == 1.0


def test_boxes_on_distractors_are_taken_out_from_mot16_on(tmp_path: Path) -> None:
    truth = [truth_line(1, 1, 0), truth_line(1, 2, 50, class_id=STATIC_PERSON, mark=0)]
    found = [tracker_line(1, 1, 0), tracker_line(1, 2, 50), tracker_line(1, 3, 90)]
    assert (evaluate(tmp_path, truth, found)["CLR_FP"], evaluate(tmp_path, truth, found)["GT_Dets"]) == (1, 1)
    assert evaluate(tmp_path, truth, found, rules="MOT15")["CLR_FP"] == 2


def test_vehicles_distract_in_mot20_only(tmp_path: Path) -> None:
    files = [truth_line(1, 1, 0), truth_line(1, 2, 50, class_id=VEHICLE)], [tracker_line(1, 2, 50)]
    assert evaluate(tmp_path, *files, rules="MOT20")["Dets"] == 0
    assert evaluate(tmp_path, *files, rules="MOT17")["Dets"] == 1


def test_rows_without_a_mark_do_not_count(tmp_path: Path) -> None:
    truth = [truth_line(1, 1, 0), truth_line(1, 2, 50, mark=0)]
    assert evaluate(tmp_path, truth, [])["GT_Dets"] == 1


def test_ten_columns_are_mot15_whose_eighth_is_no_class(tmp_path: Path) -> None:
    truth = ["1,1,0,0,10,20,1,-6.5,3.25,0\n"]
    assert evaluate(tmp_path, truth, [tracker_line(1, 1, 0)])["MOTA"] == 1.0


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("2,1,0,0,10\n", r"line 2: 5 fields; expected frame, id"),
        ("2,1,0,0,10,20,1\n", r"line 2: 7 fields; the lines before have 10"),
        ("2,1,0,0,x,20,1,-1,-1,-1\n", r"line 2: could not convert string to float: 'x'"),
        ("2,1.5,0,0,10,20,1,-1,-1,-1\n", r"line 2: '1.5' is not a whole number"),
        ("2,-1,0,0,10,20,1,-1,-1,-1\n", r"line 2: identity -1; expected 0 or more"),
        ("0,1,0,0,10,20,1,-1,-1,-1\n", r"line 2: frame 0; frames count from 1"),
        ("2,1,0,0,-10,20,1,-1,-1,-1\n", r"line 2: a box -10 wide"),
        ("1,1,5,0,10,20,1,-1,-1,-1\n", r"line 2: identity 1 has a second box on frame 1"),
        ("2,1,0,0,10,20,1,3,-1,-1\n", r"line 2: class 3; only pedestrians"),
    ],
)
def test_a_malformed_row_is_named_with_its_line(tmp_path: Path, line: str, why: str) -> None:
    with pytest.raises(AnnotationError, match=rf"found\.txt, {why}"):
        evaluate(tmp_path, [truth_line(1, 1, 0)], [tracker_line(1, 1, 0), line])


def test_what_the_rules_do_not_know_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match=r"gt\.txt, line 1: class 14; expected 1…13"):
        evaluate(tmp_path, [truth_line(1, 1, 0, class_id=14)], [])
    with pytest.raises(ConfigError, match="No rules are called 'KITTI'; expected one of: MOT15, MOT16"):
        evaluate(tmp_path, [truth_line(1, 1, 0)], [], rules="KITTI")
    with pytest.raises(ShapeError, match="Identity 1 has 2 boxes on frame 1"):
        tracked(track(1, [1, 1]))
    with pytest.raises(ShapeError, match="do not fit together"):
        TrackedBoxes(frames=np.zeros(2, int), ids=np.zeros(1, int), boxes=np.zeros((2, 4)))
