"""The oracle: from the boxes of a movie to the facts that make its labels, and from these to the labels.

Nothing is trained: facts are counted over tracks and shots, and each label is the one whose design (`design`) is
nearest. How often it is right is the ceiling of a task; it errs where the movie, or the part of it that is looked at,
is too short to tell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.lvu.synthetic.design import (
    CHANNELS,
    HEIGHTS,
    SHOT_SECONDS,
    WAYS_OF_SPEAKING,
    WRITERS,
    expected_numbers,
    object_shares,
)
from benchmarks.lvu.synthetic.features import read_states
from benchmarks.lvu.synthetic.screenplay import DRIFT_PER_S
from longform.datasets.lvu import TASKS
from longform.object_transformer.tokens import BoxTable

AFFECT, TENSION, SPEECH, POSTURE, GESTURE, GAZE = range(len(CHANNELS))

TREND = 0.35
"""Correlation with time from which values rise; about half of what rising ones have."""

RARE = 0.02
"""Share of objects that are not a scene's own, for the logarithm."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What makes the labels of a movie, as far as its boxes show it."""

    agreement: NDArray[np.float64]
    """(6,) mean product of the leads' values, over the shots that show both; 0 where none does."""
    trend: NDArray[np.float64]
    """(6,) correlation of the values with time."""
    approach: float
    """Minus the correlation of the leads' distance with time."""
    roles: float
    """How constantly one side speaks: 1 always, 0 as often as not."""
    objects: NDArray[np.float64]
    """(12,) how many tracks handle each."""
    shot_s: float
    height: float
    large: float
    """Correlation of speaking with size."""
    low: float
    """Correlation of standing with the place of the soles."""
    drift: float
    """Part of the frame's width per second."""

    def vector(self) -> NDArray[np.float64]:
        """(31,) all of them, for classifiers."""
        style = (self.approach, self.roles, self.shot_s, self.height, self.large, self.low, self.drift)
        return np.concatenate([self.agreement, self.trend, self.objects / self.objects.sum(), style])


def facts_of(table: BoxTable, logits: NDArray[np.floating]) -> Facts:
    """The facts in some boxes of a movie.

    Args:
        table: the boxes (N) of the movie, or of a span of it.
        logits: (N, 80) what the world's classifier says of them.
    """
    tracks = _tracks(table, logits)
    leads = [track for track in tracks if any(track.states)]
    times = np.array([track.at_s for track in leads])
    values = np.array([track.states for track in leads], np.float64).reshape(-1, len(CHANNELS))
    pairs = _pairs(leads)
    distances = [right.x - left.x for left, right in pairs]
    products = np.array([np.multiply(left.states, right.states) for left, right in pairs])
    roles = [left.states[SPEECH] for left, right in pairs if left.states[SPEECH] != right.states[SPEECH]]
    return Facts(
        agreement=products.mean(axis=0) if pairs else np.zeros(len(CHANNELS)),
        trend=np.array([correlation(values[:, channel], times) for channel in range(len(CHANNELS))]),
        approach=-correlation(distances, [left.at_s for left, _ in pairs]),
        roles=abs(float(np.mean(roles))) if roles else 0.0,
        objects=np.bincount([track.handled for track in tracks], minlength=len(object_shares(0))).astype(np.float64),
        shot_s=float(np.ptp(table.seconds) + 1) / float(np.ptp(table.shots) + 1),
        height=float(np.exp(np.mean([np.log(track.height) for track in leads]))),
        large=correlation(values[:, SPEECH], [track.height for track in leads]),
        low=correlation(values[:, POSTURE], [track.ground for track in leads]),
        drift=float(np.mean([track.drift_per_s for track in leads])),
    )


@dataclass(frozen=True, kw_only=True)
class _Track:
    shot: int
    at_s: float
    states: tuple[int, ...]
    handled: int
    x: float
    height: float
    ground: float
    drift_per_s: float


