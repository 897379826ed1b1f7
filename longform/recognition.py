"""What a network says of a video: clips over its length, crops of each, and the answers with their times."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from extractors.backbones.base import Backbone
from extractors.clips.input import ClipInput
from extractors.clips.preprocess import assemble, scaled
from extractors.clips.views import Indices, combine, recognise, uniform_clips
from extractors.runtime import Runtime
from longform.chosen_frames import chosen_frames
from pipeline.video.frames import Frame
from pipeline.video.geometry import PictureSpec
from pipeline.video.probe import PacketIndex, VideoFacts, probe

WHOLE_PICTURE = PictureSpec()


@dataclass(frozen=True, kw_only=True)
class Views:
    """How many views a video is judged by, and how their answers become one."""

    clips: int = 10
    crops: int = 3
    combine: str = "mean"


@dataclass(frozen=True, kw_only=True)
class ClipScores:
    """What the network says of one clip."""

    start_s: float
    """When its first frame is shown, from the first frame of the video."""
    end_s: float
    """When its last frame ends; a clip that goes round to the start of the video ends with the video."""
    scores: NDArray[np.float32]
    """(K,): its crops combined."""


@dataclass(frozen=True, kw_only=True)
class VideoScores:
    """What the network says of one video."""

    duration_s: float
    scores: NDArray[np.float32]
    """(K,): all views combined."""
    clips: tuple[ClipScores, ...]
    """By start. Clips that would look at the same frames, as in a short video, are here once."""
    frames_replaced: int
    """Frames the network should have seen that cannot be decoded: it saw their neighbours."""


def recognise_video(uri: str, network: Backbone, spec: ClipInput, runtime: Runtime, views: Views) -> VideoScores:
    """Test a network on one video. Frames are decoded once, and only those of clips in the making are kept.

    Args:
        network: prepared by `runtime`.
        spec: the input it was trained on.
    Raises:
        ProbeError, DecodeError: the file is no video, or none of its pictures can be decoded.
    """
    facts, index = probe(uri)
    measured = facts.measured
    sampled = uniform_clips(measured.num_frames, measured.fps, spec, views.clips)
    rows, place = np.unique(sampled, axis=0, return_inverse=True)
    completed = np.argsort(rows.max(1), kind="stable")
    frames = _Counted(chosen_frames(facts, index, np.unique(rows).tolist()))
    found = recognise(network, _clips(frames, rows[completed], spec, views.crops), runtime)
    by_clip = found.view(len(rows), views.crops, -1)[np.argsort(completed)]
    clip_scores = combine(by_clip, views.combine).numpy()
    return VideoScores(
        duration_s=measured.duration_s,
        scores=combine(by_clip[place.reshape(-1)].flatten(0, 1), views.combine).numpy(),
        clips=tuple(_timed(row, scores, facts, index) for row, scores in zip(rows, clip_scores, strict=True)),
        frames_replaced=frames.replaced,
    )


class _Counted:
    """Passes chosen frames on, and counts those that stand in for another."""

    def __init__(self, frames: Iterable[tuple[int, Frame]]) -> None:
        self.replaced = 0
        self._frames = iter(frames)

    def __iter__(self) -> Iterator[tuple[int, Frame]]:
        return self

    def __next__(self) -> tuple[int, Frame]:
        index, frame = next(self._frames)
        self.replaced += frame.index != index
        return index, frame


def _clips(frames: Iterator[tuple[int, Frame]], rows: Indices, spec: ClipInput, crops: int) -> Iterator[Tensor]:
    """The clip of every row, as soon as its last frame is there; a frame is dropped after its last clip."""
    last_clip = {index: number for number, row in enumerate(rows) for index in row.tolist()}
    held: dict[int, Tensor] = {}
    for number, row in enumerate(rows):
        while int(row.max()) not in held:
            index, frame = next(frames)
            held[index] = scaled(frame.picture(WHOLE_PICTURE), spec)
        yield assemble((held[index] for index in row.tolist()), spec, num_frames=len(row), crops=crops)
        held = {index: picture for index, picture in held.items() if last_clip[index] > number}


def _timed(row: Indices, scores: NDArray[np.float32], facts: VideoFacts, index: PacketIndex) -> ClipScores:
    ends = np.append(index.pts[1:], facts.measured.end_pts)
    last = int(row[-1]) if (np.diff(row) >= 0).all() else len(ends) - 1
    seconds = facts.measured.clock.seconds
    return ClipScores(start_s=seconds(int(index.pts[row[0]])), end_s=seconds(int(ends[last])), scores=scores)
