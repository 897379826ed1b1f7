"""Generated videos: the same from a seed, different between seeds, and moving as their class says."""

from itertools import pairwise

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.motions.classes import (
    APPEARANCES,
    BACKWARDS,
    LABELS,
    MIRRORED,
    MOTIONS,
    ONE_WAY,
    MotionClass,
    class_names,
)
from benchmarks.motions.paths import RIGID_MOTIONS
from benchmarks.motions.render import render
from benchmarks.motions.stage import Stage

FRAMES, SIZE = 12, 64


def shown(motion: str, appearance: str = "checks", seed: int = 3, frames: int = FRAMES) -> NDArray[np.uint8]:
    return render(MotionClass(motion, appearance), seed, frames=frames, size=SIZE)


@pytest.mark.parametrize("motion", MOTIONS)
def test_every_motion_moves(motion: str) -> None:
    video = shown(motion)
    assert video.shape == (FRAMES, SIZE, SIZE, 3)
    assert video.dtype == np.uint8
    smooth = np.stack([cv2.GaussianBlur(frame, (0, 0), 2) for frame in video]).astype(int)
    apart = np.abs(smooth[-1] - smooth[0]).max(), np.abs(smooth[FRAMES // 2] - smooth[0]).max()
    assert max(apart) > 25


@pytest.mark.parametrize("appearance", APPEARANCES)
def test_every_appearance_is_drawn(appearance: str) -> None:
    assert shown("spin_clockwise", appearance).std() > 5


def test_a_seed_is_a_video() -> None:
    np.testing.assert_array_equal(shown("shatter", seed=5), shown("shatter", seed=5))
    assert (shown("shatter", seed=5) != shown("shatter", seed=6)).mean() > 0.5


def flow(video: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(2,) mean displacement, x and y, from frame to frame where there is texture."""
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in video]
    shifts = [cv2.phaseCorrelate(a.astype(np.float64), b.astype(np.float64))[0] for a, b in pairwise(grey)]
    return np.median(shifts, axis=0)


@pytest.mark.parametrize(
    ("motion", "axis", "sign"), [("pan_left", 0, 1), ("pan_right", 0, -1), ("tilt_up", 1, 1), ("tilt_down", 1, -1)]
)
def test_the_picture_moves_against_the_camera(motion: str, axis: int, sign: int) -> None:
    signs = [np.sign(flow(shown(motion, "patches", seed))[axis]) for seed in range(5)]
    assert np.mean(np.array(signs) == sign) >= 0.8


def places(motion: str, moments: NDArray[np.float64], seed: int = 0) -> NDArray[np.float64]:
    """Where a rigid thing is, from left to right."""
    nothing = np.zeros((4, 4, 4), np.uint8)
    rng = np.random.default_rng(seed)
    path = RIGID_MOTIONS[motion](Stage(rng=rng, size=64, seconds=1.0, surface=nothing[..., :3], sprite=nothing))
    return np.array([path(moment).x for moment in moments.tolist()])


@pytest.mark.parametrize(("motion", "sign"), [("accelerate", 1), ("brake", -1)])
def test_what_accelerates_is_ever_faster_and_what_brakes_ever_slower(motion: str, sign: int) -> None:
    for seed in range(5):
        steps = np.abs(np.diff(places(motion, np.linspace(0, 1, 40), seed)))
        moving = steps[steps > 1e-6]
        assert (sign * np.diff(moving[1:-1]) > 0).all()


def test_an_unknown_class_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"no such class.*slide_left.*stripes"):
        render(MotionClass("fly", "stripes"), 0)


def test_labels_and_names_agree() -> None:
    for kind in LABELS:
        names = class_names(kind)
        assert len(set(names)) == len(names)
    both = MotionClass("walk", "dots")
    assert class_names("both")[both.label("both")] == "walk-dots"
    assert class_names("motion")[both.label("motion")] == "walk"
    assert class_names("appearance")[both.label("appearance")] == "dots"


def test_tables_of_reversals_name_motions() -> None:
    assert {*ONE_WAY, *BACKWARDS, *MIRRORED} <= set(MOTIONS)
    assert all(BACKWARDS[BACKWARDS[motion]] == motion for motion in BACKWARDS)


def test_a_slide_played_backwards_is_the_other_slide() -> None:
    moments = np.array([0.0, 0.4, 1.0])
    assert places("slide_left", moments) == pytest.approx(places("slide_right", 1 - moments))
