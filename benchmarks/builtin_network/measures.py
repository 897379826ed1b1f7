"""What descriptors are good for: neighbours of the same class, and the direction of time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float64]
Groups = NDArray[np.int64]

RESAMPLES = 1000
RIDGES = 10.0 ** np.arange(-3, 4)
"""Weights of the penalty on the probe, over the mean squared length of the vectors."""


class Measured(NamedTuple):
    """A figure and its standard error."""

    value: float
    error: float


def standardised(vectors: Vectors) -> Vectors:
    """(N, D) with mean 0 and deviation 1 in every dimension that varies."""
    deviation = vectors.std(0)
    return (vectors - vectors.mean(0)) / np.where(deviation > 1e-9, deviation, np.inf)


def similarities(queries: Vectors, gallery: Vectors) -> Vectors:
    """(N, N) cosines; query i is of the same clip as entry i of the gallery, and that pair has minus infinity."""
    units = [
        vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12) for vectors in (queries, gallery)
    ]
    cosines = units[0] @ units[1].T
    np.fill_diagonal(cosines, -np.inf)
    return cosines


def neighbour_accuracy(vectors: Vectors, labels: Groups, k: int = 5) -> Measured:
    """Share of vectors whose label most of their k nearest others have (votes weighed by similarity)."""
    cosines = similarities(vectors, vectors)
    everyone = np.arange(len(labels))
    votes = np.zeros((len(labels), int(labels.max()) + 1))
    for nearest in np.argsort(-cosines, axis=1)[:, :k].T:
        np.add.at(votes, (everyone, labels[nearest]), 1 + cosines[everyone, nearest])
    return resampled((votes.argmax(1) == labels).astype(float), everyone)


def same_shot(queries: Vectors, gallery: Vectors, shots: Groups, videos: Groups) -> tuple[Measured, Measured]:
    """How well clips find the other clips of their shot among those of all videos.

    Clips that are the only one of their shot are in the gallery and no queries. Every video weighs the same.

    Returns:
        Mean average precision; the share of queries whose nearest clip is of their shot (recall at 1).
    """
    order = np.argsort(-similarities(queries, gallery), axis=1)[:, :-1]
    asked = np.flatnonzero(np.bincount(shots)[shots] > 1)
    hits = [shots[order[i]] == shots[i] for i in asked]
    precision = np.array([_average_precision(row) for row in hits])
    first = np.array([float(row[0]) for row in hits])
    return resampled(precision, videos[asked]), resampled(first, videos[asked])


def _average_precision(hits: NDArray[np.bool_]) -> float:
    places = np.flatnonzero(hits)
    return float(np.mean(np.arange(1, len(places) + 1) / (places + 1)))


def arrow_of_time(forwards: Vectors, backwards: Vectors, videos: Groups, *, seed: int = 0) -> Measured:
    """Share of clips of which a linear probe that never saw their video says which of both directions is the true one.

    The probe is ridge regression of 1 on the differences of the two descriptors of a clip; its penalty is chosen among
    `RIDGES` on the videos it learns from, by leaving each of them out once.

    Args:
        forwards: (N, D) descriptors of clips.
        backwards: (N, D) of the same clips played backwards.
        videos: (N,) which video each is of.
    """
    differences = forwards - backwards
    scale = np.sqrt(np.mean(np.vstack([forwards, backwards]).var(0))) or 1.0
    deviation = np.vstack([forwards, backwards]).std(0)
    differences = differences / np.maximum(deviation, 1e-3 * scale)
    gram = differences @ differences.T
    margins = np.empty(len(videos))
    for video in np.unique(videos):
        inside = videos != video
        penalty = _best_penalty(gram[np.ix_(inside, inside)], videos[inside])
        margins[~inside] = _predicted(gram, inside, ~inside, penalty, videos)
    return resampled((margins > 0) + 0.5 * (margins == 0), videos, seed=seed)


def _best_penalty(gram: Vectors, videos: Groups) -> float:
    def right(penalty: float) -> float:
        margins = np.empty(len(videos))
        for video in np.unique(videos):
            inside = videos != video
            margins[~inside] = _predicted(gram, inside, ~inside, penalty, videos)
        return float(np.mean([(margins[videos == video] > 0).mean() for video in np.unique(videos)]))

    return max(RIDGES.tolist(), key=right)


def _predicted(
    gram: Vectors, inside: NDArray[np.bool_], outside: NDArray[np.bool_], penalty: float, videos: Groups
) -> Vectors:
    """Margins of clips from the ridge regression on others, in which every video weighs the same."""
    known = gram[np.ix_(inside, inside)]
    counts = np.bincount(videos[inside])[videos[inside]]
    noise = penalty * (np.trace(known) / len(known) or 1.0) * counts / counts.mean()
    weights = np.linalg.solve(known + np.diag(noise), np.ones(len(known)))
    return np.asarray(gram[np.ix_(outside, inside)] @ weights)


def resampled(scores: NDArray[np.float64], groups: Groups, *, seed: int = 0) -> Measured:
    """Mean over groups of the mean of their scores, with the standard deviation over resampled groups (bootstrap)."""
    means = np.array([scores[groups == group].mean() for group in np.unique(groups)])
    draws = np.random.default_rng(seed).integers(len(means), size=(RESAMPLES, len(means)))
    return Measured(float(means.mean()), float(means[draws].mean(1).std()))


def numbered(names: Sequence[object]) -> Groups:
    """(N,) a number for each different name."""
    numbers: dict[object, int] = {}
    return np.array([numbers.setdefault(name, len(numbers)) for name in names])
