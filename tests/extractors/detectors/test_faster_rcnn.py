"""Faster R-CNN at small width: odd pictures, batches, layouts, sizes, and weights that must be named."""

import numpy as np
import pytest
import torch

from extractors import build_detector
from extractors.detectors.faster_rcnn import FasterRCNN, FasterRCNNConfig
from extractors.errors import ConfigError, WeightsError

SMALL = {"width": 8, "fpn_channels": 16, "feature_dim": 32, "short_side_px": 96, "max_side_px": 160}


@pytest.fixture(scope="module")
def detector() -> FasterRCNN:
    """A small untrained network that finds something everywhere."""
    return build_detector("faster_rcnn_r50_fpn", weights="untrained", score_threshold=0.0, **SMALL)


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize("size", [(120, 90), (37, 211), (16, 16), (1, 1), (1, 300), (480, 640)])
def test_pictures_of_any_size(detector: FasterRCNN, size: tuple[int, int]) -> None:
    found = detector.detect(picture(*size))
    assert found.features is not None
    assert found.features.shape == (len(found), 32)
    assert ((found.boxes >= 0) & (found.boxes <= 1)).all()
    assert (found.boxes[:, 2:] > found.boxes[:, :2]).all()
    assert (np.diff(found.scores) <= 0).all()


def test_a_batch_equals_single_pictures(detector: FasterRCNN) -> None:
    pictures = [picture(60, 80, 1), picture(80, 60, 2), picture(60, 80, 3)]
    for alone, together in zip(map(detector.detect, pictures), detector.detect_batch(pictures), strict=True):
        np.testing.assert_allclose(alone.boxes, together.boxes, atol=1e-5)
        np.testing.assert_allclose(alone.features, together.features, rtol=1e-3, atol=1e-4)


def test_nothing_above_the_threshold_is_no_detection() -> None:
    strict = build_detector("faster_rcnn_r50_fpn", weights="untrained", score_threshold=0.99999999, **SMALL)
    found = strict.detect(picture(60, 80))
    assert len(found) == 0
    assert found.features is not None
    assert found.features.shape == (0, 32)


def test_weights_must_be_named() -> None:
    with pytest.raises(WeightsError, match="longform weights fetch"):
        build_detector("faster_rcnn_r50_fpn")
    with pytest.raises(WeightsError, match="are for 'faster_rcnn_r50_fpn', not for 'faster_rcnn_r101_fpn'"):
        build_detector("faster_rcnn_r101_fpn", weights="faster_rcnn_r50_fpn_3x_d2")
    with pytest.raises(ConfigError, match="Unknown settings"):
        build_detector("faster_rcnn_r50_fpn", weights="untrained", treshold=0.5)


@pytest.mark.parametrize(
    ("body", "parameters"),
    [("r50", 41_699_936), ("x101_32x8d", 104_784_480)],
)
def test_parameters_are_the_originals(body: str, parameters: int) -> None:
    with torch.device("meta"):
        network = FasterRCNN(FasterRCNNConfig(body=body))
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters


@pytest.mark.parametrize("body", ["r50", "r101", "x101_32x8d", "x101_64x4d"])
@pytest.mark.parametrize("nonlocal_res4", [False, True])
def test_every_body_runs(body: str, nonlocal_res4: bool) -> None:
    config = FasterRCNNConfig(body=body, nonlocal_res4=nonlocal_res4, **(SMALL | {"width": 32}))
    network = FasterRCNN(config).eval()
    with torch.inference_mode():
        levels = network.forward_features(torch.zeros(1, 3, 64, 64))
    assert [tuple(level.shape[2:]) for level in levels] == [(16, 16), (8, 8), (4, 4), (2, 2), (1, 1)]


def test_a_non_local_block_at_initialisation_changes_nothing() -> None:
    plain, with_block = (FasterRCNN(FasterRCNNConfig(nonlocal_res4=nl, **SMALL)).eval() for nl in (False, True))
    missing = with_block.load_state_dict(plain.state_dict(), strict=False).missing_keys
    assert missing
    image = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        for a, b in zip(plain.forward_features(image), with_block.forward_features(image), strict=True):
            torch.testing.assert_close(a, b)
