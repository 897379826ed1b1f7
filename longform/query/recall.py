"""How much of what a comparison with every row finds an index finds too, on rows of the bank itself."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa

from longform.query.ann import VectorIndex
from longform.query.exact import Metric, NearestRows, prepared, similarities
from longform.query.rows import vectors_in

_ROUNDING = 1e-5

_Key = tuple[str, float, int | None]


def measured_recall(
    index: VectorIndex, keys: pa.Table, metric: Metric, queries: pa.Table, rows: Iterable[pa.Table], k: int
) -> float:
    """Recall at k in [0, 1]: the mean over `queries` of the share of their k nearest other rows that is found.

    Row i of `keys` is vector i of the index; `rows` streams all of its rows with their features. A row that is found
    counts by its true similarity, so that of equally near rows any will do. 1 where there are no other rows.
    """
    k = min(k, keys.num_rows - 1)
    if not k:
        return 1.0
    vectors = prepared(vectors_in(queries), metric)
    askers = _askers(index, keys, vectors, list(_keys_of(queries)), k)
    nearest = NearestRows(vectors, k + 1, metric)
    found: list[list[float]] = [[] for _ in range(len(vectors))]
    for table in rows:
        features = vectors_in(table)
        nearest.feed(features, np.zeros(len(features), np.int64))
        for place, key in enumerate(_keys_of(table)):
            for asker in askers.get(key, ()):
                row = prepared(features[place : place + 1], metric)
                found[asker].append(float(similarities(vectors[asker : asker + 1], row, metric)[0, 0]))
    kth = nearest.scores[:, k]  # the best of all is the row itself
    limits = kth - _ROUNDING * np.maximum(1, np.abs(kth))
    hits = [min(k, int((np.array(scores) >= limit).sum())) for scores, limit in zip(found, limits, strict=True)]
    return float(np.mean(hits)) / k


def _askers(index: VectorIndex, keys: pa.Table, vectors: np.ndarray, own: list[_Key], k: int) -> dict[_Key, list[int]]:
    """Which queries the index answers with a row, by the row's key; never with the query's own."""
    _, ids = index.search(vectors, k + 1)
    askers: dict[_Key, list[int]] = defaultdict(list)
    for asker, answer in enumerate(ids):
        for key in _keys_of(keys.take(answer[answer >= 0])):
            if key != own[asker]:
                askers[key].append(asker)
    return askers


def _keys_of(rows: pa.Table) -> Iterator[_Key]:
    columns = (rows[name].to_pylist() for name in ("video_id", "at_s", "detection_id"))
    return zip(*columns, strict=True)
