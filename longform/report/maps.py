"""The map of a feature space: sampled moments, their places on it, and the moments most like each of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from longform.report.collect import Shots, row_count
from longform.report.projection import principal_plane, unit
from longform.report.similar import Moments, Similar, similar_moments
from pipeline.bank.reader import FeatureBank
from pipeline.bank.rows import vectors_of
from pipeline.bank.schema import FEATURES

_MAP_SIDE = 10_000
"""The map's longer side in the whole numbers that its points are given in."""


@dataclass(frozen=True, kw_only=True)
class SpaceMap:
    """One feature space on the page, a point for each sampled moment."""

    name: str
    rows: int
    """Rows of the shown videos, of which the points are an even sample."""
    explained: tuple[float, float]
    """Share of the variance along x and y."""
    video: list[int]
    """Place in the list of shown videos."""
    at_s: list[float]
    track: list[int | None]
    x: list[int]
    y: list[int]
    similar: list[list[Similar]] = field(repr=False)
    similar_how: str


def space_map(
    bank: FeatureBank, space: str, video_ids: Sequence[str], shots: Sequence[Shots], most: int
) -> SpaceMap | None:
    """Sample a space evenly over the shown videos, and project it. None if it has no rows there."""
    rows = [row_count(bank, FEATURES + space, video_id) for video_id in video_ids]
    total = sum(rows)
    if not total:
        return None
    parts, moments = [], Moments(video_ids=video_ids, shots=shots)
    for place, count in enumerate(rows):
        share = min(count, max(1, most * count // total))
        if not share:
            continue
        table = bank.features(space, video_ids[place], ["at_s", "track_id", "feature"])
        table = table.take(np.linspace(0, count - 1, share).round().astype(np.int64))
        parts.append(vectors_of(table["feature"]).astype(np.float32))
        moments.add(place, table["at_s"].to_pylist(), table["track_id"].to_pylist())
    features = unit(np.concatenate(parts))
    plane = principal_plane(features)
    xy = _on_map(plane.xy)
    similar, how = similar_moments(bank, space, features, moments)
    return SpaceMap(
        name=space,
        rows=total,
        explained=plane.explained,
        video=moments.video,
        at_s=[round(at_s, 3) for at_s in moments.at_s],
        track=moments.track,
        x=xy[:, 0].tolist(),
        y=xy[:, 1].tolist(),
        similar=similar,
        similar_how=how,
    )


def _on_map(xy: NDArray[np.float32]) -> NDArray[np.int64]:
    """(N, 2) as whole numbers from 0, both axes to one scale."""
    low, span = xy.min(0), float(np.ptp(xy, axis=0).max())
    return ((xy - low) * (_MAP_SIDE / span if span else 0.0)).round().astype(np.int64)
