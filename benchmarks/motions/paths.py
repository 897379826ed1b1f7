"""Motions of a rigid thing: where it is, how large and how turned, at each moment."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import cv2
import numpy as np

from benchmarks.motions.sprites import blend
from benchmarks.motions.stage import Painter, Stage
from benchmarks.motions.textures import Image


class Pose(NamedTuple):
    """Place of a sprite's middle, width and height of its square in sides of the frame, angle (clockwise, radians)."""

    x: float
    y: float
    width: float
    height: float
    angle: float = 0.0
    shear: float = 0.0
    """How far the top leans to the right, in heights, the bottom staying where it is."""


Path = Callable[[float], Pose]


def rigid(path_of: Callable[[Stage], Path]) -> Callable[[Stage], Painter]:
    """The motion that moves the stage's sprite along a path."""

    def motion(stage: Stage) -> Painter:
        path = path_of(stage)

        def paint(frame: Image, moment: float) -> None:
            matrix = placement(stage, path(moment))
            blend(frame, cv2.warpAffine(stage.sprite, matrix, (stage.size, stage.size), flags=cv2.INTER_LINEAR))

        return paint

    return motion


def placement(stage: Stage, pose: Pose) -> np.ndarray:
    """(2, 3) matrix from pixels of the sprite to those of the frame."""
    side = len(stage.sprite)
    to_unit = np.array([[1 / side, 0, -0.5], [0, 1 / side, -0.5], [0, 0, 1]])
    lean = np.array([[1, -pose.shear, 0.5 * pose.shear], [0, 1, 0], [0, 0, 1]])
    cos, sin = math.cos(pose.angle), math.sin(pose.angle)
    turn = np.array([[cos, -sin, pose.x], [sin, cos, pose.y], [0, 0, 1 / stage.size]]) * stage.size
    stretch = np.diag([pose.width, pose.height, 1.0])
    return (turn @ stretch @ lean @ to_unit)[:2]


def _spot(stage: Stage, reach: float = 0.25) -> tuple[float, float]:
    """A place near the middle."""
    x, y = stage.rng.uniform(0.5 - reach, 0.5 + reach, 2)
    return float(x), float(y)


def _width(stage: Stage, low: float = 0.3, high: float = 0.55) -> float:
    return float(stage.rng.uniform(low, high))


def _slide(dx: int, dy: int) -> Callable[[Stage], Path]:
    def path_of(stage: Stage) -> Path:
        width, distance, (x, y) = _width(stage), stage.rng.uniform(0.5, 1.1), _spot(stage, 0.15)
        angle = stage.rng.uniform(0, 2 * math.pi)

        def path(moment: float) -> Pose:
            gone = distance * (moment - 0.5)
            return Pose(x + dx * gone, y + dy * gone, width, width, angle)

        return path

    return path_of


def _fall(stage: Stage) -> Path:
    """Gravity, and a floor that returns a part of the speed."""
    width, (x, _), event = _width(stage, 0.25, 0.42), _spot(stage), stage.event()
    drift, floor = stage.rng.uniform(-0.25, 0.25), stage.rng.uniform(0.75, 0.88)
    drop, returned = stage.rng.uniform(0.55, 0.8), stage.rng.uniform(0.45, 0.7)
    falls = stage.rng.uniform(2.2, 3.5)  # length of the event, in times of the first fall

    def path(moment: float) -> Pose:
        t, progress = event(moment) * falls, event(moment)
        height = drop * (1 - t * t) if t < 1 else _bounce(t - 1, drop, returned)
        squash = 0.15 * max(0.0, 1 - 12 * height)
        y = floor - height - width / 2 * (1 - squash)
        return Pose(x + drift * progress, y, width * (1 + squash), width * (1 - squash))

    return path


def _bounce(t: float, drop: float, returned: float) -> float:
    """Height at the time `t`, in times of the first fall, after the first contact with the floor."""
    speed = 2 * drop * returned
    for _ in range(6):
        flight = speed / drop
        if t < flight:
            return speed * t - drop * t * t
        t, speed = t - flight, speed * returned
    return 0.0


