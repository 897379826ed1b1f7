"""How large a video may be. More is refused before a picture is decoded, or cut off where it appears in mid-stream."""

from dataclasses import dataclass

from pipeline.errors import ConfigError

MAX_STREAMS = 256
"""Streams of one file, of all kinds; broadcasts with many programmes have some dozens."""


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoLimits:
    """The largest video that is opened. Files say what they like: a kilobyte can claim 2^31 frames of 2^28 pixels."""

    max_pixels: int = 1 << 26
    """Pixels of a picture as stored and as shown: 8192 x 8192."""
    max_duration_s: float = 360_000.0
    """Seconds from the first to the last displayed frame: 100 hours."""
    max_frames: int = 10_000_000
    """Displayed frames: 100 hours at 27 frames/s. Probing takes some 100 bytes of memory for each."""

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if not getattr(self, name) > 0:
                raise ConfigError(f"--{name.replace('_', '-')} must be above 0: got {getattr(self, name)}.")


STANDARD_LIMITS = VideoLimits()
