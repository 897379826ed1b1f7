"""Settings of `longform recompress`; light to import, for the command line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pipeline.errors import ConfigError

Codec = Literal["mpeg4", "h264"]

ORIGINAL_SIZE = (340, 256)
ORIGINAL_GOP = 12
QUALITIES = {"mpeg4": range(1, 32), "h264": range(52)}
POSSIBLE_SIDES = range(16, 8193, 2)
BEST_QUALITY = {"mpeg4": 1, "h264": 10}
_LEAST_QUANTISER = 2
"""FFmpeg's own limit, which `-q:v 1` does not lift."""


@dataclass(frozen=True, kw_only=True)
class Recoding:
    """How a video is written.

    Raises:
        ConfigError: on creation, when a value cannot work.
    """

    codec: Codec = "mpeg4"
    size: tuple[int, int] | None = ORIGINAL_SIZE
    """Width and height, px; None keeps those of the picture as stored, turned upright."""
    gop: int = ORIGINAL_GOP
    """Pictures of a group."""
    quality: int | None = None
    """mpeg4: quantiser, 1 to 31; h264: constant rate factor, 0 to 51. Smaller is better; None is 1 and 10."""

    def __post_init__(self) -> None:
        if self.codec not in QUALITIES:
            raise ConfigError(f"Unknown codec {self.codec!r} to write. Choose one of: {', '.join(QUALITIES)}.")
        if self.size is not None and not all(side in POSSIBLE_SIDES for side in self.size):
            raise ConfigError(f"A size to write must have even sides of 16 to 8192 px: got {_by(self.size)}.")
        if self.gop < 1:
            raise ConfigError(f"A group must have at least 1 picture: got {self.gop}.")
        possible = QUALITIES[self.codec]
        if self.quality is not None and self.quality not in possible:
            raise ConfigError(f"Quality of {self.codec} must lie in {possible[0]}..{possible[-1]}: got {self.quality}.")

    def encoder(self) -> tuple[str, dict[str, str]]:
        """FFmpeg's name of the encoder and its options."""
        quality = BEST_QUALITY[self.codec] if self.quality is None else self.quality
        if self.codec == "mpeg4":  # with `qscale`, frames that bring no quantiser are coded with the least one
            return "mpeg4", {"flags": "+qscale+bitexact", "qmin": str(max(_LEAST_QUANTISER, quality))}
        fixed = f"bframes=0:ref=1:keyint={self.gop}:min-keyint={self.gop}:scenecut=0:weightp=0:open-gop=0"
        return "libx264", {"crf": str(quality), "x264-params": fixed, "flags": "+bitexact"}


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
