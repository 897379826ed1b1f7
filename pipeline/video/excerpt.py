"""A part of a video as a file of its own, by copying packets: nothing is decoded or encoded."""

from pathlib import Path

import av

from pipeline.errors import ProbeError
from pipeline.video.limits import STANDARD_LIMITS, VideoLimits
from pipeline.video.source import open_video, reason


def copy_excerpt(
    uri: str, target: Path, *, start_s: float, seconds: float, limits: VideoLimits = STANDARD_LIMITS
) -> float:
    """Write the video stream of `uri` from the last key frame at or before `start_s` on; the seconds written.

    Args:
        target: a Matroska file, which takes nearly every codec.
        start_s: seconds after the first timestamp of the stream.
        seconds: least length; the copy ends with the packet that completes it, or with the video.
    Raises:
        ProbeError: the video cannot be opened, has no packets there, or has a codec that cannot be copied.
    """
    with open_video(uri, limits) as (reader, stream), av.open(str(target), "w") as writer:
        try:
            copy = writer.add_stream_from_template(stream, opaque=True)
        except (ValueError, av.error.FFmpegError) as error:
            raise ProbeError(f"{uri!r}: packets of {stream.codec_context.name} cannot be copied ({error}).") from error
        base = stream.time_base
        if base is None:
            raise ProbeError(f"{uri!r} has no time base.")
        reader.seek(int(start_s / base) + (stream.start_time or 0), stream=stream)
        first, end = None, 0.0
        try:
            for packet in reader.demux(stream):
                if packet.dts is None or not packet.size or (first is None and not packet.is_keyframe):
                    continue
                first = packet.dts if first is None else first
                packet.dts -= first
                packet.pts = (packet.pts or packet.dts) - first
                end = max(end, float((packet.pts + (packet.duration or 0)) * base))
                packet.stream = copy
                writer.mux(packet)
                if end >= seconds:
                    break
        except (ValueError, OSError) as error:
            if not end:
                raise ProbeError(f"{uri!r} cannot be read at {start_s:.0f} s: {reason(error)}.") from error
    if not end:
        raise ProbeError(f"{uri!r} has no packets at {start_s:.0f} s.")
    return end
