"""Write videos anew as streams that the compressed-domain method is made for: short groups of I- and P-frames.

`mpeg4` is the stream preparation of CoViAR's code: MPEG-4 Part 2, 340x256 whatever the aspect, bicubic, square pixels,
`-q:v 1` (which FFmpeg's encoder limits to 2), groups of 12, no B-frames, one half-pixel vector for each 16x16 block.
`h264` has quarter-pixel vectors of 16x16 to 8x8 blocks: groups of equal length, no B-frames, one reference frame, no
weighted prediction, so that every vector leads to the picture before.

Frames keep their times; sound is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.video.frame import PictureType, VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from pipeline.errors import DecodeError
from pipeline.new_file import new_file
from pipeline.video.geometry import Geometry
from pipeline.video.probe import COUNTED_CONTAINERS
from pipeline.video.recoding import Recoding
from pipeline.video.source import open_video, reason

_MOST_TICKS = 65_535
"""Of a second, in MPEG-4 Part 2."""


@dataclass(frozen=True, kw_only=True)
class Recompressed:
    """What was written."""

    path: Path
    num_frames: int
    bytes: int
    damage: str | None
    """The first thing in the input that could not be decoded; its frames are missing."""


def recompress(uri: str, path: Path, recoding: Recoding) -> Recompressed:
    """Write the video at `uri` to `path`, an MP4 file that appears when it is whole.

    Raises:
        ProbeError: `uri` holds no video.
        DecodeError: not one picture of it can be decoded.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with new_file(path) as partial:
        with open_video(uri) as (container, stream):
            pictures = _Pictures(container, stream)
            with av.open(f"file:{partial}", "w", format="mp4", options={"fflags": "+bitexact"}) as output:
                count = _write(pictures, output, recoding)
        if not count:
            raise DecodeError(f"{uri!r} opens, but not one picture of it can be decoded: {pictures.damage}.")
        size = partial.stat().st_size
    return Recompressed(path=path, num_frames=count, bytes=size, damage=pictures.damage)


class _Pictures:
    """Decoded pictures in display order with rising times; a packet that does not decode costs its own."""

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        self.damage: str | None = None
        self.rate = Fraction(stream.average_rate or stream.guessed_rate or 25)
        self.stream = stream
        self._container = container
        is_timed = not COUNTED_CONTAINERS & set(container.format.name.split(","))
        self.time_base = Fraction(stream.time_base) if is_timed and stream.time_base else 1 / self.rate
        self._is_timed = is_timed

    def __iter__(self) -> Iterator[tuple[int, VideoFrame]]:
        """Ticks of `time_base` from the first picture, and the picture."""
        first = last = None
        for count, frame in enumerate(self._decoded()):
            pts = frame.pts if self._is_timed and frame.pts is not None else count
            if last is None or pts > last:
                first = pts if first is None else first
                last = pts
                yield pts - first, frame

    def _decoded(self) -> Iterator[VideoFrame]:
        self.stream.thread_type = "AUTO"
        packets = self._container.demux(self.stream)
        packet: Packet | None
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except (ValueError, OSError) as error:
                self._note(error)
                packet = None
            try:
                yield from self.stream.codec_context.decode(packet)
            except (ValueError, OSError) as error:
                self._note(error)
            if packet is None:
                return

    def _note(self, error: Exception) -> None:
        self.damage = self.damage or reason(error)


class _Scaler:
    """Upright pictures of the size to write."""

    def __init__(self, size: tuple[int, int] | None) -> None:
        self._size = size
        self._scaler, self._to_rgb = VideoReformatter(), VideoReformatter()

    def __call__(self, frame: VideoFrame) -> VideoFrame:
        turns = Geometry.of_frame(frame, None).rotation_deg // 90
        if turns:
            rgb = self._to_rgb.reformat(frame, format="rgb24", interpolation=Interpolation.BICUBIC).to_ndarray()
            upright: NDArray[np.uint8] = np.ascontiguousarray(np.rot90(rgb, turns), dtype=np.uint8)
            frame = VideoFrame.from_ndarray(upright, format="rgb24")
        width, height = self._size or (frame.width // 2 * 2, frame.height // 2 * 2)
        return self._scaler.reformat(
            frame, width=width, height=height, format="yuv420p", interpolation=Interpolation.BICUBIC
        )


def _write(pictures: _Pictures, output: OutputContainer, recoding: Recoding) -> int:
    """Encode and write all pictures; how many.

    The encoder counts pictures, the container has the times: MPEG-4 Part 2 knows no clocks as fine as those of MP4.
    """
    scale = _Scaler(recoding.size)
    stream = None
    times: list[int] = []
    written = 0
    for at, frame in pictures:
        picture = scale(frame)
        if stream is None:
            stream = _stream(output, recoding, picture, pictures)
        picture.pts, picture.time_base = len(times), stream.codec_context.time_base
        picture.pict_type = PictureType.NONE  # or encoders repeat the kinds of the input
        times.append(at)
        written += _mux(output, stream.encode(picture), times, written, pictures.time_base)
    if stream is not None:
        _mux(output, stream.encode(None), times, written, pictures.time_base)
    return len(times)


def _stream(output: OutputContainer, recoding: Recoding, picture: VideoFrame, pictures: _Pictures) -> VideoStream:
    encoder, options = recoding.encoder()
    rate = pictures.rate.limit_denominator(1001)
    rate = rate if rate.numerator <= _MOST_TICKS else Fraction(25)
    stream = output.add_stream(encoder, rate=rate)
    assert isinstance(stream, VideoStream)
    stream.width, stream.height, stream.pix_fmt = picture.width, picture.height, "yuv420p"
    context = stream.codec_context
    context.time_base = 1 / rate
    context.thread_count = 1
    context.gop_size, context.max_b_frames = recoding.gop, 0
    if recoding.size is None and pictures.stream.sample_aspect_ratio:
        context.sample_aspect_ratio = pictures.stream.sample_aspect_ratio
    context.options = options
    stream.time_base = pictures.time_base
    return stream


def _mux(output: OutputContainer, packets: list[Packet], times: list[int], written: int, time_base: Fraction) -> int:
    """Write packets, which are in display order, with their times; how many."""
    for number, packet in enumerate(packets, start=written):
        packet.pts = packet.dts = times[number]
        packet.time_base = time_base
        packet.duration = max(1, times[number] - times[number - 1]) if number else 1
        output.mux(packet)
    return len(packets)
