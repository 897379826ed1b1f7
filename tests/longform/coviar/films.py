"""Small compressed films whose class is what moves, and where to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]


def moving_square(
    step_xy: tuple[int, int], *, frames: int = 24, size_hw: tuple[int, int] = (64, 96), seed: int = 0
) -> list[Picture]:
    """A textured square on a textured ground that moves `step_xy` px a frame, from a random place, and wraps around."""
    rng = np.random.default_rng(seed)
    height, width = size_hw
    ground = rng.integers(60, 120, (height, width, 3)).astype(np.uint8)
    square = rng.integers(100, 255, (24, 24, 3)).astype(np.uint8)
    top, left = int(rng.integers(height)), int(rng.integers(width))
    pictures = []
    for index in range(frames):
        picture = ground.copy()
        rows = (np.arange(24) + top + index * step_xy[1]) % height
        columns = (np.arange(24) + left + index * step_xy[0]) % width
        picture[np.ix_(rows, columns)] = square
        pictures.append(picture)
    return pictures


def write_film(path: Path, pictures: Sequence[Picture], *, gop: int = 12, codec: str = "mpeg4") -> Path:
    """A video in groups of `gop` pictures, without B-frames."""
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = pictures[0].shape[:2]
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height = width, height
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.codec_context.gop_size = gop
        stream.codec_context.max_b_frames = 0
        stream.bit_rate = 4_000_000
        if codec == "mpeg4":
            stream.codec_context.options = {"sc_threshold": "1000000000"}
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        container.mux(stream.encode())
    return path


def write_list(path: Path, videos: Sequence[tuple[str, int]]) -> Path:
    """A list of names and classes."""
    path.write_text("".join(f"{name} {label}\n" for name, label in videos), encoding="utf-8")
    return path
