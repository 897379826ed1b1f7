"""Arrays cross a connection unchanged, nobody writes into those of another, and nothing is left open."""

import gc
from multiprocessing import Pipe

import numpy as np
import psutil
import pytest

from extractors.types import Detections
from pipeline.inference.models import arrays_of, detections_of
from pipeline.inference.shared_arrays import SharedArrays


def crossed(arrays: dict[str, np.ndarray]) -> tuple[SharedArrays, SharedArrays]:
    """What was sent, and what has come."""
    ours, theirs = Pipe()
    with ours, theirs:
        sent = SharedArrays.of(arrays)
        sent.send(ours)
        return sent, SharedArrays.received(theirs, sent.layout)


def test_values_shapes_and_kinds_stay() -> None:
    generator = np.random.default_rng(0)
    arrays = {
        "clip": generator.standard_normal((3, 5, 7, 2), np.float32),
        "turned": generator.standard_normal((4, 6)).T,
        "picture": generator.integers(0, 256, (9, 11, 3), np.uint8),
        "empty": np.zeros((0, 4), np.float32),
        "names": np.array(["person", "tennis racket"]),
    }
    _, received = crossed(arrays)
    for name, found in received.open().items():
        np.testing.assert_array_equal(found, arrays[name], strict=True)


def test_what_one_process_writes_no_other_sees() -> None:
    sent, received = crossed({"numbers": np.arange(4)})
    received.open()["numbers"][:] = 7
    assert sent.open()["numbers"].tolist() == received.open()["numbers"].tolist() == [0, 1, 2, 3]


def test_nothing_stays_open() -> None:
    def open_files() -> int:
        gc.collect()
        return psutil.Process().num_fds()

    before = open_files()
    for _ in range(3):
        sent, received = crossed({"numbers": np.arange(1000)})
        received.open()["numbers"].sum()
    del sent, received
    assert open_files() == before


@pytest.mark.parametrize("features", [None, np.ones((2, 3), np.float32)])
def test_detections_cross_too(features: np.ndarray | None) -> None:
    found = Detections(
        boxes=np.array([[0, 0, 0.5, 1], [0.2, 0.1, 0.3, 0.4]], np.float32),
        scores=np.array([0.9, 0.8], np.float32),
        classes=np.array([1, 0], np.int32),
        features=features,
        class_names=("person", "dog"),
    )
    _, received = crossed(dict(arrays_of(found)))
    again = detections_of(received.open())
    assert again.class_names == found.class_names
    for name in ("boxes", "scores", "classes", "features"):
        np.testing.assert_array_equal(getattr(again, name), getattr(found, name))


def test_no_detections_cross_too() -> None:
    _, received = crossed(dict(arrays_of(Detections.none(class_names=("person",), feature_dim=5))))
    again = detections_of(received.open())
    assert (len(again), again.features.shape) == (0, (0, 5))
