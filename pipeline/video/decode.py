"""One streaming decode of a segment, shared by all its consumers.

Frames come in display order with exact timestamps. Nothing is converted to RGB here: a consumer asks the
frame for the picture it wants (`Frame.picture`), and swscale makes it at that size from the decoder's own
format. A packet that does not decode costs its own frames; decoding goes on behind it, and the loss is
counted.
"""

import contextlib
import heapq
from collections.abc import Callable, Iterator

import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream

from pipeline.errors import ConfigError
from pipeline.video.frames import DecodeStats, Frame
from pipeline.video.geometry import Geometry, PictureSpec
from pipeline.video.probe import MeasuredFacts, VideoFacts
from pipeline.video.segments import Segment
from pipeline.video.source import open_video, packets_from_key, reason

BACKENDS = ("pyav", "decord")


def decode(
    facts: VideoFacts, segment: Segment, stats: DecodeStats, *, backend: str = "pyav", threads: int = 1
) -> Iterator[Frame]:
    """The frames from the start of `segment` to the end of the video; stop reading when there is enough.

    Args:
        stats: filled in as frames are read.
        backend: `pyav`, or `decord` where that package is installed.
        threads: decoding threads.
    """
    if backend == "pyav":
        return _decode_pyav(facts, segment, stats, threads)
    if backend == "decord":
        from pipeline.video.decord_backend import decode_decord

        return decode_decord(facts, segment, stats, threads)
    raise ConfigError(f"Unknown decoder {backend!r}. Choose one of: {', '.join(BACKENDS)}.")


def _decode_pyav(facts: VideoFacts, segment: Segment, stats: DecodeStats, threads: int) -> Iterator[Frame]:
    clock, is_timed = facts.measured.clock, facts.measured.is_timed
    order = DisplayOrder(facts.measured, segment)
    scaler = _Scaler(facts.measured.geometry, stats)
    with open_video(facts.uri) as (container, stream):
        stream.codec_context.thread_count = threads
        stream.thread_type = "FRAME" if threads > 1 else "NONE"
        if segment.index and facts.header.codec == "h264" and "444" in facts.measured.pixel_format:
            _show_encoder_version(container, stream)
            stats.frames_decoded += 1
        for frame in _pictures(container, stream, segment, order, stats, facts):
            stats.frames_decoded += 1
            place = order.place(frame.pts if is_timed else None)
            if place is None:
                continue
            index, pts, previous = place
            convert = scaler.converter(frame)
            yield Frame(index=index, pts=pts, at_s=clock.seconds(pts), previous_pts=previous, _convert=convert)
            stats.frames_lost = order.lost
        order.finish()
        stats.frames_lost = order.lost


def _show_encoder_version(container: InputContainer, stream: VideoStream) -> None:
    """Let the decoder see the first packet, before a seek to a later one.

    Old x264 builds wrote 4:4:4 wrongly, and libavcodec corrects for it when it knows the build; only the
    first packet of a stream names it (`cockatoo.mp4` of the test clips).
    """
    first = next(packet for packet in container.demux(stream) if packet.size)
    with contextlib.suppress(ValueError, OSError):
        first.decode()
    stream.codec_context.flush_buffers()


class DisplayOrder:
    """Gives every decoded picture its place in display order, from the packets that were fed so far.

    The place is a rank among packet timestamps, not a count of pictures. So a frame that cannot be decoded
    leaves a hole, and the frames behind it keep their index in a split and in an unsplit run alike.
    """

    def __init__(self, measured: MeasuredFacts, segment: Segment) -> None:
        self.lost = 0
        self._segment = segment
        self._is_timed = measured.is_timed
        self._next_index = segment.start_frame
        self._previous = segment.previous_pts
        self._pending: list[int] = []

    def feed(self, packet: Packet) -> None:
        """Take note of a packet before it is decoded."""
        if not self._is_timed or packet.is_discard or packet.pts is None or packet.pts < self._segment.start_pts:
            return
        heapq.heappush(self._pending, packet.pts)

    def place(self, pts: int | None) -> tuple[int, int, int | None] | None:
        """`(index, pts, previous pts)` of the next picture, or None for one that is not displayed."""
        if not self._is_timed:
            pts = self._next_index
        elif pts is None or pts < self._segment.start_pts or (self._previous is not None and pts <= self._previous):
            return None
        else:
            self._skip_to(pts)
        index, previous = self._next_index, self._previous
        self._next_index += 1
        self._previous = pts
        return index, pts, previous

    def _skip_to(self, pts: int) -> None:
        """Drop the packets shown before `pts` that gave no picture, and the one of `pts` itself."""
        last = None
        while self._pending and self._pending[0] <= pts:
            waiting = heapq.heappop(self._pending)
            if waiting < pts and waiting != last:
                self._next_index += 1
                self.lost += self._segment.owns(waiting)
            last = waiting

    def finish(self) -> None:
        """Count what is still missing at the end of the stream."""
        if self._is_timed:
            self.lost += sum(self._segment.owns(pts) for pts in set(self._pending))
        else:
            self.lost += max(0, self._segment.num_frames - self._next_index)


def _pictures(
    container: InputContainer,
    stream: VideoStream,
    segment: Segment,
    order: DisplayOrder,
    stats: DecodeStats,
    facts: VideoFacts,
) -> Iterator[VideoFrame]:
    clock = facts.measured.clock
    for packet in _packets_from(container, stream, segment, stats):
        order.feed(packet)
        try:
            yield from packet.decode()
        except (ValueError, OSError) as error:
            at_s = clock.seconds(packet.pts) if facts.measured.is_timed and packet.pts is not None else None
            stats.record_error(reason(error), at_s)


def _packets_from(
    container: InputContainer, stream: VideoStream, segment: Segment, stats: DecodeStats
) -> Iterator[Packet]:
    """Packets from the start of `segment` on, in decoding order, ending with the flush packet.

    Where the container itself is broken, reading stops there.
    """
    packets = packets_from_key(container, stream, segment.start_pts) if segment.index else container.demux(stream)
    while True:
        try:
            yield next(packets)
        except StopIteration:
            return
        except (ValueError, OSError) as error:
            stats.record_error(reason(error), None)
            flush = Packet()
            flush.stream = stream
            yield flush
            return


class _Scaler:
    """Makes pictures from decoded frames; one swscale context for each size and format asked for."""

    def __init__(self, geometry: Geometry, stats: DecodeStats) -> None:
        self._geometry = geometry
        self._stats = stats
        self._contexts: dict[PictureSpec, tuple[VideoReformatter, int, int]] = {}

    def converter(self, frame: VideoFrame) -> Callable[[PictureSpec], np.ndarray]:
        def convert(spec: PictureSpec) -> np.ndarray:
            self._stats.pictures_converted += 1
            if spec not in self._contexts:
                self._contexts[spec] = (VideoReformatter(), *self._geometry.scaled_hw(spec))
            scaler, height, width = self._contexts[spec]
            shrinks = height < frame.height or width < frame.width
            scaled = scaler.reformat(
                frame,
                width=width,
                height=height,
                format=spec.format,
                interpolation=Interpolation.AREA if shrinks else Interpolation.BILINEAR,
                threads=1,
            )
            return self._geometry.upright(scaled.to_ndarray())

        return convert