def _throw(stage: Stage) -> Path:
    """Up and down on a parabola, across the frame."""
    width, side, event = _width(stage, 0.22, 0.38), stage.either(), stage.event()
    peak, spin = stage.rng.uniform(0.5, 0.75), stage.rng.uniform(-3, 3)

    def path(moment: float) -> Pose:
        t = event(moment)
        return Pose(0.5 + side * 0.8 * (t - 0.5), 0.9 - 4 * peak * t * (1 - t), width, width, spin * t)

    return path


def _accelerate(stage: Stage) -> Path:
    """From rest, ever faster."""
    width, side, event = _width(stage), stage.either(), stage.event()
    y, distance = stage.rng.uniform(0.35, 0.65), stage.rng.uniform(0.7, 1.1)
    return lambda moment: Pose(0.5 + side * (distance * event(moment) ** 2.5 - 0.35), y, width, width)


def _brake(stage: Stage) -> Path:
    """Fast at first, slower and slower, to rest."""
    width, side, event = _width(stage), stage.either(), stage.event()
    y, distance = stage.rng.uniform(0.35, 0.65), stage.rng.uniform(0.7, 1.1)
    return lambda moment: Pose(0.5 + side * (0.35 - distance * (1 - event(moment)) ** 2.5), y, width, width)


def _scale(first: float, last: float) -> Callable[[Stage], Path]:
    def path_of(stage: Stage) -> Path:
        (x, y), width, turn = _spot(stage, 0.15), _width(stage, 0.35, 0.5), stage.rng.uniform(0, 2 * math.pi)
        ratio = stage.rng.uniform(0.85, 1.15)

        def path(moment: float) -> Pose:
            now = width * first ** (ratio * (1 - moment)) * last ** (ratio * moment)
            return Pose(x, y, now, now, turn)

        return path

    return path_of


def _spin(direction: int) -> Callable[[Stage], Path]:
    def path_of(stage: Stage) -> Path:
        (x, y), width, start = _spot(stage, 0.18), _width(stage, 0.4, 0.65), stage.rng.uniform(0, 2 * math.pi)
        turns = direction * stage.cycles(0.3, 0.8)
        return lambda moment: Pose(x, y, width, width, start + 2 * math.pi * turns * moment)

    return path_of


def _roll(stage: Stage) -> Path:
    """Along the ground, turning as a wheel does."""
    width, side = _width(stage, 0.3, 0.45), stage.either()
    ground, distance = stage.rng.uniform(0.7, 0.95), stage.rng.uniform(0.6, 1.1)

    def path(moment: float) -> Pose:
        gone = side * distance * (moment - 0.5)
        return Pose(0.5 + gone, ground - width / 2, width, width, gone / (0.47 * width))

    return path


def _pendulum(stage: Stage, damping: float) -> Path:
    width, x, pivot = _width(stage, 0.28, 0.42), stage.rng.uniform(0.4, 0.6), stage.rng.uniform(-0.25, 0.05)
    length, reach = stage.rng.uniform(0.55, 0.75), stage.rng.uniform(0.45, 0.75)
    cycles, phase = stage.cycles(0.9, 1.7), stage.rng.uniform(0, 2 * math.pi)
    phase = phase if damping == 0 else stage.either() * math.pi / 2

    def path(moment: float) -> Pose:
        angle = reach * math.exp(-damping * moment) * math.sin(2 * math.pi * cycles * moment + phase)
        return Pose(x + length * math.sin(angle), pivot + length * math.cos(angle), width, width, -angle)

    return path


def _swing(stage: Stage) -> Path:
    """A pendulum without friction."""
    return _pendulum(stage, 0.0)


def _settle(stage: Stage) -> Path:
    """A pendulum that comes to rest."""
    return _pendulum(stage, stage.rng.uniform(2.5, 4.0))


