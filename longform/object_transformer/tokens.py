"""From tracked boxes to the tokens of a span: order, truncation, indices, places.

    table = BoxTable(video_id=..., seconds=..., boxes=..., tracks=..., shots=..., features=...)
    sequence = tokens_of(table, Span(172), TokenForm(), np.random.default_rng(seed))

What is computed here follows chaoyuaw/lvu (src/run.py, `construct_example`), in formulas in docs/object-transformer.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from longform.object_transformer.config import FIRST_VALUE, TokenForm
from longform.object_transformer.spans import Span
from pipeline.errors import PipelineError

INDEX_NAMES = (
    "link_ids",
    "inc_position_ids",
    "dec_position_ids",
    "center_position_ids",
    "inc_scene_ids",
    "dec_scene_ids",
    "center_scene_ids",
)
"""Columns of the indices of a token, under the original's names: track, second thrice, shot thrice."""

PADDING, START, END = 1, 2, 3
"""Indices of tokens that are no boxes, in every column."""

RELEASED_FORM = TokenForm()

NO_ROW = -1

JITTER = 0.2
"""How far a coordinate may move in training, as a part of the box's width or height."""


class TokenError(PipelineError, ValueError):
    """Boxes that cannot become tokens; the message names the video and what is wrong."""


@dataclass(frozen=True, kw_only=True, eq=False)
class BoxTable:
    """The tracked boxes of one video, one key frame a second. N boxes; boxes of one second keep their order."""

    video_id: str
    seconds: NDArray[np.int64]
    """(N,) whole seconds of the video."""
    boxes: NDArray[np.float64]
    """(N, 4) xyxy in [0, 1]."""
    tracks: NDArray[np.int64]
    """(N,) who it is; each box that belongs to no track has a number of its own."""
    shots: NDArray[np.int64]
    """(N,) number of the shot."""
    features: NDArray[np.floating]
    """(N, D) float32 or float16; of persons and objects side by side where there are both."""

    def __post_init__(self) -> None:
        count = len(self.seconds)
        expected = {"seconds": (count,), "boxes": (count, 4), "tracks": (count,), "shots": (count,)}
        for name, shape in expected.items():
            found = getattr(self, name).shape
            if found != shape:
                raise TokenError(f"Video {self.video_id!r}: {name} is {found}; expected {shape}.")
        if self.features.ndim != 2 or len(self.features) != count:
            raise TokenError(f"Video {self.video_id!r}: features is {self.features.shape}; expected ({count}, D).")

    def __len__(self) -> int:
        return len(self.seconds)


@dataclass(frozen=True, kw_only=True, eq=False)
class TokenSequence:
    """The tokens of one span. L tokens: start, the boxes in visiting order, and the end token where there is one."""

    video_id: str
    span: Span
    rows: NDArray[np.int64]
    """(L,) row of the table, -1 for tokens that are no boxes."""
    indices: NDArray[np.int64]
    """(L, 7), columns as `INDEX_NAMES`."""
    spatial: NDArray[np.float32]
    """(L, 5) x1, y1, x2, y2 and area, or (L, 4); 0 for tokens that are no boxes."""
    features: NDArray[np.floating]
    """(L, D); 0 for tokens that are no boxes."""

    def __len__(self) -> int:
        return len(self.rows)


