"""Groups of pictures (GOPs) of a video, from one pass over its packets without decoding.

A group begins at an I-picture, as in the original of CoViAR, whether or not decoding can start there; `key_packet` says
where it starts. B-pictures belong to no group.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from av.bitstream import BitStreamFilterContext
from av.packet import Packet
from av.video.stream import VideoStream
from numpy.typing import NDArray

from extractors.compressed.picture_kinds import coded_picture, nal_length_bytes
from pipeline.errors import ProbeError
from pipeline.video.probe import COUNTED_CONTAINERS

_X264_BUILD = re.compile(rb"x264 - core (\d+)")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Gop:
    """Pictures that are traced back to the first of them.

    `frames`, `pts`, `times_s` and `packets` have one entry for each position: 0 is the I-frame, then come the P-frames.
    """

    index: int
    frames: NDArray[np.int64]
    """Places in display order over the whole video, in which B-frames count."""
    pts: NDArray[np.int64]
    """Ticks of the stream's clock; equal to `frames` in containers without presentation times."""
    times_s: NDArray[np.float64]
    """Seconds from the first displayed frame of the video."""
    start_s: float
    end_s: float
    """Start of the next group, or end of the video."""
    packets: NDArray[np.int64]
    """Numbers of their packets, in the order of the file."""
    key_packet: int
    """Number of the packet at which decoding starts."""
    key_pts: int | None
    """Time of that packet as the container gives it."""

    @property
    def length(self) -> int:
        """Positions: the I-frame and its P-frames."""
        return len(self.packets)


@dataclass(kw_only=True, slots=True)
class PacketScan:
    """What the packets of a stream say; one entry for each, in the order of the file."""

    kinds: list[str] = field(default_factory=list)
    """`I`, `P`, `B`, or empty where no picture begins."""
    is_reference: list[bool] = field(default_factory=list)
    is_entry: list[bool] = field(default_factory=list)
    """An I-picture at which the container says that decoding can start."""
    is_shown: list[bool] = field(default_factory=list)
    """False for what an edit list leaves out."""
    pts: array = field(default_factory=lambda: array("q"))
    untimed: int = 0
    x264_build: str | None = None
    """Of the encoder, from the first packet, which alone names it."""
    last_shown: tuple[int, int] = (-(2**63), 0)
    """Time and duration of the packet that is shown last."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Display:
    """When the pictures of all packets are shown."""

    frames: NDArray[np.int64]
    """(packets,) place in display order; -1 for what is not shown."""
    pts: NDArray[np.int64]
    times_s: NDArray[np.float64]
    num_frames: int
    end_s: float


def single_pictures(packets: Iterable[Packet], stream: VideoStream) -> Iterator[Packet]:
    """Packets with one picture each: some MPEG-4 streams in AVI pack a P- and a B-picture together (DivX)."""
    if stream.codec_context.codec.canonical_name != "mpeg4":
        yield from (packet for packet in packets if packet.size)
        return
    unpack = BitStreamFilterContext("mpeg4_unpack_bframes", stream)
    for packet in packets:
        if packet.size:
            yield from unpack.filter(packet)


def scan_packets(packets: Iterator[Packet], stream: VideoStream) -> PacketScan:
    """Read all packets; of a file that breaks off, those before."""
    context = stream.codec_context
    length_bytes = nal_length_bytes(context.extradata)
    scan = PacketScan()
    while True:
        try:
            packet = next(packets)
        except (StopIteration, ValueError, OSError):
            return scan
        if not scan.kinds and (build := _X264_BUILD.search(bytes(packet))):
            scan.x264_build = build[1].decode()
        picture = coded_picture(
            context.codec.canonical_name, memoryview(packet), is_key=packet.is_keyframe, length_bytes=length_bytes
        )
        scan.kinds.append(picture.kind if picture else "")
        scan.is_reference.append(picture is not None and picture.is_reference)
        scan.is_entry.append(picture is not None and picture.kind == "I" and packet.is_keyframe)
        scan.is_shown.append(picture is not None and not packet.is_discard)
        scan.pts.append(packet.pts if packet.pts is not None else 0)
        scan.untimed += packet.pts is None
        if scan.is_shown[-1] and packet.pts is not None:
            scan.last_shown = max(scan.last_shown, (packet.pts, packet.duration or 0))


def find_gops(
    scan: PacketScan, stream: VideoStream, container_name: str, *, max_gop: int | None, path: str
) -> tuple[list[Gop], int, float]:
    """The groups in order of time, the number of displayed frames (B-frames too), and the end in seconds.

    Raises:
        ProbeError: there is no key frame, or none of the pictures behind it is shown.
    """
    if True not in scan.is_entry:
        raise ProbeError(f"{path!r} has no key frame in its video stream. Copy or download it again.")
    first = scan.is_entry.index(True)
    is_timed = not scan.untimed and not COUNTED_CONTAINERS & set(container_name.split(","))
    display = _timed_display(scan, stream, first) if is_timed else _counted_display(scan, stream, first)
    parts = list(_parts(scan, display, first, max_gop))
    if not parts:
        raise ProbeError(f"{path!r} shows no I- or P-picture. Copy or download it again.")
    starts_s = [float(display.times_s[packets[0]]) for _, packets in parts]
    gops = [
        Gop(
            index=index,
            frames=display.frames[packets],
            pts=display.pts[packets],
            times_s=display.times_s[packets],
            start_s=starts_s[index],
            end_s=starts_s[index + 1] if index + 1 < len(parts) else display.end_s,
            packets=packets,
            key_packet=key,
            key_pts=scan.pts[key] if is_timed else None,
        )
        for index, (key, packets) in enumerate(parts)
    ]
    return gops, display.num_frames, display.end_s


def _parts(
    scan: PacketScan, display: _Display, first: int, max_gop: int | None
) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Where to start decoding, and the packets of the pictures, of each group or part of one."""
    anchors = [n for n in range(first, len(scan.kinds)) if scan.kinds[n] in ("I", "P")]
    starts = [i for i, n in enumerate(anchors) if scan.kinds[n] == "I"]
    key = first
    for start, end in zip(starts, [*starts[1:], len(anchors)], strict=True):
        key = anchors[start] if scan.is_entry[anchors[start]] else key
        shown = np.array([n for n in anchors[start:end] if display.frames[n] >= 0], np.int64)
        step = max_gop or max(1, len(shown))
        yield from ((key, shown[at : at + step]) for at in range(0, len(shown), step))


