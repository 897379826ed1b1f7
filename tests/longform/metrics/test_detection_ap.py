"""Average precision of boxes against slow, literal versions of the rules, and cases worked by hand."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from extractors import ConfigError, ShapeError
from longform.metrics import Boxes, box_ap, frame_map
from longform.metrics.detection_ap import average_precision

LEFT, RIGHT, MIDDLE = (0, 0, 10, 10), (30, 0, 40, 10), (1, 0, 11, 10)


def scene(seed: int) -> tuple[Boxes, Boxes]:
    """Crowded frames: boxes that overlap one another, detections near them and astray."""
    rng = np.random.default_rng(seed)
    count = 150
    corner = rng.integers(0, 60, (count, 2))
    boxes = np.concatenate([corner, corner + rng.integers(10, 40, (count, 2))], axis=1).astype(float)
    frames, classes = rng.integers(0, 12, count), rng.integers(0, 3, count)
    hinted = rng.integers(0, count, 300)
    near = boxes[hinted] + rng.integers(-4, 5, (300, 4))
    annotated = Boxes.of([f"clip/{f:04d}" for f in frames], classes, boxes)
    found_frames = [f"clip/{f:04d}" for f in np.where(rng.random(300) < 0.1, 99, frames[hinted])]
    return annotated, Boxes.of(found_frames, classes[hinted], near, rng.permutation(300) / 300)


def literal_ap(annotated: Boxes, detected: Boxes, class_id: int, *, act: bool) -> float:
    """One detection after the other, as the rules are written down."""
    edge = 1.0 if act else 0.0

    def iou(a: np.ndarray, b: np.ndarray) -> float:
        wide = min(a[2], b[2]) - max(a[0], b[0]) + edge
        high = min(a[3], b[3]) - max(a[1], b[1]) + edge
        shared = max(wide, 0.0) * max(high, 0.0)
        areas = [(box[2] - box[0] + edge) * (box[3] - box[1] + edge) for box in (a, b)]
        return shared / (sum(areas) - shared)

    waiting = {
        frame: [
            box
            for f, c, box in zip(annotated.frames, annotated.classes, annotated.boxes, strict=True)
            if (f, c) == (frame, class_id)
        ]
        for frame in set(annotated.frames.tolist())
    }
    total = sum(map(len, waiting.values()))
    taken: dict[str, set[int]] = {frame: set() for frame in waiting}
    hits: list[bool] = []
    for i in np.argsort(-detected.scores):
        if detected.classes[i] != class_id:
            continue
        frame = str(detected.frames[i])
        rivals = [(iou(box, detected.boxes[i]), -k) for k, box in enumerate(waiting.get(frame, []))]
        if act:
            rivals = [(overlap, k) for overlap, k in rivals if -k not in taken[frame]]
        overlap, k = max(rivals, default=(0.0, 0))
        hit = overlap >= 0.5 and -k not in taken[frame]
        if hit:
            taken[frame].add(-k)
        hits.append(hit)
    points = [(sum(hits[:n]) / total, sum(hits[:n]) / n) for n in range(1, len(hits) + 1)]
    if act:
        curve = [(0.0, 1.0), *points]
        return sum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in pairwise(curve))
    return sum(max(p for r, p in points if r >= step / total - 1e-12) / total for step in range(1, sum(hits) + 1))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("rules", ["pascal", "act"])
def test_frame_map_equals_the_rules_taken_literally(rules: str, seed: int) -> None:
    annotated, detected = scene(seed)
    found = frame_map(annotated, detected, rules=rules)
    literal = {c: literal_ap(annotated, detected, c, act=rules == "act") for c in range(3)}
    assert found["per_class"] == pytest.approx(literal, abs=1e-12)
    assert found["mAP"] == pytest.approx(np.mean(list(literal.values())), abs=1e-12)


def test_the_rules_differ_on_a_second_detection_on_a_found_box() -> None:
    annotated = Boxes.of([0, 0], [1, 1], [LEFT, (3, 0, 13, 10)])
    detected = Boxes.of([0, 0], [1, 1], [LEFT, MIDDLE], [0.9, 0.8])
    assert frame_map(annotated, detected, rules="pascal")["mAP"] == 0.5
    assert frame_map(annotated, detected, rules="act")["mAP"] == 1.0


def test_only_act_counts_the_last_pixel() -> None:
    annotated, detected = Boxes.of([0], [1], [(0, 0, 1, 0)]), Boxes.of([0], [1], [(0, 0, 0, 0)], [1.0])
    assert frame_map(annotated, detected, rules="act")["mAP"] == 1.0
    assert frame_map(annotated, detected, rules="pascal")["mAP"] == 0.0


@pytest.mark.parametrize(
    ("area", "expected"),
    [
        ("envelope", 0.5 * 1 + 0.5 * 2 / 3),
        ("trapezoid", 0.5 * 1 + 0.5 * (1 / 2 + 2 / 3) / 2),
        ("101-point", (51 * 1 + 50 * 2 / 3) / 101),
    ],
)
def test_the_three_areas_of_one_curve(area: str, expected: float) -> None:
    """Hit, miss, hit of two: (recall, precision) is (1/2, 1), (1/2, 1/2), (1, 2/3)."""
    scores, found = np.array([0.7, 0.9, 0.8]), np.array([True, True, False])
    assert average_precision(scores, found, 2, area) == pytest.approx(expected)


@pytest.mark.parametrize("area", ["envelope", "trapezoid", "101-point"])
def test_no_detection_is_zero_and_an_unfound_box_costs(area: str) -> None:
    assert average_precision(np.empty(0), np.empty(0, bool), 3, area) == 0.0
    assert average_precision(np.array([1.0]), np.array([True]), 2, area) == pytest.approx(0.5, abs=0.01)


def test_coco_over_thresholds_by_hand() -> None:
    """Two classes: one exact, one with an IoU of 90 / 110, found at 0.50 … 0.80 and not at 0.85, 0.90, 0.95."""
    annotated = Boxes.of([0, 0], [1, 2], [LEFT, RIGHT])
    detected = Boxes.of([0, 0], [1, 2], [LEFT, (31, 0, 41, 10)], [0.9, 0.9])
    assert box_ap(annotated, detected) == pytest.approx({"AP": (1 + 0.7) / 2, "AP50": 1.0, "AP75": 1.0})


def test_coco_compares_a_second_detection_with_what_is_still_free() -> None:
    annotated = Boxes.of([0, 0], [1, 1], [LEFT, (3, 0, 13, 10)])
    detected = Boxes.of([0, 0], [1, 1], [LEFT, MIDDLE], [0.9, 0.8])
    assert box_ap(annotated, detected)["AP50"] == 1.0


def test_coco_takes_the_hundred_best_of_a_class_and_frame() -> None:
    annotated = Boxes.of([0], [1], [LEFT])
    for astray, ap in ((99, 1 / 100), (100, 0.0)):
        boxes, scores = [LEFT] + [RIGHT] * astray, [0.0] + [1.0] * astray
        detected = Boxes.of([0] * len(boxes), [1] * len(boxes), boxes, scores)
        assert box_ap(annotated, detected)["AP50"] == pytest.approx(ap)


@pytest.mark.parametrize("seed", range(2))
def test_perfect_and_shuffled_detections(seed: int) -> None:
    annotated, detected = scene(seed)
    order = np.random.default_rng(seed).permutation(len(detected.frames))
    shuffled = Boxes.of(
        *(column[order] for column in (detected.frames, detected.classes, detected.boxes, detected.scores))
    )
    for rules in ("pascal", "act"):
        assert frame_map(annotated, annotated, rules=rules)["mAP"] == pytest.approx(1.0)
        assert frame_map(annotated, shuffled, rules=rules) == frame_map(annotated, detected, rules=rules)
    assert box_ap(annotated, annotated) == pytest.approx({"AP": 1.0, "AP50": 1.0, "AP75": 1.0})
    assert box_ap(annotated, shuffled) == box_ap(annotated, detected)


def test_nothing_detected_is_zero() -> None:
    annotated, nothing = Boxes.of([0], [1], [LEFT]), Boxes.of([], [], [], [])
    assert frame_map(annotated, nothing) == {"mAP": 0.0, "per_class": {1: 0.0}}
    assert box_ap(annotated, nothing)["AP"] == 0.0


def test_what_cannot_be_evaluated_is_refused() -> None:
    one, nothing = Boxes.of([0], [1], [LEFT]), Boxes.of([], [], [])
    with pytest.raises(ConfigError, match="Nothing is annotated"):
        frame_map(nothing, one)
    with pytest.raises(ConfigError, match="Nothing is annotated"):
        box_ap(nothing, one)
    with pytest.raises(ConfigError, match="No rules are called 'voc'; expected one of: pascal, act"):
        frame_map(one, one, rules="voc")
    with pytest.raises(ConfigError, match=r"iou_threshold is 50; expected"):
        frame_map(one, one, iou_threshold=50)
    with pytest.raises(ShapeError, match="do not fit together"):
        Boxes.of([0, 1], [1], [LEFT])
    with pytest.raises(ShapeError, match="not finite"):
        Boxes.of([0], [1], [(0, 0, np.nan, 1)])
    with pytest.raises(ShapeError, match=r"Box 0 is \[10.0, 0.0, 0.0, 10.0\]"):
        Boxes.of([0], [1], [(10, 0, 0, 10)])
