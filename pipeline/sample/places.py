"""Paint the places where the shots of a sample video happen.

A place is a still picture wider than the frame, over which a camera moves. Positions in it are in frame
heights: (0, 0) is the top left corner of the frame when the shot begins, y points down, and people stand near
y = 0.9. Neighbours in `PLACES` differ strongly in colour, so a hard cut from one to the next is beyond doubt;
textures are soft, so nothing but a person looks like a person to a gradient-based detector.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Colour = tuple[int, int, int]

HORIZON = 0.60


@dataclass(frozen=True, kw_only=True)
class View:
    """The part of a place that its camera ever sees, in frame heights."""

    left: float
    top: float
    right: float
    bottom: float
    px_per_height: float
    """Pixels of the picture per frame height."""


class Easel:
    """A picture in the making; coordinates are those of the place."""

    def __init__(self, view: View, rng: np.random.Generator) -> None:
        self.view = view
        self.rng = rng
        height = int(np.ceil((view.bottom - view.top) * view.px_per_height))
        width = int(np.ceil((view.right - view.left) * view.px_per_height))
        self.rgb = np.zeros((height, width, 3), np.uint8)

    def sweep(self, top: float, bottom: float, upper: Colour, lower: Colour) -> None:
        """Fill a band over the whole width; its colour changes from top to bottom within the frame."""
        rows = np.arange(max(0, self._row(top)), min(len(self.rgb), self._row(bottom)))
        start, end = max(top, -0.1), min(bottom, 1.1)
        share = np.clip((rows / self.view.px_per_height + self.view.top - start) / (end - start), 0, 1)[:, None]
        colours = np.array(upper) * (1 - share) + np.array(lower) * share
        self.rgb[rows] = colours.astype(np.uint8)[:, None]

    def polygon(self, points: list[tuple[float, float]], colour: Colour) -> None:
        """Fill a polygon."""
        fixed = np.round((np.array(points) - (self.view.left, self.view.top)) * self.view.px_per_height * 16)
        cv2.fillPoly(self.rgb, [fixed.astype(np.int32)], colour, lineType=cv2.LINE_AA, shift=4)

    def box(self, left: float, top: float, right: float, bottom: float, colour: Colour) -> None:
        """Fill an upright rectangle."""
        self.polygon([(left, top), (right, top), (right, bottom), (left, bottom)], colour)

    def disc(self, x: float, y: float, radius_x: float, radius_y: float, colour: Colour) -> None:
        """Fill an ellipse."""
        angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
        self.polygon(list(zip(x + radius_x * np.cos(angle), y + radius_y * np.sin(angle), strict=True)), colour)

    def mottle(self, top: float, bottom: float, *, strength: float, size: float, stretch: float = 1.0) -> None:
        """Roughen the brightness of a band: strength in grey levels; size and width over height of spots."""
        first, last = max(0, self._row(top)), min(len(self.rgb), self._row(bottom))
        if last <= first:
            return
        noise = _noise((last - first, self.rgb.shape[1]), size * self.view.px_per_height, stretch, self.rng)
        ramp = np.clip(np.arange(1, last - first + 1) / (0.04 * self.view.px_per_height), 0, 1).astype(np.float32)
        band = self.rgb[first:last].astype(np.float32) + (strength * noise * ramp[:, None])[..., None]
        self.rgb[first:last] = np.clip(band, 0, 255).astype(np.uint8)

    def soften(self, top: float, bottom: float, radius: float) -> None:
        """Blur a band, as if it were out of focus."""
        first, last = max(0, self._row(top)), min(len(self.rgb), self._row(bottom))
        if last > first:
            self.rgb[first:last] = cv2.GaussianBlur(self.rgb[first:last], (0, 0), radius * self.view.px_per_height)

    def steps(self, width: float, jitter: float = 0.0) -> list[float]:
        """Left edges of things set side by side over the whole width."""
        first = np.floor(self.view.left / width) - 1
        count = int(np.ceil((self.view.right - self.view.left) / width)) + 3
        return [float((first + i + jitter * self.rng.uniform(-0.5, 0.5)) * width) for i in range(count)]

    def pick(self, colours: list[Colour]) -> Colour:
        """One of some colours."""
        return colours[int(self.rng.integers(len(colours)))]

    def _row(self, y: float) -> int:
        return round((y - self.view.top) * self.view.px_per_height)


def _noise(size_hw: tuple[int, int], spot_px: float, stretch: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """(H, W) smooth noise of three sizes, about -1 to 1."""
    total = np.zeros(size_hw, np.float32)
    for octave in range(3):
        spot = max(1.0, spot_px / 2**octave)
        grid = (int(size_hw[0] / spot) + 2, int(size_hw[1] / (spot * stretch)) + 2)
        coarse = rng.uniform(-1, 1, grid).astype(np.float32)
        total += cv2.resize(coarse, (size_hw[1], size_hw[0]), interpolation=cv2.INTER_CUBIC) / 2**octave
    return total / np.float32(1.75)


def paint(place: str, view: View, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Paint a place.

    Args:
        place: a key of `PLACES`.
        view: what part of it, and how finely.
        rng: decides on details such as the width of houses.
    Returns:
        (H, W, 3) uint8 RGB that covers the view.
    """
    if place not in PLACES:
        raise ValueError(f"Painting a sample video: got place {place!r}, expected one of {', '.join(PLACES)}.")
    easel = Easel(view, rng)
    PLACES[place](easel)
    return easel.rgb


