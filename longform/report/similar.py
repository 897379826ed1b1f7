"""What is most like each sampled moment: through the space's index where there is one, else among the sample.

Never from the same shot of the same video, and at most one moment of a shot. Which way was taken is said in words.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from extractors.errors import MissingDependency
from longform.report.collect import Shots
from longform.report.projection import nearest_of_other_groups
from pipeline.bank.errors import BankError
from pipeline.bank.reader import FeatureBank

if TYPE_CHECKING:
    from longform.query.index import SpaceIndex

Similar = tuple[int, float, "int | None", float]
"""Place in the list of shown videos, seconds, track or None, cosine."""

_MOST = 6
_HITS = 100
"""Rows asked of an index for each moment: neighbours in time are much alike, and one of a shot is shown."""


@dataclass(frozen=True, kw_only=True)
class Moments:
    """Moments of the shown videos, in columns."""

    video_ids: Sequence[str]
    shots: Sequence[Shots]
    """Of each shown video."""
    video: list[int] = field(default_factory=list)
    """Place in the list of shown videos."""
    at_s: list[float] = field(default_factory=list)
    track: list[int | None] = field(default_factory=list)

    def add(self, place: int, at_s: Sequence[float], track: Sequence[int | None]) -> None:
        """Append moments of one video."""
        self.video.extend([place] * len(at_s))
        self.at_s.extend(at_s)
        self.track.extend(track)

    def groups(self) -> NDArray[np.int64]:
        """A number for each moment that only those of the same shot share."""
        shot_of = (
            np.searchsorted(self.shots[place].start_s, at_s, side="right")
            for place, at_s in zip(self.video, self.at_s, strict=True)
        )
        return np.array([(place << 32) + shot for place, shot in zip(self.video, shot_of, strict=True)], np.int64)

    def similar(self, row: int, cosine: float) -> Similar:
        """The entry for one of the moments."""
        return self.video[row], round(self.at_s[row], 3), self.track[row], round(cosine, 3)


def similar_moments(
    bank: FeatureBank, space: str, features: NDArray[np.float32], moments: Moments
) -> tuple[list[list[Similar]], str]:
    """For each moment those most like it, best first, and how they were found.

    Args:
        features: (N, D) of length 1, one for each of `moments`.
    """
    exact = f"by exact cosine over the {len(features):,} moments on the map"
    try:
        from longform.query.index import coverage, open_index

        index = open_index(bank, space)
    except (BankError, MissingDependency) as error:
        return _among(features, moments), f"{exact}: no index was used ({error})"
    if index is None:
        return _among(features, moments), f"{exact}: this space has no index"
    state = coverage(index.facts, bank)
    if state.is_stale or index.facts.metric != "cosine":
        why = state.in_words() if state.is_stale else f"it compares by {index.facts.metric}"
        return _among(features, moments), f"{exact}: its index was not used, {why}"
    words = f"through the index ({index.facts.factory}) over {index.facts.rows:,} rows"
    return _through(index, features, moments), words + (f"; {state.in_words()}" if state.added else "")


def _among(features: NDArray[np.float32], moments: Moments) -> list[list[Similar]]:
    found = nearest_of_other_groups(features, moments.groups(), _MOST)
    return [[moments.similar(row, cosine) for row, cosine in pairs] for pairs in found]


def _through(index: SpaceIndex, features: NDArray[np.float32], moments: Moments) -> list[list[Similar]]:
    """Hits of the index that lie in shown videos."""
    scores, ids = index.vectors.search(features, min(_HITS, index.facts.rows))
    hit_rows, place_of_hit = np.unique(ids[ids >= 0], return_inverse=True)
    table = index.rows.take(hit_rows)
    places = {video_id: place for place, video_id in enumerate(moments.video_ids)}
    hits = Moments(video_ids=moments.video_ids, shots=moments.shots)
    columns = (table[name].to_pylist() for name in ("video_id", "at_s", "track_id"))
    is_shown = np.zeros(len(hit_rows), bool)
    for number, (video_id, at_s, track) in enumerate(zip(*columns, strict=True)):
        is_shown[number] = video_id in places
        hits.add(places.get(video_id, 0), [at_s], [track])
    numbers = np.full(ids.shape, -1)
    numbers[ids >= 0] = place_of_hit.reshape(-1)
    groups, own = hits.groups(), moments.groups()
    found = []
    for query, ranked in enumerate(numbers):
        pairs = ((int(hit), float(scores[query, k])) for k, hit in enumerate(ranked) if hit >= 0 and is_shown[hit])
        found.append([hits.similar(hit, cosine) for hit, cosine in _one_of_a_group(pairs, groups, int(own[query]))])
    return found


def _one_of_a_group(pairs: Iterable[tuple[int, float]], groups: NDArray[np.int64], own: int) -> list[tuple[int, float]]:
    seen = {own}
    kept: list[tuple[int, float]] = []
    for row, cosine in pairs:
        if len(kept) < _MOST and groups[row] not in seen:
            seen.add(int(groups[row]))
            kept.append((row, cosine))
    return kept
