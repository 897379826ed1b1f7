"""Opening the bytes of a video with libav, from a local path or from any filesystem that Beam knows.

A video is one file. Formats that make libav open something else (playlists, `ffconcat`, SDP, numbered pictures) are
left out of those it may recognise, and the protocols it may use are cut down to reading local files.
"""

import contextlib
import functools
import itertools
from collections.abc import Iterator
from pathlib import Path

import av
from av.codec.hwaccel import HWAccel
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from pipeline.errors import DecodeError, LimitError, ProbeError
from pipeline.video.limits import MAX_STREAMS, STANDARD_LIMITS, VideoLimits

LEAD_ELSEWHERE = frozenset(
    "avisynth concat concatf dash hls image2 image2pipe imf lavfi rtp rtsp sap sdp vapoursynth vobsub "
    "webm_dash_manifest".split()
)
"""Formats of libav whose files name other files or addresses, or are programs."""

_LISTS = {b"#EXTM3U": "an HLS playlist", b"ffconcat version": "a list of ffconcat", b"<MPD": "a DASH manifest",
          b"v=0": "a session description (SDP)"}  # fmt: skip
_HEAD_BYTES = 4096


def local_path(uri: str) -> Path | None:
    """The path behind a plain path or `file://` uri, or None for a remote one."""
    if uri.startswith("file://"):
        return Path(uri[len("file://") :])
    return None if "://" in uri else Path(uri)


@contextlib.contextmanager
def open_bytes(uri: str) -> Iterator:
    """A seekable binary file object for `uri`.

    Raises:
        ProbeError: no filesystem that is installed has such addresses.
    """
    path = local_path(uri)
    if path is not None:
        with open(path, "rb") as file:
            yield file
        return
    from apache_beam.io.filesystem import CompressionTypes
    from apache_beam.io.filesystems import FileSystems

    try:
        FileSystems.get_filesystem(uri)
    except ValueError as error:
        scheme = uri.partition("://")[0]
        raise ProbeError(f"{uri!r}: no installed filesystem of Apache Beam reads {scheme}:// addresses. Download the "
                         "file, or install the extra of apache-beam for that storage.") from error  # fmt: skip
    with FileSystems.open(uri, compression_type=CompressionTypes.UNCOMPRESSED) as file:
        yield file


def require_regular_file(uri: str) -> None:
    """Refuse a local path that is no file, or one without an end (a pipe, a device).

    Raises:
        ProbeError: it is not there, or not a regular file.
    """
    path = local_path(uri)
    if path is not None and not path.is_file():
        raise ProbeError(f"No file at {uri!r}." if not path.exists() else f"{uri!r} is not a regular file.")


@contextlib.contextmanager
def open_video(
    uri: str, limits: VideoLimits = STANDARD_LIMITS, hardware: str | None = None
) -> Iterator[tuple[InputContainer, VideoStream]]:
    """The container at `uri` and its first real video stream (cover art does not count).

    A local path is handed to libav with the `file:` prefix, so that no name can be taken for another
    protocol; remote files are read through Beam's filesystems, never through libav's network code.

    Args:
        hardware: kind of device that is to decode, as FFmpeg names it (`cuda`), and never the processor instead.
    Raises:
        ProbeError: not a video container, no video stream in it, or a list of other files.
        LimitError: its pictures are larger than `limits`, or it has too many streams.
        DecodeError: there is no such device, or it does not decode this codec.
    """
    require_regular_file(uri)
    max_pixels = {"max_pixels": str(limits.max_pixels)}
    with contextlib.ExitStack() as stack:
        try:
            container = stack.enter_context(_container(uri, max_pixels, hardware))
        except av.error.FileNotFoundError as error:
            raise ProbeError(f"No file at {uri!r}.") from error
        except (av.error.FFmpegError, ValueError, NotImplementedError, RuntimeError) as error:
            if hardware:
                raise DecodeError(f"{uri!r} cannot be decoded by a device of kind {hardware}: {reason(error)}. "
                                  "Use --decoder pyav.") from error  # fmt: skip
            raise _not_opened(uri, error) from error
        if container.format.name.endswith("_pipe"):
            raise ProbeError(f"{uri!r} is a picture ({container.format.name}), not a video. Remove it from the input.")
        if len(container.streams) > MAX_STREAMS:
            raise LimitError(f"{uri!r} has {len(container.streams)} streams; at most {MAX_STREAMS} are read.")
        stream = _video_stream(container, uri)
        context = stream.codec_context
        # where the size is too large for `max_pixels`, libav has put 0 in its place
        check_pixels((context.height, context.width) if context.width else _claimed_hw(uri), limits, uri)
        context.options = max_pixels
        yield container, stream


