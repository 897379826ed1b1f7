"""EPIC's accuracies equal the published program's, with and without its prior."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from extractors import ShapeError
from longform.metrics import AnnotationError, epic_prior, epic_topk

HEADER = "uid,participant_id,verb_class,noun_class\n"


@pytest.fixture(scope="module")
def golden(shared: Path) -> Path:
    return shared / "golden" / "epic_topk"


@pytest.fixture(scope="module")
def expected(golden: Path) -> dict:
    return json.loads((golden / "expected.json").read_text())


@pytest.fixture(scope="module")
def prior(golden: Path) -> np.ndarray:
    return epic_prior(golden / "annotations" / "EPIC_train_action_labels.csv")


@pytest.mark.parametrize("kind", ["no_prior", "with_prior"])
def test_equals_the_published_program(golden: Path, expected: dict, prior: np.ndarray, kind: str) -> None:
    scores = np.load(golden / "scores.npz")
    labels = np.loadtxt(golden / "labels.csv", delimiter=",", skiprows=1, dtype=int)
    given = prior if kind == "with_prior" else None
    found = epic_topk(scores["verb_logits"], scores["noun_logits"], labels[:, 1], labels[:, 2], given)
    official = {
        name: expected["accuracy_percent"][f"{name}_{kind}" if name.startswith("action") else name] for name in found
    }
    assert len(found) == 6
    assert found == pytest.approx(official, abs=1e-9)


def test_the_prior_equals_the_published_program(expected: dict, prior: np.ndarray) -> None:
    assert (prior > 0).sum() == expected["prior_nonzero_pairs"]
    assert prior.sum() == pytest.approx(expected["prior_checksum"]["prior_sum"], rel=1e-9)
    assert prior.max() == pytest.approx(expected["prior_checksum"]["prior_max"], rel=1e-9)


def test_a_prior_by_hand(tmp_path: Path) -> None:
    """Verb 0 goes twice with noun 1 and once with noun 2, verb 1 once with noun 0; P26 is not trained on."""
    (tmp_path / "train.csv").write_text(HEADER + "0,P01,0,1\n1,P01,0,1\n2,P25,0,2\n3,P02,1,0\n4,P26,1,2\n")
    found = epic_prior(tmp_path / "train.csv", num_verbs=3, num_nouns=3)
    expected = [[0, 0.5 / 0.75001, 0.25 / 0.75001], [0.25 / 0.25001, 0, 0], [0, 0, 0]]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_the_real_sample_of_annotations_is_read(shared: Path) -> None:
    found = epic_prior(shared / "annotations" / "epic55" / "EPIC_train_action_labels_sample.csv")
    assert found.shape == (125, 352)
    assert ((found.sum(1) == 0) | (found.sum(1) > 0.99)).all()


def test_accuracies_by_hand() -> None:
    """Segment 0 is right in both; in segment 1 the verb is second; a prior against the pair of 0 takes it away."""
    verbs, nouns = [[2.0, 0.0], [2.0, 0.0]], [[0.0, 0.0, 3.0], [0.0, 0.0, 3.0]]
    labels = [0, 1], [2, 2]
    plain = epic_topk(verbs, nouns, *labels)
    assert plain == {
        "verb_top1": 50.0,
        "verb_top5": 100.0,
        "noun_top1": 100.0,
        "noun_top5": 100.0,
        "action_top1": 50.0,
        "action_top5": 100.0,
    }
    against = np.ones((2, 3))
    against[0, 2] = 0.0
    assert epic_topk(verbs, nouns, *labels, against)["action_top1"] == 50.0
    assert epic_topk(verbs[:1], nouns[:1], [0], [2], against)["action_top1"] == 0.0


def test_logits_that_say_nothing_are_right_for_the_first_classes_only() -> None:
    found = epic_topk(np.zeros((10, 10)), np.zeros((10, 10)), np.arange(10), np.zeros(10, int))
    assert (found["verb_top1"], found["verb_top5"], found["noun_top1"], found["action_top1"]) == (10, 50, 100, 10)


def test_more_segments_than_are_taken_at_once() -> None:
    rng = np.random.default_rng(0)
    verb_of, noun_of = rng.integers(0, 5, 150), rng.integers(0, 7, 150)
    found = epic_topk(np.eye(5)[verb_of], np.eye(7)[noun_of], verb_of, noun_of)
    assert set(found.values()) == {100.0}


def test_large_logits_do_not_overflow() -> None:
    assert epic_topk([[1e4, -1e4]], [[1e4, -1e4]], [0], [0])["action_top1"] == 100.0


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (([[0.0, 1.0]], [[0.0, 1.0]], [2], [0]), r"verb label of segment 0 is 2; expected 0…1"),
        (([[0.0, 1.0]], [[0.0, 1.0]], [0], [-1]), r"noun label of segment 0 is -1"),
        (([[0.0, np.nan]], [[0.0, 1.0]], [0], [0]), "verb logits of segment 0 are not all finite"),
        (([[0.0, 1.0]], [[0.0, 1.0]] * 2, [0], [0, 0]), "1 segments of verbs and 2 of nouns"),
        (([0.0, 1.0], [[0.0, 1.0]], [0], [0]), r"verb logits are \(2,\)"),
        ((np.empty((0, 2)), np.empty((0, 2)), [], []), r"verb logits are \(0, 2\)"),
        (([[0.0, 1.0]], [[0.0, 1.0]], [0], [0], np.ones((2, 3))), r"prior is \(2, 3\); expected \(2, 2\)"),
        (([[0.0, 1.0]], [[0.0, 1.0]], [0], [0], -np.ones((2, 2))), "no number below 0"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(arguments: tuple, why: str) -> None:
    with pytest.raises(ShapeError, match=why):
        epic_topk(*arguments)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("uid,verb_class\n0,1\n", r"line 1: .*expected a header with participant_id"),
        (HEADER + "0,P01,x,1\n", r"line 2: could not convert string to float: 'x'"),
        (HEADER + "0,P01,125,1\n", r"line 2: .*out of bounds"),
        (HEADER + "0,P01,-1,1\n", r"line 2: verb class -1"),
        (HEADER + "0,one,1,1\n", r"line 2: participant 'one'"),
        (HEADER + "0,P01\n", r"line 2: 2 fields; the header has 4"),
        (HEADER + "0,P31,1,1\n", "has no segment of participants up to P25"),
    ],
)
def test_malformed_annotations_are_named_with_their_line(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "train.csv").write_text(text)
    with pytest.raises(AnnotationError, match=why):
        epic_prior(tmp_path / "train.csv")
