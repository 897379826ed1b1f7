"""Make a long video from a short one by copying its packets again and again, without decoding or encoding."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av


@dataclass(frozen=True, kw_only=True)
class _Stamp:
    """A packet and its timestamps in the source."""

    packet: av.Packet
    pts: int
    dts: int
    duration: int


@dataclass(frozen=True, kw_only=True)
class Looped:
    """What was written: frame i of round k is shown k periods after frame i of the source."""

    rounds: int
    period: int
    """The source's duration, to the end of its last frame, in units of time_base."""
    time_base: Fraction


def loop_video(source: Path, target: Path, *, times: int | None = None, min_seconds: float | None = None) -> Looped:
    """Write the video stream of source several times in a row; sound is left out.

    Args:
        source: a short video; its packets are held in memory.
        target: the suffix chooses the container.
        times: number of rounds.
        min_seconds: as many rounds as are needed for this length, instead of times.
    """
    if (times is None) == (min_seconds is None):
        raise ValueError(f"Looping {source}: got times={times}, min_seconds={min_seconds}, expected one of them.")
    with av.open(str(source)) as reader, av.open(str(target), "w", options={"fflags": "+bitexact"}) as writer:
        stream = reader.streams.video[0]
        base = Fraction(stream.time_base)
        stamps = _stamps(source, [packet for packet in reader.demux(stream) if packet.size])
        period = _period(stamps)
        if times is None:
            times = max(1, -int(-Fraction(min_seconds or 0) // (period * base)))
        copy = writer.add_stream_from_template(stream)
        copy.time_base = base
        for round_index in range(times):
            for stamp in stamps:
                packet = stamp.packet
                packet.stream, packet.time_base = copy, base
                packet.pts = stamp.pts + round_index * period
                packet.dts = stamp.dts + round_index * period
                packet.duration = stamp.duration
                writer.mux(packet)
    return Looped(rounds=times, period=period, time_base=base)


def _stamps(source: Path, packets: list[av.Packet]) -> list[_Stamp]:
    """The timestamps of all packets; missing decoding times, as in Matroska, are made up."""
    shown = [packet.pts for packet in packets]
    if not packets or None in shown:
        raise ValueError(f"Looping {source}: got packets without display times, expected one for each.")
    decoded = [packet.dts for packet in packets]
    if None in decoded:
        decoded = _decoding_times(shown)
    return [
        _Stamp(packet=packet, pts=pts, dts=dts, duration=packet.duration or 0)
        for packet, pts, dts in zip(packets, shown, decoded, strict=True)
    ]


def _decoding_times(shown: list[int]) -> list[int]:
    """Rising times, none after its packet's display time: the display times in order, so many frames late."""
    ordered = sorted(shown)
    rank = {pts: index for index, pts in enumerate(ordered)}
    delay = max(index - rank[pts] for index, pts in enumerate(shown))
    step = ordered[1] - ordered[0] if len(ordered) > 1 else 1
    return [ordered[0] - step * (delay - index) for index in range(delay)] + ordered[: len(ordered) - delay]


def _period(stamps: list[_Stamp]) -> int:
    """Units from one round to the next: the frames' duration, or more where decoding order needs it."""
    ordered = sorted(stamps, key=lambda stamp: stamp.pts)
    last = ordered[-1].duration or (ordered[-1].pts - ordered[-2].pts if len(ordered) > 1 else 1)
    shown = ordered[-1].pts + last - ordered[0].pts
    decoded = stamps[-1].dts + 1 - stamps[0].dts
    return max(shown, decoded)
