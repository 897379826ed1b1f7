"""Examples as a model takes them: a clip with its boxes and labels, drawn for training or fixed for testing.

With a generator of random numbers a clip is one to train on: its place in time, where the data set draws it, and its
scale, crop and mirroring are drawn from it. Without, it is the one of a `View`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from extractors.errors import ConfigError
from longform.datasets.ava_key_frames import AvaKeyFrame
from longform.datasets.epic import EpicSegment
from longform.datasets.frame_lists import ListedFrames
from longform.datasets.frame_reader import FrameReader
from longform.lfb.samples import (
    LFB_CLIPS,
    ClipShape,
    Indices,
    charades_centre,
    clip_frames,
    clip_labels,
    epic_centre,
    video_labels,
)
from longform.lfb.samples_augment import TESTING_SHORT_SIDE_PX, Placement, drawn_placement
from longform.lfb.samples_views import View
from longform.metrics.charades_map import NUM_CLASSES

CENTRE_VIEW = View()


@dataclass(frozen=True, kw_only=True, eq=False)
class ClipExample:
    """One example."""

    video: str
    centre_frame: int
    """At the data set's rate: the moment whose window of the bank goes with the clip."""
    clip: Tensor
    """(3, T, crop, crop) float32."""
    labels: NDArray[np.float32] | NDArray[np.int64] | tuple[int | None, int | None]
    """AVA (N, 80), column 0 for action 1; Charades (157,); EPIC-KITCHENS verb and noun, None in the test sets."""
    boxes_px: NDArray[np.float32] | None = None
    """AVA: (N, 4) xyxy in pixels of the clip."""


def ava_example(
    key_frame: AvaKeyFrame,
    reader: FrameReader,
    rng: np.random.Generator | None = None,
    *,
    shape: ClipShape = LFB_CLIPS["ava"],
    view: View = CENTRE_VIEW,
    size_px: int = TESTING_SHORT_SIDE_PX,
) -> ClipExample:
    """The clip around a key frame with all its boxes; `size_px` scales what is drawn in training."""
    centre = key_frame.centre_frame
    frames = clip_frames(centre, shape, reader.num_frames(key_frame.video))
    clip, placement = _placed(reader, key_frame.video, frames, rng, view, size_px)
    return ClipExample(
        video=key_frame.video,
        centre_frame=centre,
        clip=clip,
        labels=key_frame.labels.astype(np.float32),
        boxes_px=placement.boxes_px(key_frame.boxes),
    )


def epic_example(
    segment: EpicSegment,
    reader: FrameReader,
    rng: np.random.Generator | None = None,
    *,
    shape: ClipShape = LFB_CLIPS["epic"],
    view: View = CENTRE_VIEW,
    size_px: int = TESTING_SHORT_SIDE_PX,
) -> ClipExample:
    """A clip of a segment: drawn from it, or the one in its middle; `size_px` scales what is drawn in training."""
    centre = epic_centre(segment, rng)
    frames = clip_frames(centre, shape, reader.num_frames(segment.video))
    clip, _ = _placed(reader, segment.video, frames, rng, view, size_px)
    return ClipExample(video=segment.video, centre_frame=centre, clip=clip, labels=(segment.verb, segment.noun))


def charades_example(
    video: str,
    listed: ListedFrames,
    reader: FrameReader,
    rng: np.random.Generator | None = None,
    *,
    centre: int | None = None,
    shape: ClipShape = LFB_CLIPS["charades"],
    view: View = CENTRE_VIEW,
    size_px: int = TESTING_SHORT_SIDE_PX,
) -> ClipExample:
    """A clip of a video. In training it has the classes of its own frames, in testing those of the whole video.

    Args:
        centre: in testing, one of `longform.lfb.samples.charades_test_centres`.
        size_px: scales what is drawn in training.
    Raises:
        ConfigError: neither `rng` nor `centre`, both, or the reader has another number of frames than the list.
    """
    if reader.num_frames(video) != len(listed):
        raise ConfigError(
            f"Video {video!r} has {reader.num_frames(video)} frames, and {len(listed)} with labels. Make the list of "
            "the frames that are read."
        )
    if rng is not None and centre is None:
        centre = charades_centre(len(listed), shape, rng)
        frames = clip_frames(centre, shape, len(listed))
        labels = clip_labels(listed, frames, NUM_CLASSES)
    elif rng is None and centre is not None:
        frames = clip_frames(centre, shape, len(listed))
        labels = video_labels(listed, NUM_CLASSES)
    else:
        raise ConfigError("A clip of Charades is drawn with rng, or has a centre: give one of them.")
    clip, _ = _placed(reader, video, frames, rng, view, size_px)
    return ClipExample(video=video, centre_frame=centre, clip=clip, labels=labels)


def _placed(
    reader: FrameReader, video: str, frames: Indices, rng: np.random.Generator | None, view: View, size_px: int
) -> tuple[Tensor, Placement]:
    pictures = reader.read(video, frames.tolist())
    height, width = pictures[0].shape[:2]
    if rng is None:
        placement = view.placement((height, width))
    else:
        sides, crop_px = (size_px, size_px * 5 // 4), size_px * 7 // 8
        placement = drawn_placement((height, width), rng, short_sides_px=sides, crop_px=crop_px)
    return placement.clip(pictures), placement
