"""The moments most like a given one: through the index of a space, or by comparing every row.

bank = FeatureBank.open("bank")
answer = search(bank, "clip.slowfast_compact", moment(bank, "clip.slowfast_compact", "a.mp4", at_s=61.0), k=10)
answer.hits[0].video_id, answer.hits[0].at_s, answer.hits[0].score
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from longform.query.exact import Metric, NearestRows, Vectors, prepared
from longform.query.filters import NO_FILTERS, Filters, RowFilter
from longform.query.index import SpaceIndex, SpaceIndexError, StaleIndexError, coverage, open_index, read_facts
from longform.query.rows import KEYS, check_space, identities, stream_rows, vectors_in
from pipeline.bank.errors import BankError, UnknownNameError
from pipeline.bank.reader import FeatureBank
from pipeline.bank.schema import FEATURES

EXACT_ROWS = 100_000
"""So many rows are compared one by one without being asked to; the answer says so."""


@dataclass(frozen=True)
class Query:
    """What to look for: vectors (Q, D) of which a row need be like one only, and where in the bank they are from."""

    vectors: Vectors
    video_id: str | None = None
    start_s: float = 0.0
    end_s: float = 0.0
    """Times of the first and the last row it was made from."""
    metric: Metric | None = None
    """What alone makes sense of it; None for that of the index, "cosine" without one."""


@dataclass(frozen=True)
class Hit:
    """A row of the space. `score` is the cosine, or minus the Euclidean distance: more is nearer."""

    video_id: str
    at_s: float
    score: float
    track_id: int | None
    detection_id: int | None
    start_s: float
    end_s: float

    def to_json(self) -> dict[str, Any]:
        """The hit as `longform search --json` prints it."""
        return asdict(self)


@dataclass(frozen=True)
class Answer:
    """Hits, best first, and what a reader should know of how they were found."""

    hits: tuple[Hit, ...]
    notes: tuple[str, ...]


def moment(bank: FeatureBank, space: str, video_id: str, at_s: float, track_id: int | None = None) -> Query:
    """The rows of a video nearest to a time, of one track or of all: each person there is looked for.

    Raises UnknownNameError, and BankError for a time outside the video or a video without rows.
    """
    rows = _rows_of(bank, space, video_id, track_id)
    duration_s = bank.snapshot.row(video_id)["duration_s"]
    if not 0 <= at_s <= (np.inf if duration_s is None else duration_s):
        end = "" if duration_s is None else f" to {duration_s:g}"
        raise BankError(f"No moment {at_s:g} s in {video_id!r}: expected seconds from 0{end}.")
    times = rows["at_s"].to_numpy()
    nearest = times[np.argmin(np.abs(times - at_s))]
    return Query(vectors_in(rows.filter(times == nearest)), video_id, float(nearest), float(nearest))


def track(bank: FeatureBank, space: str, video_id: str, track_id: int) -> Query:
    """The mean of a track's rows. Raises UnknownNameError; BankError for a track without rows in this space."""
    rows = _rows_of(bank, space, video_id, track_id)
    times = rows["at_s"].to_numpy()
    return Query(vectors_in(rows).mean(0, keepdims=True), video_id, float(times.min()), float(times.max()))


def vector(values: ArrayLike) -> Query:
    """A vector (D,), or several (Q, D) of which a row need be like one only: a text's, or another tool's.

    Raises BankError for another shape, values that are not finite, or a vector of zeros.
    """
    try:
        vectors = np.atleast_2d(np.asarray(values, np.float32))
    except (TypeError, ValueError) as error:
        raise BankError(f"Cannot search: got values that are no numbers ({error}), expected a vector.") from error
    if vectors.ndim != 2 or not vectors.size:
        raise BankError(f"Cannot search: got an array of shape {np.shape(values)}, expected (dim,) or (count, dim).")
    if not np.isfinite(vectors).all() or not vectors.any(axis=1).all():
        raise BankError("Cannot search: got NaN, infinity or zeros only, expected a vector that points somewhere.")
    return Query(vectors)


def vector_file(path: str | os.PathLike[str]) -> Query:
    """The vector in a .npy file. Raises BankError for a file that holds none; objects are never unpickled."""
    try:
        return vector(np.load(path, allow_pickle=False))
    except (OSError, ValueError, EOFError) as error:
        raise BankError(f"Cannot read {os.fspath(path)!r}: {error}. Expected a .npy file with one vector.") from error


def search(
    bank: FeatureBank,
    space: str,
    query: Query,
    k: int = 10,
    filters: Filters = NO_FILTERS,
    *,
    exclude_near_s: float | None = None,
    exact: bool = False,
    stale_ok: bool = False,
) -> Answer:
    """The k rows most like the query.

    `exclude_near_s` leaves out rows of the query's own video within so many seconds of it. Videos that came after the
    index are compared row by row, up to EXACT_ROWS; so is a whole space without an index, and any space if `exact`.
    Raises StaleIndexError if videos of the index changed or vanished since (`stale_ok` answers from it nevertheless,
    and says so), SpaceIndexError where an index is needed, or it has another metric than the
    query, BankError for a vector of another dimension.
    """
    if k < 1:
        raise BankError(f"Cannot search: got k {k}, expected at least 1.")
    dim = check_space(bank, space)
    index = None if exact else open_index(bank, space)
    if query.vectors.shape[1] != dim:
        raise BankError(f"Cannot search {space!r}: got {query.vectors.shape[1]} values, expected {dim}.")
    if index is not None and query.metric not in (None, index.facts.metric):
        raise SpaceIndexError(
            f"Cannot search {space!r}: got an index of {index.facts.metric}, expected {query.metric} for this query. "
            f"Run `longform index` with --metric {query.metric}, or compare with every row with --exact."
        )
    ask = _Question(bank, space, query, k, RowFilter(bank, filters), exclude_near_s)
    if index is None:
        if not exact:
            _refuse_many(bank, space)
        facts = read_facts(bank, space)
        metric = query.metric or (facts.metric if facts else "cosine")
        why = "" if exact else "; there is no index"
        hits = ask.compare(set(identities(bank, space)), metric)
        return Answer(tuple(hits), (f"compared with all {bank.spaces[space].rows} rows ({metric}){why}",))
    return ask.through(index, stale_ok)


