"""Faster R-CNN against Detectron2's own answers, from a file of the zoo's format."""

import importlib.util
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from extractors import build_detector


@pytest.fixture(scope="module")
def found(shared: Path, tmp_path_factory: pytest.TempPathFactory):
    """(detector, detections, expected) of the golden picture; the weights go through a zoo pickle."""
    spec = importlib.util.spec_from_file_location("golden_case", shared / "golden/checkpoints/golden_case.py")
    assert spec
    assert spec.loader
    case = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(case)
    folder = shared / "golden/checkpoints/faster_rcnn_r50_fpn"
    path = tmp_path_factory.mktemp("zoo") / "model_final_280758.pkl"
    extra = {"pixel_mean": np.zeros((3, 1, 1), np.float32)}
    with path.open("wb") as stream:
        pickle.dump({"model": case.weights(folder) | extra, "__author__": "Detectron2 Model Zoo"}, stream, protocol=2)
    expected = case.expected(folder)
    detector = build_detector("faster_rcnn_r50_fpn", weights=str(path))
    picture = np.ascontiguousarray(expected["image_bgr"][..., ::-1])
    return detector, detector.detect(picture), expected


def test_boxes_scores_classes_and_features_are_detectron2s(found) -> None:
    _, detections, expected = found
    height, width = expected["image_bgr"].shape[:2]
    order = np.argsort(-expected["scores"], kind="stable")
    boxes_px = detections.boxes * np.array([width, height, width, height], np.float32)
    np.testing.assert_allclose(boxes_px, expected["boxes_px"][order], atol=1e-2)
    np.testing.assert_allclose(detections.scores, expected["scores"][order], rtol=1e-4)
    assert detections.classes.tolist() == expected["classes"][order].tolist()
    largest = np.abs(expected["box_features"]).max()
    np.testing.assert_allclose(detections.features, expected["box_features"][order], atol=1e-4 * largest)


def test_pyramid_and_proposals_are_detectron2s(found) -> None:
    detector, _, expected = found
    picture = detector.network_image(np.ascontiguousarray(expected["image_bgr"][..., ::-1]))
    with torch.inference_mode():
        images = detector._input([picture])
        pyramid = detector.forward_features(images)
        (proposals,) = detector.propose(pyramid, [picture])
    for level, maps in zip(range(2, 7), pyramid, strict=True):
        mean = expected[f"p{level}_mean"]
        np.testing.assert_allclose(maps.mean((2, 3))[0], mean, atol=1e-4 * np.abs(mean).max())
        corner = expected[f"p{level}_corner"]
        np.testing.assert_allclose(maps[0, :16, :6, :6], corner, atol=1e-4 * np.abs(corner).max())
    count = len(expected["proposal_boxes_px"])
    np.testing.assert_allclose(proposals.boxes_px[:count], expected["proposal_boxes_px"], atol=1e-2)


def test_features_of_the_final_boxes_can_be_asked_for(found) -> None:
    detector, detections, expected = found
    picture = np.ascontiguousarray(expected["image_bgr"][..., ::-1])
    again = detector.box_features(picture, detections.boxes[:5])
    assert again.shape == (5, 1024)
    assert np.linalg.norm(again - detections.features[:5]) > 0, "a proposal's box and its refined box are two boxes"
