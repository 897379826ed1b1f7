"""What a motion gets to work with, and what it makes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.motions.sprites import Sprite
from benchmarks.motions.textures import Image, Rng

Painter = Callable[[Image, float], None]
"""Paints the subject on a frame, in place, as it is at a moment from 0 (start of the video) to 1 (its end)."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One video to be made. Places and lengths of motions are in sides of the frame, y downwards."""

    rng: Rng
    size: int
    """Side of the frame, px."""
    seconds: float
    surface: Image
    """(S, S, 3) texture of the subject."""
    sprite: Sprite
    """(S, S, 4) a shape with that texture."""

    def cycles(self, low_hz: float, high_hz: float) -> float:
        """How often something repeats in the video, at a random rate."""
        return self.rng.uniform(low_hz, high_hz) * self.seconds

    def either(self) -> int:
        """-1 or 1."""
        return int(self.rng.choice((-1, 1)))

    def event(self) -> Callable[[float], float]:
        """Progress from 0 to 1 of something that happens once, begins at or soon after 0 and ends at or before 1."""
        start = self.rng.uniform(0, 0.2)
        length = self.rng.uniform(0.6, 1.0) * (1 - start)
        return lambda moment: min(max((moment - start) / length, 0.0), 1.0)
