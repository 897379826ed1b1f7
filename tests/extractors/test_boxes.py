"""extractors/ops/boxes.py against hand-worked cases and slow second implementations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from extractors import ShapeError
from extractors.ops import boxes as box_ops

COORDINATE = st.floats(0, 1, width=32)
BOXES = st.lists(st.tuples(COORDINATE, COORDINATE, COORDINATE, COORDINATE), max_size=6).map(
    lambda rows: [(min(a, c), min(b, d), max(a, c), max(b, d)) for a, b, c, d in rows]
)


def test_pixels_of_a_frame_twice_as_wide_as_high():
    assert_array_equal(box_ops.to_pixels([(0.25, 0.5, 0.5, 1.0)], (100, 200)), [(50, 50, 100, 100)])
    assert_array_equal(box_ops.to_normalised([(50, 50, 100, 100)], (100, 200)), [(0.25, 0.5, 0.5, 1.0)])


def test_width_has_no_plus_one():
    assert_array_equal(box_ops.area([(0, 0, 1, 1), (2, 3, 5, 7)]), [1, 12])
    assert_array_equal(box_ops.from_xywh([(2, 3, 3, 4)]), [(2, 3, 5, 7)])


def test_area_of_an_inverted_box_is_zero():
    assert_array_equal(box_ops.area([(3, 0, 1, 5), (3, 5, 1, 0)]), [0, 0])


def test_iou_by_hand():
    # two 2x2 squares sharing one unit square: 1 / (4 + 4 - 1); touching edges share nothing
    squares = [(0, 0, 2, 2), (1, 1, 3, 3), (2, 0, 4, 2)]
    expected = [[1, 1 / 7, 0], [1 / 7, 1, 1 / 7], [0, 1 / 7, 1]]
    assert_allclose(box_ops.iou_matrix(squares, squares), expected, rtol=1e-6)


def test_iou_of_boxes_without_area_is_zero_and_not_nan():
    assert_array_equal(box_ops.iou_matrix([(1, 1, 1, 1)], [(1, 1, 1, 1), (0, 0, 2, 2)]), [[0, 0]])


@given(BOXES, BOXES)
@settings(max_examples=60, deadline=None)
def test_iou_equals_the_scalar_definition(first, second):
    matrix = box_ops.iou_matrix(first, second)
    assert matrix.shape == (len(first), len(second))
    assert_array_equal(matrix, box_ops.iou_matrix(second, first).T)
    for i, (ax1, ay1, ax2, ay2) in enumerate(first):
        for j, (bx1, by1, bx2, by2) in enumerate(second):
            shared = max(min(ax2, bx2) - max(ax1, bx1), 0) * max(min(ay2, by2) - max(ay1, by1), 0)
            union = (ax2 - ax1) * (ay2 - ay1) + (bx2 - bx1) * (by2 - by1) - shared
            if union > 1e-6:
                assert_allclose(matrix[i, j], shared / union, atol=1e-4)


@given(BOXES, st.tuples(st.integers(1, 2000), st.integers(1, 2000)))
@settings(max_examples=60, deadline=None)
def test_to_pixels_and_back(boxes, hw):
    back = box_ops.to_normalised(box_ops.to_pixels(boxes, hw), hw)
    assert_allclose(back, box_ops.as_boxes(boxes), atol=1e-6)


def test_clip_cuts_at_the_frame():
    assert_array_equal(box_ops.clip([(-0.5, 0.25, 0.5, 1.5)]), [(0, 0.25, 0.5, 1)])
    assert box_ops.area(box_ops.clip([(1.5, 0.25, 1.75, 0.5)])) == 0


def test_resize_about_centre():
    assert_array_equal(box_ops.resize_about_centre([(0, 0, 4, 8)], width_by=0.5, height_by=0.25), [(1, 3, 3, 5)])
    assert_array_equal(box_ops.centres([(0, 0, 4, 8)]), [(2, 4)])


@pytest.mark.parametrize(
    ("box", "rows", "columns"),
    [
        ((0.0, 0.0, 1.0, 1.0), (0, 10), (0, 20)),
        ((0.25, 0.5, 0.5, 0.75), (5, 8), (5, 10)),  # 0.75 * 10 = 7.5: the eighth row is touched
        ((0.5, 0.5, 0.5, 0.5), (5, 6), (10, 11)),
        ((1.0, 1.0, 1.0, 1.0), (9, 10), (19, 20)),
        ((2.0, -3.0, 4.0, -1.0), (0, 1), (19, 20)),
    ],
)
def test_pixel_slices_are_never_empty(box, rows, columns):
    assert box_ops.pixel_slices([box], (10, 20)) == [(slice(*rows), slice(*columns))]


def test_nothing_in_nothing_out():
    assert box_ops.as_boxes([]).shape == (0, 4)
    for result in (
        box_ops.to_pixels([], (2, 2)),
        box_ops.to_normalised([], (2, 2)),
        box_ops.from_xywh([]),
        box_ops.clip([]),
        box_ops.resize_about_centre([], width_by=1, height_by=1),
    ):
        assert result.shape == (0, 4)
        assert result.dtype == np.float32
    assert box_ops.area([]).shape == (0,)
    assert box_ops.centres([]).shape == (0, 2)
    assert box_ops.iou_matrix([], [(0, 0, 1, 1)]).shape == (0, 1)
    assert box_ops.pixel_slices([], (2, 2)) == []


@pytest.mark.parametrize("boxes", [(0, 0, 1, 1), [(0, 0, 1)], np.zeros((0, 5)), np.zeros((5, 0)), np.zeros((1, 1, 4))])
def test_what_is_not_boxes_is_refused(boxes):
    with pytest.raises(ShapeError, match="expected \\(N, 4\\)"):
        box_ops.as_boxes(boxes)


def test_a_picture_without_pixels_is_refused():
    with pytest.raises(ShapeError, match="at least"):
        box_ops.to_normalised([(0, 0, 1, 1)], (0, 5))
