"""Motions of a thing that does not keep its shape: it ripples, melts, swirls, disperses, breaks."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.motions.paths import Pose, placement
from benchmarks.motions.sprites import Sprite, blend, place
from benchmarks.motions.stage import Painter, Stage
from benchmarks.motions.textures import Image, smooth_noise

Map = NDArray[np.float32]
Warp = Callable[[Map, Map, float], tuple[Map, Map]]
"""From coordinates in the sprite (0 to 1, (H, W) of the frame) to those whose colour is seen there at a moment."""


def _standing(stage: Stage, *, y: float = 0.5) -> Pose:
    width = float(stage.rng.uniform(0.45, 0.65))
    x = stage.rng.uniform(0.4, 0.6)
    return Pose(x, y + stage.rng.uniform(-0.06, 0.06), width, width)


def _coordinates(stage: Stage, pose: Pose) -> tuple[Map, Map]:
    """(H, W) of each pixel of the frame: where in the sprite it lies, 0 to 1 inside."""
    inverse = cv2.invertAffineTransform(placement(stage, pose)) / len(stage.sprite)
    steps = np.arange(stage.size, dtype=np.float32)
    x, y = np.meshgrid(steps, steps)
    a, b = inverse.astype(np.float32)
    return a[0] * x + a[1] * y + a[2], b[0] * x + b[1] * y + b[2]


def _seen_through(stage: Stage, u: Map, v: Map) -> Sprite:
    side = np.float32(len(stage.sprite))
    return cv2.remap(stage.sprite, u * side, v * side, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)


def _warped(stage: Stage, pose: Pose, warp: Warp) -> Painter:
    u, v = _coordinates(stage, pose)

    def paint(frame: Image, moment: float) -> None:
        blend(frame, _seen_through(stage, *warp(u, v, moment)))

    return paint


def _ripple(stage: Stage) -> Painter:
    """A wave runs through it."""
    height, waves = stage.rng.uniform(0.05, 0.09), stage.rng.uniform(0.9, 1.8)
    cycles, side = stage.cycles(1.0, 2.0), stage.either()

    def warp(u: Map, v: Map, moment: float) -> tuple[Map, Map]:
        phase = np.float32(2 * math.pi) * (np.float32(waves) * u - np.float32(side * cycles * moment))
        return u, v + np.float32(height) * np.sin(phase)

    return _warped(stage, _standing(stage), warp)


def _melt(stage: Stage) -> Painter:
    """Columns run down, each at its own speed; the top sinks."""
    event = stage.event()
    runs = 0.3 + 1.4 * smooth_noise(stage.rng, stage.size, 7)[:1]

    def warp(u: Map, v: Map, moment: float) -> tuple[Map, Map]:
        t = event(moment) ** 1.5
        sunk = np.float32(0.35 * t)
        return (u - 0.5) / np.float32(1 + 0.3 * t) + 0.5, (v - sunk) / (1 + np.float32(t) * (runs - 0.35))

    return _warped(stage, _standing(stage, y=0.38), warp)


def _swirl(stage: Stage) -> Painter:
    """Its middle turns more and more against its edge."""
    event, most = stage.event(), stage.either() * stage.rng.uniform(3, 6)

    def warp(u: Map, v: Map, moment: float) -> tuple[Map, Map]:
        x, y = u - np.float32(0.5), v - np.float32(0.5)
        angle = np.float32(most * event(moment)) * np.exp(-8 * (x * x + y * y))
        cos, sin = np.cos(angle), np.sin(angle)
        return cos * x - sin * y + np.float32(0.5), sin * x + cos * y + np.float32(0.5)

    return _warped(stage, _standing(stage), warp)


def _disperse(stage: Stage) -> Painter:
    """As smoke: it drifts up, is torn and blurred, and fades."""
    event, pose, rise = stage.event(), _standing(stage, y=0.6), np.float32(stage.rng.uniform(0.3, 0.7))
    u, v = _coordinates(stage, pose)
    torn = [smooth_noise(stage.rng, stage.size, 6) - np.float32(0.5) for _ in range(2)]

    def paint(frame: Image, moment: float) -> None:
        t = np.float32(event(moment))
        spread = 1 + np.float32(0.7) * t
        layer = _seen_through(
            stage, (u - 0.5) / spread + 0.5 + t * torn[0], (v + rise * t - 0.5) / spread + 0.5 + t * torn[1]
        )
        if t > 0:
            layer = cv2.GaussianBlur(layer, (0, 0), 0.3 + 0.07 * float(t) * stage.size)
        blend(frame, layer, opacity=1 - 0.85 * float(t))

    return paint


def _pieces(stage: Stage, pose: Pose, event: Callable[[float], float]) -> Painter:
    """Square pieces of the sprite that fly apart and fall, as `event` goes from 0 to 1."""
    count, width = 4, max(4, round(pose.width * stage.size))
    whole = cv2.resize(stage.sprite, (width, width), interpolation=cv2.INTER_AREA)
    edges = np.linspace(0, width, count + 1).round().astype(int)
    cells = [(i, j) for i in range(count) for j in range(count)]
    parts = [(i, j, whole[edges[j] : edges[j + 1], edges[i] : edges[i + 1]]) for i, j in cells]
    middle = (edges[1:] + edges[:-1]) / 2 - width / 2
    push = stage.rng.uniform(0.7, 1.3, (count, count, 2)) * stage.rng.uniform(0.8, 1.6)
    turns = stage.rng.uniform(-3, 3, (count, count))

    def paint(frame: Image, moment: float) -> None:
        t = event(moment)
        for i, j, part in parts:
            dx, dy = middle[i], middle[j]
            x = pose.x * stage.size + dx + push[i, j, 0] * t * dx * 2
            y = pose.y * stage.size + dy + push[i, j, 1] * t * dy * 1.5 + 0.75 * stage.size * t * t
            place(frame, _turned(part, turns[i, j] * t), x, y)

    return paint


def _turned(part: Sprite, angle: float) -> Sprite:
    if angle == 0:
        return part
    height, width = part.shape[:2]
    side = math.ceil(math.hypot(height, width))
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), math.degrees(angle), 1.0)
    matrix[:, 2] += (side - width) / 2, (side - height) / 2
    return cv2.warpAffine(part, matrix, (side, side), flags=cv2.INTER_LINEAR)


def _shatter(stage: Stage) -> Painter:
    """It breaks, and the pieces fly apart and fall."""
    return _pieces(stage, _standing(stage, y=0.42), stage.event())


def _assemble(stage: Stage) -> Painter:
    """`shatter` backwards."""
    event = stage.event()
    return _pieces(stage, _standing(stage, y=0.42), lambda moment: event(1 - moment))


DEFORMATIONS: Mapping[str, Callable[[Stage], Painter]] = {
    "ripple": _ripple,
    "melt": _melt,
    "swirl": _swirl,
    "disperse": _disperse,
    "shatter": _shatter,
    "assemble": _assemble,
}
