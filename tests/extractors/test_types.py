"""extractors/types.py and the catalog: what is checked, and what the errors say."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import numpy as np
import pytest

import extractors
from extractors import ConfigError, Detections, ExtractorError, ShapeError, build_detector


def three(**changes: object) -> Detections:
    values: dict = {
        "boxes": np.arange(12, dtype=np.float32).reshape(3, 4),
        "scores": np.array([0.9, 0.5, 0.1], np.float32),
        "classes": np.array([0, 1, 0], np.int32),
        "features": np.eye(3, 2, dtype=np.float32),
        "class_names": ("person", "dog"),
    }
    return Detections(**(values | changes))


def test_detections_that_fit():
    found = three()
    assert len(found) == 3
    assert three(features=None).features is None
    assert repr(found) == "Detections(N=3, features=(3, 2) float32, class_names=('person', 'dog'))"


@pytest.mark.parametrize(
    "changes",
    [
        {"boxes": np.zeros((3, 5), np.float32)},
        {"boxes": np.zeros((3, 4))},
        {"boxes": np.float32(1)},
        {"scores": np.zeros(2, np.float32)},
        {"scores": np.zeros((3, 1), np.float32)},
        {"classes": np.zeros(3, np.int64)},
        {"features": np.zeros((2, 7), np.float32)},
        {"features": np.zeros(3, np.float32)},
    ],
)
def test_detections_that_do_not_fit_say_every_shape(changes):
    with pytest.raises(ShapeError) as caught:
        three(**changes)
    for word in ("boxes", "scores", "classes", "features", "(3,)", "expected"):
        assert word in str(caught.value)


def test_a_class_without_a_name_is_refused():
    with pytest.raises(ShapeError, match=r"expected 0\.\.1"):
        three(classes=np.array([0, 2, 0], np.int32))
    with pytest.raises(ShapeError):
        three(classes=np.array([0, -1, 0], np.int32))


def test_detections_are_frozen_and_keyword_only():
    with pytest.raises(dataclasses.FrozenInstanceError):
        three().scores = np.zeros(3, np.float32)  # type: ignore[misc]
    with pytest.raises(TypeError):
        Detections(np.zeros((0, 4), np.float32))  # type: ignore[misc]


def test_none_has_the_shapes_of_some():
    nothing = Detections.none(class_names=("person",), feature_dim=7)
    assert len(nothing) == 0
    assert nothing.features is not None
    assert nothing.features.shape == (0, 7)
    assert Detections.none(class_names=()).features is None


@pytest.mark.parametrize(
    ("which", "rows"),
    [
        (np.array([True, False, True]), [0, 2]),
        (np.array([2, 0]), [2, 0]),
        ([], []),
        (np.zeros(3, bool), []),
    ],
)
def test_take(which, rows):
    taken = three().take(which)
    np.testing.assert_array_equal(taken.boxes, three().boxes[rows])
    np.testing.assert_array_equal(taken.scores, three().scores[rows])
    np.testing.assert_array_equal(taken.classes, three().classes[rows])
    np.testing.assert_array_equal(taken.features, three().features[rows])
    assert taken.class_names == ("person", "dog")


def test_unknown_detector_lists_those_there_are():
    with pytest.raises(ConfigError, match="'yolo'; expected one of: hog"):
        build_detector("yolo")


def test_unknown_setting_lists_those_there_are():
    with pytest.raises(ConfigError, match=r"hit_treshold; expected: .*hit_threshold"):
        build_detector("hog", hit_treshold=1)


def test_every_error_is_an_extractor_error():
    errors = [getattr(extractors, name) for name in extractors.__all__ if isinstance(getattr(extractors, name), type)]
    errors = [error for error in errors if issubclass(error, Exception)]
    assert len(errors) == 5
    assert all(issubclass(error, ExtractorError) for error in errors)


def test_importing_extractors_imports_nothing_heavy():
    program = "import sys, extractors; print([m for m in ('cv2', 'torch', 'scipy', 'av') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("frame", [None, "frame.png", [[[0, 0, 0]]]])
def test_what_is_no_array_is_no_frame(frame: object) -> None:
    with pytest.raises(ShapeError, match=rf"a {type(frame).__name__}; expected a NumPy array \(H, W, 3\) uint8 RGB"):
        build_detector("hog").detect(frame)  # type: ignore[arg-type]
