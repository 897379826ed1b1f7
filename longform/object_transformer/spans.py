"""Spans of a video: which there are, and in which order their seconds are visited."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from longform.datasets.ava import KEY_SECONDS
from pipeline.errors import ConfigError

Short = Literal["one span", "none"]


@dataclass(frozen=True, slots=True)
class Span:
    """Some seconds about a named one."""

    second: int
    named_by: Literal["tail", "centre"] = "tail"

    def visits(self, seconds: int = 60) -> NDArray[np.int64]:
        """The seconds of the span (S,) in visiting order.

        Tail t: t, t - 1, ..., t - S + 1. Centre c: c, c - 1, c + 1, c - 2, ... . Boxes visited last are the ones
        that a full span drops (chaoyuaw/lvu, src/run.py, `construct_example`).
        """
        steps = np.arange(seconds, dtype=np.int64)
        if self.named_by == "tail":
            return self.second - steps
        return self.second + (steps + 1) // 2 * np.where(steps % 2 == 0, 1, -1)


def tail_spans(present: NDArray[np.int64], seconds: int = 60, stride: int = 1, short: Short = "one span") -> list[Span]:
    """The spans of one video that are named by their last second and hold at least one box.

    Args:
        present: seconds that have a box, in any order, with repetition.
        stride: seconds between two tails; evaluation of pre-training takes 60.
        short: what a video without a full span gives: end tasks take the one that ends with its last box,
            pre-training takes none.
    """
    if stride < 1 or seconds < 1:
        raise ConfigError(f"Spans of {seconds} s every {stride} s: both must be 1 or more.")
    there = np.unique(np.asarray(present, np.int64))
    if not len(there):
        return []
    tails = np.arange(there[0] + seconds - 1, there[-1] + 1, stride)
    boxes = np.searchsorted(there, tails, "right") - np.searchsorted(there, tails - seconds, "right")
    spans = [Span(int(tail)) for tail in tails[boxes > 0]]
    return spans or ([Span(int(there[-1]))] if short == "one span" else [])


def centre_spans(present: NDArray[np.int64], centres: range = KEY_SECONDS, seconds: int = 60) -> list[Span]:
    """The spans of one video that are named by their centre and hold at least one box: AVA's."""
    there = np.unique(np.asarray(present, np.int64))
    middles = np.array(centres, np.int64)
    first, last = middles - seconds // 2, middles + (seconds + 1) // 2 - 1
    boxes = np.searchsorted(there, last, "right") - np.searchsorted(there, first, "left")
    return [Span(int(middle), "centre") for middle in middles[boxes > 0]]
