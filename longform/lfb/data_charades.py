"""Charades for `longform train|eval lfb-charades`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from longform.datasets.charades import FPS, CharadesVideo, frame_list, read_class_names, read_videos, write_submission
from longform.datasets.counts import charades_counts
from longform.datasets.frame_lists import FrameList
from longform.datasets.frame_reader import FramePictures
from longform.lfb.data import DataOptions, Logits, Span
from longform.lfb.footage import Footage, counted_pictures, only_results, open_footage, unread
from longform.lfb.notes import frame_notes, say, say_counts
from longform.lfb.samples import charades_test_centres, shuffled_examples
from longform.lfb.samples_augment import CENTRE
from longform.lfb.samples_clips import ClipExample, charades_example
from longform.lfb.samples_views import CHARADES_VIEWS, View, largest_scores
from longform.metrics.charades_map import NUM_CLASSES, charades_map, read_charades_submission

CLIPS, CLIPS_WHILE_TRAINING = 10, 3
CHECKED_VIDEOS = 20
"""Whose frame rate is checked before a run."""


class CharadesTraining:
    """Videos with actions, each once an epoch."""

    num_classes = NUM_CLASSES
    span_s: Span = None

    def __init__(self, data: DataOptions) -> None:
        path = data.file("Charades_v1_train.csv")
        videos = read_videos(path)
        say_counts(charades_counts(videos, split="train"))
        footage, self._frames = charades_footage(data, videos, "train")
        footage.require(path.name, allow_missing=data.options.allow_missing)
        self._reader, self.videos = footage.reader, footage.videos
        self._shape, self._size_px = data.model.clip_shape, data.model.size

    def drawn(self, batch: int, *, seed: int, step: int) -> Sequence[int]:
        return [int(i) for i in shuffled_examples(len(self.videos), batch, seed=seed, step=step)]

    def example(self, number: int, rng: np.random.Generator) -> ClipExample:
        video = self.videos[number]
        return charades_example(video, self._frames[video], self._reader, rng, shape=self._shape, size_px=self._size_px)


class CharadesTesting:
    """Videos with actions, each in several clips of three crops.

    Args:
        while_training: 3 clips, not 10.
    """

    dataset = "charades"
    num_classes = NUM_CLASSES
    span_s: Span = None
    main_metric = "mAP"

    def __init__(self, data: DataOptions, *, while_training: bool = False) -> None:
        self._truth = data.file("Charades_v1_test.csv")
        footage, self._frames = charades_footage(data, read_videos(self._truth), "val")
        footage.require(self._truth.name, allow_missing=data.options.allow_missing)
        self._reader, self.videos, self.missing = footage.reader, footage.videos, footage.missing
        self._shape = data.model.clip_shape
        clips = CLIPS_WHILE_TRAINING if while_training else CLIPS
        self._views = [
            (clip, View(short_side_px=data.model.size, position=view.position))
            for clip in range(clips)
            for view in CHARADES_VIEWS
        ]
        self._clips = clips
        named = data.has("Charades_v1_classes.txt")
        self._names = read_class_names(data.annotations / "Charades_v1_classes.txt") if named else ()

    def __len__(self) -> int:
        return len(self.videos)

    def video(self, query: int) -> str:
        return self.videos[query]

    def num_views(self, query: int) -> int:
        return len(self._views)

    def explained_views(self, query: int) -> Sequence[int]:
        return [number for number, (_, view) in enumerate(self._views) if view.position == CENTRE]

    def example(self, query: int, view: int) -> ClipExample:
        video = self.videos[query]
        clip, seen = self._views[view]
        centre = charades_test_centres(len(self._frames[video]), self._clips)[clip]
        return charades_example(video, self._frames[video], self._reader, centre=centre, shape=self._shape, view=seen)

    def class_name(self, number: int) -> str:
        return self._names[number] if self._names else f"c{number:03d}"

    def combined(self, logits: Sequence[Sequence[Logits]]) -> Sequence[NDArray[np.float64]]:
        return [largest_scores(np.stack(list(of_views))) for of_views in logits]

    def write(self, path: Path, scores: Sequence[NDArray[np.float64]]) -> None:
        write_submission(path, self.videos, np.concatenate(list(scores)))

    def missing_in(self, results: Path) -> tuple[str, ...]:
        answered = read_charades_submission(results)
        return tuple(video for video in self.videos if video not in answered)

    def measure(self, results: Path) -> dict[str, float]:
        found = charades_map(self._truth, results)
        return {name: float(found[name]) for name in ("mAP", "wAP")}  # type: ignore[arg-type]


def charades_footage(data: DataOptions, videos: Sequence[CharadesVideo], split: str) -> tuple[Footage, FrameList]:
    """The frames of the videos with actions, and their labels: of the frame list if pictures have one, else by time."""
    acted = [video for video in videos if video.actions]
    names = [video.video for video in acted]
    if only_results(data.options):
        return unread(names), {}
    lists = data.frame_list(split, NUM_CLASSES)
    if data.options.frames is not None and lists is None:
        counts = counted_pictures(Path(data.options.frames), names)
        lists = frame_list([video for video in acted if video.video in counts], counts)
        footage = Footage(
            reader=FramePictures(lists, data.options.frames),
            videos=tuple(lists),
            missing=tuple(name for name in names if name not in lists),
        )
    else:
        footage = open_footage(data.options, names, fps=FPS, frames=lists)
    there = set(footage.videos)
    if lists is None:
        counts = {video: footage.reader.num_frames(video) for video in footage.videos}
        lists = frame_list([video for video in acted if video.video in there], counts)
    lengths_s = {video.video: video.length_s for video in acted if video.video in there}
    say(frame_notes(footage, dict(list(lengths_s.items())[:CHECKED_VIDEOS]), fps=FPS))
    return footage, lists