def _timed_display(scan: PacketScan, stream: VideoStream, first: int) -> _Display:
    """By presentation times; what is shown before the first key frame does not count."""
    pts = np.frombuffer(scan.pts, np.int64)
    shown = np.array(scan.is_shown) & (pts >= scan.pts[first])
    if not shown.any():
        shown = np.array(scan.is_shown)
    shown_pts = np.unique(pts[shown])
    frames = np.where(shown, np.searchsorted(shown_pts, pts), -1)
    start = int(shown_pts[0]) if len(shown_pts) else 0
    time_base = Fraction(stream.time_base or 1)
    typical = int(np.median(np.diff(shown_pts))) if len(shown_pts) > 1 else 0
    end = scan.last_shown[0] + (scan.last_shown[1] or typical)
    return _Display(
        frames=frames,
        pts=pts,
        times_s=np.multiply(pts - start, float(time_base), dtype=np.float64),
        num_frames=len(shown_pts),
        end_s=float((end - start) * time_base),
    )


def _counted_display(scan: PacketScan, stream: VideoStream, first: int) -> _Display:
    """By counting: a picture is shown behind the B-pictures that follow it in the file."""
    shown = [n for n in range(first, len(scan.kinds)) if scan.is_shown[n]]
    order: list[int] = []
    waiting: list[int] = []
    for n in shown:
        if scan.kinds[n] != "B":
            order += waiting
            waiting = []
        (order if scan.kinds[n] == "B" else waiting).append(n)
    order += waiting
    frames = np.full(len(scan.kinds), -1, np.int64)
    frames[order] = np.arange(len(order))
    rate = stream.average_rate or stream.guessed_rate or Fraction(25)
    return _Display(
        frames=frames, pts=frames, times_s=frames / float(rate), num_frames=len(order), end_s=float(len(order) / rate)
    )
