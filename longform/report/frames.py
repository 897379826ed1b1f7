"""Pictures of a video for the page: which frames, decoded once, as small JPEGs."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from longform.chosen_frames import chosen_frames
from longform.report.collect import Shots
from pipeline.errors import PipelineError
from pipeline.video.frames import Frame
from pipeline.video.geometry import PictureSpec
from pipeline.video.probe import PacketIndex, VideoFacts, probe

_LARGE_PX, _SMALL_PX = 480, 320
_FEW = 500
"""Up to so many pictures on a page they are large."""
_QUALITY = 74
_WORTH_S = 1.0
"""Between the key frames of shots, pictures are not closer than this."""


Source = tuple[VideoFacts, PacketIndex]
"""A video file that is there."""


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """Pictures of one video by time, one entry each; `note` says what is missing."""

    at_s: list[float] = field(default_factory=list)
    frame: list[int] = field(default_factory=list)
    data: list[str] = field(default_factory=list)
    """`data:` URIs of JPEGs."""
    note: str | None = None


def choose_frames(shots: Shots, detected: Sequence[int], fps: float, most: int, asked: Sequence[int] = ()) -> list[int]:
    """Display indices of the frames to show, ascending: first those asked for, then one of every shot.

    Frames asked for get up to half of `most` where there are shots to show too. The key frame of a shot is the frame
    with detections nearest to its middle, or the middle. What is left of `most` goes evenly to other frames with
    detections and, about one a second, to frames without.
    """
    with_boxes = np.unique(np.asarray(detected, np.int64))
    keys = []
    for start, end in zip(shots.start_frame, shots.end_frame, strict=True):
        if start >= end:
            continue
        middle = (start + end - 1) // 2
        inside = with_boxes[(with_boxes >= start) & (with_boxes < end)]
        keys.append(int(inside[np.abs(inside - middle).argmin()]) if len(inside) else middle)
    wanted = np.unique(np.asarray(asked, np.int64))
    of_shots = np.setdiff1d(np.asarray(keys, np.int64), wanted)
    wanted = _evenly(wanted, max(most // 2, most - len(of_shots)))
    chosen = np.union1d(wanted, _evenly(of_shots, most - len(wanted)))
    step = max(1, round(_WORTH_S * fps))
    last = max(shots.end_frame, default=0)
    grid = np.arange(0, last, step)
    others = _apart_from(np.union1d(with_boxes, _apart_from(grid, with_boxes, step)), chosen, step)
    return np.union1d(chosen, _evenly(others, most - len(chosen))).tolist()


def _evenly(values: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    if len(values) <= most:
        return values
    return values[np.linspace(0, len(values) - 1, max(0, most)).round().astype(int)]


def _apart_from(values: NDArray[np.int64], others: NDArray[np.int64], step: int) -> NDArray[np.int64]:
    """Those values that are at least `step` away from every one of `others` (sorted)."""
    if not len(others):
        return values
    place = np.searchsorted(others, values)
    before = values - others[np.maximum(place - 1, 0)]
    after = others[np.minimum(place, len(others) - 1)] - values
    near = np.minimum(np.abs(before), np.abs(after)) < step
    return values[~near]


def find_source(uri: str, sha256: str | None) -> Source | str:
    """The video that was extracted, or why there can be no pictures of it: it is gone, changed, or unreadable.

    Args:
        sha256: of the bytes that were extracted, where that is known.
    """
    try:
        facts, index = probe(uri)
    except (PipelineError, OSError) as error:
        return f"No pictures: {error}"
    if sha256 not in (None, facts.measured.sha256):
        return f"No pictures: {uri} has changed since it was extracted."
    return facts, index


def take_pictures(source: Source, frames: Sequence[int], *, page_pictures: int) -> Pictures:
    """Decode the frames of a video and make JPEGs of them; one that cannot be decoded has a note instead.

    Args:
        frames: ascending display indices.
        page_pictures: how many pictures the page will have about; decides their size.
    """
    facts, index = source
    wanted = [frame for frame in frames if frame < facts.measured.num_frames]
    spec = PictureSpec(format="bgr24", width_px=_LARGE_PX if page_pictures <= _FEW else _SMALL_PX)
    try:
        taken = {frame.index: (frame.at_s, _jpeg(frame, spec)) for _, frame in chosen_frames(facts, index, wanted)}
    except (PipelineError, OSError) as error:
        return Pictures(note=f"No pictures: {error}")
    return Pictures(
        at_s=[round(at_s, 3) for at_s, _ in taken.values()],
        frame=list(taken),
        data=[data for _, data in taken.values()],
    )


def thinned(pictures: Pictures, max_bytes: int) -> Pictures:
    """As many of the pictures, evenly chosen, as have room; the note says how many have not."""
    places = np.arange(len(pictures.data))
    kept = places
    while len(kept) and sum(len(pictures.data[place]) for place in kept) > max_bytes:
        kept = _evenly(places, len(kept) * 9 // 10)
    if len(kept) == len(places):
        return pictures
    return Pictures(
        at_s=[pictures.at_s[place] for place in kept],
        frame=[pictures.frame[place] for place in kept],
        data=[pictures.data[place] for place in kept],
        note=f"{len(places) - len(kept)} of {len(places)} pictures were left out to keep the page small.",
    )


def _jpeg(frame: Frame, spec: PictureSpec) -> str:
    done, data = cv2.imencode(".jpg", frame.picture(spec), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    if not done:
        raise PipelineError(f"The picture of frame {frame.index} could not be written as JPEG.")
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode("ascii")
