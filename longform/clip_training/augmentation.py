"""Which square of a picture becomes the network's input: drawn for training, or the centre."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Window:
    """A rectangle of a displayed picture that is scaled to a square."""

    top: int
    left: int
    height: int
    width: int
    """Pixels of the picture, before scaling."""
    size: int
    """Side of the square that it becomes, px."""
    flip: bool = False
    """Mirrored left to right."""


PlaceWindow = Callable[[int, int], Window]
"""The window of a picture, from its height and width, which are known when it is opened."""


@dataclass(frozen=True, kw_only=True)
class CropRule:
    """How training draws windows; the picture is scaled and then cut, or, which is the same, cut and then scaled."""

    flip: bool = True
    """Mirror half of the clips; not where left and right differ (Something-Something)."""
    inverse: bool = False
    """Draw 1 / short side uniformly instead of the short side, so that small pictures are more frequent."""
    square: bool = False
    """Scale both sides to the short side, whatever the shape of the picture (S3D)."""

    def drawn(self, size: int, short_side: tuple[int, int], rng: np.random.Generator) -> PlaceWindow:
        """A window drawn for one clip.

        Args:
            size: side of the crop, px.
            short_side: range that the short side of the scaled picture is drawn from, px; at least `size`.
        """
        least, most = short_side
        scaled = round(1 / rng.uniform(1 / most, 1 / least)) if self.inverse else round(rng.uniform(least, most))
        down, right, mirror = rng.random(3)
        return partial(
            _window, size=size, short_side=scaled, square=self.square, place=(down, right),
            flip=self.flip and bool(mirror < 0.5),
        )  # fmt: skip

    def centre(self, size: int, short_side: int) -> PlaceWindow:
        """The middle of a picture."""
        return partial(_window, size=size, short_side=short_side, square=self.square, place=(0.5, 0.5), flip=False)


def _window(
    height: int, width: int, *, size: int, short_side: int, square: bool, place: tuple[float, float], flip: bool
) -> Window:
    """`place`: how much of the room beside the crop is above and left of it."""
    shorter = min(height, width)
    tall, wide = (
        max(1, round(size / short_side * (length if square else shorter))) for length in (height, width)
    )  # fmt: skip
    top, left = (round(share * (room)) for share, room in zip(place, (height - tall, width - wide), strict=True))
    return Window(top=top, left=left, height=tall, width=wide, size=size, flip=flip)