@contextlib.contextmanager
def _container(uri: str, options: dict[str, str], hardware: str | None = None) -> Iterator[InputContainer]:
    """`options` are those of the decoders that libav tries out while it opens the file."""
    path = local_path(uri)
    rules = {"format_whitelist": _formats(), "protocol_whitelist": "none" if path is None else "file"}
    with contextlib.ExitStack() as stack:
        source = stack.enter_context(open_bytes(uri)) if path is None else f"file:{path}"
        device = HWAccel(device_type=hardware, allow_software_fallback=False) if hardware else None
        yield stack.enter_context(
            av.open(source, metadata_errors="replace", container_options=rules, options=options, hwaccel=device)
        )


@functools.cache
def _formats() -> str:
    return ",".join(sorted(av.formats_available - LEAD_ELSEWHERE))


def _not_opened(uri: str, error: Exception) -> ProbeError:
    with open_bytes(uri) as file:
        head = file.read(_HEAD_BYTES).lstrip(b"\xef\xbb\xbf \t\r\n")
    for mark, kind in _LISTS.items():
        if head.startswith(mark) or (mark.startswith(b"<") and mark in head):
            return ProbeError(f"{uri!r} is {kind}, which leads to other files or addresses. They are not followed: "
                              "name the videos themselves.")  # fmt: skip
    return ProbeError(f"{uri!r} cannot be opened as a video: {reason(error)}.")


def _claimed_hw(uri: str) -> tuple[int, int]:
    """Height and width of the stored pictures as the file claims them, found without any decoder; 0 for unknown."""
    with _container(uri, {"codec_whitelist": "none"}) as container:
        context = _video_stream(container, uri).codec_context
        return context.height, context.width


def check_pixels(hw: tuple[int, int], limits: VideoLimits, uri: str) -> None:
    """Refuse pictures larger than the limit.

    Raises:
        LimitError: they are.
    """
    height, width = hw
    if height * width > limits.max_pixels:
        raise LimitError(f"{uri!r} has pictures of {width} x {height}; the limit is {limits.max_pixels} pixels "
                         "(--max-pixels).")  # fmt: skip


def _video_stream(container: InputContainer, uri: str) -> VideoStream:
    streams = [s for s in container.streams.video if not s.disposition & s.disposition.attached_pic]
    if not streams:
        kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
        raise ProbeError(f"{uri!r} has no video stream (it holds {kinds}). Remove it from the input.")
    if streams[0].codec_context is None:
        raise ProbeError(f"{uri!r} uses a video codec that this build of FFmpeg cannot decode.")
    return streams[0]


def packets_from_key(container: InputContainer, stream: VideoStream, pts: int) -> Iterator[Packet]:
    """Packets from the key frame shown at `pts` on, in decoding order; nothing where it cannot be found.

    Containers without an index (MPEG-TS, MPEG-PS) seek by decoding time and land behind the key frame, so
    the search begins earlier and earlier, in the end at the start of the file.
    """
    second = int(1 / stream.time_base) if stream.time_base else 1
    first_time = stream.start_time or 0
    for target in (pts, pts - second, pts - 8 * second, first_time):
        container.seek(max(target, first_time), stream=stream)
        packets = container.demux(stream)
        for packet in packets:
            if packet.is_keyframe and packet.pts is not None and packet.pts >= pts:
                if packet.pts == pts:
                    return itertools.chain([packet], packets)
                break
    return iter(())


def reason(error: Exception) -> str:
    """libav's own words for an error, without the number and the path."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
