"""Small films for the tests: a square that moves left or right, as arrays and as H.264 files."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

SIDE, LENGTH, SQUARE = 32, 16, 8


def moving_square(is_right: bool, seed: int) -> NDArray[np.uint8]:
    """(16, 32, 32, 3): it leaves on one side and comes back on the other. Frame 8 does not tell which way it moves."""
    rng = np.random.default_rng(seed)
    start, top = rng.integers(SIDE), rng.integers(SIDE - SQUARE)
    film = np.full((LENGTH, SIDE, SIDE, 3), 40, np.uint8)
    for t in range(LENGTH):
        columns = (np.arange(SQUARE) + start + (2 if is_right else -2) * (t - LENGTH // 2)) % SIDE
        film[t, top : top + SQUARE, columns] = 220
    return film


def numbered_film(count: int, height: int = 48, width: int = 64) -> NDArray[np.uint8]:
    """(N, H, W, 3): frame i is of one grey, 5 i + 20."""
    return np.broadcast_to((5 * np.arange(count) + 20).astype(np.uint8)[:, None, None, None], (count, height, width, 3))


def write_film(
    path: Path, frames: NDArray[np.uint8], *, fps: int = 30, times: list[int] | None = None, gop: int = 12
) -> Path:
    """An H.264 file.

    Args:
        times: when each frame is shown, in 1/600 s; None for evenly.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options={"qp": "0", "g": str(gop), "sc_threshold": "0"})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv444p" if frames.shape[1] % 2 or frames.shape[2] % 2 else "yuv420p"
        stream.codec_context.time_base = Fraction(1, 600)
        for number, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            picture.pts, picture.time_base = times[number] if times else number * 600 // fps, Fraction(1, 600)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path
