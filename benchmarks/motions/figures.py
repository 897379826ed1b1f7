"""People as jointed limbs, and what they do.

Lengths are fractions of the person's height, x forward, y up. Angles are in radians: of thighs and arms from hanging
straight down, positive forward; of knees, positive backward; of elbows, positive forward; of the trunk, positive
leaning forward.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.motions.sprites import blend, premultiplied
from benchmarks.motions.stage import Painter, Stage
from benchmarks.motions.textures import Image

Point = tuple[float, float]
Colour = tuple[int, int, int]

THIGH, SHIN, TRUNK, NECK, UPPER_ARM, FOREARM, FOOT = 0.245, 0.245, 0.29, 0.11, 0.17, 0.17, 0.08
HEAD_RADIUS = 0.068
WIDTHS = {"leg": 0.085, "arm": 0.06, "trunk": 0.15}
FAR_LIGHT, TRUNK_LIGHT, NEAR_LIGHT = 0.6, 0.85, 1.0

SKINS: tuple[Colour, ...] = ((236, 198, 170), (198, 148, 112), (142, 96, 68), (92, 62, 46))


@dataclass(frozen=True, kw_only=True)
class Posture:
    """Angles of all joints; pairs are (near, far)."""

    thighs: tuple[float, float] = (0.0, 0.0)
    knees: tuple[float, float] = (0.0, 0.0)
    arms: tuple[float, float] = (0.0, 0.0)
    elbows: tuple[float, float] = (0.1, 0.1)
    lean: float = 0.0
    forward: float = 0.0
    """How far the hips are from where the action began, in heights."""
    lift: float = 0.0
    """Of the lowest point above the ground."""
    topple: float = 0.0
    """Angle by which the whole body is turned forward."""
    pivot: float = 0.0
    """Height above the ground of the point about which it is turned."""


Action = Callable[[float], Posture]


def figure(action_of: Callable[[Stage], Action], *, travels: bool = False) -> Callable[[Stage], Painter]:
    """The motion in which a person dressed in the stage's texture does something, facing left or right."""

    def motion(stage: Stage) -> Painter:
        action, facing, height = action_of(stage), stage.either(), stage.rng.uniform(0.62, 0.9)
        ground = stage.rng.uniform(max(0.86, height + 0.04), 0.98)
        middle = 0.5 if not travels else 0.5 - facing * action(0.5).forward * height
        x = middle + stage.rng.uniform(-0.08, 0.08)
        skin = SKINS[stage.rng.integers(len(SKINS))]
        body = _Body(stage, x=x, ground=ground, height=height, facing=facing, skin=skin)
        return lambda frame, moment: body.paint(frame, action(moment))

    return motion


@dataclass(frozen=True, kw_only=True)
class _Joints:
    hip: Point
    shoulder: Point
    head: Point
    legs: list[tuple[Point, Point, Point]]
    """Knee, ankle, toe; near, far."""
    arms: list[tuple[Point, Point]]
    """Elbow, hand; near, far."""


def _joints(posture: Posture) -> _Joints:
    hip = (0.0, 0.0)
    shoulder = _beyond(hip, TRUNK, math.pi - posture.lean)
    head = _beyond(shoulder, NECK, math.pi - 1.15 * posture.lean)
    legs, arms = [], []
    for thigh, knee in zip(posture.thighs, posture.knees, strict=True):
        at_knee = _beyond(hip, THIGH, thigh)
        at_ankle = _beyond(at_knee, SHIN, thigh - knee)
        legs.append((at_knee, at_ankle, _beyond(at_ankle, FOOT, thigh - knee + math.pi / 2)))
    for arm, elbow in zip(posture.arms, posture.elbows, strict=True):
        at_elbow = _beyond(shoulder, UPPER_ARM, arm - posture.lean)
        arms.append((at_elbow, _beyond(at_elbow, FOREARM, arm - posture.lean + elbow)))
    return _Joints(hip=hip, shoulder=shoulder, head=head, legs=legs, arms=arms)