def tokens_of(
    table: BoxTable,
    span: Span,
    form: TokenForm = RELEASED_FORM,
    rng: np.random.Generator | None = None,
    *,
    jitter: float = 0.0,
    numbers: Mapping[int, int] | None = None,
) -> TokenSequence:
    """The tokens of a span.

    Args:
        rng: numbers the tracks of the span at random, anew for each sequence, and moves boxes.
        jitter: `JITTER` in training, 0 in evaluation.
        numbers: the number of each track, instead of random ones.
    Raises:
        TokenError: the span has no box, neither `rng` nor `numbers` are given, or a track lacks a number.
    """
    rows = _visited(table, span, form)
    if not len(rows):
        raise TokenError(f"Video {table.video_id!r}: no box within the span {span}.")
    if rng is None and (numbers is None or jitter):
        raise TokenError("Tracks are numbered and boxes moved at random: give numpy.random.default_rng(seed).")
    seconds = table.seconds[rows]
    centre = span.second if span.named_by == "centre" else (int(seconds.max()) + int(seconds.min())) // 2
    shots = table.shots[rows]
    values = [
        _numbered(table.tracks[rows], numbers, rng),
        *_views(seconds, centre, form),
        *_views(shots, _shot_at(centre, seconds, shots), form),
    ]
    places = _places(table.boxes[rows], form, jitter, rng)
    return TokenSequence(
        video_id=table.video_id,
        span=span,
        rows=_framed(rows, form, NO_ROW, NO_ROW),
        indices=_framed(np.stack(values, axis=1) + FIRST_VALUE, form, START, END),
        spatial=_framed(places, form, 0, 0),
        features=_framed(table.features[rows], form, 0, 0),
    )


def _visited(table: BoxTable, span: Span, form: TokenForm) -> NDArray[np.int64]:
    """Rows of the boxes that a span keeps, in visiting order."""
    visits = span.visits(form.seconds)
    first = int(visits.min())
    turn = np.empty(form.seconds, np.int64)
    turn[visits - first] = np.arange(form.seconds)
    inside = np.flatnonzero((table.seconds >= first) & (table.seconds < first + form.seconds))
    order = np.argsort(turn[table.seconds[inside] - first], kind="stable")
    return inside[order][: form.max_boxes]


def _numbered(
    tracks: NDArray[np.int64], numbers: Mapping[int, int] | None, rng: np.random.Generator | None
) -> NDArray[np.int64]:
    """The number of each box's track."""
    known, places = np.unique(tracks, return_inverse=True)
    if numbers is not None:
        lacking = set(known.tolist()) - set(numbers)
        if lacking:
            raise TokenError(f"Tracks {sorted(lacking)} have no number; expected one for each track of the span.")
        return np.array([numbers[track] for track in known.tolist()], np.int64)[places]
    assert rng is not None
    return rng.permutation(len(known))[places]


def _views(values: NDArray[np.int64], centre: int, form: TokenForm) -> list[NDArray[np.int64]]:
    """Values from the start, from the end and about the centre, within the tables.

    The original holds values to 0 from below; from above it fails, which takes more than 124 shots in half a minute.
    """
    views = (values - values.min(), values.max() - values, values - centre + form.table_rows // 2)
    return [np.clip(view, 0, form.table_rows - 1 - FIRST_VALUE) for view in views]


def _shot_at(centre: int, seconds: NDArray[np.int64], shots: NDArray[np.int64]) -> int:
    """The shot of the box nearest in time; of several, the one visited last."""
    distance = np.abs(seconds - centre)
    return int(shots[np.flatnonzero(distance == distance.min())[-1]])


def _places(
    boxes: NDArray[np.float64], form: TokenForm, jitter: float, rng: np.random.Generator | None
) -> NDArray[np.float32]:
    """(N, 4) or (N, 5): coordinates, each moved by itself, and the area they then span."""
    if jitter:
        assert rng is not None
        sizes = boxes[:, 2:] - boxes[:, :2]
        boxes = boxes + np.tile(sizes, 2) * jitter * rng.uniform(-1.0, 1.0, boxes.shape)
    if form.area:
        area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        boxes = np.concatenate([boxes, area[:, None]], axis=1)
    return boxes.astype(np.float32)


def _framed(content: NDArray, form: TokenForm, start: int, end: int) -> NDArray:
    """`content` (N, ...) between the values of the start token and, where there is one, of the end token."""
    framed = np.empty((len(content) + form.num_special, *content.shape[1:]), content.dtype)
    framed[0] = start
    framed[1 : len(content) + 1] = content
    if form.end_token:
        framed[-1] = end
    return framed
