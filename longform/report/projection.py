"""A map of a feature space in two dimensions, and the moments nearest to each other in it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

_QUERIES_AT_ONCE = 512
_NO_VARIANCE = 1e-12


@dataclass(frozen=True, kw_only=True)
class Projection:
    """Two principal components of N features."""

    xy: NDArray[np.float32]
    """(N, 2)."""
    explained: tuple[float, float]
    """Share of the variance along each of the two, 0 to 1."""


def unit(features: NDArray[np.floating]) -> NDArray[np.float32]:
    """(N, D) scaled to length 1; a row of zeros stays."""
    rows = features.astype(np.float32)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return (rows / np.where(length > 0, length, 1)).astype(np.float32)


def principal_plane(rows: NDArray[np.float32]) -> Projection:
    """Project (N, D) on its first two principal components.

    The sign of a component is free; here its largest value by magnitude is positive, so a bank gives the same map
    each time. Components that do not exist (N or D too small, or no variance) are 0.
    """
    count, dim = rows.shape
    xy, explained = np.zeros((count, 2)), np.zeros(2)
    if min(count, dim) == 0:
        return Projection(xy=xy.astype(np.float32), explained=(0.0, 0.0))
    centred = rows.astype(np.float64) - rows.mean(0, dtype=np.float64)
    total = float((centred**2).sum())
    side = min(count, dim)
    products = centred @ centred.T if count < dim else centred.T @ centred
    values, vectors = eigh(products, subset_by_index=[max(0, side - 2), side - 1])
    for axis, (value, vector) in enumerate(zip(values[::-1], vectors.T[::-1], strict=True)):
        if value <= _NO_VARIANCE * count:
            break
        along = vector * np.sqrt(value) if count < dim else centred @ vector
        xy[:, axis] = along if along[np.abs(along).argmax()] > 0 else -along
        explained[axis] = value / total
    return Projection(xy=xy.astype(np.float32), explained=(float(explained[0]), float(explained[1])))


def nearest_of_other_groups(
    rows: NDArray[np.float32], groups: NDArray[np.int64], count: int
) -> list[list[tuple[int, float]]]:
    """For every row the nearest rows of other groups by exact cosine, best first, at most one of a group.

    Args:
        rows: (N, D) of length 1.
        groups: (N,) which belong together, such as the moments of one shot.
        count: how many to find.
    Returns:
        `(row, cosine)` pairs for each row; fewer than `count` where there are fewer groups.
    """
    found: list[list[tuple[int, float]]] = []
    for begin in range(0, len(rows), _QUERIES_AT_ONCE):
        cosines = rows[begin : begin + _QUERIES_AT_ONCE] @ rows.T
        taken = groups[begin : begin + _QUERIES_AT_ONCE]
        pairs: list[list[tuple[int, float]]] = [[] for _ in taken]
        for _ in range(count):
            cosines[taken[:, None] == groups] = -np.inf
            best = cosines.argmax(1)
            for k, row in enumerate(best.tolist()):
                if cosines[k, row] > -np.inf:
                    pairs[k].append((row, float(cosines[k, row])))
            taken = groups[best]
        found += pairs
    return found
