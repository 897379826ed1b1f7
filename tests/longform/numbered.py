"""Videos whose frames show their own number, and a network that reads it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from torch import Tensor

from extractors.backbones.base import Backbone
from pipeline.sample.encode import Coding, Encoded, encode

STEP = 3
"""Frame i is grey, and as bright as STEP * i."""
MOST_FRAMES = 255 // STEP + 1


def numbered_video(
    path: Path,
    num_frames: int,
    *,
    fps: Fraction = Fraction(30),
    pts: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    size_hw: tuple[int, int] = (36, 52),
    rotation: int = 0,
    repeat: int = 1,
) -> Encoded:
    """A lossless video of `num_frames` frames; with `repeat`, as many of them in turn show the same number."""
    frames = (np.full((*size_hw, 3), STEP * (i // repeat), np.uint8) for i in range(num_frames))
    coding = Coding(codec="png", pix_fmt="rgb24", rotation=rotation)
    return encode(frames, path, fps=fps, pts=pts, time_base=time_base, coding=coding)


def spoil(path: Path, frames: Iterable[int]) -> None:
    """Overwrite the packets of these frames with zeros, so that they cannot be decoded."""
    with av.open(str(path)) as container:
        packets = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    data = bytearray(path.read_bytes())
    for number in frames:
        pos, size = packets[number]
        data[pos : pos + size] = bytes(size)
    path.write_bytes(data)


class Reader(Backbone):
    """Class t answers with the number that frame t of the clip shows (its input must not be normalised)."""

    input_channels = 3
    stride = 1
    activation = "softmax"

    def __init__(self, num_frames: int) -> None:
        super().__init__()
        self.num_frames = self.num_classes = self.embedding_dim = num_frames
        self.clips_seen = 0

    def forward_features(self, clip: Tensor) -> tuple[Tensor, ...]:
        self.clips_seen += len(clip)
        return (clip,)

    def pool(self, features: tuple[Tensor, ...]) -> Tensor:
        return features[0].mean((1, 3, 4)).mul(255 / STEP)[..., None, None, None]

    def classify(self, pooled: Tensor) -> Tensor:
        return pooled

    def activate(self, scores: Tensor) -> Tensor:
        return torch.round(scores)