def _street(easel: Easel) -> None:
    easel.sweep(-9, HORIZON, (150, 190, 226), (214, 226, 232))
    walls: list[Colour] = [
        (206, 186, 156),
        (190, 160, 136),
        (222, 206, 178),
        (178, 172, 162),
        (208, 176, 150),
    ]
    for left in easel.steps(0.62):
        wall, roof = easel.pick(walls), float(easel.rng.uniform(-0.10, 0.10))
        easel.box(left, roof, left + 0.63, HORIZON + 0.1, wall)
        easel.box(left - 0.01, roof - 0.02, left + 0.64, roof + 0.02, _tint(wall, 0.85))
        _windows(easel, left, roof, wall)
    easel.box(-99, HORIZON + 0.02, 99, HORIZON + 0.1, (128, 122, 116))
    easel.soften(-9, HORIZON + 0.1, 0.006)
    easel.mottle(-9, HORIZON + 0.1, strength=7, size=0.10)
    easel.sweep(HORIZON + 0.08, 9, (176, 174, 170), (198, 196, 190))
    easel.mottle(HORIZON + 0.08, 9, strength=9, size=0.05, stretch=4)
    for line in (HORIZON + 0.085, HORIZON + 0.17, HORIZON + 0.30):
        easel.box(-99, line, 99, line + 0.004, (158, 156, 152))


def _windows(easel: Easel, left: float, roof: float, wall: Colour) -> None:
    """Two rows of wide windows and a shop front with an awning."""
    for row in range(2):
        for column in range(2):
            x, y = left + 0.07 + 0.27 * column, roof + 0.07 + 0.17 * row
            easel.box(x - 0.008, y - 0.008, x + 0.208, y + 0.108, _tint(wall, 1.12))
            easel.box(x, y, x + 0.2, y + 0.1, (126, 146, 162))
            easel.polygon([(x + 0.08, y + 0.1), (x + 0.13, y), (x + 0.19, y), (x + 0.14, y + 0.1)], (150, 168, 182))
    awning = easel.pick([(168, 92, 84), (92, 128, 108), (104, 118, 152), (188, 160, 96)])
    easel.box(left + 0.05, HORIZON - 0.12, left + 0.57, HORIZON + 0.05, (120, 118, 116))
    top = HORIZON - 0.17
    easel.polygon(
        [(left + 0.06, top), (left + 0.56, top), (left + 0.59, top + 0.07), (left + 0.03, top + 0.07)], awning
    )


