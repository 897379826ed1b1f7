"""The k rows nearest to some vectors, by comparing every row."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Metric = Literal["cosine", "l2"]
METRICS: tuple[Metric, ...] = ("cosine", "l2")

Vectors = NDArray[np.float32]


def normalised(vectors: Vectors) -> Vectors:
    """Rows (N, D) of length 1; a row of zeros stays one."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)


def prepared(vectors: Vectors, metric: Metric) -> Vectors:
    """Vectors (N, D) as they are compared: of length 1 for "cosine"."""
    return normalised(vectors) if metric == "cosine" else vectors


def similarities(queries: Vectors, vectors: Vectors, metric: Metric) -> Vectors:
    """(Q, N) of prepared vectors, more is nearer: the cosine, or minus the Euclidean distance."""
    products = queries @ vectors.T
    if metric == "cosine":
        return products
    squares = (queries**2).sum(1)[:, None] + (vectors**2).sum(1)[None] - 2 * products
    return -np.sqrt(np.maximum(squares, 0))


class NearestRows:
    """Collects the k nearest of all rows fed to it.

    `scores` (Q, k) float32, best first, -inf where there are fewer; `ids` (Q, k) int64, -1 there.
    """

    def __init__(self, queries: Vectors, k: int, metric: Metric) -> None:
        self._queries, self._k, self._metric = prepared(queries, metric), k, metric
        self.scores = np.full((len(queries), k), -np.inf, np.float32)
        self.ids = np.full((len(queries), k), -1, np.int64)

    def feed(self, vectors: Vectors, ids: NDArray[np.int64]) -> None:
        """Compare with rows (N, D) that bear these ids (N,)."""
        if not len(ids):
            return
        found = similarities(self._queries, prepared(vectors, self._metric), self._metric)
        scores = np.concatenate([self.scores, found], axis=1)
        known = np.concatenate([self.ids, np.broadcast_to(ids, found.shape)], axis=1)
        best = np.argpartition(-scores, self._k, axis=1)[:, : self._k]
        order = np.argsort(-np.take_along_axis(scores, best, 1), axis=1, kind="stable")
        best = np.take_along_axis(best, order, 1)
        self.scores, self.ids = np.take_along_axis(scores, best, 1), np.take_along_axis(known, best, 1)
