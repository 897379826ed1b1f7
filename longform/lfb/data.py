"""What the data sets have in common for training and testing: examples by number, answers by query."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from longform.datasets.frame_lists import FrameList, read_frame_lists
from longform.lfb.options import ModelOptions
from longform.lfb.samples_clips import ClipExample
from longform.training.errors import TrainingError

Logits = NDArray[np.float32]
Span = tuple[float, float] | None


class TrainingData(Protocol):
    """Examples to train on."""

    num_classes: int
    videos: tuple[str, ...]
    """Those that are there."""
    span_s: Span
    """First and last moment of the list, where they are known; for `BankWindows.require`."""

    def drawn(self, batch: int, *, seed: int, step: int) -> Sequence[int]:
        """Numbers of the examples of a step."""
        ...

    def example(self, number: int, rng: np.random.Generator) -> ClipExample:
        """A clip, drawn; its labels are those that `LFBModel.loss` takes."""
        ...


class TestingData(Protocol):
    """Queries to answer: key frames, segments or videos, each in one view or several."""

    dataset: str
    num_classes: int
    videos: tuple[str, ...]
    missing: tuple[str, ...]
    span_s: Span
    main_metric: str

    def __len__(self) -> int:
        """Number of queries."""
        ...

    def video(self, query: int) -> str: ...

    def num_views(self, query: int) -> int: ...

    def explained_views(self, query: int) -> Sequence[int]:
        """Views of a query whose answers are worth an explanation: centre crops, not mirrored."""
        ...

    def example(self, query: int, view: int) -> ClipExample:
        """The clip of a view."""
        ...

    def class_name(self, number: int) -> str: ...

    def combined(self, logits: Sequence[Sequence[Logits]]) -> Sequence[NDArray[np.float64]]:
        """Scores (N, C) of each query from the logits (N, C) of each of its views."""
        ...

    def write(self, path: Path, scores: Sequence[NDArray[np.float64]]) -> None:
        """The scores as the evaluator of the data set reads them."""
        ...

    def missing_in(self, results: Path) -> tuple[str, ...]:
        """Videos without any answer in such a file."""
        ...

    def measure(self, results: Path) -> dict[str, float]:
        """The official metrics of such a file."""
        ...


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """Where the data are, and how a model sees them."""

    options: argparse.Namespace
    model: ModelOptions

    @property
    def annotations(self) -> Path:
        """Folder of the official files."""
        return Path(self.options.annotations)

    def file(self, pattern: str) -> Path:
        """The one file of the annotations that a pattern means.

        Raises:
            TrainingError: there is none, or several.
        """
        found = sorted(self.annotations.glob(pattern))
        if len(found) == 1:
            return found[0]
        there = f"there are {', '.join(path.name for path in found)}" if found else "there is none"
        raise TrainingError(f"--annotations {self.annotations}: expected one file {pattern}; {there}.")

    def has(self, name: str) -> bool:
        """Whether the annotations have a file."""
        return (self.annotations / name).is_file()

    def frame_list(self, split: str, num_classes: int | None = None) -> FrameList | None:
        """`train.csv` or `val.csv`, if it is there and pictures are read."""
        path = self.annotations / f"{split}.csv"
        if self.options.frames is None or not path.is_file():
            return None
        return read_frame_lists(path, num_classes=num_classes)
