"""Motions of many small things: a burst, rain, bubbles, a swarm, a fountain."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.motions.sprites import place, sprite
from benchmarks.motions.stage import Painter, Stage
from benchmarks.motions.textures import Image

Places = NDArray[np.float64]
Flock = Callable[[float], Places]
"""(N, 2) places of all of them at a moment, in sides of the frame."""

LOOKS = 4
"""Different small things in one video."""


def flock(count: tuple[int, int], places_of: Callable[[Stage, int], Flock]) -> Callable[[Stage], Painter]:
    """The motion of between `count[0]` and `count[1]` small copies of things with the stage's texture."""

    def motion(stage: Stage) -> Painter:
        number = int(stage.rng.integers(count[0], count[1] + 1))
        widths = np.maximum(stage.rng.uniform(0.09, 0.2, LOOKS) * stage.size, 3).round().astype(int)
        crop = len(stage.surface) * 2 // 3
        things = [
            cv2.resize(sprite(stage.rng, stage.surface[:crop, :crop]), (int(w), int(w)), interpolation=cv2.INTER_AREA)
            for w in widths
        ]
        places = places_of(stage, number)

        def paint(frame: Image, moment: float) -> None:
            for i, (x, y) in enumerate(places(moment) * stage.size):
                place(frame, things[i % LOOKS], x, y)

        return paint

    return motion


def _burst(stage: Stage, number: int) -> Flock:
    """From one point in all directions, slowed by the air, and down."""
    x, y, event = stage.rng.uniform(0.35, 0.65), stage.rng.uniform(0.3, 0.55), stage.event()
    angle, speed = stage.rng.uniform(0, 2 * math.pi, number), stage.rng.uniform(0.3, 0.75, number)

    def places(moment: float) -> Places:
        t = event(moment)
        gone = speed * (1 - math.exp(-2.5 * t))
        return np.stack([x + gone * np.cos(angle), y + gone * np.sin(angle) + 0.35 * t * t], 1)

    return places


def _stream(direction: int, sway: float) -> Callable[[Stage, int], Flock]:
    """All up or all down, again and again."""

    def places_of(stage: Stage, number: int) -> Flock:
        x, y = stage.rng.random((2, number))
        speed = stage.rng.uniform(0.8, 1.4) * stage.rng.uniform(0.8, 1.2, number) * stage.seconds * 0.7
        phase, cycles = stage.rng.uniform(0, 2 * math.pi, number), stage.cycles(0.7, 1.2)
        slant = stage.rng.uniform(-0.15, 0.15)

        def places(moment: float) -> Places:
            gone = speed * moment
            across = x + sway * np.sin(2 * math.pi * cycles * moment + phase) + slant * gone
            return np.stack([across, (y + direction * gone) % 1.3 - 0.15], 1)

        return places

    return places_of


def _swarm(stage: Stage, number: int) -> Flock:
    """Each on a random walk of its own."""
    moments = max(4, round(stage.seconds * 8))
    steps = stage.rng.normal(0, stage.rng.uniform(0.04, 0.07), (moments, number, 2))
    walk = stage.rng.uniform(0.15, 0.85, (number, 2)) + np.cumsum(steps, 0)
    walk = np.abs((walk + 1) % 2 - 1)  # reflected at the borders

    def places(moment: float) -> Places:
        at = moment * (moments - 1)
        before = min(int(at), moments - 2)
        return walk[before] + (at - before) * (walk[before + 1] - walk[before])

    return places


def _fountain(stage: Stage, number: int) -> Flock:
    """Thrown up from one point, one after another, and falling back."""
    x, flights = stage.rng.uniform(0.35, 0.65), stage.cycles(0.5, 0.9)
    start, across = stage.rng.random(number), stage.rng.normal(0, 0.22, number)
    peak = stage.rng.uniform(0.5, 0.85, number)

    def places(moment: float) -> Places:
        t = (start + flights * moment) % 1
        return np.stack([x + across * t, 1.0 - 4 * peak * t * (1 - t)], 1)

    return places


PARTICLE_MOTIONS: Mapping[str, Callable[[Stage], Painter]] = {
    "burst": flock((14, 24), _burst),
    "rain": flock((12, 22), _stream(1, 0.0)),
    "bubbles": flock((10, 18), _stream(-1, 0.05)),
    "swarm": flock((8, 16), _swarm),
    "fountain": flock((14, 24), _fountain),
}