def _park(easel: Easel) -> None:
    easel.sweep(-9, HORIZON, (86, 156, 228), (170, 212, 242))
    for left in easel.steps(0.7, 0.6):
        y = float(easel.rng.uniform(0.0, 0.16))
        for dx, size in ((0.0, 0.7), (0.09, 1.0), (0.19, 0.75)):
            easel.disc(left + dx, y + 0.01 * size, 0.11 * size, 0.032 * size, (226, 236, 246))
    for left in easel.steps(0.42, 0.5):
        green = easel.pick([(66, 122, 58), (82, 140, 62), (58, 110, 66)])
        for dx, dy, size in ((0.0, 0.0, 0.20), (0.15, -0.05, 0.24), (0.31, 0.01, 0.19)):
            easel.disc(left + dx, HORIZON - 0.12 + dy, size, size * 0.8, green)
            easel.disc(left + dx - 0.04, HORIZON - 0.17 + dy, size * 0.6, size * 0.4, _tint(green, 1.12))
    easel.box(-99, HORIZON - 0.06, 99, HORIZON + 0.05, (62, 112, 58))
    easel.soften(-9, HORIZON + 0.05, 0.014)
    easel.mottle(0.26, HORIZON + 0.05, strength=12, size=0.05)
    easel.sweep(HORIZON + 0.02, 9, (110, 170, 70), (138, 196, 84))
    easel.mottle(HORIZON + 0.02, 9, strength=12, size=0.025, stretch=2)
    easel.polygon([(-99, 0.80), (99, 0.80), (99, 0.97), (-99, 0.97)], (214, 196, 158))
    easel.mottle(0.80, 0.97, strength=7, size=0.02, stretch=4)


def _brick(easel: Easel) -> None:
    easel.sweep(-9, 0.72, (150, 74, 58), (164, 84, 66))
    for row in range(round((0.72 - easel.view.top) / 0.04)):
        y = 0.72 - 0.04 * (row + 1)
        for left in easel.steps(0.13):
            shade = float(easel.rng.uniform(0.92, 1.08))
            x = left + 0.065 * (row % 2)
            easel.box(x + 0.003, y + 0.003, x + 0.127, y + 0.037, _tint((158, 78, 62), shade))
    easel.soften(-9, 0.72, 0.002)
    easel.mottle(-9, 0.72, strength=10, size=0.15)
    easel.box(-99, 0.70, 99, 0.73, (96, 62, 56))
    easel.sweep(0.73, 9, (120, 112, 120), (146, 138, 144))
    easel.mottle(0.73, 9, strength=9, size=0.03, stretch=3)


def _beach(easel: Easel) -> None:
    easel.sweep(-9, 0.38, (112, 190, 236), (206, 234, 246))
    easel.disc(1.1, 0.10, 0.075, 0.075, (250, 244, 214))
    easel.soften(-9, 0.36, 0.022)
    easel.sweep(0.38, 0.62, (24, 140, 170), (78, 196, 204))
    easel.mottle(0.38, 0.62, strength=16, size=0.02, stretch=8)
    for left in easel.steps(0.9, 0.7):
        y = float(easel.rng.uniform(0.385, 0.40))
        easel.polygon(
            [(left, y), (left + 0.09, y), (left + 0.075, y + 0.02), (left + 0.015, y + 0.02)], (240, 240, 236)
        )
        easel.polygon([(left + 0.045, y - 0.10), (left + 0.045, y - 0.01), (left + 0.09, y - 0.01)], (250, 248, 240))
    easel.soften(-9, 0.62, 0.004)
    easel.box(-99, 0.615, 99, 0.63, (232, 246, 244))
    easel.sweep(0.63, 9, (226, 204, 148), (242, 222, 168))
    easel.mottle(0.63, 9, strength=9, size=0.05, stretch=5)


def _night(easel: Easel) -> None:
    easel.sweep(-9, HORIZON + 0.03, (14, 16, 52), (74, 56, 124))
    for _ in range(60):
        x, y = easel.rng.uniform(easel.view.left, easel.view.right), easel.rng.uniform(easel.view.top, 0.2)
        easel.disc(float(x), float(y), 0.009, 0.009, (150, 150, 200))
    for left in easel.steps(1.9):
        easel.disc(left + 1.2, 0.10, 0.075, 0.075, (216, 206, 190))
    easel.soften(-9, 0.23, 0.012)
    for left in easel.steps(0.36, 0.2):
        top = float(easel.rng.uniform(0.24, 0.44))
        easel.box(left, top, left + 0.34, HORIZON + 0.1, (34, 30, 72))
        for column in range(4):
            for row in range(4):
                x, y = left + 0.03 + 0.075 * column, top + 0.03 + 0.05 * row
                lit = easel.rng.uniform() < 0.45
                easel.box(x, y, x + 0.05, y + 0.02, (222, 184, 96) if lit else (50, 46, 92))
    easel.soften(0.23, HORIZON + 0.02, 0.006)
    easel.sweep(HORIZON + 0.02, 9, (70, 60, 128), (104, 90, 164))
    easel.mottle(HORIZON + 0.02, 9, strength=9, size=0.03, stretch=5)


