"""Accumulated motion and residuals straight from the equations (thesis, section 4.1), pixel by pixel.

Nothing is shared with `extractors/compressed`: every pixel of every P-frame is traced back through all frames before it
(eq. 4.1), and residuals are summed on the way.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

VECTOR = np.dtype(
    [("source", "i4"), ("w", "u1"), ("h", "u1"), ("src_x", "i2"), ("src_y", "i2"), ("dst_x", "i2"), ("dst_y", "i2"),
     ("motion_x", "i4"), ("motion_y", "i4"), ("motion_scale", "u2")]
)  # fmt: skip
Block = tuple[int, int, int, int, Fraction, Fraction]
"""Left, top, width, height; exact vector to the reference."""


@dataclass
class Field:
    """T of one P-frame: the vector of each pixel to the picture before, None where it has none."""

    vectors: dict[tuple[int, int], tuple[Fraction, Fraction]]

    @classmethod
    def of(cls, vectors: NDArray | None, size_hw: tuple[int, int]) -> Field:
        """From FFmpeg's list."""
        height, width = size_hw
        field: dict[tuple[int, int], tuple[Fraction, Fraction]] = {}
        for item in [] if vectors is None else vectors:
            if item["source"] > 0:
                continue
            exact = tuple(Fraction(int(item[f"motion_{axis}"]), int(item["motion_scale"])) for axis in "xy")
            left, top = int(item["dst_x"]) - int(item["w"]) // 2, int(item["dst_y"]) - int(item["h"]) // 2
            for y in range(max(0, top), min(height, top + int(item["h"]))):
                for x in range(max(0, left), min(width, left + int(item["w"]))):
                    field[x, y] = exact
        return cls(field)


def whole_source(field: Field, x: int, y: int, size_hw: tuple[int, int]) -> tuple[int, int]:
    """mu_T of a pixel in whole pixels: the pixel itself where there is no vector, or where that leaves the picture."""
    if (x, y) not in field.vectors:
        return x, y
    across, down = field.vectors[x, y]
    to_x, to_y = x + math.trunc(across), y + math.trunc(down)
    inside = 0 <= to_x < size_hw[1] and 0 <= to_y < size_hw[0]
    return (to_x, to_y) if inside else (x, y)


def whole(fields: list[Field], pictures: list[NDArray]) -> tuple[NDArray, NDArray]:
    """D and R of the last of `pictures`, of which `fields` has one less: the first is the I-frame."""
    height, width = pictures[0].shape[:2]
    motion = np.zeros((height, width, 2), int)
    residual = np.zeros((height, width, 3), int)
    for y in range(height):
        for x in range(width):
            at = (x, y)
            for t in range(len(fields), 0, -1):  # from frame t to frame t - 1
                source = whole_source(fields[t - 1], *at, (height, width))
                residual[y, x] += pictures[t][at[1], at[0]].astype(int) - pictures[t - 1][source[1], source[0]]
                at = source
            motion[y, x] = x - at[0], y - at[1]
    return motion, residual


def sub_pixel(fields: list[Field], size_hw: tuple[int, int]) -> NDArray:
    """D of the last P-frame: S(p) is S of the frame before, bilinear at p + vector, clamped to the picture."""
    height, width = size_hw
    source = [[(float(x), float(y)) for x in range(width)] for y in range(height)]
    for field in fields:
        source = [
            [_bilinear(source, x, y, field.vectors.get((x, y), (0, 0))) for x in range(width)] for y in range(height)
        ]
    return np.array([[(x - source[y][x][0], y - source[y][x][1]) for x in range(width)] for y in range(height)])


def _bilinear(source: list, x: int, y: int, vector: tuple) -> tuple[float, float]:
    height, width = len(source), len(source[0])
    at_x, at_y = min(max(x + vector[0], 0), width - 1), min(max(y + vector[1], 0), height - 1)
    left, top = math.floor(at_x), math.floor(at_y)
    right, bottom = min(left + 1, width - 1), min(top + 1, height - 1)
    part_x, part_y = float(at_x - left), float(at_y - top)
    total = [0.0, 0.0]
    for row, column, weight in (
        (top, left, (1 - part_x) * (1 - part_y)),
        (top, right, part_x * (1 - part_y)),
        (bottom, left, (1 - part_x) * part_y),
        (bottom, right, part_x * part_y),
    ):
        for axis in range(2):
            total[axis] += weight * source[row][column][axis]
    return total[0], total[1]
