"""The boxes of many videos of a bank, read once and kept in memory, and their spans as tokens.

source = BoxSource(bank, BankSpaces(persons="person.slowfast_32x2_r101_nl"), video_ids)
source.missing                                       # ids without a video or without a box
source.sequence("-e6lEsIUf3U", Span(172), form, rng)
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from longform.object_transformer.bank_tokens import BankSpaces, box_table, feature_dims
from longform.object_transformer.config import TokenForm
from longform.object_transformer.spans import Short, Span, tail_spans
from longform.object_transformer.tokens import JITTER, BoxTable, TokenError, TokenSequence, tokens_of
from pipeline.bank import FeatureBank

TokenKind = Literal["boxes", "frames"]
"""What a token is: a box, or the mean of all boxes of a second (the frame-based VideoBERT baseline)."""

WHOLE_FRAME = (0.0, 0.0, 1.0, 1.0)


def frame_table(table: BoxTable) -> BoxTable:
    """One row for each second that has boxes: the mean of their features, the whole frame as box, a track of its own.

    The frame-based model that the thesis compares with (section 8.4, "VideoBERT").
    """
    seconds, first, places = np.unique(table.seconds, return_index=True, return_inverse=True)
    sums = np.zeros((len(seconds), table.features.shape[1]), np.float32)
    np.add.at(sums, places, table.features.astype(np.float32))
    counts = np.bincount(places, minlength=len(seconds))
    return BoxTable(
        video_id=table.video_id,
        seconds=seconds,
        boxes=np.tile(np.array(WHOLE_FRAME), (len(seconds), 1)),
        tracks=seconds,
        shots=table.shots[first],
        features=(sums / counts[:, None]).astype(np.float16),
    )


class BoxSource:
    """Boxes of the videos that a bank has of a list. Safe to copy into reading processes."""

    def __init__(
        self,
        bank: FeatureBank,
        spaces: BankSpaces,
        video_ids: Iterable[str] | None = None,
        *,
        tokens: TokenKind = "boxes",
        cache_bytes: float = 8e9,
    ) -> None:
        """Reads every video once, which fills the cache.

        Args:
            video_ids: those wanted; all of the bank if None.
            tokens: see `TokenKind`.
            cache_bytes: memory for tables; those used longest ago are forgotten, and read again when needed.
        Raises:
            TokenError: the bank lacks a space, or has boxes without shots.
        """
        self.bank, self.spaces, self.tokens = bank, spaces, tokens
        self.feature_dims = feature_dims(bank, spaces)
        self._cache: OrderedDict[str, BoxTable] = OrderedDict()
        self._cached_bytes, self._cache_bytes = 0, cache_bytes
        rows = bank.videos().select(["video_id", "status"]).to_pydict()
        there = {name for name, status in zip(rows["video_id"], rows["status"], strict=True) if status == "ok"}
        wanted = list(dict.fromkeys(sorted(there) if video_ids is None else video_ids))
        present = {name: np.unique(self[name].seconds) for name in wanted if name in there}
        self.seconds: dict[str, NDArray[np.int64]] = {name: found for name, found in present.items() if len(found)}
        self.missing: tuple[str, ...] = tuple(name for name in wanted if name not in self.seconds)
        """Wanted videos that the bank does not have, that failed, or that have no box."""

    @property
    def video_ids(self) -> list[str]:
        """Videos with boxes, in the order wanted."""
        return list(self.seconds)

    def __getitem__(self, video_id: str) -> BoxTable:
        """The boxes of a video. Raises BankError for one that the bank does not have."""
        table = self._cache.get(video_id)
        if table is None:
            table = box_table(self.bank, video_id, self.spaces)
            table = frame_table(table) if self.tokens == "frames" else table
            self._cache[video_id] = table
            self._cached_bytes += table.features.nbytes
            while self._cached_bytes > self._cache_bytes and len(self._cache) > 1:
                self._cached_bytes -= self._cache.popitem(last=False)[1].features.nbytes
        self._cache.move_to_end(video_id)
        return table

    def sequence(
        self, video_id: str, span: Span, form: TokenForm, rng: np.random.Generator, *, training: bool = False
    ) -> TokenSequence:
        """The tokens of a span; in training, boxes are moved. Frames are numbered in order, boxes by chance."""
        table = self[video_id]
        if self.tokens == "boxes":
            return tokens_of(table, span, form, rng, jitter=JITTER if training else 0.0)
        first = int(span.visits(form.seconds).min())
        numbers = {second: second - first for second in range(first, first + form.seconds)}
        return tokens_of(table, span, form, numbers=numbers)


class SpanPool:
    """All spans of some videos, to draw from."""

    def __init__(self, source: BoxSource, video_ids: Sequence[str], *, stride: int = 1, short: Short = "one span"):
        """Raises TokenError if there is no span at all."""
        spans = {name: tail_spans(source.seconds[name], stride=stride, short=short) for name in video_ids}
        self.spans: dict[str, list[Span]] = {name: found for name, found in spans.items() if found}
        if not self.spans:
            raise TokenError(
                f"None of {len(video_ids)} videos has a span to train on or to measure: they have no boxes, or are "
                "shorter than 60 s where full spans are asked for."
            )

    @cached_property
    def video_ids(self) -> list[str]:
        """Videos with a span."""
        return list(self.spans)

    @cached_property
    def _ends(self) -> NDArray[np.int64]:
        return np.cumsum([len(found) for found in self.spans.values()])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, number: int) -> tuple[str, Span]:
        """A span of all, by its number."""
        place = int(np.searchsorted(self._ends, number, "right"))
        video_id = self.video_ids[place]
        return video_id, self.spans[video_id][number - int(self._ends[place])]
