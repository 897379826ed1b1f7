"""Placements against a literal version of the original's order: scale, crop, mirror, step by step."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from extractors.errors import ConfigError, ShapeError
from longform.lfb.samples_augment import CENTRE, FIRST, LAST, Placement, drawn_placement, fixed_placement

BOXES = np.array([[0.1, 0.2, 0.5, 0.9], [0.0, 0.0, 1.0, 1.0], [0.9, 0.05, 0.99, 0.3], [0.01, 0.4, 0.04, 0.6]])


def picture(height: int, width: int) -> NDArray[np.uint8]:
    return np.random.default_rng(7).integers(0, 256, (height, width, 3), dtype=np.uint8)


def step_by_step(
    image: NDArray[np.uint8], side: int, position: int, flip: bool, crop: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The test path of the fact sheet: clip boxes, scale the short side, mirror, crop, clip boxes, normalise."""
    height, width = image.shape[:2]
    boxes = BOXES * (width, height, width, height)
    boxes = np.clip(boxes, 0, (width - 1, height - 1, width - 1, height - 1))
    if min(height, width) != side:
        if width < height:
            new = (side, int(height / width * side))
            boxes *= new[1] / height
        else:
            new = (int(width / height * side), side)
            boxes *= new[0] / width
        image = np.asarray(cv2.resize(image, new, interpolation=cv2.INTER_LINEAR), np.uint8)
    height, width = image.shape[:2]
    if flip:
        image = image[:, ::-1]
        boxes = np.stack([width - boxes[:, 2] - 1, boxes[:, 1], width - boxes[:, 0] - 1, boxes[:, 3]], 1)
    top, left = int(np.ceil((height - crop) / 2)), int(np.ceil((width - crop) / 2))
    if height > width:
        top = (0, top, height - crop)[position]
    else:
        left = (0, left, width - crop)[position]
    boxes = np.clip(boxes - (left, top, left, top), 0, crop - 1)
    return (image[top : top + crop, left : left + crop] / 255 - 0.45) / 0.225, boxes


@pytest.mark.parametrize("hw", [(48, 85), (85, 48), (64, 64), (40, 97)])
@pytest.mark.parametrize("side", [48, 64, 41])
@pytest.mark.parametrize("position", [FIRST, CENTRE, LAST])
@pytest.mark.parametrize("flip", [False, True])
def test_placements_of_testing(hw: tuple[int, int], side: int, position: int, flip: bool) -> None:
    crop = min(40, side)
    placement = fixed_placement(hw, short_side_px=side, position=position, flip=flip, crop_px=crop)
    image = picture(*hw)
    expected, boxes = step_by_step(image, side, position, flip, crop)
    clip = placement.clip([image, image[..., ::-1]])
    assert clip.shape == (3, 2, crop, crop)
    assert clip.is_contiguous()
    assert np.allclose(clip[:, 0].permute(1, 2, 0), expected, atol=1e-5)
    assert np.allclose(clip[:, 1].permute(1, 2, 0), expected[..., ::-1], atol=1e-5)
    assert np.allclose(placement.boxes_px(BOXES), boxes, atol=1e-4)


def test_default_crops_of_testing() -> None:
    assert [fixed_placement((360, 640), short_side_px=side).crop_px for side in (224, 256, 320)] == [224, 256, 256]
    centre = fixed_placement((360, 640))
    assert (centre.scaled_hw, centre.top, centre.left) == ((256, 455), 0, 100)


def test_placements_of_training_are_spread_as_the_original_draws_them() -> None:
    rng = np.random.default_rng(0)
    drawn = [drawn_placement((360, 640), rng) for _ in range(4000)]
    sides = np.array([placement.scaled_hw[0] for placement in drawn])
    assert (sides.min(), sides.max()) == (256, 320)
    assert {placement.crop_px for placement in drawn} == {224}
    inverse = 1 / sides
    assert abs(inverse.mean() - (1 / 256 + 1 / 320) / 2) < 4 * inverse.std() / 4000**0.5
    assert sides.mean() < 287  # uniform sides would have 288
    assert 0.46 < np.mean([placement.flip for placement in drawn]) < 0.54
    for placement in drawn:
        assert 0 <= placement.top < placement.scaled_hw[0] - 224
        assert 0 <= placement.left < placement.scaled_hw[1] - 224
    lefts = np.array([placement.left / (placement.scaled_hw[1] - 224) for placement in drawn])
    assert abs(lefts.mean() - 0.5) < 0.02


def test_a_draw_is_a_function_of_the_seed() -> None:
    draws = [[drawn_placement((90, 120), np.random.default_rng(seed)) for seed in range(20)] for _ in range(2)]
    assert draws[0] == draws[1]
    assert len(set(draws[0])) > 15


def test_a_side_that_just_fits_the_crop_has_one_place() -> None:
    rng = np.random.default_rng(0)
    places = {drawn_placement((50, 50), rng, short_sides_px=(40, 40), crop_px=40) for _ in range(20)}
    assert {(place.top, place.left) for place in places} == {(0, 0)}
    assert {place.flip for place in places} == {False, True}


def test_a_mirrored_box_stays_on_its_pixels() -> None:
    """A bright rectangle and its box, in a picture that is not scaled."""
    image = np.zeros((40, 60, 3), np.uint8)
    image[10:21, 22:33] = 255
    box = [[22 / 60, 10 / 40, 32 / 60, 20 / 40]]
    for left, flip in ((0, False), (0, True), (7, True), (20, False)):
        placement = Placement(source_hw=(40, 60), scaled_hw=(40, 60), top=0, left=left, crop_px=40, flip=flip)
        bright = np.argwhere(placement.clip([image])[0, 0].numpy() > 0)
        (y1, x1), (y2, x2) = bright.min(0), bright.max(0)
        assert placement.boxes_px(box)[0].tolist() == pytest.approx([x1, y1, x2, y2], abs=1e-4)


def test_a_box_outside_the_crop_has_no_area() -> None:
    placement = fixed_placement((100, 300), short_side_px=100, position=FIRST, crop_px=100)
    assert placement.boxes_px([[0.8, 0.2, 0.9, 0.4]]).tolist() == [[99, 20, 99, 40]]
    assert placement.boxes_px(np.zeros((0, 4))).shape == (0, 4)


def test_what_does_not_fit_is_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ConfigError, match="crop of 224 px does not fit pictures of short side 128"):
        drawn_placement((90, 120), rng, short_sides_px=(128, 128))
    with pytest.raises(ConfigError, match="no position 3"):
        fixed_placement((90, 120), position=3)
    placement = fixed_placement((90, 120), short_side_px=64, crop_px=64)
    with pytest.raises(ShapeError, match=r"Frame 1 of a clip is \(120, 90, 3\); the first one is \(90, 120\)"):
        placement.clip([picture(90, 120), picture(120, 90)])