def _tracks(table: BoxTable, logits: NDArray[np.floating]) -> list[_Track]:
    order = np.argsort(table.tracks, kind="stable")
    starts = np.flatnonzero(np.diff(table.tracks[order], prepend=-1))
    means = np.add.reduceat(logits[order], starts) / np.diff([*starts, len(order)])[:, None]
    states, handled = read_states(means)
    found = []
    for rows, state, held in zip(np.split(order, starts[1:]), states, handled, strict=True):
        x0, y0, x1, y1 = table.boxes[rows].T
        middle, seconds = (x0 + x1) / 2, table.seconds[rows]
        slope = np.polyfit(seconds, middle, 1)[0] if len(rows) > 2 else 0.0
        found.append(
            _Track(
                shot=int(table.shots[rows[0]]),
                at_s=float(seconds.mean()),
                states=tuple(map(int, state)),
                handled=int(held),
                x=float(middle.mean()),
                height=float(np.median(y1 - y0)),
                ground=float(np.median(y1)),
                drift_per_s=abs(float(slope)),
            )
        )
    return found


def _pairs(leads: Sequence[_Track]) -> list[tuple[_Track, _Track]]:
    """Left and right lead of each shot that shows both."""
    by_shot: dict[int, list[_Track]] = {}
    for track in leads:
        by_shot.setdefault(track.shot, []).append(track)
    pairs = [sorted(two, key=lambda track: track.x) for two in by_shot.values() if len(two) == 2]
    return [(left, right) for left, right in pairs]


def correlation(first: Sequence[float] | NDArray, second: Sequence[float] | NDArray) -> float:
    """Pearson's; 0 where one does not vary."""
    if len(first) < 2 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return 0.0
    return float(np.corrcoef(first, second)[0, 1])


def labels_of(facts: Facts) -> dict[str, float]:
    """The label of each task: class id, or target as `longform.datasets.lvu` gives it."""
    agreement = facts.agreement
    speaking = (agreement[SPEECH], agreement[POSTURE], facts.roles)
    spoken = [
        (rule["speech"].agree, rule["posture"].agree, rule["speech"].order == "fixed") for rule in WAYS_OF_SPEAKING
    ]
    written = [(rule["gesture"].agree, rule["gaze"].agree) for rule in WRITERS]
    shares = np.array([object_shares(scene) for scene in TASKS["scene"].classes])
    pace, framing = _nearest(facts.shot_s, SHOT_SECONDS), _nearest(facts.height, HEIGHTS)
    director = (facts.large > 0) + 2 * (facts.low > 0) + 4 * (facts.drift > DRIFT_PER_S / 3)
    approach = (facts.trend[AFFECT] + facts.approach) / 2
    classes = {
        "relationship": _course(agreement[AFFECT], approach, TREND + 0.15),
        "way_speaking": _nearest_row(speaking, spoken),
        "scene": int((np.log(shares + RARE) @ facts.objects).argmax()),
        "director": list(TASKS["director"].classes)[director],
        "genre": _course(agreement[TENSION], facts.trend[TENSION], TREND),
        "writer": list(TASKS["writer"].classes)[_nearest_row((agreement[GESTURE], agreement[GAZE]), written)],
        "year": pace * len(HEIGHTS) + framing,
    }
    liked, viewed = expected_numbers(classes)
    return {**classes, "like_ratio": liked, "view_count": viewed}


def _course(agreement: float, trend: float, threshold: float) -> int:
    """Which of `RELATIONSHIPS` or `GENRES`: the leads differ, or their values rise, fall, or do neither."""
    if agreement < 0:
        return 2
    return 3 if trend > threshold else 1 if trend < -threshold else 0


def _nearest(value: float, choices: Sequence[float]) -> int:
    """The place of the choice with the nearest ratio."""
    return int(np.abs(np.log(np.array(choices) / value)).argmin())


def _nearest_row(point: Sequence[float], rows: Sequence[Sequence[float]]) -> int:
    return int(np.linalg.norm(np.array(rows, np.float64) - point, axis=1).argmin())