def _gallery(easel: Easel) -> None:
    easel.sweep(-9, 0.70, (228, 216, 196), (240, 230, 212))
    easel.mottle(-9, 0.70, strength=4, size=0.2)
    for left in easel.steps(0.80):
        wide, high = float(easel.rng.uniform(0.42, 0.56)), float(easel.rng.uniform(0.24, 0.30))
        _painting(easel, left + 0.1, 0.12, wide, high)
    easel.box(-99, 0.67, 99, 0.705, (250, 244, 232))
    easel.sweep(0.705, 9, (150, 96, 52), (186, 124, 72))
    easel.mottle(0.705, 9, strength=12, size=0.012, stretch=20)
    for row, y in enumerate((0.73, 0.77, 0.82, 0.89, 0.98)):
        easel.box(-99, y, 99, y + 0.002 + 0.0006 * row, (124, 78, 42))


def _painting(easel: Easel, left: float, top: float, wide: float, high: float) -> None:
    """A framed landscape."""
    easel.box(left + 0.012, top + 0.016, left + wide + 0.012, top + high + 0.016, (204, 190, 168))
    easel.box(left, top, left + wide, top + high, (150, 112, 52))
    easel.box(left + 0.014, top + 0.014, left + wide - 0.014, top + high - 0.014, (196, 160, 92))
    sky, land = (
        easel.pick([(120, 160, 200), (226, 160, 110), (90, 110, 150)]),
        easel.pick([(80, 110, 70), (120, 80, 60)]),
    )
    x0, y0, x1, y1 = left + 0.024, top + 0.024, left + wide - 0.024, top + high - 0.024
    easel.box(x0, y0, x1, y1, sky)
    middle = y0 + float(easel.rng.uniform(0.45, 0.65)) * (y1 - y0)
    ridge = [(x0 + share * (x1 - x0), middle + float(easel.rng.uniform(-0.03, 0.03))) for share in np.linspace(0, 1, 7)]
    easel.polygon([*ridge, (x1, y1), (x0, y1)], land)
    easel.box(x0, y1 - 0.05, x1, y1, _tint(land, 0.8))


def _snow(easel: Easel) -> None:
    easel.sweep(-9, HORIZON, (160, 196, 232), (224, 236, 248))
    for left in easel.steps(0.55, 0.4):
        peak = float(easel.rng.uniform(0.10, 0.30))
        easel.polygon([(left - 0.35, HORIZON), (left + 0.27, peak), (left + 0.95, HORIZON)], (150, 170, 204))
        easel.polygon([(left + 0.12, peak + 0.12), (left + 0.27, peak), (left + 0.43, peak + 0.12),
                       (left + 0.33, peak + 0.09), (left + 0.25, peak + 0.14)], (236, 242, 250))  # fmt: skip
    easel.soften(-9, HORIZON, 0.01)
    easel.sweep(HORIZON - 0.02, 9, (226, 234, 246), (246, 248, 252))
    easel.mottle(HORIZON - 0.02, 9, strength=6, size=0.09, stretch=4)


def _desert(easel: Easel) -> None:
    easel.sweep(-9, HORIZON, (226, 96, 60), (250, 196, 110))
    easel.disc(1.25, 0.42, 0.10, 0.10, (255, 232, 170))
    easel.soften(-9, HORIZON, 0.015)
    for left in easel.steps(0.9, 0.4):
        high = float(easel.rng.uniform(0.08, 0.16))
        top = HORIZON - high
        mesa = [(left, HORIZON), (left + 0.1, top), (left + 0.5, top), (left + 0.62, HORIZON)]
        easel.polygon(mesa, (150, 70, 62))
    easel.soften(-9, HORIZON, 0.008)
    easel.sweep(HORIZON - 0.01, 9, (206, 122, 66), (232, 150, 86))
    easel.mottle(HORIZON - 0.01, 9, strength=13, size=0.05, stretch=7)


def _tint(colour: Colour, factor: float) -> Colour:
    """A lighter or darker tone."""
    return (
        min(255, int(colour[0] * factor)),
        min(255, int(colour[1] * factor)),
        min(255, int(colour[2] * factor)),
    )


PLACES: dict[str, Callable[[Easel], None]] = {
    "street": _street,
    "park": _park,
    "brick": _brick,
    "beach": _beach,
    "night": _night,
    "gallery": _gallery,
    "desert": _desert,
    "snow": _snow,
}
"""Painters by name, ordered so that neighbours differ strongly."""
