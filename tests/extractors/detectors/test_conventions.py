"""What Detectron (Caffe2) and torchvision do differently: sizes, anchors, box widths, levels; and few or many boxes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from extractors.detectors.anchors import anchors_at, cell_anchors
from extractors.detectors.box_coding import clip, decode, is_large_enough
from extractors.detectors.coco import COCO_80, COCO_90, UNUSED_IDS
from extractors.detectors.conventions import CONVENTIONS
from extractors.detectors.faster_rcnn import FasterRCNN, FasterRCNNConfig
from extractors.detectors.image_input import NetworkImage, network_image, padded_batch
from extractors.detectors.roi_pooling import level_of
from extractors.errors import ConfigError, ShapeError

SMALL = {"width": 8, "fpn_channels": 16, "feature_dim": 32, "short_side_px": 96, "max_side_px": 160}
ONES = (1.0, 1.0, 1.0, 1.0)


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def as_input(name: str, frame: np.ndarray) -> NetworkImage:
    rules = CONVENTIONS[name]
    return network_image(frame, rules, rules.std, short_side_px=800, max_side_px=1333)


@pytest.mark.parametrize(
    ("name", "frame_hw", "hw"),
    [
        ("detectron2", (360, 480), (800, 1067)),
        ("detectron", (360, 480), (800, 1067)),
        ("torchvision", (360, 480), (800, 1066)),  # rounds down
        ("torchvision", (480, 640), (800, 1066)),
        ("detectron2", (100, 400), (333, 1333)),
        ("detectron2", (1, 5000), (1, 1333)),  # Detectron2 itself fails: the short side rounds to 0
        ("detectron", (1, 5000), (1, 1333)),
        ("torchvision", (1, 5000), (1, 1332)),  # rounds down
    ],
)
def test_sizes_of_the_networks_input(name: str, frame_hw: tuple[int, int], hw: tuple[int, int]) -> None:
    assert as_input(name, picture(*frame_hw)).hw == hw


@pytest.mark.parametrize("frame_hw", [(480, 640), (360, 480), (333, 500), (1080, 1920)])
def test_torchvision_scales_by_a_float32_factor(frame_hw: tuple[int, int]) -> None:
    """The definition: `interpolate` with one factor, computed in float32, and its own rounding of sizes."""
    frame = picture(*frame_hw)
    rules = CONVENTIONS["torchvision"]
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (rules.mean, rules.std))
    floats = (torch.from_numpy(frame).permute(2, 0, 1).float() - mean) / std
    shape = torch.tensor(frame_hw, dtype=torch.float32)
    factor = torch.min(800.0 / shape.min(), 1333.0 / shape.max()).item()
    expected = F.interpolate(
        floats[None], scale_factor=factor, mode="bilinear", recompute_scale_factor=True, align_corners=False
    )[0]
    torch.testing.assert_close(as_input("torchvision", frame).pixels, expected)


def test_colours_and_means() -> None:
    frame = np.zeros((800, 800, 3), np.uint8)
    frame[...] = (200, 100, 50)
    for name, expected in {
        "detectron2": (50 - 103.53, 100 - 116.28, 200 - 123.675),
        "detectron": (50 - 102.9801, 100 - 115.9465, 200 - 122.7717),
        "torchvision": ((200 / 255 - 0.485) / 0.229, (100 / 255 - 0.456) / 0.224, (50 / 255 - 0.406) / 0.225),
    }.items():
        torch.testing.assert_close(as_input(name, frame).pixels[:, 7, 9], torch.tensor(expected), msg=name)
    resnext = FasterRCNN(FasterRCNNConfig(body="x101_32x8d", **(SMALL | {"short_side_px": 96})))
    value = resnext.network_image(frame).pixels[0, 0, 0]
    assert float(value) == pytest.approx((50 - 103.53) / 57.375, rel=1e-5)


def test_padding_is_zero_after_normalisation() -> None:
    batch = padded_batch([as_input("detectron2", picture(360, 480))])
    assert batch.shape == (1, 3, 800, 1088)
    assert not batch[..., 1067:].any()
    assert batch[..., 1066].any()


def test_detectrons_anchors_are_whole_multiples_of_whole_pixels() -> None:
    """Size 128 on stride 16, as its source prints them (there counted from 1)."""
    printed = torch.tensor([[-83.0, -39, 100, 56], [-55, -55, 72, 72], [-35, -79, 52, 96]])
    torch.testing.assert_close(cell_anchors("quantised", 2), printed - 1)


def test_torchvisions_anchors_are_rounded() -> None:
    expected = torch.tensor([[-23.0, -11, 23, 11], [-16, -16, 16, 16], [-11, -23, 11, 23]])
    torch.testing.assert_close(cell_anchors("rounded", 0), expected)


def test_exact_anchors_have_the_stated_area_and_ratio() -> None:
    for level, size in enumerate((32, 64, 128, 256, 512)):
        width, height = (cell_anchors("exact", level)[:, 2:] - cell_anchors("exact", level)[:, :2]).T
        torch.testing.assert_close(width * height, torch.full((3,), float(size * size)))
        torch.testing.assert_close(height / width, torch.tensor([0.5, 1.0, 2.0]))


def test_anchors_count_rows_then_columns_then_shapes() -> None:
    cells = cell_anchors("exact", 1)
    index = torch.tensor([0, 2, 3, 3 * 5 * 4 + 3 * 2 + 1])  # the last: row 4, column 2, shape 1 of a map 5 wide
    expected = cells[[0, 2, 0, 1]] + torch.tensor([[0, 0, 0, 0], [0, 0, 0, 0], [8, 0, 8, 0], [16, 32, 16, 32]])
    torch.testing.assert_close(anchors_at(index, cells, 5, (8, 8)), expected)


@pytest.mark.parametrize("extra_px", [0.0, 1.0])
def test_no_offset_gives_the_box_itself(extra_px: float) -> None:
    boxes = torch.tensor([[10.0, 20, 30, 50], [0, 0, 5, 5]])
    torch.testing.assert_close(decode(boxes, torch.zeros(2, 3, 4), ONES, extra_px), boxes[:, None].expand(2, 3, 4))


def test_offsets_move_by_sides_and_scale_by_exponentials() -> None:
    box = torch.tensor([[10.0, 20, 29, 59]])  # 20 by 40 pixels where corners name pixels, 19 by 39 where they do not
    deltas = torch.tensor([[[1.0, -1.0, math.log(2), 0.0]]])
    assert decode(box, deltas, ONES, 1.0)[0, 0].tolist() == pytest.approx([20, -20, 59, 19], abs=1e-4)
    assert decode(box, deltas, ONES, 0.0)[0, 0].tolist() == pytest.approx([19.5, -19, 57.5, 20], abs=1e-4)
    largest = decode(box, torch.tensor([[[0.0, 0, 99, 0]]]), ONES, 0.0)[0, 0]
    assert float(largest[2] - largest[0]) == pytest.approx(19 * 1000 / 16, rel=1e-5)


def test_borders_and_empty_boxes() -> None:
    boxes = torch.tensor([[-5.0, -5, 300, 300], [120, 10, 130, 20], [10, 10, 10, 30]])
    assert clip(boxes, (80, 100), 0.0).tolist() == [[0, 0, 100, 80], [100, 10, 100, 20], [10, 10, 10, 30]]
    assert clip(boxes, (80, 100), 1.0)[0].tolist() == [0, 0, 99, 79]
    assert is_large_enough(clip(boxes, (80, 100), 0.0), (80, 100), 0.0, 0.0).tolist() == [True, False, False]
    assert is_large_enough(clip(boxes, (80, 100), 1.0), (80, 100), 0.0, 1.0).tolist() == [True, True, True]


def test_level_by_the_side_of_the_box() -> None:
    rules = CONVENTIONS["detectron2"]
    sides = torch.tensor([1.0, 111.9, 112.1, 223.9, 224.0, 448.0, 5000.0, 0.0])
    boxes = torch.stack([torch.zeros_like(sides), torch.zeros_like(sides), sides, sides], 1)
    assert level_of(boxes, rules).tolist() == [0, 0, 1, 1, 2, 3, 3, 0]
    just_below = boxes[4:5] - torch.tensor([0.0, 0, 1, 1])
    assert level_of(just_below, CONVENTIONS["detectron"]).tolist() == [2]  # 223 + 1 pixels
    assert level_of(just_below, rules).tolist() == [1]


@pytest.mark.parametrize("name", CONVENTIONS)
@pytest.mark.parametrize("feature_of", ["proposal", "final_box"])
def test_every_convention_detects(name: str, feature_of: str) -> None:
    torch.manual_seed(0)
    config = FasterRCNNConfig(convention=name, feature_of=feature_of, score_threshold=0.0, num_classes=3, **SMALL)
    found = FasterRCNN(config).detect(picture(50, 70))
    assert len(found) == 100
    assert found.features is not None
    assert found.features.shape == (100, 32)
    assert ((found.boxes >= 0) & (found.boxes <= 1)).all()


def test_features_of_final_boxes_are_those_of_box_features() -> None:
    torch.manual_seed(0)
    network = FasterRCNN(FasterRCNNConfig(feature_of="final_box", score_threshold=0.0, num_classes=3, **SMALL))
    frame = picture(96, 120)
    found = network.detect(frame)
    np.testing.assert_allclose(network.box_features(frame, found.boxes), found.features, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", ["detectron2", "torchvision"])
def test_no_proposals_are_no_detections(name: str) -> None:
    network = FasterRCNN(FasterRCNNConfig(convention=name, **SMALL))
    torch.nn.init.constant_(network.rpn.deltas.bias, -1e4)  # every box shrinks to nothing
    found = network.detect_batch([picture(50, 70)] * 2)
    assert [len(each) for each in found] == [0, 0]
    assert found[0].features is not None
    assert found[0].features.shape == (0, 32)


def test_values_that_are_no_numbers_are_no_proposals() -> None:
    network = FasterRCNN(FasterRCNNConfig(**SMALL))
    torch.nn.init.constant_(network.rpn.logits.bias, math.nan)
    assert len(network.detect(picture(50, 70))) == 0


def test_features_of_300_people_some_beyond_the_border() -> None:
    network = FasterRCNN(FasterRCNNConfig(**SMALL))
    corner = np.random.default_rng(0).uniform(-0.2, 1.0, (300, 2))
    boxes = np.concatenate([corner, corner + np.array([0.05, 0.15])], 1).astype(np.float32)
    frame = picture(90, 160)
    features = network.box_features(frame, boxes)
    assert features.shape == (300, 32)
    np.testing.assert_allclose(network.box_features(frame, boxes[40:42]), features[40:42], rtol=1e-3, atol=1e-4)
    far = network.box_features(frame, [[3, 3, 4, 4], [7, -9, 8, -8]])  # see nothing but zeros
    np.testing.assert_allclose(far[0], far[1])
    assert network.box_features(frame, []).shape == (0, 32)
    with pytest.raises(ShapeError, match="not finite"):
        network.box_features(frame, [[0, 0, math.nan, 1]])


def test_frames_of_another_kind_are_refused() -> None:
    network = FasterRCNN(FasterRCNNConfig(**SMALL))
    for frame in (np.zeros((4, 4, 3), np.float32), np.zeros((4, 4), np.uint8), np.zeros((0, 4, 3), np.uint8)):
        with pytest.raises(ShapeError, match="expected \\(H, W, 3\\) uint8 RGB"):
            network.detect(frame)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"convention": "caffe"}, "expected one of: detectron2, detectron, torchvision"),
        ({"body": "r18"}, "expected one of: r50, r101"),
        ({"feature_of": "anchor"}, "expected one of: proposal, final_box"),
        ({"score_threshold": 1.0}, "score_threshold is 1.0"),
        ({"class_names": ("a", "b")}, "expected 80 names"),
        ({"max_side_px": 700}, "at least short_side_px"),
    ],
)
def test_settings_that_cannot_be(setting: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        FasterRCNNConfig(**setting)


def test_class_names() -> None:
    assert (len(COCO_80), COCO_80[0], COCO_80[79]) == (80, "person", "toothbrush")
    assert (len(COCO_90), COCO_90[0], COCO_90[12], COCO_90[89]) == (90, "person", "stop sign", "toothbrush")
    assert [i for i, name in enumerate(COCO_90, 1) if name.startswith("unused")] == list(UNUSED_IDS)
    assert FasterRCNN(FasterRCNNConfig(num_classes=1, **SMALL)).class_names == ("person",)
