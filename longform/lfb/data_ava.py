"""AVA for `longform train|eval lfb-ava`."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from longform.datasets.ava import (
    CUT_START_S,
    FPS,
    KEY_SECONDS,
    NUM_ACTIONS,
    read_detections,
    read_label_map,
    write_detections,
)
from longform.datasets.ava_key_frames import (
    TESTED_WHILE_TRAINING_S,
    TRAINING_MIN_SCORE,
    AvaKeyFrame,
    AvaKeyFrames,
    key_frames_to_test_on,
    key_frames_to_train_on,
)
from longform.datasets.counts import ava_training_counts
from longform.lfb.data import DataOptions, Logits, Span
from longform.lfb.footage import Footage, only_results, open_footage
from longform.lfb.notes import frame_notes, say, say_counts
from longform.lfb.samples import drawn_examples
from longform.lfb.samples_augment import CENTRE, TESTING_SHORT_SIDE_PX
from longform.lfb.samples_clips import ClipExample, ava_example
from longform.lfb.samples_views import AVA_ALL_VIEWS, AVA_VIEWS, View, combined_ava_scores
from longform.metrics.ava_map import ava_frame_map
from longform.metrics.tables import csv_rows

CUT_S = 901.0
SPAN_S = (KEY_SECONDS[0] - CUT_START_S, KEY_SECONDS[-1] - CUT_START_S)


class AvaTraining:
    """Key frames with annotated and predicted boxes."""

    num_classes = NUM_ACTIONS
    span_s: Span = SPAN_S

    def __init__(self, data: DataOptions) -> None:
        version = data.options.ava_version
        truth, boxes = data.file(f"ava_train_v{version}.csv"), data.file("ava_train_predicted_boxes.csv")
        self._key_frames = key_frames_to_train_on([truth], [boxes])
        say_counts(ava_training_counts(self._key_frames))
        footage = ava_footage(data, self._key_frames, "train")
        footage.require(truth.name, allow_missing=data.options.allow_missing)
        self._reader, self.videos = footage.reader, footage.videos
        self._numbers = _there(self._key_frames, footage)
        self._shape, self._size_px = data.model.clip_shape, data.model.size

    def drawn(self, batch: int, *, seed: int, step: int) -> Sequence[int]:
        return [int(i) for i in self._numbers[drawn_examples(len(self._numbers), batch, seed=seed, step=step)]]

    def example(self, number: int, rng: np.random.Generator) -> ClipExample:
        return ava_example(self._key_frames[number], self._reader, rng, shape=self._shape, size_px=self._size_px)


class AvaTesting:
    """Key frames with predicted boxes.

    Args:
        while_training: only every fourth second, boxes of 0.9 and more, one view.
    """

    dataset = "ava"
    num_classes = NUM_ACTIONS
    span_s: Span = SPAN_S
    main_metric = "mAP"

    def __init__(self, data: DataOptions, *, while_training: bool = False, all_views: bool = False) -> None:
        version = data.options.ava_version
        self._truth = data.file(f"ava_val_v{version}.csv")
        self._label_map = data.file(f"ava_action_list_v{version}_for_activitynet_*.pbtxt")
        self._excluded = data.file(f"ava_val_excluded_timestamps_v{version}.csv")
        self._names = read_label_map(self._label_map)
        boxes = data.file("ava_val_predicted_boxes.csv")
        least = {"min_score": TRAINING_MIN_SCORE} if while_training else {}
        self._key_frames = key_frames_to_test_on([boxes], **least)
        footage = ava_footage(data, self._key_frames, "val")
        footage.require(boxes.name, allow_missing=data.options.allow_missing)
        self._reader, self.videos, self.missing = footage.reader, footage.videos, footage.missing
        self._divisor = TESTED_WHILE_TRAINING_S if while_training else 1
        numbers = _there(self._key_frames, footage)
        self._numbers = numbers[self._key_frames.seconds[numbers] % self._divisor == 0]
        self._views = [_scaled(view, data.model.size) for view in (AVA_ALL_VIEWS if all_views else AVA_VIEWS)]
        self._shape = data.model.clip_shape

    def __len__(self) -> int:
        return len(self._numbers)

    def video(self, query: int) -> str:
        return self._key_frame(query).video

    def num_views(self, query: int) -> int:
        return len(self._views)

    def explained_views(self, query: int) -> Sequence[int]:
        views = self._views
        sides = [view.short_side_px for view in views]
        middle = sorted(set(sides))[len(set(sides)) // 2]
        fits = [v for v, view in enumerate(views) if (view.short_side_px, view.position) == (middle, CENTRE)]
        return fits[:1]

    def example(self, query: int, view: int) -> ClipExample:
        return ava_example(self._key_frame(query), self._reader, shape=self._shape, view=self._views[view])

    def class_name(self, number: int) -> str:
        return self._names.get(number + 1, f"action {number + 1}")

    def boxes(self, query: int) -> NDArray[np.float64]:
        """(N, 4) of a query, xyxy in [0, 1]."""
        return self._key_frame(query).boxes

    def combined(self, logits: Sequence[Sequence[Logits]]) -> Sequence[NDArray[np.float64]]:
        if len(self._views) == 1:
            return [of_views[0].astype(np.float64) for of_views in logits]
        return [
            combined_ava_scores(np.stack(list(of_views)), self._views, self.boxes(query), self._source_hw(query))
            for query, of_views in enumerate(logits)
        ]

    def write(self, path: Path, scores: Sequence[NDArray[np.float64]]) -> None:
        boxes = [self.boxes(query) for query in range(len(self))]
        places = [(self._key_frame(query).video, self._key_frame(query).second) for query in range(len(self))]
        keys = [place for place, some in zip(places, boxes, strict=True) for _ in some]
        write_detections(path, keys, np.concatenate(boxes), np.concatenate(list(scores)), actions=self._names.keys())

    def missing_in(self, results: Path) -> tuple[str, ...]:
        answered = {detection.video for detection in read_detections(results)}
        return tuple(video for video in self.videos if video not in answered)

    def measure(self, results: Path) -> dict[str, float]:
        with tempfile.TemporaryDirectory() as folder:
            truth = self._truth if self._divisor == 1 else self._every(Path(folder) / "truth.csv")
            return {"mAP": float(ava_frame_map(truth, results, self._label_map, self._excluded)["mAP"])}  # type: ignore[arg-type]

    def _every(self, path: Path) -> Path:
        """The ground truth of the seconds that are tested."""
        with open(path, "w", encoding="utf-8") as file:
            for _, row in csv_rows(self._truth, (2, 7, 8), "the ground truth of AVA"):
                if int(row[1]) % self._divisor == 0:
                    file.write(",".join(row) + "\n")
        return path

    def _key_frame(self, query: int) -> AvaKeyFrame:
        return self._key_frames[int(self._numbers[query])]

    def _source_hw(self, query: int) -> tuple[int, int]:
        height, width = self._reader.read(self._key_frame(query).video, [0])[0].shape[:2]
        return height, width


def ava_footage(data: DataOptions, key_frames: AvaKeyFrames, split: str) -> Footage:
    """The frames of the videos with key frames; frame 0 is at second 900."""
    whole = data.options.start_second == 0
    footage = open_footage(
        data.options,
        key_frames.videos,
        fps=FPS,
        frames=data.frame_list(split),
        start_s=CUT_START_S if whole else 0.0,
        duration_s=CUT_S if whole else None,
    )
    if not only_results(data.options):
        say(frame_notes(footage, dict.fromkeys(footage.videos[:3], CUT_S), fps=FPS))
    return footage


def bank_offset_s(options: argparse.Namespace) -> float:
    """Time of frame 0 in a bank."""
    return float(CUT_START_S - options.start_second)


def _there(key_frames: AvaKeyFrames, footage: Footage) -> NDArray[np.int64]:
    """Numbers of the key frames whose video is there."""
    there = np.array([video in set(footage.videos) for video in key_frames.videos])
    return np.flatnonzero(there[key_frames.video_index])


def _scaled(view: View, size_px: int) -> View:
    side = round(view.short_side_px * size_px / TESTING_SHORT_SIDE_PX)
    return View(short_side_px=side, position=view.position, flip=view.flip)
