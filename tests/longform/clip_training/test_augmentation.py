"""Windows that are cut out of pictures."""

import numpy as np
import pytest

from longform.clip_training.augmentation import CropRule, Window
from longform.clip_training.sources import cut

HW = (240, 320)


def windows(rule: CropRule, count: int = 3000, size: int = 112, short_side: tuple[int, int] = (128, 160)):
    rng = np.random.default_rng(0)
    return [rule.drawn(size, short_side, rng)(*HW) for _ in range(count)]


def test_windows_lie_in_the_picture_and_reach_every_edge() -> None:
    found = windows(CropRule())
    assert min(window.top for window in found) == 0 == min(window.left for window in found)
    assert max(window.top + window.height for window in found) == 240
    assert max(window.left + window.width for window in found) == 320
    assert all(window.height == window.width for window in found)
    assert 0.47 < np.mean([window.flip for window in found]) < 0.53
    assert not any(window.flip for window in windows(CropRule(flip=False), 50))


@pytest.mark.parametrize("inverse", [False, True])
def test_the_short_side_is_uniform_or_its_inverse_is(inverse: bool) -> None:
    sides = np.array([112 / window.height * 240 for window in windows(CropRule(inverse=inverse))])
    assert abs(sides.min() - 128) < 1
    assert abs(sides.max() - 160) < 1
    middle = np.mean(1 / sides) if inverse else np.mean(sides)
    expected = (1 / 128 + 1 / 160) / 2 if inverse else 144
    assert abs(middle / expected - 1) < 0.005


def test_a_square_resize_changes_the_shape() -> None:
    window = CropRule(square=True).centre(112, 128)(*HW)
    assert (window.height, window.width) == (210, 280)
    assert (window.top, window.left) == (15, 20)


def test_the_centre() -> None:
    assert CropRule().centre(112, 128)(*HW) == Window(top=15, left=55, height=210, width=210, size=112)
    assert CropRule().centre(32, 32)(32, 32) == Window(top=0, left=0, height=32, width=32, size=32)


def test_cut_scales_and_mirrors() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    window = Window(top=10, left=20, height=40, width=40, size=40, flip=True)
    assert np.array_equal(cut([picture], 1, lambda h, w: window)[0], picture[10:50, 20:60][:, ::-1])
    smaller = cut([picture], 1, lambda h, w: Window(top=0, left=0, height=40, width=40, size=20))[0]
    means = picture[:40, :40].reshape(20, 2, 20, 2, 3).mean((1, 3))
    assert np.abs(smaller - means).max() <= 1
