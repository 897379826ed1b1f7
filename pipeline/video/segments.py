"""Cut a video into half-open units of work, at places where decoding can start.

    frames   |k....k....k....k....k....k....|     k = key frame
    segment  |---------)---------)----------)     every frame is owned by exactly one segment
    reads    |---------+h)                        h = halo: as far past its end as the extractors look

Segments begin only at key frames, so no picture is decoded to be thrown away before a segment. Extractors
look forward only, and what they make of a clip belongs to the segment in which the clip starts.
"""

from dataclasses import dataclass

import numpy as np
from av.video.frame import PictureType

from pipeline.errors import ConfigError
from pipeline.video.limits import STANDARD_LIMITS, VideoLimits
from pipeline.video.probe import MeasuredFacts, PacketIndex
from pipeline.video.source import open_video, packets_from_key


@dataclass(frozen=True, kw_only=True, slots=True)
class Segment:
    """The frames with `start_pts <= pts < end_pts`."""

    index: int
    start_pts: int
    end_pts: int
    start_frame: int
    """Index of the first frame in display order over the whole video."""
    num_frames: int
    previous_pts: int | None
    """Timestamp of the frame before the segment; None at the start of the video."""

    def owns(self, pts: int) -> bool:
        """Whether a frame, or something that starts at it, belongs to this segment."""
        return self.start_pts <= pts < self.end_pts


def plan_segments(
    uri: str, measured: MeasuredFacts, index: PacketIndex, segment_s: float, limits: VideoLimits = STANDARD_LIMITS
) -> tuple[list[Segment], int]:
    """Segments of about `segment_s` seconds, and the number of pictures decoded to check the cuts.

    A segment ends at the first usable key frame at or after its nominal length; a video without key frames
    inside, or without presentation times, stays whole.
    """
    if not segment_s > 0:
        raise ConfigError(f"Segments must last longer than 0 s: got {segment_s}.")
    candidates = _nominal_cuts(measured, index, segment_s) if measured.is_timed else []
    cuts, decoded = _decodable(uri, candidates, limits)
    starts = [measured.clock.start_pts, *cuts]
    ends = [*cuts, measured.end_pts]
    first_frames = [int(n) for n in np.searchsorted(index.pts, [*starts, measured.end_pts])]
    segments = [
        Segment(
            index=i,
            start_pts=start,
            end_pts=end,
            start_frame=first_frames[i],
            num_frames=first_frames[i + 1] - first_frames[i],
            previous_pts=int(index.pts[first_frames[i] - 1]) if i else None,
        )
        for i, (start, end) in enumerate(zip(starts, ends, strict=True))
    ]
    return segments, decoded


def _nominal_cuts(measured: MeasuredFacts, index: PacketIndex, segment_s: float) -> list[int]:
    """Key frames at which to cut; the last segment is not left shorter than half of `segment_s`."""
    length = segment_s / measured.clock.time_base
    cuts: list[int] = []
    start = measured.clock.start_pts
    keys = index.key_pts[np.isin(index.key_pts, index.pts)]
    for key in keys.tolist():
        if key - start >= length and measured.end_pts - key >= length / 2:
            cuts.append(key)
            start = key
    return cuts


def _decodable(uri: str, cuts: list[int], limits: VideoLimits) -> tuple[list[int], int]:
    """The cuts at which a decoder really starts with an intra picture.

    A container may flag a recovery point (periodic intra refresh) as a key frame; its picture is not whole.
    """
    if not cuts:
        return [], 0
    good = []
    with open_video(uri, limits) as (container, stream):
        stream.codec_context.thread_count = 1
        for cut in cuts:
            packet = next(packets_from_key(container, stream, cut), None)
            if packet is None:
                continue
            try:
                frames = [*packet.decode(), *stream.codec_context.decode(None)]
            except (ValueError, OSError):
                frames = []
            if frames and frames[0].pts == cut and frames[0].pict_type == PictureType.I:
                good.append(cut)
            stream.codec_context.flush_buffers()
    return good, len(cuts)
