"""Motion and residuals of compressed video, by groups of pictures (GOPs), from the decoder's motion vectors.

A group is decoded up to the picture that is wanted and no further. Its pictures are an I-frame and the P-frames behind
it; the accumulated motion of each P-frame leads back to the I-frame (`extractors/compressed`).

- B-frames are left out: the method knows I and P only, and the vectors FFmpeg gives for those of MPEG-4 are all zero.
  B-frames that nothing refers to are not even decoded.
- With several reference frames FFmpeg does not say to which of them a vector leads. It is taken for the I- or P-frame
  before: the nearest anchor, which it is for most blocks.
- A group reaches from one I-picture to the next, whatever its length; `max_gop` cuts long ones. The first picture of a
  later part then stands for its I-frame.
- Frame threads are never used: with B-frames in H.264 they give wrong vectors, and other ones in each run.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType

import numpy as np
from av.codec.context import Flags, Flags2
from av.packet import Packet
from av.video.frame import PictureType, VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from extractors.compressed.accumulate import Precision, Trace
from extractors.compressed.picture_kinds import CODECS, MPEG_CODECS
from extractors.compressed.residual import residual
from pipeline.errors import ConfigError, DecodeError
from pipeline.video.geometry import Geometry
from pipeline.video.gops import Gop, find_gops, scan_packets, single_pictures
from pipeline.video.source import open_video, packets_from_key, reason

_READ_ON_PACKETS = 64
"""So many packets are read over before a seek is worth it."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class CompressedFrame:
    """One picture of a group, as its I-frame, the motion since then, and what motion leaves over; all upright."""

    gop: int
    position: int
    """0 for the I-frame itself, whose motion and residual are zero."""
    frame: int
    """Place in display order over the whole video."""
    pts: int
    at_s: float
    iframe: NDArray[np.uint8] | None
    """(H, W, 3) RGB: the I-frame of the group. None without pictures."""
    motion: NDArray[np.int32] | NDArray[np.float32]
    """(H, W, 2), x and y in px, along the motion from past to present: int32 in whole pixels, else float32."""
    residual: NDArray[np.int16] | None
    """(H, W, 3) RGB: the picture minus `iframe`, without accumulation the picture before, moved by `motion`. None
    without pictures."""
    intra_share: float
    """Part of the picture without a vector to the one before; 0 for an I-frame. Near 1 the trace says nothing."""
    is_damaged: bool
    """Whether the decoder had to make up parts of this picture, or of one between it and the I-frame."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Wanted:
    """What a caller wants of each picture."""

    accumulate: bool
    precision: Precision
    with_pictures: bool


class CompressedReader:
    """I-frames, motion and residuals of one video; a context manager, not to be shared by threads.

    Args:
        path: video file or uri.
        max_gop: most pictures of a group; longer ones are cut into parts. A later part is still decoded from the key
            frame on.
        threads: decoding threads; more than one share the slices of a picture, where it has several.
    Raises:
        ProbeError: no video, or no key frame in it.
        DecodeError: FFmpeg gives no motion vectors for its codec.
        ConfigError: `max_gop` is less than 1.
    """

    def __init__(self, path: str, *, max_gop: int | None = None, threads: int = 1) -> None:
        if max_gop is not None and max_gop < 1:
            raise ConfigError(f"max_gop must be at least 1 picture: got {max_gop}.")
        self.path = path
        self.pictures_decoded = 0
        """Pictures that came out of the decoder so far."""
        self._threads = threads
        self._walks = 0
        self._scaler = VideoReformatter()
        self._file = contextlib.ExitStack()
        try:
            self._open()
            _require_vectors(self.codec, path)
            scan = scan_packets(self._packets, self._stream)
            self._is_reference = scan.is_reference
            self._decoder_options = {"x264_build": scan.x264_build} if scan.x264_build else {}
            self.gops, self.num_frames, self.duration_s = find_gops(
                scan, self._stream, self._container.format.name, max_gop=max_gop, path=path
            )
            """The groups in order of time; displayed frames, B-frames included; end of the last one, seconds."""
            self._next_packet = len(scan.kinds)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> CompressedReader:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    @property
    def codec(self) -> str:
        """FFmpeg's name of the codec."""
        return self._stream.codec_context.codec.canonical_name

    def locate(self, frame: int) -> tuple[int, int]:
        """Group and position of the I- or P-picture at place `frame` in display order, or of the last one before it."""
        if not 0 <= frame < self.num_frames:
            raise ConfigError(f"{self.path!r} has frames 0..{self.num_frames - 1}: got {frame}.")
        starts = [int(gop.frames[0]) for gop in self.gops]
        index = max(0, int(np.searchsorted(starts, frame, side="right")) - 1)
        position = int(np.searchsorted(self.gops[index].frames, frame, side="right")) - 1
        return index, max(0, position)

    def read(
        self,
        gop: int,
        position: int,
        *,
        accumulate: bool = True,
        precision: Precision = "whole",
        with_pictures: bool = True,
    ) -> CompressedFrame:
        """One picture; decodes its group up to it.

        Args:
            gop: index in `gops`.
            position: in the group.
            accumulate: False gives the motion from the picture before, and the residual to that picture.
            precision: `whole` pixels as in the original, or `sub-pixel`.
            with_pictures: False leaves out I-frame and residual, and with them the conversion of pictures to RGB.
        Raises:
            DecodeError: the group is damaged.
        """
        group = self._group(gop)
        if not 0 <= position < group.length:
            raise ConfigError(f"Group {gop} of {self.path!r} has positions 0..{group.length - 1}: got {position}.")
        wanted = _Wanted(accumulate=accumulate, precision=precision, with_pictures=with_pictures)
        return next(self._trace([group], wanted, positions=[position]))

    def read_groups(
        self, gops: Sequence[int], positions: Sequence[int], *, accumulate: bool = True, precision: Precision = "whole"
    ) -> Iterator[list[CompressedFrame]]:
        """The pictures of each group at some positions, in a shorter group its last one instead; see `read`.

        One pass, which ends at the last of the pictures.

        Args:
            gops: indices of groups that are decoded from the same key frame, ascending.
        """
        groups = [self._group(gop) for gop in gops]
        if len({group.key_packet for group in groups}) > 1:
            raise ConfigError(f"Groups {list(gops)} of {self.path!r} are not decoded from the same key frame.")
        wanted = _Wanted(accumulate=accumulate, precision=precision, with_pictures=True)
        frames = self._trace(groups, wanted, positions)
        for group in groups:
            yield list(itertools.islice(frames, len(_in_group(group, positions))))

    def walk(
        self, gop: int, *, accumulate: bool = True, precision: Precision = "whole", with_pictures: bool = True
    ) -> Iterator[CompressedFrame]:
        """All pictures of a group in one pass, in time linear in its length; see `read`."""
        wanted = _Wanted(accumulate=accumulate, precision=precision, with_pictures=with_pictures)
        return self._trace([self._group(gop)], wanted)

    def walk_all(
        self, *, accumulate: bool = True, precision: Precision = "whole", with_pictures: bool = True
    ) -> Iterator[CompressedFrame]:
        """All pictures of the video in one pass, in which a group that was cut is decoded once; see `read`."""
        wanted = _Wanted(accumulate=accumulate, precision=precision, with_pictures=with_pictures)
        for _, groups in itertools.groupby(self.gops, key=lambda gop: gop.key_packet):
            yield from self._trace(list(groups), wanted)

    def _group(self, gop: int) -> Gop:
        if not 0 <= gop < len(self.gops):
            raise ConfigError(f"{self.path!r} has groups of pictures 0..{len(self.gops) - 1}: got {gop}.")
        return self.gops[gop]

    def _trace(
        self, groups: Sequence[Gop], wanted: _Wanted, positions: Sequence[int] | None = None
    ) -> Iterator[CompressedFrame]:
        """The pictures of groups that are decoded from the same key frame, at some positions of each or at all."""
        asked = [_in_group(group, range(group.length) if positions is None else positions) for group in groups]
        places = [
            (int(packet), group, position, position in chosen)
            for group, chosen in zip(groups, asked, strict=True)
            for position, packet in enumerate(group.packets[: max(chosen) + 1])
        ]
        tracer = _Tracer(self.path, self._scaler, wanted)
        pictures = self._anchors(groups[0], last_packet=places[-1][0])
        for packet, group, position, is_asked in places:
            picture = next((picture for number, picture in pictures if number == packet), None)
            if picture is None:
                raise DecodeError(
                    f"Group {group.index} of {self.path!r} is damaged: no picture for frame "
                    f"{group.frames[position]} at {group.times_s[position]:.3f} s."
                )
            tracer.take(picture, position)
            if is_asked:
                yield tracer.result(group, position)

    def _anchors(self, group: Gop, last_packet: int) -> Iterator[tuple[int, VideoFrame]]:
        """I- and P-pictures from the key frame of `group` to packet `last_packet`, each with its packet's number."""
        context = self._stream.codec_context
        context.options |= self._decoder_options  # old builds of x264 wrote 4:4:4 wrongly, and the decoder corrects it
        context.flush_buffers()
        self._walks += 1
        this_walk = self._walks
        key: Packet | None = None
        for number, packet in self._packets_from(group):
            if self._walks != this_walk:
                raise RuntimeError(f"Two walks through {self.path!r} at once: give each a reader of its own.")
            if not self._is_reference[number]:
                continue
            key = key or packet
            packet.opaque = [number]  # PyAV finds it by its address, so no two packets may share one object
            yield from self._decode(packet)
            if number >= last_packet:
                break
        # A picture may wait for those shown before it. MPEG-1, 2 and 4 give the last one without vectors when they are
        # drained, so a picture is pushed after it.
        yield from self._decode(key if self.codec in MPEG_CODECS else None)

    def _decode(self, packet: Packet | None) -> Iterator[tuple[int, VideoFrame]]:
        try:
            frames = self._stream.codec_context.decode(packet)
        except (ValueError, OSError) as error:
            raise DecodeError(f"{self.path!r} cannot be decoded: {reason(error)}.") from error
        for frame in frames:
            self.pictures_decoded += 1
            if frame.pict_type != PictureType.B and isinstance(frame.opaque, list):
                yield frame.opaque[0], frame

    def _packets_from(self, group: Gop) -> Iterator[tuple[int, Packet]]:
        """Packets with their numbers, from the key frame of `group` on."""
        if not 0 <= group.key_packet - self._next_packet <= _READ_ON_PACKETS:
            self._go_to(group)
        while (packet := self._next()) is not None:
            if self._next_packet > group.key_packet:
                yield self._next_packet - 1, packet

    def _next(self) -> Packet | None:
        try:
            packet = next(self._packets, None)
        except (ValueError, OSError) as error:
            raise DecodeError(f"{self.path!r} cannot be read on: {reason(error)}.") from error
        self._next_packet += 1
        return packet

    def _go_to(self, group: Gop) -> None:
        """Seek to the key frame of `group`; where that cannot be done, to the start of the file."""
        if group.key_pts is not None:
            found = packets_from_key(self._container, self._stream, group.key_pts)
            if (key := next(found, None)) is not None:
                self._packets = single_pictures(itertools.chain([key], found), self._stream)
                self._next_packet = group.key_packet
                return
        self._open()
        self._next_packet = 0

    def _open(self) -> None:
        self._file.close()
        self._container, self._stream = self._file.enter_context(open_video(self.path))
        context = self._stream.codec_context
        context.flags |= Flags.copy_opaque
        context.flags2 |= Flags2.export_mvs
        context.thread_count = self._threads
        self._stream.thread_type = "SLICE" if self._threads > 1 else "NONE"
        self._packets = single_pictures(self._container.demux(self._stream), self._stream)


