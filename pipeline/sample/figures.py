"""Draw walking people: a skeleton with a gait, dressed in the clothes of an identity.

A figure is drawn at twice its size into a small patch, softly shaded, and shrunk, which smooths its outline.
Lengths of the skeleton are fractions of the person's height, x to the right, y up from the ground.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Colour = tuple[int, int, int]
Point = tuple[float, float]

SUPERSAMPLING = 2
PATCH_WIDTH = 0.62  # of the person's height; the longest stride fits
PATCH_HEIGHT = 1.08
SHOULDER = 0.785
GROUND = 0.05  # of the person's height, below the soles


@dataclass(frozen=True, kw_only=True)
class Clothes:
    """Colours (RGB) and shapes that tell one person from another."""

    top: Colour
    legs: Colour
    shoes: Colour
    skin: Colour
    hair: Colour
    sleeves: str = "long"
    """One of "long", "short"."""
    hair_style: str = "short"
    """One of "short", "long", "cap"."""


WARDROBE: tuple[Clothes, ...] = (
    Clothes(
        top=(196, 32, 38), legs=(28, 32, 58), shoes=(30, 26, 26), skin=(222, 178, 148), hair=(52, 34, 24),
    ),
    Clothes(
        top=(250, 206, 30), legs=(36, 60, 128), shoes=(70, 40, 30), skin=(142, 94, 66), hair=(24, 20, 20),
        sleeves="short", hair_style="long",
    ),
    Clothes(
        top=(26, 134, 62), legs=(84, 56, 36), shoes=(40, 30, 26), skin=(234, 196, 170), hair=(120, 74, 36),
    ),
    Clothes(
        top=(238, 238, 240), legs=(22, 22, 26), shoes=(160, 30, 40), skin=(96, 62, 46), hair=(16, 14, 16),
        sleeves="short",
    ),
    Clothes(
        top=(122, 44, 158), legs=(40, 36, 44), shoes=(220, 220, 220), skin=(228, 186, 156),
        hair=(186, 132, 60), hair_style="long",
    ),
    Clothes(
        top=(22, 138, 176), legs=(120, 30, 52), shoes=(36, 36, 40), skin=(186, 136, 104), hair=(220, 90, 30),
        hair_style="cap",
    ),
    Clothes(
        top=(240, 118, 24), legs=(26, 74, 66), shoes=(60, 44, 36), skin=(112, 74, 54), hair=(28, 22, 22),
    ),
    Clothes(
        top=(232, 104, 160), legs=(66, 70, 84), shoes=(240, 236, 230), skin=(238, 204, 182),
        hair=(70, 40, 26), sleeves="short", hair_style="long",
    ),
)  # fmt: skip
"""The clothes of identity k are WARDROBE[k % len(WARDROBE)]."""


class Joints(NamedTuple):
    """Places of one moment of the gait, (x, y up) in fractions of the person's height, x forward."""

    hip_near: Point
    hip_far: Point
    knee_near: Point
    knee_far: Point
    ankle_near: Point
    ankle_far: Point
    shoulder_near: Point
    shoulder_far: Point
    elbow_near: Point
    elbow_far: Point
    hand_near: Point
    hand_far: Point
    head: Point


@dataclass(frozen=True, kw_only=True)
class Patch:
    """A drawn person: colours and coverage, and where the patch lies in the frame."""

    rgb: NDArray[np.float32]
    """(h, w, 3) in [0, 255]."""
    alpha: NDArray[np.float32]
    """(h, w) coverage in [0, 1]."""
    left_px: int
    top_px: int


def clothes_of(identity: int) -> Clothes:
    """The clothes of a person, the same in every video."""
    return WARDROBE[identity % len(WARDROBE)]


def gait(phase: float) -> Joints:
    """The joints at one moment of a walk seen from three quarters.

    Args:
        phase: steps in turns of the full two-step cycle; 0 and 1 are the same moment.
    """
    swing = math.sin(2 * math.pi * phase)
    bob = 0.008 * math.cos(4 * math.pi * phase)
    near, far = _leg(0.042, swing, phase), _leg(-0.042, -swing, phase + 0.5)
    arm_near, arm_far = _arm(0.098, -swing), _arm(-0.098, swing)
    lift: list[Point] = [near[0], far[0], near[1], far[1], near[2], far[2]]
    lift += [arm_near[0], arm_far[0], arm_near[1], arm_far[1], arm_near[2], arm_far[2], (0.0, 0.925)]
    raised = [(x, y + bob) if index not in (4, 5) else (x, y) for index, (x, y) in enumerate(lift)]
    return Joints(*raised)


def _leg(side: float, swing: float, phase: float) -> tuple[Point, Point, Point]:
    """Hip, knee and ankle; the knee bends while the leg comes forward."""
    hip = (side, 0.50)
    forward = 0.088 * swing
    bend = max(0.0, math.cos(2 * math.pi * phase)) ** 2
    ankle = (side * 1.35 + 1.15 * forward - 0.02 * bend, 0.045 + 0.035 * bend)
    knee = (0.5 * (hip[0] + ankle[0]) + 0.012 + 0.02 * bend, 0.275)
    return hip, knee, ankle


