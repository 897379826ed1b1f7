"""extractors/detectors/hog.py on drawn and on filmed people, and on pictures of every awkward size."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks import people
from extractors import ConfigError, Detections, ShapeError, build_detector
from extractors.detectors.hog import HogConfig, HogPersonDetector, margin_to_score, merge_overlapping
from extractors.ops import boxes as box_ops


def drawn(*figures: tuple[int, int, int], hw: tuple[int, int] = (360, 640)) -> np.ndarray:
    """A grey frame with a dark standing figure at each (middle x, top y, height) in pixels."""
    frame = np.full((*hw, 3), 180, np.uint8)
    for x, y, height in figures:
        half = [(0, 0.17), (0.13, 0.17), (0.15, 0.5), (0.1, 0.5), (0.1, 0.98), (0.02, 0.98), (0, 0.58)]
        outline = half + [(-a, b) for a, b in reversed(half)]
        points = [(x + a * height, y + b * height) for a, b in outline]
        cv2.fillPoly(frame, [np.array(points, np.int32)], (60, 40, 40))
        head_wh = (int(0.055 * height), int(0.075 * height))
        cv2.ellipse(frame, (x, y + head_wh[1]), head_wh, 0, 0, 360, (60, 40, 40), -1)
    return cv2.GaussianBlur(frame, (5, 5), 0)


def overlap(found: Detections, figure: tuple[int, int, int], hw: tuple[int, int] = (360, 640)) -> np.ndarray:
    x, y, height = figure
    truth = [(x - 0.15 * height, y, x + 0.15 * height, y + height)]
    return box_ops.iou_matrix(found.boxes, box_ops.to_normalised(truth, hw))[:, 0]


@pytest.fixture(scope="module")
def hog() -> HogPersonDetector:
    return HogPersonDetector()


@pytest.mark.parametrize("figure", [(300, 80, 220), (120, 40, 300), (320, 10, 345), (560, 60, 250)])
def test_a_drawn_figure_is_found(hog, figure):
    found = hog.detect(drawn(figure))
    assert len(found) == 1
    assert overlap(found, figure)[0] > 0.5
    assert found.scores[0] > 0.9
    assert found.classes.tolist() == [0]
    assert found.class_names == ("person",)
    assert found.features is None


def test_two_figures_surest_first(hog):
    figures = [(150, 60, 260), (450, 90, 240)]
    found = hog.detect(drawn(*figures))
    assert len(found) == 2
    assert sorted(int(overlap(found, figure).argmax()) for figure in figures) == [0, 1]
    assert found.scores[0] >= found.scores[1]


def test_a_figure_as_high_as_the_frame_needs_the_border():
    frame = drawn((300, 0, 360))
    assert len(build_detector("hog").detect(frame)) == 1
    assert len(build_detector("hog", border=0.0).detect(frame)) == 0


def test_twice_the_same_answer_with_threads(hog):
    rng = np.random.default_rng(0)
    frame = drawn((150, 60, 260), (450, 90, 240)) // 2 + rng.integers(0, 120, (360, 640, 3), np.uint8)
    answers = [hog.detect(frame) for _ in range(3)] + [HogPersonDetector().detect(frame)]
    for answer in answers[1:]:
        np.testing.assert_array_equal(answer.boxes, answers[0].boxes)
        np.testing.assert_array_equal(answer.scores, answers[0].scores)


def test_boxes_stay_in_the_frame(hog):
    found = hog.detect(drawn((20, 10, 330), (630, 20, 330)))
    assert len(found) >= 1
    assert found.boxes.min() >= 0
    assert found.boxes.max() <= 1


@pytest.mark.parametrize("hw", [(1, 1), (16, 16), (40, 40), (16, 400), (400, 16), (1, 900)])
def test_a_picture_too_small_for_anybody_gives_nobody(hog, hw):
    assert len(hog.detect(np.random.default_rng(1).integers(0, 255, (*hw, 3), np.uint8))) == 0


@pytest.mark.parametrize("hw", [(64, 64), (100, 50), (240, 100), (500, 70), (70, 500), (1080, 1920)])
def test_pictures_of_other_shapes_are_no_error(hog, hw):
    assert isinstance(hog.detect(np.full((*hw, 3), 127, np.uint8)), Detections)


def test_a_frame_that_is_a_view_is_read_right(hog):
    frame = drawn((300, 80, 220))
    wide = np.zeros((360, 1280, 3), np.uint8)
    wide[:, ::2] = frame
    np.testing.assert_array_equal(hog.detect(wide[:, ::2]).boxes, hog.detect(frame).boxes)


@pytest.mark.parametrize(
    "frame",
    [
        np.zeros((200, 200), np.uint8),
        np.zeros((200, 200, 4), np.uint8),
        np.zeros((200, 200, 3), np.float32),
        np.zeros((0, 200, 3), np.uint8),
    ],
)
def test_what_is_not_a_frame_is_refused(hog, frame):
    with pytest.raises(ShapeError, match="expected \\(H, W, 3\\) uint8 RGB"):
        hog.detect(frame)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("scale_step", 1.0),
        ("win_stride_px", 0),
        ("short_side_px", 0),
        ("nms_iou", 1.5),
        ("border", -0.1),
        ("person_width", 0.0),
        ("size_prior", math.nan),
        ("hit_threshold", math.nan),
    ],
)
def test_settings_are_checked(name, value):
    with pytest.raises(ConfigError, match=f"HogConfig.{name} is"):
        HogConfig(**{name: value})


def test_score_is_the_logistic_of_twice_the_margin():
    margins = np.array([-0.5, 0, 0.5, 3], np.float32)
    np.testing.assert_allclose(
        margin_to_score(margins), [1 / (1 + math.e), 0.5, math.e / (1 + math.e), 0.9975274], rtol=1e-6
    )


def test_merging_by_hand():
    # The second overlaps the first by 0.6 and moves it; the third by 1/3: it only goes; the fourth stays.
    boxes = np.array([(0, 0, 4, 4), (1, 0, 5, 4), (2, 0, 6, 4), (9, 9, 10, 10)], np.float32)
    margins = np.array([1.0, 1.0, 0.5, 2.0], np.float32)
    merged, kept = merge_overlapping(boxes, margins, iou=0.2)
    np.testing.assert_allclose(merged, [(9, 9, 10, 10), (0.5, 0, 4.5, 4)], rtol=1e-6)
    assert kept.tolist() == [2.0, 1.0]


def test_merging_nothing_and_boxes_without_area():
    merged, kept = merge_overlapping(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), iou=0.5)
    assert (merged.shape, kept.shape) == ((0, 4), (0,))
    merged, kept = merge_overlapping(np.ones((2, 4), np.float32), np.zeros(2, np.float32), iou=0.5)
    assert len(merged) == 2


def test_real_people_are_found_as_often_as_measured(hog, clips: Path):
    """The defaults on hand-drawn labels; the table is `python -m benchmarks.people`."""
    rows = {row["clip"]: row for row in people.evaluate(hog, clips, false_alarms=False, repeats=1)}
    assert rows["all labelled"]["people"] == 44
    assert rows["all labelled"]["recall"] >= 0.75
    assert rows["all labelled"]["precision"] >= 0.8
    assert rows["chaplin.mp4"]["recall"] == 1.0
    assert rows["juggle.mp4"]["recall"] == 1.0


def test_the_measures_of_the_benchmark_by_hand():
    labels = np.array([(0, 0, 4, 4), (10, 0, 14, 4), (20, 0, 24, 4)], np.float32)
    boxes = np.array([(0, 0, 4, 4), (0, 0, 4, 5), (10, 0, 14, 4)], np.float32)
    hits = people.match(boxes, np.array([0.9, 0.8, 0.7], np.float32), labels)
    assert [matched for _, matched in hits] == [True, False, True]  # a label is taken once
    row = people.Tally(frames=1, labels=3, hits=hits).row("clip")
    assert (row["recall"], row["precision"], row["f1"]) == pytest.approx((2 / 3, 2 / 3, 2 / 3))
    assert row["average_precision"] == pytest.approx((1 + 2 / 3) / 3)
