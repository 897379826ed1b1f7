"""Films whose motion is known, and what a plain decoder says of a file."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
from av.codec.context import Flags2
from av.video.frame import PictureType

from pipeline.sample.encode import Coding, Encoded, encode
from pipeline.video.recoding import Recoding
from pipeline.video.recompress import recompress

SIDE_PX, SPEED_PX = 32, (4, 2)
PREDICTED = Coding(
    codec="libx264", gop=12, options={"crf": "10", "x264-params": "bframes=0:ref=1:scenecut=0:weightp=0"}
)


def texture(size_hw: tuple[int, int], seed: int) -> np.ndarray:
    """(H, W, 3) smooth coloured noise."""
    coarse = (
        np.random.default_rng(seed).integers(0, 256, (size_hw[0] // 4 + 1, size_hw[1] // 4 + 1, 3)).astype(np.uint8)
    )
    return np.repeat(np.repeat(coarse, 4, 0), 4, 1)[: size_hw[0], : size_hw[1]]


def square_film(count: int, size_hw: tuple[int, int] = (128, 160)) -> list[np.ndarray]:
    """A textured square that starts at (16, 16) and goes 4 px right and 2 px down a frame, on a textured ground."""
    ground, square = texture(size_hw, 0) // 4 + 96, texture((SIDE_PX, SIDE_PX), 1)
    frames = []
    for t in range(count):
        frame = ground.copy()
        left, top = 16 + SPEED_PX[0] * t, 16 + SPEED_PX[1] * t
        frame[top : top + SIDE_PX, left : left + SIDE_PX] = square
        frames.append(frame)
    return frames


def pan_film(count: int, size_hw: tuple[int, int] = (64, 80)) -> list[np.ndarray]:
    """A texture seen by a camera that goes right by 2 and 3 px in turn, with a square moving the other way."""
    wide = texture((size_hw[0], size_hw[1] + 4 * count), 2)
    frames = []
    for t in range(count):
        frame = wide[:, 5 * t // 2 : 5 * t // 2 + size_hw[1]].copy()
        frame[20:36, 50 - t : 66 - t] = texture((16, 16), 3)
        frames.append(frame)
    return frames


def write(path: Path, frames: list[np.ndarray], coding: Coding = PREDICTED) -> Encoded:
    """Encode frames."""
    return encode(frames, path, coding=coding)


def write_mpeg4(path: Path, frames: list[np.ndarray], gop: int = 12) -> Path:
    """As `longform recompress` writes them, at their own size."""
    source = path.with_suffix(".source.mkv")
    encode(frames, source, coding=Coding(codec="ffv1", pix_fmt="yuv420p"))
    recompress(str(source), path, Recoding(size=None, gop=gop))
    return path


def decode_plainly(path: Path) -> list[tuple[str, np.ndarray | None, np.ndarray]]:
    """Kind, vectors and RGB of all pictures in display order, from one decoding of the whole file."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"
        stream.codec_context.flags2 |= Flags2.export_mvs
        pictures = []
        for frame in container.decode(stream):
            vectors = frame.side_data.get("MOTION_VECTORS")
            kind = PictureType(frame.pict_type).name
            pictures.append((kind, None if vectors is None else vectors.to_ndarray(), frame.to_ndarray(format="rgb24")))
    return pictures
