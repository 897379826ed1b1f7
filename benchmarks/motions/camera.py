"""Motions of the camera before a still scene."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import cv2
import numpy as np

from benchmarks.motions.textures import Image, Rng

SCENE_SIDES = 2.0
"""Side of a scene, in sides of the frame."""


class View(NamedTuple):
    """What the camera sees: its middle (in sides of the frame, from the scene's middle), magnification, turn."""

    x: float = 0.0
    y: float = 0.0
    zoom: float = 1.0
    angle: float = 0.0
    """Radians that the picture is turned clockwise."""


CameraPath = Callable[[float], View]


def look(scene: Image, view: View, size: int) -> Image:
    """(size, size, 3): the part of a (S, S, 3) scene that is in view; beyond its border it is mirrored."""
    cos, sin = math.cos(view.angle) * view.zoom, math.sin(view.angle) * view.zoom
    middle = len(scene) / 2
    x, y = middle + view.x * size, middle + view.y * size
    half = size / 2
    matrix = np.array([[cos, -sin, half - cos * x + sin * y], [sin, cos, half - sin * x - cos * y]])
    return cv2.warpAffine(scene, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)


def handheld(rng: Rng, seconds: float, reach: float) -> CameraPath:
    """Small unsteady movements of about `reach` sides of the frame."""
    knots = max(3, round(seconds * 6) + 2)
    shift = rng.normal(0, reach, (3, knots))
    at = np.linspace(0, 1, knots)

    def path(moment: float) -> View:
        x, y, turn = (float(np.interp(moment, at, row)) for row in shift)
        return View(x, y, angle=turn)

    return path


def _pan(dx: int, dy: int) -> Callable[[Rng, float], CameraPath]:
    """The camera turns towards (dx, dy), so the picture moves the other way."""

    def path_of(rng: Rng, seconds: float) -> CameraPath:
        distance, zoom = rng.uniform(0.45, 1.0), rng.uniform(0.9, 1.3)
        return lambda moment: View(dx * distance * (moment - 0.5), dy * distance * (moment - 0.5), zoom)

    return path_of


def _zoom(direction: int) -> Callable[[Rng, float], CameraPath]:
    def path_of(rng: Rng, seconds: float) -> CameraPath:
        ratio, start = rng.uniform(1.5, 2.4), rng.uniform(0.85, 1.1)
        x, y = rng.uniform(-0.15, 0.15, 2)
        return lambda moment: View(x, y, start * ratio ** (moment if direction > 0 else 1 - moment))

    return path_of


def _turn(direction: int) -> Callable[[Rng, float], CameraPath]:
    """The camera turns about its axis, so the picture turns the other way."""

    def path_of(rng: Rng, seconds: float) -> CameraPath:
        start, turn = rng.uniform(0, 2 * math.pi), rng.uniform(0.15, 0.4) * seconds * 2 * math.pi
        zoom = rng.uniform(0.9, 1.3)
        return lambda moment: View(zoom=zoom, angle=start - direction * turn * moment)

    return path_of


def _unsteady(rng: Rng, seconds: float) -> CameraPath:
    return handheld(rng, seconds, rng.uniform(0.05, 0.09))


CAMERA_MOTIONS: Mapping[str, Callable[[Rng, float], CameraPath]] = {
    "pan_left": _pan(-1, 0),
    "pan_right": _pan(1, 0),
    "tilt_up": _pan(0, -1),
    "tilt_down": _pan(0, 1),
    "zoom_in": _zoom(1),
    "zoom_out": _zoom(-1),
    "camera_clockwise": _turn(1),
    "camera_anticlockwise": _turn(-1),
    "handheld": _unsteady,
}
