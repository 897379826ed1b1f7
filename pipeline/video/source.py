"""Opening the bytes of a video with libav, from a local path or from any filesystem that Beam knows."""

import contextlib
import itertools
from collections.abc import Iterator
from pathlib import Path

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from pipeline.errors import ProbeError


def local_path(uri: str) -> Path | None:
    """The path behind a plain path or `file://` uri, or None for a remote one."""
    if uri.startswith("file://"):
        return Path(uri[len("file://") :])
    return None if "://" in uri else Path(uri)


@contextlib.contextmanager
def open_bytes(uri: str) -> Iterator:
    """A seekable binary file object for `uri`."""
    path = local_path(uri)
    if path is not None:
        with open(path, "rb") as file:
            yield file
        return
    from apache_beam.io.filesystem import CompressionTypes
    from apache_beam.io.filesystems import FileSystems

    with FileSystems.open(uri, compression_type=CompressionTypes.UNCOMPRESSED) as file:
        yield file


@contextlib.contextmanager
def open_video(uri: str) -> Iterator[tuple[InputContainer, VideoStream]]:
    """The container at `uri` and its first real video stream (cover art does not count).

    A local path is handed to libav with the `file:` prefix, so that no name can be taken for another
    protocol; remote files are read through Beam's filesystems, never through libav's network code.

    Raises:
        ProbeError: not a video container, or no video stream in it.
    """
    path = local_path(uri)
    with contextlib.ExitStack() as stack:
        source = f"file:{path}" if path is not None else stack.enter_context(open_bytes(uri))
        try:
            container = stack.enter_context(av.open(source, metadata_errors="replace"))
        except av.error.FileNotFoundError as error:
            raise ProbeError(f"No file at {uri!r}.") from error
        except (av.error.FFmpegError, ValueError) as error:
            raise ProbeError(f"{uri!r} cannot be opened as a video: {reason(error)}.") from error
        if container.format.name == "image2" or container.format.name.endswith("_pipe"):
            raise ProbeError(f"{uri!r} is a picture ({container.format.name}), not a video. Remove it from the input.")
        yield container, _video_stream(container, uri)


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
