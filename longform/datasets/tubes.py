"""Action tubes: one person's box in every frame of one action, as JHMDB and UCF101-24 annotate."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from extractors.errors import WeightsError
from extractors.weights.unpickle import unpickle
from longform.metrics.detection_ap import Boxes
from longform.metrics.tables import AnnotationError, PathLike

ACT_KEYS = ("labels", "gttubes", "nframes", "train_videos", "test_videos", "resolution")


@dataclass(frozen=True, kw_only=True, eq=False)
class Tube:
    """One person doing one thing."""

    video: str
    action: int
    """Index into `TubeSet.class_names`."""
    frames: NDArray[np.int64]
    """(N,) counted from 0."""
    boxes_px: NDArray[np.float64]
    """(N, 4) xyxy as the file has them."""


@dataclass(frozen=True, kw_only=True)
class TubeSet:
    """All annotations of one set."""

    class_names: tuple[str, ...]
    tubes: tuple[Tube, ...]
    num_frames: Mapping[str, int]
    """Of every video, those without a tube too."""
    resolution_hw: Mapping[str, tuple[int, int]]
    train_videos: tuple[tuple[str, ...], ...]
    """Of every split."""
    test_videos: tuple[tuple[str, ...], ...]

    def boxes(self, videos: Iterable[str]) -> Boxes:
        """What is annotated in these videos, for `longform.metrics.frame_map`; frames are called `<video>/<frame>`."""
        wanted = set(videos)
        tubes = [tube for tube in self.tubes if tube.video in wanted]
        return Boxes.of(
            frames=np.array([frame_name(tube.video, frame) for tube in tubes for frame in tube.frames.tolist()], str),
            classes=np.repeat([tube.action for tube in tubes], [len(tube.frames) for tube in tubes]),
            boxes=np.concatenate([tube.boxes_px for tube in tubes]) if tubes else np.zeros((0, 4)),
        )


def frame_name(video: str, frame: int) -> str:
    """What a frame, counted from 0, is called in `TubeSet.boxes`: detections need the same names."""
    return f"{video}/{frame}"


def read_act_tubes(path: PathLike) -> TubeSet:
    """`JHMDB-GT.pkl`, `UCF101v2-GT.pkl` and the like, of the ACT detector (Kalogeiton et al., ICCV 2017) and MOC.

    The pickle holds one dict: `labels`; `train_videos` and `test_videos`, one list a split; `nframes` and `resolution`
    (height, width) of every video; and `gttubes`, video -> index of the label -> arrays (N, 5) of frame, counted from
    1, x1, y1, x2, y2 in pixels. Nothing in it can run.

    Raises:
        AnnotationError: the file cannot be read, or is another; the message names the key or the video.
    """
    content = unpickled(path)
    if not isinstance(content, dict) or not set(ACT_KEYS) <= content.keys():
        raise AnnotationError(
            f"{os.fspath(path)!r} is no annotation of tubes; expected a dict with {', '.join(ACT_KEYS)}."
        )
    try:
        names = tuple(map(str, content["labels"]))
        return TubeSet(
            class_names=names,
            tubes=tuple(
                tube_of(path, video, label, len(names), np.asarray(rows)[:, 0], np.asarray(rows)[:, 1:])
                for video, by_label in content["gttubes"].items()
                for label, tubes in by_label.items()
                for rows in tubes
            ),
            num_frames={video: int(count) for video, count in content["nframes"].items()},
            resolution_hw={video: (int(h), int(w)) for video, (h, w) in content["resolution"].items()},
            train_videos=tuple(tuple(videos) for videos in content["train_videos"]),
            test_videos=tuple(tuple(videos) for videos in content["test_videos"]),
        )
    except AnnotationError:
        raise
    except (AttributeError, IndexError, TypeError, ValueError) as error:
        raise AnnotationError(f"{os.fspath(path)!r} is not as tubes are annotated: {error}.") from error


def tube_of(path: PathLike, video: str, action: int, num_classes: int, frames: Any, boxes_px: Any) -> Tube:
    """A tube from frame numbers (N,), counted from 1, and boxes (N, 4) xyxy in pixels.

    Raises:
        AnnotationError: they do not fit together; the message names file and video.
    """
    tube = Tube(
        video=video,
        action=int(action),
        frames=np.asarray(frames, np.int64) - 1,
        boxes_px=np.asarray(boxes_px, np.float64),
    )
    count = len(tube.frames)
    rules = {
        f"label {action}; expected 0 to {num_classes - 1}": 0 <= tube.action < num_classes,
        f"{count} frames with boxes {tube.boxes_px.shape}; expected ({count}, 4)": tube.boxes_px.shape == (count, 4),
        "frames that do not rise from 1 or more": bool((np.diff(tube.frames, prepend=-1) > 0).all()),
        "boxes that end before they begin": bool((tube.boxes_px[..., 2:] >= tube.boxes_px[..., :2]).all()),
    }
    for wrong, holds in rules.items():
        if not holds:
            raise AnnotationError(f"{os.fspath(path)!r}, video {video!r}: a tube has {wrong}.")
    return tube


def unpickled(path: PathLike) -> Any:
    """What a pickle of annotations holds; nothing in it can run.

    Raises:
        AnnotationError: it cannot be read, or holds more than numbers, strings, containers and arrays.
    """
    try:
        with open(path, "rb") as stream:
            return unpickle(stream, Path(path).stat().st_size, os.fspath(path))
    except OSError as error:
        raise AnnotationError(f"{os.fspath(path)!r} cannot be read: {error.strerror}.") from error
    except WeightsError as error:
        raise AnnotationError(str(error)) from error