def _arm(side: float, swing: float) -> tuple[Point, Point, Point]:
    """Shoulder, elbow and hand."""
    shoulder = (side, SHOULDER)
    elbow = (side * 1.22 + 0.028 * swing - 0.006, 0.63)
    hand = (side * 1.25 + 0.062 * swing + 0.012, 0.475 + 0.012 * abs(swing))
    return shoulder, elbow, hand


def draw_figure(
    clothes: Clothes, *, x_px: float, ground_px: float, height_px: float, phase: float, facing: int
) -> Patch:
    """Draw one person.

    Args:
        clothes: what the person wears.
        x_px: middle of the body in the frame.
        ground_px: y of the ground under the soles.
        height_px: from the soles to the top of the head.
        phase: moment of the gait, see `gait`.
        facing: +1 walks to the right, -1 to the left.
    """
    left, top = (
        math.floor(x_px - PATCH_WIDTH / 2 * height_px),
        math.floor(ground_px - (PATCH_HEIGHT - GROUND) * height_px),
    )
    size_hw = (math.ceil(PATCH_HEIGHT * height_px) + 2, math.ceil(PATCH_WIDTH * height_px) + 2)
    brush = _Brush(size_hw, origin=(x_px - left, ground_px - top), scale=height_px, facing=facing)
    _paint(brush, clothes, gait(phase))
    rgb, alpha = brush.finish()
    return Patch(rgb=rgb, alpha=alpha, left_px=left, top_px=top)