@dataclass(frozen=True)
class _Question:
    """One search, as it is put to an index, to rows, or to both."""

    bank: FeatureBank
    space: str
    query: Query
    k: int
    passes: RowFilter
    exclude_near_s: float | None

    def through(self, index: SpaceIndex, stale_ok: bool) -> Answer:
        """The answer of an index, and of the videos that came after it."""
        facts, now = index.facts, coverage(index.facts, self.bank)
        notes = [f"index {facts.factory} ({facts.metric}), recall@10 {facts.recall_at_10:.3f} when it was made"]
        added = _rows_in(self.bank, self.space, now.added)
        if now.is_stale or added > EXACT_ROWS:
            if not stale_ok:
                raise StaleIndexError(
                    f"The index of {self.space!r} is out of date; {now.in_words()}. Run `longform index` again, or "
                    "have an answer from the old one with --stale ok."
                )
            notes.append(f"OUT OF DATE; {now.in_words()}")
            return Answer(tuple(self._ask(index, notes)), tuple(notes))
        hits = self._ask(index, notes)
        if added:
            hits = sorted(hits + self.compare(set(now.added), facts.metric), key=lambda hit: -hit.score)[: self.k]
            notes.append(f"{added} rows of {len(now.added)} new videos compared one by one; `longform index` adds them")
        return Answer(tuple(hits), tuple(notes))

    def compare(self, video_ids: set[str], metric: Metric) -> list[Hit]:
        """The best rows of some videos, by comparing each."""
        nearest = NearestRows(self.query.vectors, self.k, metric)
        seen: list[pa.Table] = []
        first = 0
        for rows in stream_rows(self.bank, self.space, video_ids):
            kept = rows.filter(pa.array(self._allowed(rows)))
            nearest.feed(vectors_in(kept), np.arange(first, first + kept.num_rows))
            seen.append(kept.select(KEYS))
            first += kept.num_rows
        return _hits(nearest.scores, nearest.ids, pa.concat_tables(seen), self.k) if seen else []

    def _ask(self, index: SpaceIndex, notes: list[str]) -> list[Hit]:
        allowed = self._allowed(index.rows)
        if not allowed.any():
            return []
        vectors = prepared(self.query.vectors, index.facts.metric)
        if allowed.all():
            return _hits(*index.vectors.search(vectors, self.k), index.rows, self.k)
        found = index.vectors.search_among(vectors, self.k, allowed)
        if found is None:
            notes.append("this kind of index cannot filter: rows compared one by one")
            return self.compare(set(index.facts.videos), index.facts.metric)
        return _hits(*found, index.rows, self.k)

    def _allowed(self, rows: pa.Table) -> NDArray[np.bool_]:
        allowed = self.passes(rows)
        if self.exclude_near_s is None or self.query.video_id is None:
            return allowed
        times = rows["at_s"].to_numpy()
        is_near = (times >= self.query.start_s - self.exclude_near_s) & (
            times <= self.query.end_s + self.exclude_near_s
        )
        return allowed & ~(is_near & (rows["video_id"].to_numpy() == self.query.video_id))


def _hits(scores: Vectors, ids: NDArray[np.int64], rows: pa.Table, k: int) -> list[Hit]:
    """The k best rows; one that several vectors found counts once, with its best score."""
    best: dict[int, float] = {}
    for row, score in zip(ids.ravel().tolist(), scores.ravel().tolist(), strict=True):
        if row >= 0:
            best[row] = max(score, best.get(row, -np.inf))
    order = sorted(best, key=lambda row: (-best[row], row))[:k]
    chosen = rows.take(pa.array(order, pa.int64())).to_pylist()
    return [Hit(score=best[row], **facts) for row, facts in zip(order, chosen, strict=True)]


def _rows_of(bank: FeatureBank, space: str, video_id: str, track_id: int | None) -> pa.Table:
    rows = bank.features(space, video_id, ["at_s", "track_id", "feature"])
    if track_id is not None:
        rows = rows.filter(np.array([found == track_id for found in rows["track_id"].to_pylist()], bool))
    if not rows.num_rows:
        of_track = "" if track_id is None else f" of track {track_id}"
        raise UnknownNameError(f"No rows{of_track} of video {video_id!r} in space {space!r}: expected some.")
    return rows


def _rows_in(bank: FeatureBank, space: str, video_ids: tuple[str, ...]) -> int:
    return sum(file.rows for _, file in bank.snapshot.entries(FEATURES + space, video_ids))


def _refuse_many(bank: FeatureBank, space: str) -> None:
    rows = bank.spaces[space].rows
    if rows > EXACT_ROWS:
        raise SpaceIndexError(
            f"No index of {space!r}, which has {rows} rows: expected one for more than {EXACT_ROWS}. Run `longform "
            "index`, or compare with every row with --exact."
        )
