"""Chosen frames of a video, each decoded once, read from the last place before it where decoding can start."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence

from pipeline.errors import DecodeError
from pipeline.video.decode import decode
from pipeline.video.frames import DecodeStats, Frame
from pipeline.video.probe import PacketIndex, VideoFacts
from pipeline.video.segments import plan_segments

SEEK_S = 10.0
"""Where two wanted frames are further apart than about this, the frames between are skipped and not decoded."""


def chosen_frames(
    facts: VideoFacts, index: PacketIndex, wanted: Sequence[int], stats: DecodeStats | None = None
) -> Iterator[tuple[int, Frame]]:
    """`(index, frame)` for every wanted frame, in order.

    A frame that cannot be decoded is replaced by the one shown before it (at the start, by the next), so
    `frame.index` differs from the index asked for.

    Args:
        facts, index: of the video, as `probe` gives them.
        wanted: ascending display indices, each below the number of frames.
        stats: filled in as frames are read.
    Raises:
        DecodeError: no frame of the video can be decoded.
    """
    segments, _ = plan_segments(facts.uri, facts.measured, index, SEEK_S)
    starts = [segment.start_frame for segment in segments]
    stats = stats or DecodeStats()
    waiting = list(reversed(wanted))
    shown: Frame | None = None
    while waiting:
        begin = bisect_right(starts, waiting[-1]) - 1
        for frame in decode(facts, segments[begin], stats):
            while waiting and waiting[-1] <= frame.index:
                missed = waiting[-1] < frame.index
                yield waiting.pop(), shown if missed and shown else frame
            shown = frame
            if not waiting or bisect_right(starts, waiting[-1]) > bisect_right(starts, frame.index + 1):
                break
        else:
            if shown is None:
                why = f": {stats.first_error}" if stats.first_error else ""
                raise DecodeError(f"{facts.uri!r}: none of {facts.measured.num_frames} frames could be decoded{why}.")
            while waiting:
                yield waiting.pop(), shown