class _Brush:
    """Fills smooth shapes, given in fractions of the person's height, on an enlarged canvas."""

    def __init__(self, size_hw: tuple[int, int], *, origin: Point, scale: float, facing: int) -> None:
        self._size_hw = size_hw
        self._scale = scale * SUPERSAMPLING
        self._origin = (origin[0] * SUPERSAMPLING, origin[1] * SUPERSAMPLING)
        self._facing = facing
        big = (size_hw[0] * SUPERSAMPLING, size_hw[1] * SUPERSAMPLING)
        self._rgb = np.zeros((*big, 3), np.uint8)
        self._alpha = np.zeros(big, np.uint8)

    def polygon(self, points: NDArray[np.float64], colour: Colour) -> None:
        """Fill a polygon of (N, 2) points."""
        pixels = np.empty_like(points)
        pixels[:, 0] = self._origin[0] + self._facing * points[:, 0] * self._scale
        pixels[:, 1] = self._origin[1] - points[:, 1] * self._scale
        fixed = np.round(pixels * 16).astype(np.int32)
        cv2.fillPoly(self._rgb, [fixed], colour, lineType=cv2.LINE_AA, shift=4)
        cv2.fillPoly(self._alpha, [fixed], 255, lineType=cv2.LINE_8, shift=4)

    def limb(self, start: Point, end: Point, start_radius: float, end_radius: float, colour: Colour) -> None:
        """Fill a tapered limb with round ends."""
        self.polygon(_capsule(start, end, start_radius, end_radius), colour)

    def oval(self, centre: Point, radius: Point, colour: Colour, span: tuple[float, float] = (0.0, 360.0)) -> None:
        """Fill an ellipse, or the segment of it between two angles in degrees."""
        angle = np.radians(np.linspace(*span, 32))
        self.polygon(
            np.stack([centre[0] + radius[0] * np.cos(angle), centre[1] + radius[1] * np.sin(angle)], 1),
            colour,
        )

    def finish(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Shade the shapes as if round, lit from above, and shrink them to their true size."""
        size_wh = (self._size_hw[1], self._size_hw[0])
        alpha = cv2.resize(self._alpha, size_wh, interpolation=cv2.INTER_AREA).astype(np.float32) / np.float32(255)
        rgb = cv2.resize(self._rgb, size_wh, interpolation=cv2.INTER_AREA).astype(np.float32)
        depth = cv2.GaussianBlur(alpha, (0, 0), max(0.6, 0.012 * self._scale))
        rgb *= ((0.62 + 0.42 * depth) / np.maximum(alpha, 0.02))[..., None]
        return np.minimum(rgb, 255, out=rgb), alpha


HALF_TURN = np.linspace(-math.pi / 2, math.pi / 2, 9)


def _capsule(start: Point, end: Point, start_radius: float, end_radius: float) -> NDArray[np.float64]:
    """(N, 2) outline of a limb between two round ends."""
    angle = math.atan2(end[1] - start[1], end[0] - start[0]) + HALF_TURN
    circle = np.stack([np.cos(angle), np.sin(angle)], 1)
    return np.concatenate([np.array(start) - start_radius * circle, np.array(end) + end_radius * circle])


def _shade(colour: Colour, factor: float) -> Colour:
    return (int(colour[0] * factor), int(colour[1] * factor), int(colour[2] * factor))


def _smooth(points: list[Point]) -> NDArray[np.float64]:
    """(N, 2) closed curve through the control points (Catmull-Rom)."""
    knots = np.array(points)[:, None]
    a, b, c, d = np.roll(knots, 1, 0), knots, np.roll(knots, -1, 0), np.roll(knots, -2, 0)
    t = np.linspace(0, 1, 6, endpoint=False)[:, None]
    curve = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
    return np.asarray(curve.reshape(-1, 2))


def _paint(brush: _Brush, clothes: Clothes, joints: Joints) -> None:
    """Paint from the far side to the near one."""
    far, near = 0.78, 1.0
    _paint_arm(brush, clothes, joints.shoulder_far, joints.elbow_far, joints.hand_far, far)
    _paint_leg(brush, clothes, joints.hip_far, joints.knee_far, joints.ankle_far, far)
    _paint_leg(brush, clothes, joints.hip_near, joints.knee_near, joints.ankle_near, near)
    _paint_torso(brush, clothes, joints)
    _paint_head(brush, clothes, joints.head)
    _paint_arm(brush, clothes, joints.shoulder_near, joints.elbow_near, joints.hand_near, 0.93)


def _paint_leg(brush: _Brush, clothes: Clothes, hip: Point, knee: Point, ankle: Point, light: float) -> None:
    shoe = _shade(clothes.shoes, light)
    brush.limb((ankle[0] - 0.008, ankle[1] - 0.018), (ankle[0] + 0.062, ankle[1] - 0.028), 0.026, 0.017, shoe)
    legs = _shade(clothes.legs, light)
    brush.limb(hip, knee, 0.062, 0.043, legs)
    brush.limb(knee, ankle, 0.043, 0.030, legs)


def _paint_arm(brush: _Brush, clothes: Clothes, shoulder: Point, elbow: Point, hand: Point, light: float) -> None:
    skin, top = _shade(clothes.skin, light), _shade(clothes.top, light)
    brush.limb(hand, (hand[0] + 0.006, hand[1] - 0.022), 0.021, 0.015, skin)
    brush.limb(elbow, hand, 0.029, 0.021, top if clothes.sleeves == "long" else skin)
    if clothes.sleeves == "short":
        brush.limb(shoulder, elbow, 0.035, 0.029, skin)
    middle = (0.5 * (shoulder[0] + elbow[0]), 0.5 * (shoulder[1] + elbow[1]))
    brush.limb(shoulder, elbow if clothes.sleeves == "long" else middle, 0.037, 0.032, top)


def _paint_torso(brush: _Brush, clothes: Clothes, joints: Joints) -> None:
    rise = joints.shoulder_near[1] - SHOULDER
    right: list[Point] = [
        (0.030, 0.856),
        (0.082, 0.832),
        (0.116, 0.785),
        (0.106, 0.67),
        (0.094, 0.58),
        (0.101, 0.478),
    ]
    outline = right + [(-x, y) for x, y in reversed(right)]
    brush.limb((0.0, 0.80 + rise), (0.004, 0.89 + rise), 0.038, 0.034, _shade(clothes.skin, 0.88))
    brush.polygon(_smooth([(x, y + rise) for x, y in outline]), clothes.top)
    hem = [(0.099, 0.496), (0.099, 0.486), (-0.099, 0.486), (-0.099, 0.496)]
    brush.polygon(np.array([(x, y + rise) for x, y in hem]), _shade(clothes.top, 0.72))
    brush.oval((0.008, 0.858 + rise), (0.034, 0.024), _shade(clothes.skin, 0.92), (180.0, 360.0))


def _paint_head(brush: _Brush, clothes: Clothes, head: Point) -> None:
    x, y = head
    if clothes.hair_style == "long":
        brush.polygon(
            _smooth([(x - 0.058, y + 0.03), (x + 0.03, y + 0.06), (x + 0.02, y - 0.07), (x - 0.066, y - 0.10)]),
            clothes.hair,
        )
    brush.oval((x + 0.004, y), (0.053, 0.072), clothes.skin)
    brush.oval((x - 0.020, y - 0.006), (0.010, 0.016), _shade(clothes.skin, 0.82))
    brush.oval((x + 0.033, y + 0.006), (0.006, 0.007), (40, 30, 30))
    crown: list[Point] = [(0.050, 0.030), (0.036, 0.066), (-0.004, 0.078), (-0.046, 0.058)]
    neck: list[Point] = [(-0.056, 0.008), (-0.044, -0.030), (-0.030, 0.010), (-0.006, 0.034)]
    hair = [(x + right, y + up) for right, up in crown + neck]
    brush.polygon(_smooth(hair), clothes.hair)
    if clothes.hair_style == "cap":
        brush.limb((x + 0.01, y + 0.034), (x + 0.085, y + 0.026), 0.012, 0.006, _shade(clothes.hair, 0.8))
