"""Facts about a video file, in two groups that never mix: what its header claims, and what was measured.

Measuring reads every packet of the video stream (no decoding) and decodes one picture. It gives the exact
timestamps of all displayed frames, the places where decoding can start, and the display geometry.
"""

import hashlib
import math
from array import array
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream

from pipeline.errors import LimitError, ProbeError
from pipeline.isolation import beat
from pipeline.video.geometry import Geometry
from pipeline.video.limits import STANDARD_LIMITS, VideoLimits
from pipeline.video.source import check_pixels, local_path, open_bytes, open_video, reason, require_regular_file
from pipeline.video.timebase import Clock

_PACKETS_PER_BEAT = 4096
COUNTED_CONTAINERS = {"avi", "h264", "hevc", "m4v", "mpegvideo"}
"""Containers without presentation times: a frame's time is its place in display order over the rate."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HeaderFacts:
    """What the container says of itself. May be absent or wrong; nothing is computed from it."""

    container: str
    codec: str
    width: int
    height: int
    duration_s: float | None
    num_frames: int | None
    fps: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class MeasuredFacts:
    """What was found by reading the packets and decoding one picture."""

    num_frames: int
    """Displayed frames: packets not discarded by an edit list, from the first key frame on."""
    duration_s: float
    """From the first displayed frame to the end of the last one."""
    fps: float
    """Mean rate over the whole file; the nominal one where the two agree to 0.1 %."""
    is_vfr: bool
    """Frame intervals differ by more than one tick and more than a millisecond."""
    is_timed: bool
    """False where the container has no presentation times (AVI): `pts` is then the frame's index."""
    clock: Clock
    end_pts: int
    """End of the last displayed frame (exclusive)."""
    geometry: Geometry
    pixel_format: str
    bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoFacts:
    """All facts of one video file."""

    uri: str
    header: HeaderFacts
    measured: MeasuredFacts


@dataclass(kw_only=True, slots=True)
class PacketIndex:
    """Timestamps of the displayed frames, sorted, and of those at which decoding can start."""

    pts: np.ndarray
    """(N,) int64, ascending."""
    key_pts: np.ndarray
    """(K,) int64, ascending; the first is where the stream begins."""
    last_duration: int | None
    """Ticks the last packet says it lasts."""


@dataclass(kw_only=True, slots=True)
class _PacketScan:
    pts: array = field(default_factory=lambda: array("q"))
    key_pts: list[int] = field(default_factory=list)
    untimed: int = 0
    count: int = 0
    last: tuple[int, int | None] = (-(2**63), None)


def probe(uri: str, limits: VideoLimits = STANDARD_LIMITS) -> tuple[VideoFacts, PacketIndex]:
    """Read the facts of the video at `uri`.

    Raises:
        ProbeError: the file is empty, is no video, has no video stream, or no picture of it decodes.
        LimitError: it is larger than `limits`.
    """
    size, digest = _identity(uri)
    if size == 0:
        raise ProbeError(f"{uri!r} is empty (0 bytes). Copy or download it again.")
    with open_video(uri, limits) as (container, stream):
        header = _header(container, stream)
        scan = _scan(container, stream, limits, uri)
    timed = scan.untimed == 0 and not COUNTED_CONTAINERS & set(header.container.split(","))
    with open_video(uri, limits) as (container, stream):
        geometry, pixel_format = _first_picture(container, stream, limits, uri)
        check_pixels(geometry.display_hw, limits, uri)
        rate = stream.average_rate or stream.guessed_rate or Fraction(25)
        time_base = stream.time_base if timed and stream.time_base else 1 / rate
    index = _index(scan, timed, uri)
    measured = _measure(index, Fraction(time_base), rate, timed, geometry, pixel_format, size, digest)
    if not measured.duration_s <= limits.max_duration_s:
        raise LimitError(f"{uri!r} lasts {measured.duration_s:g} s by its timestamps; the limit is "
                         f"{limits.max_duration_s:g} s (--max-duration-s).")  # fmt: skip
    return VideoFacts(uri=uri, header=header, measured=measured), index


def read_header(uri: str, limits: VideoLimits = STANDARD_LIMITS) -> HeaderFacts:
    """What the container says, without reading the packets; probes whatever it must.

    Raises:
        ProbeError: not a video.
        LimitError: its pictures are larger than `limits`.
    """
    with open_video(uri, limits) as (container, stream):
        return _header(container, stream)


def _identity(uri: str) -> tuple[int, str]:
    require_regular_file(uri)
    path = local_path(uri)
    most = path.stat().st_size if path is not None else math.inf
    digest = hashlib.sha256()
    size = 0
    with open_bytes(uri) as file:
        while block := file.read(1 << 20):
            beat("probe")
            digest.update(block)
            size += len(block)
            if size > most:
                raise ProbeError(f"{uri!r} grew while it was read. Run again when it is complete.")
    return size, digest.hexdigest()


