"""Moving test patterns, for tests that look at timestamps and not at pictures."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray


def moving_bars(*, num_frames: int, size_hw: tuple[int, int]) -> Iterator[NDArray[np.uint8]]:
    """Frames of a moving colour pattern, (H, W, 3) uint8; every frame differs from the one before it."""
    rows, columns = np.mgrid[: size_hw[0], : size_hw[1]]
    for index in range(num_frames):
        red = (columns * 255 // max(1, size_hw[1] - 1) + 6 * index) % 256
        green = rows * 255 // max(1, size_hw[0] - 1)
        blue = np.where((columns // 16 + rows // 16) % 2, 200, 60)
        yield np.stack([red, green, blue], -1).astype(np.uint8)
