"""Things that move: textured shapes with soft edges, and how they get onto a frame."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.motions.textures import Image, Rng

Sprite = NDArray[np.uint8]
"""(H, W, 4): RGB times coverage, and coverage, 0 to 255."""

SHAPES = ("disc", "square", "triangle", "star", "blob", "hexagon", "bar", "cross")
SUPERSAMPLING = 4


def sprite(rng: Rng, surface: Image, shape: str | None = None) -> Sprite:
    """One of `SHAPES` (by default any) cut from the (S, S, 3) `surface`, with a little shading towards its edge."""
    side = len(surface)
    outline = _outline(rng, shape or SHAPES[rng.integers(len(SHAPES))])
    big = np.zeros((side * SUPERSAMPLING, side * SUPERSAMPLING), np.uint8)
    pixels = np.round((0.5 + 0.47 * outline) * (len(big) - 1)).astype(np.int32)
    cv2.fillPoly(big, [pixels], 255)
    coverage = cv2.resize(big, (side, side), interpolation=cv2.INTER_AREA)
    depth = cv2.GaussianBlur(coverage, (0, 0), max(0.05 * side, 0.5)).astype(np.float32) / 255
    lit = surface * (0.55 + 0.45 * depth)[..., None]
    return premultiplied(lit.astype(np.uint8), coverage)


def premultiplied(rgb: Image, coverage: NDArray[np.uint8]) -> Sprite:
    """A sprite of (H, W, 3) colours and (H, W) coverage."""
    scaled = (rgb * (coverage[..., None].astype(np.uint16)) // 255).astype(np.uint8)
    return np.dstack([scaled, coverage])


def _outline(rng: Rng, shape: str) -> NDArray[np.float64]:
    """(N, 2) polygon within -1 to 1."""
    if shape == "blob":
        angle = np.linspace(0, 2 * math.pi, 48, endpoint=False)
        waves = sum(rng.uniform(0, 0.16) * np.cos(k * angle + rng.uniform(0, 2 * math.pi)) for k in (2, 3, 5))
        return _polar(angle, np.minimum(0.75 + waves, 1))
    if shape == "bar":
        width = rng.uniform(0.25, 0.45)
        return np.array([(-1, -width), (1, -width), (1, width), (-1, width)])
    if shape == "cross":
        w = rng.uniform(0.25, 0.4)
        arm = [(w, 1), (w, w), (1, w), (1, -w), (w, -w), (w, -1)]
        return np.array(arm + [(-x, y) for x, y in reversed(arm)])
    if shape == "star":
        angle = np.linspace(0, 2 * math.pi, 10, endpoint=False)
        return _polar(angle, np.where(np.arange(10) % 2, rng.uniform(0.4, 0.55), 1.0))
    corners = {"disc": 48, "square": 4, "triangle": 3, "hexagon": 6}[shape]
    angle = np.linspace(0, 2 * math.pi, corners, endpoint=False) + math.pi / corners
    return _polar(angle, np.ones(corners))


def _polar(angle: NDArray[np.float64], radius: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.stack([radius * np.sin(angle), -radius * np.cos(angle)], 1)


def blend(frame: Image, layer: Sprite, opacity: float = 1.0) -> None:
    """Lay a sprite of the frame's own size over it, in place."""
    if opacity < 1:
        layer = cv2.convertScaleAbs(layer, alpha=opacity)
    see_through = 256 - layer[..., 3:].astype(np.uint16)
    below = (frame * see_through) >> 8
    np.minimum(below + layer[..., :3], 255, out=below)
    frame[:] = below


def place(frame: Image, piece: Sprite, x_px: float, y_px: float) -> None:
    """Lay a small sprite over the frame with its middle at a whole pixel near (x_px, y_px), in place."""
    height, width = piece.shape[:2]
    left, top = round(x_px - width / 2), round(y_px - height / 2)
    x0, y0 = max(left, 0), max(top, 0)
    x1, y1 = min(left + width, frame.shape[1]), min(top + height, frame.shape[0])
    if x0 < x1 and y0 < y1:
        blend(frame[y0:y1, x0:x1], piece[y0 - top : y1 - top, x0 - left : x1 - left])
