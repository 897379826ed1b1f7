"""One streaming decode of a segment, shared by all its consumers.

Frames come in display order with exact timestamps. Nothing is converted to RGB here: a consumer asks the
frame for the picture it wants (`Frame.picture`), and swscale makes it at that size from the decoder's own
format. A packet that does not decode costs its own frames; decoding goes on behind it, and the loss is
counted.
"""

import contextlib
import heapq
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream

from pipeline.errors import ConfigError
from pipeline.video.frames import DecodeStats, Frame, Hole
from pipeline.video.geometry import Geometry, PictureSpec
from pipeline.video.limits import STANDARD_LIMITS, VideoLimits
from pipeline.video.probe import MeasuredFacts, VideoFacts
from pipeline.video.segments import Segment
from pipeline.video.source import open_video, packets_from_key, reason

BACKENDS = ("pyav", "nvdec", "decord")


def decode(
    facts: VideoFacts,
    segment: Segment,
    stats: DecodeStats,
    *,
    backend: str = "pyav",
    threads: int = 1,
    limits: VideoLimits = STANDARD_LIMITS,
) -> Iterator[Frame]:
    """The frames from the start of `segment` to the end of the video; stop reading when there is enough.

    Args:
        stats: filled in as frames are read.
        backend: `pyav`; `nvdec`, the same with the decoder of an NVIDIA card, whose pictures come back into the
            machine's memory; or `decord` where that package is installed.
        threads: decoding threads.
        limits: pictures that are larger are not decoded, and count as lost.
    """
    if backend in ("pyav", "nvdec"):
        return _decode_pyav(facts, segment, stats, threads, limits, "cuda" if backend == "nvdec" else None)
    if backend == "decord":
        from pipeline.video.decord_backend import decode_decord

        return decode_decord(facts, segment, stats, threads, limits)
    raise ConfigError(f"Unknown decoder {backend!r}. Choose one of: {', '.join(BACKENDS)}.")


def _decode_pyav(
    facts: VideoFacts,
    segment: Segment,
    stats: DecodeStats,
    threads: int,
    limits: VideoLimits,
    hardware: str | None,
) -> Iterator[Frame]:
    clock, is_timed = facts.measured.clock, facts.measured.is_timed
    order = DisplayOrder(facts.measured, segment, stats)
    scaler = _Scaler(facts.measured.geometry, stats)
    with open_video(facts.uri, limits, hardware) as (container, stream):
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
        order.finish()


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

    def __init__(self, measured: MeasuredFacts, segment: Segment, stats: DecodeStats) -> None:
        """`stats`: gets a hole for frames of the segment that gave no picture."""
        self._stats = stats
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
        missing: list[int] = []
        while self._pending and self._pending[0] <= pts:
            waiting = heapq.heappop(self._pending)
            if waiting < pts and missing[-1:] != [waiting]:
                missing.append(waiting)
        self._next_index += len(missing)
        self._record(missing, pts)

    def finish(self) -> None:
        """Count what is still missing at the end of the stream."""
        if self._is_timed:
            self._record(sorted(set(self._pending)), self._segment.end_pts)
        else:
            self._record(range(self._next_index, self._segment.num_frames), self._segment.end_pts)

    def _record(self, missing: Sequence[int], end_pts: int) -> None:
        """A hole from the first frame that is missing in the segment to the next picture, or the segment's end."""
        ours = [pts for pts in missing if self._segment.owns(pts)]
        if ours:
            self._stats.holes.append(Hole(ours[0], min(end_pts, self._segment.end_pts), len(ours)))


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
