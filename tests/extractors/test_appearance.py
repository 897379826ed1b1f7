"""extractors/tracking/appearance.py: colours by hand, and boxes of every awkward kind."""

from __future__ import annotations

import numpy as np
import pytest

from extractors import ShapeError
from extractors.tracking.appearance import HSV_STRIPES_DIM, STRIPES, hsv_stripes

RED, BLUE, GREY = (200, 20, 20), (20, 20, 200), (120, 120, 120)
WHOLE = [(0.0, 0.0, 1.0, 1.0)]


def clothed(*colours: tuple[int, int, int], height: int = 90) -> np.ndarray:
    """A frame in equal horizontal bands of the given colours."""
    rows = np.repeat(np.array(colours, np.uint8), height // len(colours), axis=0)
    return np.broadcast_to(rows[:, None], (len(rows), 60, 3)).copy()


def test_dimension_length_and_dtype():
    vectors = hsv_stripes(clothed(RED, BLUE, GREY), WHOLE * 3)
    assert vectors.shape == (3, HSV_STRIPES_DIM)
    assert vectors.dtype == np.float32
    assert 48 <= HSV_STRIPES_DIM <= 96
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-6)


def test_stripes_that_share_one_colour_of_three():
    """Each stripe weighs a third, so the cosine counts the stripes that agree."""
    first, second = (hsv_stripes(clothed(GREY, RED, legs), WHOLE)[0] for legs in (RED, BLUE))
    top = np.linalg.norm(first[: HSV_STRIPES_DIM // STRIPES]) ** 2
    assert 0 < top < 1
    assert first @ first == pytest.approx(1)
    assert 0.6 < first @ second < 0.75


def test_same_clothes_in_other_places_are_not_the_same():
    up, down = (hsv_stripes(clothed(*order), WHOLE)[0] for order in ((RED, RED, BLUE), (BLUE, RED, RED)))
    assert up @ down < 0.5


def test_hue_is_a_circle():
    """Hues 355 and 5 degrees are both red, and must not land at opposite ends."""
    just_below, just_above = (hsv_stripes(clothed(colour), WHOLE)[0] for colour in ((200, 20, 35), (200, 35, 20)))
    green = hsv_stripes(clothed((20, 200, 20)), WHOLE)[0]
    assert just_below @ just_above > 0.6
    assert just_below @ green < 0.01


def test_size_and_resolution_do_not_matter():
    small, large = (hsv_stripes(clothed(RED, BLUE, GREY, height=height), WHOLE)[0] for height in (30, 900))
    assert small @ large > 0.99


@pytest.mark.parametrize(
    "box",
    [
        (0.5, 0.5, 0.5, 0.5),
        (0.0, 0.0, 1e-4, 1e-4),
        (0.999, 0.999, 1.0, 1.0),
        (-0.4, -0.4, 0.3, 0.3),
        (2.0, 2.0, 3.0, 3.0),
        (0.6, 0.6, 0.4, 0.4),
    ],
)
def test_awkward_boxes_give_an_ordinary_vector(box):
    vector = hsv_stripes(clothed(RED), [box])[0]
    assert np.linalg.norm(vector) == pytest.approx(1)
    assert vector @ hsv_stripes(clothed(RED), WHOLE)[0] == pytest.approx(1)


def test_a_frame_of_one_pixel():
    assert hsv_stripes(np.zeros((1, 1, 3), np.uint8), WHOLE).shape == (1, HSV_STRIPES_DIM)


def test_no_boxes():
    assert hsv_stripes(clothed(RED), []).shape == (0, HSV_STRIPES_DIM)
    assert hsv_stripes(clothed(RED), []).dtype == np.float32


@pytest.mark.parametrize("frame", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)])
def test_what_is_not_a_frame_is_refused(frame):
    with pytest.raises(ShapeError, match="expected"):
        hsv_stripes(frame, WHOLE)