def _beyond(point: Point, length: float, angle: float) -> Point:
    return point[0] + length * math.sin(angle), point[1] - length * math.cos(angle)


class _Body:
    """Draws one person in any posture."""

    def __init__(self, stage: Stage, *, x: float, ground: float, height: float, facing: int, skin: Colour) -> None:
        self._size, self._x, self._ground, self._height = stage.size, x, ground, height
        self._facing, self._skin = facing, skin
        surface = stage.surface
        tiles = -(-2 * stage.size // len(surface))
        self._clothes = np.tile(surface, (tiles, tiles, 1))

    def paint(self, frame: Image, posture: Posture) -> None:
        joints = _joints(posture)
        low = min(y for leg in joints.legs for _, y in leg)
        root = (posture.forward, posture.lift - low)

        def at(point: Point) -> tuple[int, int]:
            return self._pixels(point[0] + root[0], point[1] + root[1], posture)

        near, far = 0, 1
        self._limbs(frame, at, joints, far, FAR_LIGHT)
        mask = self._mask()
        self._line(mask, at(joints.hip), at(joints.shoulder), WIDTHS["trunk"])
        self._dress(frame, mask, at(joints.shoulder), TRUNK_LIGHT)
        radius = max(1, round(HEAD_RADIUS * self._height * self._size * 16))
        cv2.circle(frame, at(joints.head), radius, self._skin, -1, cv2.LINE_AA, shift=4)
        self._limbs(frame, at, joints, near, NEAR_LIGHT)

    def _pixels(self, x: float, y: float, posture: Posture) -> tuple[int, int]:
        """Pixels, in sixteenths, of a point above the ground."""
        if posture.topple:
            cos, sin = math.cos(posture.topple), math.sin(posture.topple)
            x, y = x - posture.forward, y - posture.pivot
            x, y = posture.forward + x * cos + y * sin, posture.pivot + y * cos - x * sin
        across, down = self._x + self._facing * x * self._height, self._ground - y * self._height
        return round(across * self._size * 16), round(down * self._size * 16)

    def _limbs(
        self, frame: Image, at: Callable[[Point], tuple[int, int]], joints: _Joints, side: int, light: float
    ) -> None:
        mask = self._mask()
        knee, ankle, toe = joints.legs[side]
        for start, end in ((joints.hip, knee), (knee, ankle)):
            self._line(mask, at(start), at(end), WIDTHS["leg"])
        self._line(mask, at(ankle), at(toe), 0.6 * WIDTHS["leg"])
        elbow, hand = joints.arms[side]
        self._line(mask, at(joints.shoulder), at(elbow), WIDTHS["arm"])
        self._line(mask, at(elbow), at(hand), WIDTHS["arm"])
        self._dress(frame, mask, at(joints.hip), light)
        radius = max(1, round(0.55 * WIDTHS["arm"] * self._height * self._size * 16))
        skin = tuple(light * channel for channel in self._skin)
        cv2.circle(frame, at(hand), radius, skin, -1, cv2.LINE_AA, shift=4)

    def _mask(self) -> NDArray[np.uint8]:
        return np.zeros((self._size, self._size), np.uint8)

    def _line(self, mask: NDArray[np.uint8], start: tuple[int, int], end: tuple[int, int], width: float) -> None:
        thickness = max(1, round(width * self._height * self._size))
        cv2.line(mask, start, end, 255, thickness, cv2.LINE_AA, shift=4)

    def _dress(self, frame: Image, mask: NDArray[np.uint8], anchor: tuple[int, int], light: float) -> None:
        """Fill the mask with clothes that move with the anchor."""
        span = len(self._clothes) - self._size
        left, top = -(anchor[0] // 16) % span, -(anchor[1] // 16) % span
        cloth = self._clothes[top : top + self._size, left : left + self._size]
        blend(frame, premultiplied(cv2.convertScaleAbs(cloth, alpha=light), mask))


def _gait(stage: Stage, *, thigh: float, knee: float, elbow: float, lean: float, hz: tuple[float, float]) -> Action:
    """Walking and running: opposite limbs swing together, the leg that comes forward is bent."""
    cycles, phase = stage.cycles(*hz), stage.rng.uniform(0, 1)
    stride = 4 * thigh * (THIGH + SHIN) * stage.rng.uniform(0.75, 0.95)

    def posture(moment: float) -> Posture:
        turn = 2 * math.pi * (cycles * moment + phase)
        swing = math.sin(turn)
        bends = tuple(0.1 + knee * max(0.0, math.cos(t)) ** 1.5 for t in (turn, turn + math.pi))
        return Posture(
            thighs=(thigh * swing, -thigh * swing), knees=(bends[0], bends[1]), arms=(-1.1 * thigh * swing,
            1.1 * thigh * swing), elbows=(elbow, elbow), lean=lean, forward=stride * cycles * moment,
        )  # fmt: skip

    return posture


def _walk(stage: Stage) -> Action:
    return _gait(stage, thigh=0.45, knee=0.8, elbow=0.25, lean=0.04, hz=(0.6, 1.0))


def _run(stage: Stage) -> Action:
    return _gait(stage, thigh=0.8, knee=1.7, elbow=1.5, lean=0.22, hz=(1.1, 1.6))


def _crouched(depth: float) -> Posture:
    """Knees and hips bent by `depth`, 0 to 1, feet under the body."""
    return Posture(thighs=(1.5 * depth, 1.5 * depth), knees=(2.4 * depth, 2.4 * depth), lean=0.6 * depth,
                   arms=(1.4 * depth, 1.4 * depth))  # fmt: skip


def _squat(stage: Stage) -> Action:
    cycles, phase = stage.cycles(0.5, 1.0), stage.rng.uniform(0, 2 * math.pi)
    return lambda moment: _crouched(0.5 - 0.5 * math.cos(2 * math.pi * cycles * moment + phase))


def _jump(stage: Stage) -> Action:
    """On the spot, with bent knees before the leap and arms thrown up in it."""
    cycles, phase, height = stage.cycles(0.8, 1.3), stage.rng.uniform(0, 1), stage.rng.uniform(0.1, 0.18)

    def posture(moment: float) -> Posture:
        at = (cycles * moment + phase) % 1
        if at < 0.45:
            return _crouched(0.6 * math.sin(math.pi * at / 0.45))
        flight = (at - 0.45) / 0.55
        up = 4 * flight * (1 - flight)
        return Posture(arms=(2.6 * up, 2.6 * up), knees=(0.5 * up, 0.5 * up), thighs=(0.2 * up, 0.2 * up),
                       lift=height * up)  # fmt: skip

    return posture


def _wave(stage: Stage) -> Action:
    cycles, phase = stage.cycles(1.3, 2.4), stage.rng.uniform(0, 2 * math.pi)

    def posture(moment: float) -> Posture:
        return Posture(arms=(2.5, 0.0), elbows=(0.3 + 0.7 * math.sin(2 * math.pi * cycles * moment + phase), 0.1))

    return posture


def _jumping_jack(stage: Stage) -> Action:
    """Seen from the front: arms and legs apart and together."""
    cycles, phase = stage.cycles(0.8, 1.5), stage.rng.uniform(0, 2 * math.pi)

    def posture(moment: float) -> Posture:
        apart = 0.5 - 0.5 * math.cos(2 * math.pi * cycles * moment + phase)
        arms, legs = 0.15 + 2.5 * apart, 0.08 + 0.45 * apart
        lift = 0.06 * math.sin(math.pi * apart)
        return Posture(arms=(arms, -arms), thighs=(legs, -legs), elbows=(0.0, 0.0), lift=lift)

    return posture


def _kick(stage: Stage) -> Action:
    cycles, phase, high = stage.cycles(0.7, 1.2), stage.rng.uniform(0, 1), stage.rng.uniform(1.3, 1.9)

    def posture(moment: float) -> Posture:
        at = (cycles * moment + phase) % 1
        thrust = math.sin(math.pi * at) ** 3
        back = 0.5 * math.sin(math.pi * min(at / 0.3, 1.0))
        return Posture(thighs=(high * thrust - back, -0.1), knees=(1.4 * back, 0.1), lean=-0.35 * thrust,
                       arms=(-0.6 * thrust, 0.8 * thrust), elbows=(0.5, 0.5))  # fmt: skip

    return posture


def _punch(stage: Stage) -> Action:
    """Both fists in turns."""
    cycles, phase = stage.cycles(0.9, 1.6), stage.rng.uniform(0, 2 * math.pi)

    def posture(moment: float) -> Posture:
        swing = math.sin(2 * math.pi * cycles * moment + phase)
        out = (max(0.0, swing), max(0.0, -swing))
        return Posture(
            arms=(0.5 + 1.1 * out[0], 0.5 + 1.1 * out[1]), elbows=(2.2 - 2.2 * out[0], 2.2 - 2.2 * out[1]),
            thighs=(0.3, -0.25), knees=(0.25, 0.25), lean=0.1 + 0.08 * abs(swing),
        )  # fmt: skip

    return posture


def _bow(stage: Stage) -> Action:
    cycles, phase, deep = stage.cycles(0.4, 0.9), stage.rng.uniform(0, 2 * math.pi), stage.rng.uniform(1.1, 1.6)

    def posture(moment: float) -> Posture:
        lean = deep * (0.5 - 0.5 * math.cos(2 * math.pi * cycles * moment + phase))
        return Posture(lean=lean, arms=(0.9 * lean, 0.9 * lean))

    return posture


def _cartwheel(stage: Stage) -> Action:
    """The whole body turns, limbs spread, and travels."""
    turns = stage.cycles(0.4, 0.7)

    def posture(moment: float) -> Posture:
        return Posture(arms=(2.6, -2.6), thighs=(0.5, -0.5), elbows=(0.0, 0.0), topple=2 * math.pi * turns * moment,
                       forward=0.9 * moment, pivot=0.55)  # fmt: skip

    return posture


def _fall_over(stage: Stage) -> Action:
    """Slowly at first, ever faster, to the ground."""
    event = stage.event()

    def posture(moment: float) -> Posture:
        t = min(1.0, 1.25 * event(moment))
        return Posture(topple=1.5 * t**2.5, arms=(1.6 * t, 1.2 * t), knees=(0.2 * t, 0.5 * t), forward=-0.35)

    return posture


def _sitting(depth: float) -> Posture:
    """0 stands, 1 sits as on a low chair."""
    return Posture(thighs=(1.45 * depth, 1.4 * depth), knees=(1.45 * depth, 1.35 * depth),
                   lean=0.7 * math.sin(math.pi * depth), arms=(0.5 * depth, 0.4 * depth),
                   forward=-0.24 * math.sin(1.45 * depth))  # fmt: skip


def _sit_down(stage: Stage) -> Action:
    event = stage.event()
    return lambda moment: _sitting(0.5 - 0.5 * math.cos(math.pi * event(moment)))


def _stand_up(stage: Stage) -> Action:
    event = stage.event()
    return lambda moment: _sitting(0.5 + 0.5 * math.cos(math.pi * event(moment)))


FIGURE_ACTIONS: Mapping[str, Callable[[Stage], Painter]] = {
    "walk": figure(_walk, travels=True),
    "run": figure(_run, travels=True),
    "jump": figure(_jump),
    "wave": figure(_wave),
    "jumping_jack": figure(_jumping_jack),
    "squat": figure(_squat),
    "kick": figure(_kick),
    "punch": figure(_punch),
    "bow": figure(_bow),
    "cartwheel": figure(_cartwheel, travels=True),
    "fall_over": figure(_fall_over),
    "sit_down": figure(_sit_down),
    "stand_up": figure(_stand_up),
}
