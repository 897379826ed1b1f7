"""What surfaces look like: twelve families of textures, each with random colours, scale and direction."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Field = NDArray[np.float32]
Rng = np.random.Generator

PERIODS = (3.0, 8.0)
"""Fewest and most repetitions of a pattern along the side of a texture."""

DIFFERENT_ENOUGH = 80.0
"""Least Euclidean distance of two colours (RGB, 0 to 255) that are to be told apart."""


def colours(rng: Rng, count: int) -> NDArray[np.float32]:
    """(count, 3) random RGB colours in 0 to 255, all more or all less vivid, neighbours in the list well apart."""
    vividness, chosen = rng.uniform(0.2, 1), list[NDArray[np.float64]]()
    while len(chosen) < count:
        colour = rng.uniform(0, 255, 3)
        colour = colour.mean() + vividness * (colour - colour.mean())
        if not chosen or np.linalg.norm(colour - chosen[-1]) >= DIFFERENT_ENOUGH:
            chosen.append(colour)
    return np.array(chosen, np.float32)


def texture(family: str, rng: Rng, side_px: int, palette: NDArray[np.float32] | None = None) -> Image:
    """(side_px, side_px, 3) of one of `TEXTURES`; `palette` (2 or more, 3) are its colours, by default random."""
    if palette is None:
        palette = colours(rng, 2)
    field = TEXTURES[family](rng, side_px)
    mixed = palette[0] + field[..., None] * (palette[1] - palette[0])
    return np.clip(mixed, 0, 255).astype(np.uint8)


def smooth_noise(rng: Rng, side_px: int, cells: int) -> Field:
    """(side_px, side_px) in 0 to 1: random values on a grid of `cells`, joined smoothly."""
    coarse = rng.random((cells + 3, cells + 3), np.float32)
    fine = cv2.resize(coarse, (side_px, side_px), interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.clip(fine, 0, 1), np.float32)


def _axes(rng: Rng, side_px: int) -> tuple[Field, Field]:
    """Coordinates in periods of the pattern, along a random direction and across it, from a random origin."""
    angle, periods = rng.uniform(0, math.pi), rng.uniform(*PERIODS)
    steps = np.linspace(-0.5, 0.5, side_px, dtype=np.float32) * np.float32(periods)
    x, y = np.meshgrid(steps, steps)
    cos, sin = np.float32(math.cos(angle)), np.float32(math.sin(angle))
    origin = rng.random(2, np.float32)
    return cos * x + sin * y + origin[0], cos * y - sin * x + origin[1]


def _wave(phase: Field) -> Field:
    """Soft-edged square wave of period 1, in 0 to 1."""
    return np.clip(0.5 + 2.5 * np.sin(2 * np.pi * phase), 0, 1)


def _near_line(phase: Field, width: float) -> Field:
    """1 near whole numbers, 0 farther away than half of `width`."""
    return np.clip(4 - 8 * np.abs(phase - np.round(phase)) / width, 0, 1)


def _plain(rng: Rng, side_px: int) -> Field:
    return 0.12 * smooth_noise(rng, side_px, 2)


def _gradient(rng: Rng, side_px: int) -> Field:
    along, _ = _axes(rng, side_px)
    return (along - along.min()) / np.float32(np.ptp(along))


def _stripes(rng: Rng, side_px: int) -> Field:
    return _wave(_axes(rng, side_px)[0])


def _checks(rng: Rng, side_px: int) -> Field:
    along, across = _axes(rng, side_px)
    a, b = _wave(along * np.float32(0.5)), _wave(across * np.float32(0.5))
    return a + b - 2 * a * b


def _dots(rng: Rng, side_px: int) -> Field:
    along, across = _axes(rng, side_px)
    distance = np.hypot(along - np.round(along), across - np.round(across))
    return np.clip((np.float32(rng.uniform(0.24, 0.36)) - distance) * 8 + 0.5, 0, 1)


def _grid(rng: Rng, side_px: int) -> Field:
    along, across = _axes(rng, side_px)
    return np.maximum(_near_line(along, 0.22), _near_line(across, 0.22))


def _bricks(rng: Rng, side_px: int) -> Field:
    along, across = _axes(rng, side_px)
    shifted = np.asarray(0.5 * (along + np.floor(across) % 2), np.float32)
    return np.maximum(_near_line(across, 0.2), _near_line(shifted, 0.1))


def _rings(rng: Rng, side_px: int) -> Field:
    along, across = _axes(rng, side_px)
    centre = rng.uniform(-0.5, 1.5, 2)
    return _wave(np.hypot(along - np.float32(centre[0]), across - np.float32(centre[1])))


def _clouds(rng: Rng, side_px: int) -> Field:
    cells = int(rng.integers(2, 5))
    octaves = sum(smooth_noise(rng, side_px, cells * 2**k) * np.float32(0.5**k) for k in range(3))
    return np.clip((np.asarray(octaves) - 0.5) / 0.75, 0, 1)


def _speckle(rng: Rng, side_px: int) -> Field:
    return smooth_noise(rng, side_px, max(8, side_px // 3))


def _patches(rng: Rng, side_px: int) -> Field:
    """Mosaic of flat cells (Voronoi)."""
    seeds = rng.random((int(rng.integers(10, 28)), 2), np.float32)
    steps = np.linspace(0, 1, side_px, dtype=np.float32)
    across = (steps[:, None] - seeds[:, 1]) ** 2
    along = (steps[:, None] - seeds[:, 0]) ** 2
    nearest = np.argmin(across[:, None] + along[None], axis=2)
    return rng.random(len(seeds), np.float32)[nearest]


def _chevrons(rng: Rng, side_px: int) -> Field:
    along, across = _axes(rng, side_px)
    return _wave(np.asarray(across + 1.2 * np.abs(along - np.round(along)), np.float32))


TEXTURES: Mapping[str, Callable[[Rng, int], Field]] = {
    "plain": _plain,
    "gradient": _gradient,
    "stripes": _stripes,
    "checks": _checks,
    "dots": _dots,
    "grid": _grid,
    "bricks": _bricks,
    "rings": _rings,
    "clouds": _clouds,
    "speckle": _speckle,
    "patches": _patches,
    "chevrons": _chevrons,
}
"""Name of the family -> a random (side, side) field in 0 to 1 that mixes two colours."""
