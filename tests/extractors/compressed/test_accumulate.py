"""Tracing equals the equations written out in loops, on random blocks; and its rules one by one."""

import numpy as np
import pytest

from extractors.compressed.accumulate import Trace
from extractors.compressed.residual import residual
from extractors.errors import ConfigError, ShapeError
from tests.extractors.compressed.slow_reference import VECTOR, Field, sub_pixel, whole

SIZE = (37, 50)  # neither a multiple of 8 nor even


def block(
    left: int, top: int, side: tuple[int, int], motion: tuple[int, int], *, scale: int = 4, source: int = -1
) -> tuple:
    """A vector as FFmpeg gives it: sources cut toward zero."""
    width, height = side
    x, y = left + width // 2, top + height // 2
    source_x, source_y = x + int(motion[0] / scale), y + int(motion[1] / scale)
    return (source, width, height, source_x, source_y, x, y, *motion, scale)


def random_blocks(rng: np.random.Generator, *, reach: int = 60) -> np.ndarray:
    """Macroblocks of 16 px, some of them split, some left out (intra), over a picture of `SIZE`."""
    blocks = []
    for top in range(0, SIZE[0], 16):
        for left in range(0, SIZE[1], 16):
            width, height = [(16, 16), (16, 8), (8, 16), (8, 8)][rng.integers(4)]
            for y in range(top, top + 16, height):
                for x in range(left, left + 16, width):
                    if rng.random() > 0.2:
                        motion = rng.integers(-reach, reach + 1, 2).tolist()
                        blocks.append(block(x, y, (width, height), (motion[0], motion[1])))
    return np.array(blocks, VECTOR)


@pytest.fixture
def group() -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Vectors of five P-frames, the third without any, and six pictures."""
    rng = np.random.default_rng(3)
    vectors = [random_blocks(rng) for _ in range(5)]
    vectors[2] = vectors[2][:0]
    return vectors, [rng.integers(0, 256, (*SIZE, 3)).astype(np.uint8) for _ in range(6)]


def test_whole_pixels_equal_the_equations(group: tuple) -> None:
    vectors, pictures = group
    trace = Trace(SIZE)
    for t in range(1, 6):
        trace.advance(vectors[t - 1])
        motion, left_over = whole([Field.of(v, SIZE) for v in vectors[:t]], pictures[: t + 1])
        assert trace.motion().dtype == np.int32
        np.testing.assert_array_equal(trace.motion(), motion)
        np.testing.assert_array_equal(residual(pictures[t], pictures[0], trace), left_over)
        np.testing.assert_array_equal(trace.warp(pictures[0]) + left_over, pictures[t])
    assert np.abs(motion).max() > 15


def test_sub_pixels_equal_the_equations(group: tuple) -> None:
    vectors, _ = group
    trace = Trace(SIZE, "sub-pixel")
    for t in range(1, 6):
        trace.advance(vectors[t - 1])
        expected = sub_pixel([Field.of(v, SIZE) for v in vectors[:t]], SIZE)
        assert trace.motion().dtype == np.float32
        np.testing.assert_allclose(trace.motion(), expected, atol=1e-4)
    assert (np.abs(expected - expected.round()) > 0.1).mean() > 0.5


def test_frame_without_vectors_keeps_the_motion_so_far() -> None:
    trace = Trace(SIZE)
    trace.advance(np.array([block(16, 16, (16, 16), (-16, -8))], VECTOR))
    before = trace.motion()
    assert before[20, 20].tolist() == [4, 2]
    for nothing in (None, np.empty(0, VECTOR)):
        trace.advance(nothing)
        np.testing.assert_array_equal(trace.motion(), before)
        assert trace.intra_share == 1


def test_vectors_to_later_pictures_are_left_out() -> None:
    trace = Trace(SIZE)
    trace.advance(np.array([block(0, 0, (16, 16), (8, 8), source=1)], VECTOR))
    assert not trace.motion().any()


@pytest.mark.parametrize(("quarters", "whole_px"), [(-7, -1), (7, 1), (-3, 0), (3, 0), (8, 2)])
def test_whole_pixels_are_cut_toward_zero(quarters: int, whole_px: int) -> None:
    vectors = np.array([block(16, 16, (16, 16), (quarters, 0))], VECTOR)
    for precision, expected in (("whole", -whole_px), ("sub-pixel", -quarters / 4)):
        trace = Trace(SIZE, precision)
        trace.advance(vectors)
        assert trace.motion()[24, 24, 0] == expected


def test_source_outside_the_picture_keeps_the_pixel_or_is_taken_at_the_border() -> None:
    vectors = np.array([block(0, 0, (8, 8), (-16, 0))], VECTOR)  # 4 px to the left
    expected = {"whole": [0, 0, 0, 0, 4, 4, 4, 4], "sub-pixel": [0, 1, 2, 3, 4, 4, 4, 4]}
    for precision, row in expected.items():
        trace = Trace(SIZE, precision)
        trace.advance(vectors)
        assert trace.motion()[0, :8, 0].tolist() == row


def test_share_of_intra_blocks() -> None:
    trace = Trace((32, 32))
    trace.advance(np.array([block(0, 0, (16, 16), (0, 0)), block(16, 0, (8, 8), (4, 4))], VECTOR))
    assert trace.intra_share == 1 - 5 / 16
    trace.restart()
    assert trace.intra_share == 0
    assert not trace.motion().any()


def test_what_cannot_be_traced_says_so() -> None:
    with pytest.raises(ConfigError, match="'half'"):
        Trace(SIZE, "half")  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match="0x12"):
        Trace((12, 0))
    trace = Trace(SIZE)
    for left in (4, 64, -8):
        with pytest.raises(ShapeError, match=f"A block at {left}, 0"):
            trace.advance(np.array([block(left, 0, (16, 16), (0, 0))], VECTOR))
    with pytest.raises(ShapeError, match=r"\(37, 50\)"):
        trace.warp(np.zeros((50, 37, 3), np.uint8))
    with pytest.raises(ShapeError, match="one shape"):
        residual(np.zeros((37, 50, 3), np.uint8), np.zeros((37, 51, 3), np.uint8), trace)
