"""EPIC-KITCHENS for `longform train|eval lfb-epic-verb` and `lfb-epic-noun`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from extractors.errors import ShapeError
from longform.datasets.counts import epic_counts
from longform.datasets.epic import FPS, EpicEdition, EpicSegment, lfb_split, read_classes, read_segments
from longform.lfb.data import DataOptions, Logits, Span
from longform.lfb.footage import Footage, only_results, open_footage
from longform.lfb.notes import require_frames, say_counts
from longform.lfb.samples import drawn_examples
from longform.lfb.samples_clips import ClipExample, epic_example
from longform.lfb.samples_views import View
from longform.metrics.epic_topk import epic_topk
from longform.metrics.tables import AnnotationError
from longform.training.errors import TrainingError

FILES_55 = "EPIC_train_action_labels.csv"
FILES_100 = ("EPIC_100_train.csv", "EPIC_100_validation.csv")
CHECKED_VIDEOS = 10
"""Whose length is checked before a run."""


@dataclass(frozen=True, kw_only=True)
class EpicSplit:
    """Segments to train on or to test."""

    edition: EpicEdition
    segments: list[EpicSegment]
    path: Path


def epic_split(data: DataOptions, split: str) -> EpicSplit:
    """The segments of `train` or `val`: of EPIC-KITCHENS-55 the kitchens up to P25 and the others, of -100 its files.

    Raises:
        TrainingError: the annotations have the files of both editions, or of none.
    """
    has_55, has_100 = data.has(FILES_55), data.has(FILES_100[0])
    if has_55 == has_100:
        there = "the files of both editions" if has_55 else f"neither {FILES_55} nor {FILES_100[0]}"
        raise TrainingError(f"--annotations {data.annotations} has {there}; expected those of one.")
    if has_55:
        read = read_segments(path := data.file(FILES_55))
        training, validation = lfb_split(read.segments)
        segments = training if split == "train" else validation
    else:
        read = read_segments(path := data.file(FILES_100[split == "val"]))
        segments = list(read.segments)
    if split == "train" or has_100:
        say_counts(epic_counts(read, split="train" if split == "train" else "validation"))
    if not segments:
        raise TrainingError(f"{path} has no segment of the split {split}.")
    return EpicSplit(edition=read.edition, segments=segments, path=path)


def class_of(segment: EpicSegment, task: str) -> int | None:
    """Verb or noun."""
    return segment.verb if task == "epic-verb" else segment.noun


class EpicTraining:
    """Segments, drawn with replacement."""

    span_s: Span = None

    def __init__(self, data: DataOptions) -> None:
        split = epic_split(data, "train")
        self._task = data.model.task
        self.num_classes = num_classes(split.edition, self._task)
        footage = epic_footage(data, split, "train")
        footage.require(split.path.name, allow_missing=data.options.allow_missing)
        self._reader, self.videos = footage.reader, footage.videos
        self._segments = [segment for segment in split.segments if segment.video in set(footage.videos)]
        self._shape, self._size_px = data.model.clip_shape, data.model.size

    def drawn(self, batch: int, *, seed: int, step: int) -> Sequence[int]:
        return [int(i) for i in drawn_examples(len(self._segments), batch, seed=seed, step=step)]

    def example(self, number: int, rng: np.random.Generator) -> ClipExample:
        segment = self._segments[number]
        clip = epic_example(segment, self._reader, rng, shape=self._shape, size_px=self._size_px)
        return _of_task(clip, self._task)


class EpicTesting:
    """Segments, each in the clip of its middle."""

    dataset = "epic-kitchens"
    span_s: Span = None

    def __init__(self, data: DataOptions) -> None:
        split = epic_split(data, "val")
        self._task, self.edition = data.model.task, split.edition
        self.num_classes = num_classes(split.edition, self._task)
        self.main_metric = f"{self.what}_top1"
        footage = epic_footage(data, split, "val")
        footage.require(split.path.name, allow_missing=data.options.allow_missing)
        self._reader, self.videos, self.missing = footage.reader, footage.videos, footage.missing
        self.segments = [segment for segment in split.segments if segment.video in set(footage.videos)]
        self._shape, self._view = data.model.clip_shape, View(short_side_px=data.model.size)
        names = sorted(data.annotations.glob(f"EPIC*_{self.what}_classes.csv"))
        self._names = read_classes(names[0], what=self.what) if names else ()

    @property
    def what(self) -> str:
        """`verb` or `noun`."""
        return self._task.removeprefix("epic-")

    def __len__(self) -> int:
        return len(self.segments)

    def video(self, query: int) -> str:
        return self.segments[query].video

    def num_views(self, query: int) -> int:
        return 1

    def explained_views(self, query: int) -> Sequence[int]:
        return (0,)

    def example(self, query: int, view: int) -> ClipExample:
        found = epic_example(self.segments[query], self._reader, shape=self._shape, view=self._view)
        return _of_task(found, self._task)

    def class_name(self, number: int) -> str:
        return self._names[number] if self._names else f"{self.what} {number}"

    def combined(self, logits: Sequence[Sequence[Logits]]) -> Sequence[NDArray[np.float64]]:
        return [of_views[0].astype(np.float64) for of_views in logits]

    def write(self, path: Path, scores: Sequence[NDArray[np.float64]]) -> None:
        ids = np.array([segment.segment_id for segment in self.segments])
        with open(path, "wb") as file:
            np.savez(file, segment_ids=ids, logits=np.concatenate(list(scores)), what=self.what)

    def missing_in(self, results: Path) -> tuple[str, ...]:
        return ()

    def measure(self, results: Path) -> dict[str, float]:
        logits = read_results(results, self.what, [segment.segment_id for segment in self.segments])
        labels = np.array([class_of(segment, self._task) for segment in self.segments], np.int64)
        if logits.shape[1] != self.num_classes:
            raise AnnotationError(f"{str(results)!r} has {logits.shape[1]} classes; expected {self.num_classes}.")
        one = np.zeros((len(labels), 1))
        found = epic_topk(logits, one, labels, np.zeros(len(labels), np.int64))
        return {f"{self.what}_top{k}": found[f"verb_top{k}"] for k in (1, 5)}


def read_results(path: str | Path, what: str, segment_ids: Sequence[str]) -> NDArray[np.float64]:
    """(N, C) logits of the segments, from a file of `EpicTesting.write`.

    Args:
        what: `verb` or `noun`.
    Raises:
        AnnotationError: the file cannot be read, is of the other, or lacks a segment; the message names it.
    """
    try:
        with np.load(path, allow_pickle=False) as held:
            ids, logits, of = held["segment_ids"].tolist(), held["logits"], str(held["what"])
    except (OSError, ValueError, KeyError) as error:
        raise AnnotationError(f"{str(path)!r} is no file of results that longform eval wrote: {error}.") from error
    if of != what:
        raise AnnotationError(f"{str(path)!r} has scores of {of}s; expected {what}s.")
    rows = {segment_id: row for row, segment_id in enumerate(ids)}
    missing = [segment_id for segment_id in segment_ids if segment_id not in rows]
    if missing:
        raise AnnotationError(
            f"{str(path)!r} lacks {len(missing)} of {len(segment_ids)} segments: {', '.join(missing[:5])}. Were videos "
            "missing?"
        )
    return np.asarray(logits, np.float64)[[rows[segment_id] for segment_id in segment_ids]]


def epic_footage(data: DataOptions, split: EpicSplit, name: str) -> Footage:
    """The frames of the videos with segments."""
    last: dict[str, int] = {}
    for segment in split.segments:
        last[segment.video] = max(last.get(segment.video, 0), segment.frames[0])
    footage = open_footage(data.options, last, fps=FPS, frames=data.frame_list(name))
    if not only_results(data.options):
        require_frames(footage, {video: last[video] for video in footage.videos[:CHECKED_VIDEOS]}, fps=FPS)
    return footage


def num_classes(edition: EpicEdition, task: str) -> int:
    """Verbs or nouns of an edition."""
    return edition.num_verbs if task == "epic-verb" else edition.num_nouns


def _of_task(example: ClipExample, task: str) -> ClipExample:
    """With the label of the task alone, (1,) int64."""
    assert isinstance(example.labels, tuple)
    label = example.labels[0 if task == "epic-verb" else 1]
    if label is None:
        raise ShapeError(f"A segment of {example.video!r} has no label.")
    return replace(example, labels=np.array([label], np.int64))
