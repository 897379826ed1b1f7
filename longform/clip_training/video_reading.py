"""Chosen frames of a video file, each decoded once and made at the size that is wanted.

A clip costs one pass over the packets (no decoding) to know the video's frames, and the decoding of what lies between
the last key frame before the clip and the clip's end. libavfilter cuts the window out of the decoder's own picture
without copying, so only what the network sees is scaled and converted to RGB.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from av.container import InputContainer
from av.filter import Graph
from av.packet import Packet
from av.video.frame import PictureType, VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from longform.clip_training.augmentation import PlaceWindow, Window
from longform.clip_training.sampling import Indices
from pipeline.errors import DecodeError, ProbeError
from pipeline.video.geometry import Geometry
from pipeline.video.probe import COUNTED_CONTAINERS
from pipeline.video.source import open_video, packets_from_key, reason

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True, eq=False)
class VideoIndex:
    """Which frames a video has, and where decoding can start."""

    pts: NDArray[np.int64]
    """(N,) of the displayed frames, ascending; 0 to N - 1 where the container has no times (`is_timed`)."""
    key_pts: NDArray[np.int64]
    """(K,) of the key frames, ascending."""
    fps: float
    """Mean rate."""
    is_timed: bool


def read_index(uri: str) -> VideoIndex:
    """The frames of a video, from its packets; those of `pipeline.video.probe.probe`, without reading pictures.

    Raises:
        ProbeError: the file cannot be opened as a video, or has no picture.
    """
    with open_video(uri) as (container, stream):
        rate = stream.average_rate or stream.guessed_rate or Fraction(25)
        counted = COUNTED_CONTAINERS & set(container.format.name.split(","))
        packets = [
            (packet.pts, packet.is_keyframe, packet.is_discard)
            for packet in _whole(container.demux(stream), [])
            if packet.size
        ]
        time_base = stream.time_base
    if not packets:
        raise ProbeError(f"{uri!r} has no packet with a picture in its video stream.")
    if counted or time_base is None or any(pts is None for pts, _, _ in packets):
        count = np.arange(len(packets), dtype=np.int64)
        return VideoIndex(pts=count, key_pts=count[:1], fps=float(rate), is_timed=False)
    pts = np.unique(np.array([pts for pts, _, discarded in packets if not discarded], np.int64))
    if not len(pts):
        raise ProbeError(f"{uri!r} displays no frame: its edit list leaves all of them out.")
    keys = np.unique(np.array([pts for pts, is_key, _ in packets if is_key] or [pts[0]], np.int64))
    pts = pts[pts >= keys[0]] if (pts >= keys[0]).any() else pts
    return VideoIndex(pts=pts, key_pts=keys, fps=_mean_fps(pts, time_base, rate), is_timed=True)


def read_windows(uri: str, index: VideoIndex, frames: Indices, place: PlaceWindow) -> Pixels:
    """(T, S, S, 3) uint8 RGB: the window that `place` gives, of each frame; see `ClipSource.read`."""
    clip = np.empty((len(frames), 0, 0, 3), np.uint8)
    wanted = np.unique(frames)
    with open_video(uri) as (container, stream):
        stream.codec_context.thread_count = 1
        stream.thread_type = "NONE"
        window = _WindowReader(place, stream.sample_aspect_ratio)
        for frame, picture in _chosen(uri, container, stream, index, wanted.tolist()):
            pixels = window.read(picture)
            if not clip.size:
                clip = np.empty((len(frames), *pixels.shape), np.uint8)
            clip[frames == frame] = pixels
    return clip


def _mean_fps(pts: NDArray[np.int64], time_base: Fraction, nominal: Fraction) -> float:
    """As `pipeline.video.probe` counts it."""
    if len(pts) < 2:
        return float(nominal)
    measured = float((len(pts) - 1) / ((int(pts[-1]) - int(pts[0])) * time_base))
    return float(nominal) if abs(measured / float(nominal) - 1) < 1e-3 else measured


def _chosen(
    uri: str, container: InputContainer, stream: VideoStream, index: VideoIndex, wanted: list[int]
) -> Iterator[tuple[int, VideoFrame]]:
    """`(frame, picture)` for ascending frames. Raises DecodeError for one that cannot be decoded."""
    errors: list[str] = []
    waiting = wanted[::-1]
    for number, picture in _pictures(container, stream, index, wanted[0], errors):
        if number == waiting[-1]:
            yield waiting.pop(), picture
        if not waiting:
            return
        if number > waiting[-1]:
            break
    why = f" ({errors[0]})" if errors else ""
    raise DecodeError(f"{uri!r}: frame {waiting[-1]} of {len(index.pts)} cannot be decoded{why}.")


def _pictures(
    container: InputContainer, stream: VideoStream, index: VideoIndex, first: int, errors: list[str]
) -> Iterator[tuple[int, VideoFrame]]:
    """`(frame, picture)` for all displayed frames from the last usable key frame before `first` on."""
    if not index.is_timed:
        yield from enumerate(_decoded(container.demux(stream), errors))
        return
    for picture in _from_key(container, stream, index, first, errors):
        if picture.pts is not None:
            number = int(np.searchsorted(index.pts, picture.pts))
            if number < len(index.pts) and index.pts[number] == picture.pts:
                yield number, picture


def _from_key(
    container: InputContainer, stream: VideoStream, index: VideoIndex, first: int, errors: list[str]
) -> Iterator[VideoFrame]:
    """Pictures from the last key frame before a frame on; from the start, where that is no whole picture.

    A container may flag a recovery point as a key frame. In 4:4:4 the first packet tells the decoder which encoder
    it was, so there it always begins.
    """
    place = int(np.searchsorted(index.key_pts, index.pts[first], side="right")) - 1
    if place > 0 and "444" not in stream.format.name:
        pictures = _decoded(packets_from_key(container, stream, int(index.key_pts[place])), errors)
        begin = next(pictures, None)
        if begin is not None and begin.pts == index.key_pts[place] and begin.pict_type == PictureType.I:
            yield begin
            yield from pictures
            return
        errors.clear()
        stream.codec_context.flush_buffers()
        container.seek(stream.start_time or 0, stream=stream)
    yield from _decoded(container.demux(stream), errors)


def _decoded(packets: Iterator[Packet], errors: list[str]) -> Iterator[VideoFrame]:
    """The pictures of packets; what cannot be decoded is left out, and `errors` says why."""
    for packet in _whole(packets, errors):
        try:
            yield from packet.decode()
        except (ValueError, OSError) as error:
            errors.append(reason(error))


def _whole(packets: Iterator[Packet], errors: list[str]) -> Iterator[Packet]:
    """Packets up to where the container is broken, and then the one that makes the decoder give what it holds back."""
    last = None
    while True:
        try:
            last = next(packets)
        except StopIteration:
            return
        except (ValueError, OSError) as error:
            errors.append(reason(error))
            break
        yield last
    if last is not None:
        flush = Packet()
        flush.stream = last.stream
        yield flush


class _WindowReader:
    """Makes the window of decoded pictures, through one filter graph for each size and format of picture."""

    def __init__(self, place: PlaceWindow, pixel_aspect: Fraction | None) -> None:
        self._place, self._pixel_aspect = place, pixel_aspect
        self._made: dict[tuple[int, int, str], tuple[Graph, Geometry, Window]] = {}

    def read(self, picture: VideoFrame) -> Pixels:
        """(S, S, 3) uint8 RGB, upright; a view of memory that goes with the picture's."""
        key = (picture.height, picture.width, picture.format.name)
        if key not in self._made:
            geometry = Geometry.of_frame(picture, self._pixel_aspect)
            window = self._place(*geometry.display_hw)
            self._made[key] = _graph(picture, stored_window(window, geometry), window.size), geometry, window
        graph, geometry, window = self._made[key]
        graph.push(picture)
        plane: Any = graph.pull().planes[0]
        rows = np.frombuffer(plane, np.uint8).reshape(window.size, plane.line_size)
        upright = np.rot90(rows[:, : 3 * window.size].reshape(window.size, window.size, 3), geometry.rotation_deg // 90)
        return upright[:, ::-1] if window.flip else upright


def stored_window(window: Window, geometry: Geometry) -> tuple[int, int, int, int]:
    """Left, top, width and height of a window in the stored picture: not yet turned, nor its pixels made square."""
    height, width = geometry.display_hw
    top, left, tall, wide = window.top, window.left, window.height, window.width
    for _ in range(geometry.rotation_deg // 90):
        top, left, tall, wide = left, height - top - tall, wide, tall
        height, width = width, height
    stretch = geometry.stored_hw[1] / width
    return round(left * stretch), top, max(round(wide * stretch), 1), tall


def _graph(picture: VideoFrame, stored: tuple[int, int, int, int], size: int) -> Graph:
    left, top, wide, tall = stored
    graph = Graph()
    graph.threads = 1
    graph.link_nodes(
        graph.add_buffer(
            width=picture.width, height=picture.height, format=picture.format, time_base=picture.time_base
        ),
        graph.add("crop", f"{wide}:{tall}:{left}:{top}"),
        graph.add("scale", f"{size}:{size}:flags=bilinear"),
        graph.add("format", "rgb24"),
        graph.add("buffersink"),
    ).configure()
    return graph