class _Picture:
    """A decoded picture, converted when somebody asks."""

    def __init__(self, frame: VideoFrame, scaler: VideoReformatter) -> None:
        self.frame = frame
        self.size_hw = (frame.height, frame.width)
        self._scaler = scaler

    @functools.cached_property
    def rgb(self) -> NDArray[np.uint8]:
        """(H, W, 3), read only, as the original converts: bicubic scaler, default matrix."""
        converted = self._scaler.reformat(self.frame, format="rgb24", interpolation=Interpolation.BICUBIC, threads=1)
        rgb: NDArray[np.uint8] = converted.to_ndarray().astype(np.uint8, copy=False)
        rgb.flags.writeable = False
        return rgb


class _Tracer:
    """Follows the pictures of groups, and makes of them what is wanted."""

    def __init__(self, path: str, scaler: VideoReformatter, wanted: _Wanted) -> None:
        self._path = path
        self._scaler = scaler
        self._wanted = wanted
        self._is_damaged = False

    def take(self, frame: VideoFrame, position: int) -> None:
        """The next I- or P-picture, at its position in the group."""
        if frame.interlaced_frame:
            raise DecodeError(f"{self._path!r} is interlaced: its vectors may lead from field to field. Convert it: "
                              "longform recompress VIDEO -o DIR.")  # fmt: skip
        picture = _Picture(frame, self._scaler)
        self._is_damaged = frame.is_corrupt or (self._is_damaged and position > 0)
        if position == 0:
            self._iframe = self._reference = self._picture = picture
            self._map = Trace(picture.size_hw, self._wanted.precision)
            return
        if picture.size_hw != self._map.size_hw:
            raise DecodeError(f"{self._path!r} changes its size from {self._map.size_hw} to {picture.size_hw} (H, W) "
                              "within a group of pictures. Convert it: longform recompress VIDEO -o DIR.")  # fmt: skip
        if not self._wanted.accumulate:
            self._reference = self._picture
            self._map.restart()
        self._picture = picture
        vectors = frame.side_data.get("MOTION_VECTORS")
        self._map.advance(None if vectors is None else vectors.to_ndarray())

    def result(self, group: Gop, position: int) -> CompressedFrame:
        """What is wanted of the picture taken last."""
        turns = Geometry.of_frame(self._picture.frame, None).rotation_deg // 90
        iframe = left_over = None
        if self._wanted.with_pictures:
            iframe = _turned(self._iframe.rgb, turns)
            left_over = _turned(residual(self._picture.rgb, self._reference.rgb, self._map), turns)
        return CompressedFrame(
            gop=group.index,
            position=position,
            frame=int(group.frames[position]),
            pts=int(group.pts[position]),
            at_s=float(group.times_s[position]),
            iframe=iframe,
            motion=_turned_vectors(self._map.motion(), turns),
            residual=left_over,
            intra_share=self._map.intra_share,
            is_damaged=self._is_damaged,
        )


def _in_group(group: Gop, positions: Sequence[int]) -> set[int]:
    """Positions of a group, those behind its end as its last one."""
    return {min(position, group.length - 1) for position in positions}


def _turned(picture: NDArray, turns: int) -> NDArray:
    """(H, W, C) turned counter-clockwise by quarter turns."""
    return np.ascontiguousarray(np.rot90(picture, turns)) if turns else picture


def _turned_vectors(motion: NDArray, turns: int) -> NDArray:
    """(H, W, 2) turned with its vectors: right becomes up, down becomes right."""
    for _ in range(turns):
        motion = np.stack([motion[..., 1], -motion[..., 0]], -1)
    return _turned(motion, turns)


def _require_vectors(codec: str, path: str) -> None:
    if codec not in CODECS:
        raise DecodeError(f"{path!r} is coded in {codec}, for which FFmpeg gives no motion vectors. Convert it: "
                          f"longform recompress {path!r} -o DIR.")  # fmt: skip
