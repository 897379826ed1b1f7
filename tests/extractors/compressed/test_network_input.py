"""The input of the networks, step by step as the fact sheet of the original has it."""

import numpy as np

from extractors.compressed.network_input import (
    flip_motion_code,
    iframe_input,
    motion_code,
    motion_input,
    residual_code,
    residual_input,
)


def test_motion_is_cut_toward_zero_and_ends_at_20_px() -> None:
    motion = np.array([[[0, 1], [-1, 3], [20, -20], [21, -21], [100, -100]]], np.int32)
    assert motion_code(motion).tolist() == [[[128, 134], [122, 147], [255, 1], [255, 0], [255, 0]]]
    assert motion_code(np.array([[[0.25, -0.25]]], np.float32)).tolist() == [[[129, 127]]]


def test_flip_negates_x_only_and_leaves_256() -> None:
    code = np.array([[[0, 10], [128, 20], [255, 30]]], np.uint8)
    assert flip_motion_code(code).tolist() == [[[1, 30], [128, 20], [256, 10]]]


def test_residual_keeps_128_levels() -> None:
    residual = np.array([[[-200, -128, -1], [0, 127, 255]]], np.int16)
    assert residual_code(residual).tolist() == [[[0, 0, 127], [128, 255, 255]]]


def test_floats_have_channels_first() -> None:
    code = np.array([[[0, 255]]], np.uint8)
    np.testing.assert_allclose(motion_input(code).ravel(), [-0.5, 0.5])
    assert motion_input(np.zeros((4, 6, 2), np.uint8)).shape == (2, 4, 6)
    picture = np.array([[[255, 0, 128]]], np.uint8)
    np.testing.assert_allclose(
        iframe_input(picture).ravel(), [(1 - 0.485) / 0.229, -0.456 / 0.224, (128 / 255 - 0.406) / 0.225], atol=1e-5
    )


def test_residual_gives_blue_first_with_the_deviation_of_red() -> None:
    code = np.array([[[255, 128, 0]]], np.uint8)
    middle = (128 / 255 - 0.5) / 0.224
    np.testing.assert_allclose(residual_input(code).ravel(), [-0.5 / 0.229, middle, 0.5 / 0.225], atol=1e-6)
    np.testing.assert_allclose(
        residual_input(code, order="rgb").ravel(), [0.5 / 0.229, middle, -0.5 / 0.225], atol=1e-5
    )
