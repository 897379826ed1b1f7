"""THE list of classes: every motion with every appearance."""

from __future__ import annotations

from typing import NamedTuple

from benchmarks.motions.camera import CAMERA_MOTIONS
from benchmarks.motions.deformations import DEFORMATIONS
from benchmarks.motions.figures import FIGURE_ACTIONS
from benchmarks.motions.particles import PARTICLE_MOTIONS
from benchmarks.motions.paths import RIGID_MOTIONS
from benchmarks.motions.textures import TEXTURES

MOTIONS: tuple[str, ...] = (*RIGID_MOTIONS, *DEFORMATIONS, *PARTICLE_MOTIONS, *FIGURE_ACTIONS, *CAMERA_MOTIONS)

APPEARANCES: tuple[str, ...] = tuple(TEXTURES)
"""Texture of what moves; of the whole scene, where the camera moves."""

ONE_WAY: frozenset[str] = frozenset("fall settle melt swirl disperse shatter burst walk run fall_over".split())
"""Motions that look wrong when played backwards."""


def _both_ways(pairs: str) -> dict[str, str]:
    forth = dict(pair.split("/") for pair in pairs.split())
    return {**forth, **{second: first for first, second in forth.items()}}


BACKWARDS: dict[str, str] = _both_ways(
    "slide_left/slide_right slide_up/slide_down accelerate/brake grow/shrink spin_clockwise/spin_anticlockwise "
    "orbit_clockwise/orbit_anticlockwise shatter/assemble sit_down/stand_up pan_left/pan_right tilt_up/tilt_down "
    "zoom_in/zoom_out camera_clockwise/camera_anticlockwise"
)
"""Motions that look like another one when played backwards."""

MIRRORED: dict[str, str] = _both_ways(
    "slide_left/slide_right spin_clockwise/spin_anticlockwise orbit_clockwise/orbit_anticlockwise pan_left/pan_right "
    "camera_clockwise/camera_anticlockwise"
)
"""Motions that become another one in a mirror. A trainer that flips clips must know, or not flip."""

LABELS = ("motion", "appearance", "both")


class MotionClass(NamedTuple):
    """What a video shows."""

    motion: str
    appearance: str

    def label(self, kind: str) -> int:
        """Its number among `class_names(kind)`."""
        motion, appearance = MOTIONS.index(self.motion), APPEARANCES.index(self.appearance)
        return {"motion": motion, "appearance": appearance, "both": motion * len(APPEARANCES) + appearance}[kind]


def class_names(kind: str) -> tuple[str, ...]:
    """Names in the order of their labels; `kind` is one of `LABELS`."""
    both = tuple(f"{motion}-{appearance}" for motion in MOTIONS for appearance in APPEARANCES)
    return {"motion": MOTIONS, "appearance": APPEARANCES, "both": both}[kind]
