"""What the network learns to tell apart, and what it never sees."""

from __future__ import annotations

from typing import NamedTuple

from benchmarks.motions.classes import APPEARANCES, BACKWARDS, MIRRORED, MOTIONS, ONE_WAY, MotionClass

HELD_OUT: tuple[str, ...] = ("throw", "pulse", "hop", "ripple", "swirl", "fountain", "kick", "bow")
"""Motions that only the evaluation shows, of all kinds but the camera's."""

TRAINED: tuple[str, ...] = tuple(motion for motion in MOTIONS if motion not in HELD_OUT)

BACKWARDS_SUFFIX = " backwards"

MOTION_CLASSES: tuple[str, ...] = (
    *TRAINED,
    *(f"{motion}{BACKWARDS_SUFFIX}" for motion in TRAINED if motion in ONE_WAY and motion not in BACKWARDS),
)
"""Outputs of the network's classifier: motions, and one-way motions played backwards."""

NO_DIRECTION = -1


class Labels(NamedTuple):
    """What a clip shows."""

    motion: int
    """Of `MOTION_CLASSES`."""
    appearance: int
    """Of `APPEARANCES`."""
    forwards: int
    """1 for a one-way motion as filmed, 0 backwards, `NO_DIRECTION` for motions that go either way."""


def labels_of(shown: MotionClass, *, mirrored: bool, backwards: bool) -> Labels:
    """The labels of a clip of a video, as it is shown to the network."""
    motion = MIRRORED.get(shown.motion, shown.motion) if mirrored else shown.motion
    one_way = motion in ONE_WAY or BACKWARDS.get(motion) in ONE_WAY
    forwards = int((motion in ONE_WAY) != backwards) if one_way else NO_DIRECTION
    if backwards:
        motion = BACKWARDS.get(motion, f"{motion}{BACKWARDS_SUFFIX}")
    return Labels(MOTION_CLASSES.index(motion), APPEARANCES.index(shown.appearance), forwards)


def can_be_reversed(motion: str) -> bool:
    """Whether a motion played backwards has a label; the others look much the same."""
    return motion in ONE_WAY or motion in BACKWARDS
