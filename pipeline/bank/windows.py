"""Windows in time over a feature space: what a reader answers, and arrays of fixed size made of them.

windows = bank.windows("person.test", [("a.mp4", 61.0), ("b.mp4", 7.0)], before_s=30, after_s=30)
arrays = pad_windows(windows, WindowGrid(steps=60, items_per_step=5, choice="random"), rng)
arrays.features, arrays.mask                                     # (2, 60, 5, D), (2, 60, 5)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from pipeline.bank.errors import BankError

Moment = tuple[str, float]
"""A video and a time in it, in seconds."""

Choice = Literal["first", "top_score", "random"]


@dataclass(frozen=True, kw_only=True)
class Window:
    """The N items of a space with start_s <= time < end_s in one video, by time, then detection id.

    `features` (N, D) float32; `times_s` (N,) float64, seconds; `boxes` (N, 4) float32, x0 y0 x1 y1 in
    [0, 1], and `scores` (N,) float32, NaN where an item has no detection; `detection_ids` and `track_ids`
    (N,) int64, -1 where an item has none. `boxes`, `scores` and `detection_ids` are None if no item of the
    video in this space has a detection, `track_ids` if none has a track.
    """

    space: str
    video_id: str
    start_s: float
    end_s: float
    features: np.ndarray
    times_s: np.ndarray
    boxes: np.ndarray | None
    scores: np.ndarray | None
    detection_ids: np.ndarray | None
    track_ids: np.ndarray | None

    def __post_init__(self) -> None:
        count = len(self.times_s)
        per_item = (self.features, self.boxes, self.scores, self.detection_ids, self.track_ids)
        lengths = [None if array is None else len(array) for array in per_item]
        if any(length not in (None, count) for length in lengths):
            raise ValueError(f"Window of {count} times: got lengths {lengths}, expected {count} or None.")

    @property
    def times(self) -> np.ndarray:
        """`times_s`."""
        return self.times_s

    def to_json(self) -> dict[str, Any]:
        """The window as `longform window --json` prints it; null for a box, score or track that is not there."""
        return {
            "space": self.space,
            "video_id": self.video_id,
            "times_s": self.times_s.tolist(),
            "boxes": None if self.boxes is None else [None if box[0] != box[0] else box for box in self.boxes.tolist()],
            "scores": None if self.scores is None else [None if s != s else s for s in self.scores.tolist()],
            "track_ids": None if self.track_ids is None else [None if i < 0 else i for i in self.track_ids.tolist()],
            "features": self.features.tolist(),
        }


@dataclass(frozen=True, kw_only=True)
class WindowGrid:
    """How a window becomes an array: `steps` equal spans of time with up to `items_per_step` items each.

    Where a step has more, `choice` says which stay: those that come "first" (by time, then detection id),
    those with the "top_score" of their detection (the first of equals), or a "random" subset, all equally
    likely. Items below `min_score` (in float32, as scores are stored) are left out, and then those without
    a detection too. Long-term feature banks on AVA read 60 s as
    ``WindowGrid(steps=60, items_per_step=5, choice="random", min_score=0.9)``.
    Raises BankError.
    """

    steps: int
    items_per_step: int
    choice: Choice = "first"
    min_score: float | None = None

    def __post_init__(self) -> None:
        if self.steps < 1 or self.items_per_step < 1 or self.choice not in get_args(Choice):
            raise BankError(
                f"Bad window grid: got {self.steps} steps of {self.items_per_step} items by {self.choice!r}, "
                f"expected at least 1 of each, by one of {get_args(Choice)}."
            )


@dataclass(frozen=True, kw_only=True)
class PaddedWindows:
    """Windows as arrays of one size: W windows, S steps, K items a step, D values an item.

    `mask` (W, S, K) bool is true where there is an item; elsewhere ids are -1 and all else is 0. The items
    of a step fill it from its front, by time, then detection id. `features` (W, S, K, D), `boxes`
    (W, S, K, 4) and `scores` (W, S, K) float32, `times_s` float64, `detection_ids` and `track_ids` int64.
    An item without a detection has box and score 0.
    """

    mask: np.ndarray
    features: np.ndarray
    times_s: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray
    detection_ids: np.ndarray
    track_ids: np.ndarray

    def packed(self, slots: int) -> "PaddedWindows":
        """The first `slots` items of each window in one step, in order, without the gaps between steps.

        The layout of the objects of EPIC-Kitchens (120 slots) in long-term feature banks.
        """
        count, steps, items = self.mask.shape
        flat = self.mask.reshape(count, steps * items)
        order = np.argsort(~flat, axis=1, kind="stable")[:, :slots]

        def pack(values: np.ndarray, padding: int) -> np.ndarray:
            rest = values.shape[3:]
            out = np.full((count, 1, slots, *rest), padding, values.dtype)
            flat_values = values.reshape(count, steps * items, *rest)
            out[:, 0, : order.shape[1]] = flat_values[np.arange(count)[:, None], order]
            return out

        return PaddedWindows(**{name: pack(values, _padding(name)) for name, values in vars(self).items()})


def pad_windows(windows: Sequence[Window], grid: WindowGrid, rng: np.random.Generator | None = None) -> PaddedWindows:
    """Put windows of one space on a grid. A step k of S begins at ``start_s + (end_s - start_s) * k / S``.

    `rng` draws for the choice "random". Raises BankError for no windows, a random choice without `rng`, and
    a choice by score among items that have none.
    """
    if not windows:
        raise BankError("Cannot pad windows: got none, expected at least one, which gives the dimension.")
    if grid.choice == "random" and rng is None:
        raise BankError("Cannot choose items at random: got no rng, expected numpy.random.default_rng(seed).")
    shape = (len(windows), grid.steps, grid.items_per_step)
    out = _empty(shape, windows[0].features.shape[1])
    for i, window in enumerate(windows):
        items, steps, places = _choose(window, grid, rng)
        out.mask[i, steps, places] = True
        everything = len(items) == len(window.times_s)
        out.features[i, steps, places] = window.features if everything else window.features[items]
        out.times_s[i, steps, places] = window.times_s[items]
        if window.boxes is not None and window.scores is not None and window.detection_ids is not None:
            out.boxes[i, steps, places] = np.nan_to_num(window.boxes[items])
            out.scores[i, steps, places] = np.nan_to_num(window.scores[items])
            out.detection_ids[i, steps, places] = window.detection_ids[items]
        if window.track_ids is not None:
            out.track_ids[i, steps, places] = window.track_ids[items]
    return out


def _choose(
    window: Window, grid: WindowGrid, rng: np.random.Generator | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions of the chosen items in the window, their steps, and their places within the step."""
    borders = window.start_s + (window.end_s - window.start_s) * np.arange(1, grid.steps) / grid.steps
    steps = np.searchsorted(borders, window.times_s, "right")
    items = np.arange(len(steps))
    if grid.min_score is not None:
        items = items[_scores(window) >= np.float32(grid.min_score)]  # NaN is left out
    if grid.choice == "top_score":
        ranking = -np.nan_to_num(_scores(window)[items], nan=-np.inf)
    elif rng is not None and grid.choice == "random":
        ranking = rng.random(len(items))
    else:
        ranking = items
    ranked = items[np.lexsort((ranking, steps[items]))]
    chosen = np.sort(ranked[_places(steps[ranked]) < grid.items_per_step])
    return chosen, steps[chosen], _places(steps[chosen])


def _places(steps: np.ndarray) -> np.ndarray:
    """For steps that do not go down: 0, 1, 2 … within each."""
    return np.arange(len(steps)) - np.searchsorted(steps, steps)


def _scores(window: Window) -> np.ndarray:
    if window.scores is not None:
        return window.scores
    if not len(window.times_s):
        return np.zeros(0, np.float32)
    raise BankError(
        f"Cannot choose by score in space {window.space!r}: got items of video {window.video_id!r} without "
        'detections, expected a space of detections. Choose "first" or "random", without min_score.'
    )


def _empty(shape: tuple[int, int, int], dim: int) -> PaddedWindows:
    kinds: dict[str, tuple[Any, tuple[int, ...]]] = {
        "mask": (bool, ()),
        "features": (np.float32, (dim,)),
        "times_s": (np.float64, ()),
        "boxes": (np.float32, (4,)),
        "scores": (np.float32, ()),
        "detection_ids": (np.int64, ()),
        "track_ids": (np.int64, ()),
    }
    return PaddedWindows(
        **{name: np.full((*shape, *rest), _padding(name), kind) for name, (kind, rest) in kinds.items()}
    )


def _padding(name: str) -> int:
    return -1 if name.endswith("_ids") else 0