def _orbit(direction: int) -> Callable[[Stage], Path]:
    def path_of(stage: Stage) -> Path:
        (x, y), width, radius = _spot(stage, 0.08), _width(stage, 0.25, 0.4), stage.rng.uniform(0.2, 0.32)
        start, turns = stage.rng.uniform(0, 2 * math.pi), direction * stage.cycles(0.45, 1.0)

        def path(moment: float) -> Pose:
            angle = start + 2 * math.pi * turns * moment
            return Pose(x + radius * math.cos(angle), y + radius * math.sin(angle), width, width)

        return path

    return path_of


def _shake(stage: Stage) -> Path:
    """Fast and irregular, about one place."""
    (x, y), width = _spot(stage, 0.15), _width(stage)
    jumps = stage.rng.normal(0, stage.rng.uniform(0.02, 0.045), (3, max(4, round(stage.seconds * 15))))
    at = np.linspace(0, 1, jumps.shape[1])

    def path(moment: float) -> Pose:
        dx, dy, turn = (float(np.interp(moment, at, row)) for row in jumps)
        return Pose(x + dx, y + dy, width, width, 4 * turn)

    return path


def _pulse(stage: Stage) -> Path:
    """Larger and smaller in turns."""
    (x, y), width, angle = _spot(stage, 0.15), _width(stage, 0.35, 0.5), stage.rng.uniform(0, 2 * math.pi)
    cycles, phase, part = stage.cycles(0.9, 2.0), stage.rng.uniform(0, 2 * math.pi), stage.rng.uniform(0.2, 0.4)

    def path(moment: float) -> Pose:
        now = width * (1 + part * math.sin(2 * math.pi * cycles * moment + phase))
        return Pose(x, y, now, now, angle)

    return path


def _flip(stage: Stage) -> Path:
    """Turning about an upright axis, as a coin does."""
    (x, y), width = _spot(stage, 0.15), _width(stage, 0.4, 0.6)
    cycles, phase = stage.cycles(0.4, 1.0), stage.rng.uniform(0, 2 * math.pi)
    return lambda moment: Pose(x, y, width * math.cos(2 * math.pi * cycles * moment + phase), width)


def _hop(stage: Stage) -> Path:
    """Forward in leaps, squashed at each landing, stretched in flight."""
    width, side, cycles = _width(stage, 0.25, 0.38), stage.either(), stage.cycles(1.2, 2.2)
    ground, distance, height = stage.rng.uniform(0.8, 0.95), stage.rng.uniform(0.5, 0.9), stage.rng.uniform(0.15, 0.3)
    phase = stage.rng.uniform(0, 1)

    def path(moment: float) -> Pose:
        leap = (cycles * moment + phase) % 1
        lift = 4 * leap * (1 - leap)
        tall = width * (0.8 + 0.3 * lift)
        return Pose(
            0.5 + side * distance * (moment - 0.5), ground - height * lift - tall / 2, width**2 / tall, tall,
            shear=side * 0.4 * (0.5 - leap),
        )  # fmt: skip

    return path


RIGID_MOTIONS: Mapping[str, Callable[[Stage], Path]] = {
    "slide_left": _slide(-1, 0),
    "slide_right": _slide(1, 0),
    "slide_up": _slide(0, -1),
    "slide_down": _slide(0, 1),
    "fall": _fall,
    "throw": _throw,
    "accelerate": _accelerate,
    "brake": _brake,
    "grow": _scale(0.5, 1.7),
    "shrink": _scale(1.7, 0.5),
    "spin_clockwise": _spin(1),
    "spin_anticlockwise": _spin(-1),
    "roll": _roll,
    "swing": _swing,
    "settle": _settle,
    "orbit_clockwise": _orbit(1),
    "orbit_anticlockwise": _orbit(-1),
    "shake": _shake,
    "pulse": _pulse,
    "flip": _flip,
    "hop": _hop,
}
