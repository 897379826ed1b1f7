"""Encode a stream of RGB frames into a video file, with the codecs and oddities that decoders meet.

The container follows the file suffix. One frame is held at a time. The same frames give the same bytes under
the same library versions: encoders run on one thread and containers leave out dates and random numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

Frame = NDArray[np.uint8]

CODEC_OPTIONS: dict[str, dict[str, str]] = {
    "libx264": {"preset": "veryfast", "crf": "23"},
    "libx265": {
        "preset": "ultrafast",
        "crf": "26",
        "x265-params": "pools=none:frame-threads=1:log-level=error",
    },
    "libvpx": {"deadline": "realtime", "cpu-used": "8", "crf": "20", "b": "2M"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8", "row-mt": "0", "crf": "36", "b": "0"},
    "libsvtav1": {"preset": "10", "crf": "40", "svtav1-params": "lp=1"},
    "mpeg4": {"flags": "+qscale+bitexact", "global_quality": str(118 * 5)},
    "mpeg2video": {"flags": "+qscale+bitexact", "global_quality": str(118 * 5)},
    "mpeg1video": {"flags": "+qscale+bitexact", "global_quality": str(118 * 5)},
    "mjpeg": {"flags": "+qscale+bitexact", "global_quality": str(118 * 4)},
}
"""Options per encoder, chosen for speed; encoders that are not listed run with their own defaults."""

PIX_FMTS = {"mjpeg": "yuvj420p", "prores_ks": "yuv422p10le", "huffyuv": "yuv422p"}
"""Pixel formats of encoders that do not take yuv420p."""

MUXER_OPTIONS = {".ts": {"max_delay": "0"}, ".mpg": {"max_delay": "0"}}
FIXED_RATE = (".avi", ".mpg")
TICKS_PER_S = {".mkv": 1000, ".webm": 1000, ".flv": 1000, ".ts": 90_000, ".mpg": 90_000}
"""Containers that round every timestamp to their own clock; mp4 and mov keep any time base."""

AUDIO_CODECS = {
    ".webm": "libopus",
    ".mkv": "libopus",
    ".avi": "pcm_s16le",
    ".mp3": "libmp3lame",
    ".wav": "pcm_s16le",
}
AUDIO_RATE = 48_000
AUDIO_BLOCK = 1_024


@dataclass(frozen=True, kw_only=True)
class Coding:
    """How frames are compressed and stored."""

    codec: str = "libx264"
    """An FFmpeg encoder, for example libx265, libvpx-vp9, mpeg4, mjpeg, ffv1."""
    pix_fmt: str | None = None
    """None takes yuv420p, or what the encoder needs instead."""
    gop: int | None = None
    """Most frames from one key frame to the next; None leaves it to the encoder."""
    bframes: int | None = None
    """Consecutive B-frames (at most, for encoders other than libx264); None leaves it to the encoder."""
    rotation: int = 0
    """Degrees counter-clockwise that a player turns the stored frame: 0, 90, 180 or 270."""
    audio: bool = False
    """Adds a tone as long as the video."""
    options: dict[str, str] = field(default_factory=dict)
    """Further encoder options."""
    muxer_options: dict[str, str] = field(default_factory=dict)
    """Further container options, for example movflags=frag_keyframe+empty_moov."""

    def __post_init__(self) -> None:
        if self.rotation not in (0, 90, 180, 270):
            raise ValueError(f"rotation of a sample video: got {self.rotation}, expected 0, 90, 180 or 270.")


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """What was written."""

    path: Path
    time_base: Fraction
    """Seconds per unit of `pts`."""
    pts: tuple[int, ...]
    """One per frame in display order, rounded as the container rounds; readers may use a finer time base."""


def encode(
    frames: Iterable[Frame],
    path: Path,
    *,
    fps: Fraction = Fraction(25),
    pts: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    coding: Coding | None = None,
) -> Encoded:
    """Write frames to a video file.

    Args:
        frames: (H, W, 3) uint8 RGB as they are to be displayed; with a rotation they are stored turned.
        path: the suffix chooses the container.
        fps: the nominal frame rate, and the duration of the last frame.
        pts: a rising timestamp per frame, in units of time_base, for variable rates and late starts;
            None counts 0, 1, 2, ... frames of 1 / fps.
        time_base: seconds per unit of pts; needed with pts.
        coding: codec, pixel format, oddities.
    Raises:
        ValueError: the encoder or the container cannot hold this, or there are fewer timestamps than frames.
    """
    coding = coding or Coding()
    clock = _clock(path, fps, pts, time_base)
    muxer_options = {"fflags": "+bitexact", **MUXER_OPTIONS.get(path.suffix, {}), **coding.muxer_options}
    stamps: list[int] = []
    with av.open(str(path), "w", options=muxer_options) as container:
        writer: _Writer | None = None
        tone: _Tone | None = None
        for index, frame in enumerate(frames):
            stored = np.ascontiguousarray(np.rot90(frame, -coding.rotation // 90))
            if writer is None:
                writer = _Writer(container, stored.shape[:2], fps, clock, coding)
                tone = _Tone(container, path) if coding.audio else None
            stamps.append(writer.write(stored, index))
            if tone is not None:
                tone.write_until(float(stamps[-1] * clock.time_base))
        if writer is None:
            raise ValueError(f"Encoding {path}: got no frames, expected at least one.")
        writer.finish()
        if tone is not None:
            tone.write_until(float(stamps[-1] * clock.time_base + 1 / fps))
            tone.finish()
    return Encoded(path=path, time_base=clock.stored_time_base, pts=tuple(map(clock.stored, stamps)))


def audio_only(path: Path, *, seconds: float = 2.0) -> None:
    """Write a file that holds a tone and no video stream; the suffix chooses the container."""
    with av.open(str(path), "w", options={"fflags": "+bitexact"}) as container:
        tone = _Tone(container, path)
        tone.write_until(seconds)
        tone.finish()


@dataclass(frozen=True, kw_only=True)
class _Clock:
    """Timestamps as the encoder counts them, and as the container rounds them."""

    path: Path
    fps: Fraction
    given: tuple[int, ...] | None
    """None counts frames."""
    time_base: Fraction
    """Of the encoder."""
    stored_time_base: Fraction
    """Of the container."""

    def stamp(self, index: int) -> int:
        """Timestamp of a frame, for the encoder."""
        if self.given is None:
            return index
        if index >= len(self.given):
            raise ValueError(f"Encoding {self.path}: got {len(self.given)} timestamps, expected one for each frame.")
        return self.given[index]

    def stored(self, stamp: int) -> int:
        """The same timestamp in the container; halves are rounded up, as FFmpeg does."""
        return math.floor(stamp * self.time_base / self.stored_time_base + Fraction(1, 2))

    def duration(self, index: int) -> int:
        """Duration of a frame, for the encoder; the last one lasts 1 / fps."""
        if self.given is None:
            return 1
        if index + 1 < len(self.given):
            return self.given[index + 1] - self.given[index]
        return max(1, round(1 / self.fps / self.time_base))


def _clock(path: Path, fps: Fraction, pts: Sequence[int] | None, time_base: Fraction | None) -> _Clock:
    """Check the timestamps against the container."""
    if pts is not None and time_base is None:
        raise ValueError(f"Encoding {path}: got pts without time_base, expected both.")
    if pts is not None and path.suffix in FIXED_RATE:
        raise ValueError(f"Encoding {path}: {path.suffix} holds no timestamps of single frames. Use .mp4 or .mkv.")
    source = time_base if pts is not None and time_base is not None else 1 / fps
    ticks = TICKS_PER_S.get(path.suffix)
    given = None if pts is None else tuple(pts)
    stored = Fraction(1, ticks) if ticks else source
    clock = _Clock(path=path, fps=fps, given=given, time_base=source, stored_time_base=stored)
    kept = [clock.stored(value) for value in given or ()]
    if any(later <= earlier for earlier, later in pairwise(kept)):
        raise ValueError(f"Encoding {path}: got timestamps that do not rise on the container's clock of {stored} s.")
    return clock


class _Writer:
    """One video stream; opened when the size of the first frame is known."""

    def __init__(
        self,
        container: av.container.OutputContainer,
        size_hw: tuple[int, ...],
        fps: Fraction,
        clock: _Clock,
        coding: Coding,
    ) -> None:
        self._container, self._clock = container, clock
        self._pix_fmt = coding.pix_fmt or PIX_FMTS.get(coding.codec, "yuv420p")
        _check_size(coding.codec, self._pix_fmt, size_hw)
        stream = container.add_stream(coding.codec, rate=fps)
        stream.height, stream.width = size_hw
        stream.pix_fmt = self._pix_fmt
        context = stream.codec_context
        context.time_base = clock.time_base
        context.thread_count = 1
        fixed = {}
        if coding.gop is not None:
            context.gop_size = coding.gop
        if coding.bframes is not None:
            context.max_b_frames = coding.bframes
            fixed = {"b_strategy": "0"} if coding.codec == "libx264" else {}  # exactly as many, not up to
        context.options = {
            "flags": "+bitexact",
            **CODEC_OPTIONS.get(coding.codec, {}),
            **fixed,
            **coding.options,
        }
        stream.time_base = clock.stored_time_base
        if coding.rotation:
            stream.set_display_rotation(coding.rotation)
        self._stream = stream
        self._units: dict[int, int] = {}
        self._reformatter = VideoReformatter()  # one for all frames: 0.4 ms instead of 2 ms a frame

    def write(self, frame: Frame, index: int) -> int:
        """Encode one frame and return its timestamp."""
        source = av.VideoFrame.from_ndarray(frame, format="rgb24")
        picture = self._reformatter.reformat(source, format=self._pix_fmt)
        picture.pts, picture.time_base = self._clock.stamp(index), self._clock.time_base
        self._units[picture.pts] = self._clock.duration(index)
        self._mux(self._stream.encode(picture))
        return int(picture.pts)

    def finish(self) -> None:
        """Write what the encoder still holds back."""
        self._mux(self._stream.encode(None))

    def _mux(self, packets: Iterable[av.Packet]) -> None:
        for packet in packets:
            packet.duration = self._units.pop(packet.pts, 1)
            self._container.mux(packet)


def _check_size(codec: str, pix_fmt: str, size_hw: tuple[int, ...]) -> None:
    """The x264 and x265 encoders refuse odd sizes with halved chroma, with an error that says little."""
    height, width = size_hw
    halved = pix_fmt.startswith(("yuv420", "yuvj420", "yuv422")) and width % 2
    halved = halved or (pix_fmt.startswith(("yuv420", "yuvj420")) and height % 2)
    if codec in ("libx264", "libx265", "libsvtav1") and halved:
        raise ValueError(
            f"{codec} with {pix_fmt}: got {width}x{height}, expected even sizes. "
            "Use pix_fmt='yuv444p' or codec='mpeg4'."
        )


class _Tone:
    """A 440 Hz tone, written block by block beside the video."""

    def __init__(self, container: av.container.OutputContainer, path: Path) -> None:
        self._container = container
        self._stream = container.add_stream(AUDIO_CODECS.get(path.suffix, "aac"), rate=AUDIO_RATE)
        self._stream.codec_context.layout = "mono"
        self._stream.codec_context.options = {"flags": "+bitexact"}
        self._written = 0

    def write_until(self, seconds: float) -> None:
        """Extend the tone to a time, in whole blocks."""
        while self._written < seconds * AUDIO_RATE:
            phase = (self._written + np.arange(AUDIO_BLOCK)) * (2 * np.pi * 440 / AUDIO_RATE)
            samples = (0.1 * np.sin(phase)).astype(np.float32)[None]
            block = av.AudioFrame.from_ndarray(samples, format="flt", layout="mono")
            block.sample_rate, block.pts, block.time_base = AUDIO_RATE, self._written, Fraction(1, AUDIO_RATE)
            self._container.mux(self._stream.encode(block))
            self._written += AUDIO_BLOCK

    def finish(self) -> None:
        """Write what the encoder still holds back."""
        self._container.mux(self._stream.encode(None))
