"""Crops, mirrors and colours."""

from __future__ import annotations

import numpy as np
import pytest

from extractors.compressed.network_input import motion_code
from extractors.compressed.views import centre, corner_crops, mirrored, squeezed
from longform.coviar.augmentation import augmented, drawn_window, jittered


@pytest.mark.parametrize(
    ("stream", "sides"), [("iframe", {256, 224, 192, 169}), ("motion", {256, 224, 192}), ("residual", {256, 224, 192})]
)
def test_windows_have_the_sides_of_the_released_code(stream: str, sides: set[int]) -> None:
    rng = np.random.default_rng(0)
    windows = [drawn_window(256, 340, stream, 224, rng) for _ in range(2000)]
    assert {window.height for window in windows} == {window.width for window in windows} == sides
    ordered = sorted(sides)
    assert {abs(ordered.index(w.height) - ordered.index(w.width)) for w in windows} == {0, 1}
    assert all(0 <= w.top <= 256 - w.height and 0 <= w.left <= 340 - w.width for w in windows)
    squares = [w for w in windows if w.height == w.width == 224]
    assert {w.top for w in squares} > {0, 32}
    assert max(w.left for w in squares) > 100


def test_a_side_within_two_pixels_of_the_network_is_not_scaled() -> None:
    rng = np.random.default_rng(0)
    heights = {drawn_window(258, 300, "motion", 224, rng).height for _ in range(300)}
    assert heights == {258, 224, 194}  # 0.875 * 258 = 225.75


def test_a_mirrored_motion_goes_the_other_way() -> None:
    motion = np.zeros((4, 6, 2), np.int32)
    motion[:, :3] = (8, 3)
    code = mirrored(motion_code(motion), "motion")
    expected = np.zeros((4, 6, 2), np.int32)
    expected[:, 3:] = (-8, 3)
    assert np.array_equal(code, motion_code(expected).astype(int))
    picture = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    assert np.array_equal(mirrored(picture, "residual"), picture[:, ::-1])


def test_ten_crops_are_corners_and_middle_each_mirrored() -> None:
    square = np.random.default_rng(0).integers(0, 255, (256, 256, 3)).astype(np.uint8)
    crops = corner_crops(square, 224, "iframe")
    for number, (top, left) in enumerate([(0, 0), (0, 32), (32, 0), (32, 32), (16, 16)]):
        assert np.array_equal(crops[2 * number], square[top : top + 224, left : left + 224])
        assert np.array_equal(crops[2 * number + 1], crops[2 * number][:, ::-1])
    assert np.array_equal(centre(square, 224), crops[8])
    five = corner_crops(square, 224, "iframe", flip=False)
    assert all(np.array_equal(one, two) for one, two in zip(five, crops[::2], strict=True))


def test_the_whole_picture_is_squeezed_to_8_7_of_the_crop() -> None:
    picture = np.zeros((256, 340, 2), np.uint8)
    assert squeezed(picture, 224).shape == (256, 256, 2)
    assert squeezed(picture, 56).shape == (64, 64, 2)


def test_colours_are_shifted_as_a_whole_and_cut_off() -> None:
    picture = np.full((8, 8, 3), (200, 80, 40), np.uint8)
    picture[4:] = 250
    shifted = [jittered(picture, np.random.default_rng(seed)) for seed in range(20)]
    assert len({tuple(image[0, 0]) for image in shifted}) == 20
    for image in shifted:
        assert (image[:4] == image[0, 0]).all()
        assert (image[4:] == image[4, 0]).all()


def test_frames_of_a_video_share_window_and_mirror() -> None:
    picture = np.random.default_rng(0).integers(0, 255, (64, 96, 3)).astype(np.uint8)
    for seed in range(10):
        one, two = augmented([picture, picture], "residual", 56, np.random.default_rng(seed), flip=True, jitter=True)
        assert one.shape == (56, 56, 3)
        assert np.array_equal(one, two)
    coloured = augmented([picture, picture], "iframe", 56, np.random.default_rng(3), flip=True, jitter=True)
    assert not np.array_equal(*coloured)