def _header(container: InputContainer, stream: VideoStream) -> HeaderFacts:
    duration = None
    if stream.duration is not None and stream.time_base is not None:
        duration = float(stream.duration * stream.time_base)
    elif container.duration is not None:
        duration = container.duration / 1e6
    return HeaderFacts(
        container=container.format.name,
        codec=stream.codec_context.codec.canonical_name,
        width=stream.codec_context.width,
        height=stream.codec_context.height,
        duration_s=duration,
        num_frames=stream.frames or None,
        fps=float(stream.average_rate) if stream.average_rate else None,
    )


def _scan(container: InputContainer, stream: VideoStream, limits: VideoLimits, uri: str) -> _PacketScan:
    """Read all packets; a file that breaks off keeps what was read before."""
    scan = _PacketScan()
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except (StopIteration, ValueError, OSError):
            return scan
        if packet.size == 0:
            continue
        scan.count += 1
        if scan.count > limits.max_frames:
            raise LimitError(f"{uri!r} has more than {limits.max_frames} frames, the limit (--max-frames).")
        if scan.count % _PACKETS_PER_BEAT == 0:
            beat("probe")
        if packet.pts is None:
            scan.untimed += 1
            continue
        if packet.is_keyframe:
            scan.key_pts.append(packet.pts)
        if not packet.is_discard:
            scan.pts.append(packet.pts)
            scan.last = max(scan.last, (packet.pts, packet.duration))


def _first_picture(
    container: InputContainer, stream: VideoStream, limits: VideoLimits, uri: str
) -> tuple[Geometry, str]:
    error: Exception | None = None
    stream.codec_context.thread_count = 1
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            break
        except (ValueError, OSError) as broken:
            error = broken
            break
        try:
            for frame in packet.decode():
                return Geometry.of_frame(frame, stream.sample_aspect_ratio), frame.format.name
        except (ValueError, OSError) as damaged:
            error = damaged
    why = f": {reason(error)}" if error else ""
    if not stream.codec_context.width:  # neither file nor decoder gives a size that is within the limit
        why += f" (pictures of no size, or of more than {limits.max_pixels} pixels, --max-pixels)"
    raise ProbeError(f"{uri!r} opens, but not one picture of it can be decoded{why}.")


def _index(scan: _PacketScan, timed: bool, uri: str) -> PacketIndex:
    if not timed:
        pts = np.arange(scan.count, dtype=np.int64)
        return PacketIndex(pts=pts, key_pts=pts[:1], last_duration=1)
    if not scan.pts:
        raise ProbeError(f"{uri!r} has no packet with a picture in its video stream.")
    pts = np.unique(np.frombuffer(scan.pts, dtype=np.int64))
    key_pts = np.unique(np.array(scan.key_pts or [pts[0]], dtype=np.int64))
    pts = pts[pts >= key_pts[0]] if (pts >= key_pts[0]).any() else pts
    return PacketIndex(pts=pts, key_pts=key_pts, last_duration=scan.last[1] or None)


def _measure(
    index: PacketIndex,
    time_base: Fraction,
    rate: Fraction,
    timed: bool,
    geometry: Geometry,
    pixel_format: str,
    size: int,
    digest: str,
) -> MeasuredFacts:
    pts = index.pts
    steps = np.diff(pts)
    typical = int(np.median(steps)) if len(steps) else max(1, round(1 / rate / time_base))
    end_pts = int(pts[-1]) + (index.last_duration or typical)
    duration = float((end_pts - int(pts[0])) * time_base)
    spread_s = float(np.abs(steps - typical).max() * time_base) if len(steps) else 0.0
    return MeasuredFacts(
        num_frames=len(pts),
        duration_s=duration,
        fps=_mean_fps(pts, time_base, rate),
        is_vfr=bool(spread_s > max(1.001e-3, 1.001 * float(time_base))),
        is_timed=timed,
        clock=Clock(start_pts=int(pts[0]), time_base=time_base),
        end_pts=end_pts,
        geometry=geometry,
        pixel_format=pixel_format,
        bytes=size,
        sha256=digest,
    )


def _mean_fps(pts: np.ndarray, time_base: Fraction, nominal: Fraction) -> float:
    if len(pts) < 2:
        return float(nominal)
    measured = float((len(pts) - 1) / ((int(pts[-1]) - int(pts[0])) * time_base))
    return float(nominal) if abs(measured / float(nominal) - 1) < 1e-3 else measured


def read_index(uri: str, is_timed: bool, limits: VideoLimits = STANDARD_LIMITS) -> PacketIndex:
    """The packet index alone, for a video that was probed before."""
    with open_video(uri, limits) as (container, stream):
        return _index(_scan(container, stream, limits, uri), is_timed, uri)
