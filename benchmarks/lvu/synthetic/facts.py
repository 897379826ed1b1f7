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
    GENRES,
    HEIGHTS,
    MIDDLES,
    RELATIONSHIPS,
    SHOT_SECONDS,
    WAYS_OF_SPEAKING,
    WRITERS,
    Roles,
    expected_numbers,
    object_shares,
)
from benchmarks.lvu.synthetic.features import read_states
from longform.datasets.lvu import TASKS
from longform.object_transformer.tokens import BoxTable

AFFECT, TENSION, SPEECH, POSTURE, GESTURE, GAZE = range(len(CHANNELS))

RARE = 0.02
"""Share of objects that are not a scene's own, for the logarithm."""

EXPECTED: dict[Roles, tuple[float, float, float]] = {
    "left": (-1, 1, 0),
    "right": (-1, -1, 0),
    "left, then right": (-1, 0, -0.85),
    "right, then left": (-1, 0, 0.85),
    "in turn": (-1, 0, 0),
    "together": (1, 0, 0),
}
"""Agreement, mean value of the left lead and its correlation with time."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What makes the labels of a movie, as far as its boxes show it."""

    agreement: NDArray[np.float64]
    """(6,) mean product of the leads' values, over the shots that show both; 0 where none does."""
    left: NDArray[np.float64]
    """(6,) mean value of the left lead."""
    left_trend: NDArray[np.float64]
    """(6,) correlation of the left lead's values with time."""
    approach: float
    """Minus the correlation of the leads' distance with time."""
    objects: NDArray[np.float64]
    """(12,) how many tracks handle each."""
    shot_s: float
    height: float
    large: float
    """Correlation of standing with size."""
    middle: float
    """Between the leads, as a part of the frame's width."""

    def vector(self) -> NDArray[np.float64]:
        """(35,) all of them, for classifiers."""
        style = (self.approach, self.shot_s, self.height, self.large, self.middle)
        shares = self.objects / self.objects.sum()
        return np.concatenate([self.agreement, self.left, self.left_trend, shares, style])


def facts_of(table: BoxTable, logits: NDArray[np.floating]) -> Facts:
    """The facts in some boxes of a movie.

    Args:
        table: the boxes (N) of the movie, or of a span of it.
        logits: (N, 80) what the world's classifier says of them.
    """
    tracks = _tracks(table, logits)
    leads = [track for track in tracks if any(track.states)]
    pairs = _pairs(leads)
    times = [left.at_s for left, _ in pairs]
    lefts, rights = (np.array([pair[side].states for pair in pairs]).reshape(-1, len(CHANNELS)) for side in (0, 1))
    postures = [track.states[POSTURE] for track in leads]
    return Facts(
        agreement=_mean(lefts * rights),
        left=_mean(lefts),
        left_trend=np.array([correlation(values, times) for values in lefts.T]),
        approach=-correlation([right.x - left.x for left, right in pairs], times),
        objects=np.bincount([track.handled for track in tracks], minlength=len(object_shares(0))).astype(np.float64),
        shot_s=float(np.ptp(table.seconds) + 1) / float(np.ptp(table.shots) + 0.5),
        height=float(np.exp(np.mean([np.log(track.height) for track in leads]))),
        large=correlation(postures, [track.height for track in leads]),
        middle=float(np.mean([(left.x + right.x) / 2 for left, right in pairs])) if pairs else 0.5,
    )


def _mean(rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """(6,) of rows (N, 6); 0 for none."""
    return rows.mean(axis=0) if len(rows) else np.zeros(rows.shape[1])


@dataclass(frozen=True, kw_only=True)
class _Track:
    shot: int
    at_s: float
    states: tuple[int, ...]
    handled: int
    x: float
    height: float


def _tracks(table: BoxTable, logits: NDArray[np.floating]) -> list[_Track]:
    order = np.argsort(table.tracks, kind="stable")
    starts = np.flatnonzero(np.diff(table.tracks[order], prepend=-1))
    means = np.add.reduceat(logits[order], starts) / np.diff([*starts, len(order)])[:, None]
    states, handled = read_states(means)
    found = []
    for rows, state, held in zip(np.split(order, starts[1:]), states, handled, strict=True):
        x0, y0, x1, y1 = table.boxes[rows].T
        found.append(
            _Track(
                shot=int(table.shots[rows[0]]),
                at_s=float(table.seconds[rows].mean()),
                states=tuple(map(int, state)),
                handled=int(held),
                x=float((x0 + x1).mean() / 2),
                height=float(np.median(y1 - y0)),
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
    shares = np.array([object_shares(scene) for scene in TASKS["scene"].classes])
    pace, framing = _nearest(facts.shot_s, SHOT_SECONDS), _nearest(facts.height, HEIGHTS)
    director = (facts.large > 0) + 2 * (facts.left[POSTURE] < 0) + 4 * (facts.middle > np.mean(MIDDLES))
    affect = _likeliest(facts, AFFECT, ("left, then right", "right, then left"))
    written = [_distance(facts, GESTURE, gesture) + _distance(facts, GAZE, gaze) for gesture, gaze in WRITERS]
    classes = {
        "relationship": RELATIONSHIPS.index((affect, facts.approach > 0)),
        "way_speaking": WAYS_OF_SPEAKING.index(_likeliest(facts, SPEECH, WAYS_OF_SPEAKING)),
        "scene": int((np.log(shares + RARE) @ facts.objects).argmax()),
        "director": list(TASKS["director"].classes)[director],
        "genre": GENRES.index(_likeliest(facts, TENSION, GENRES)),
        "writer": list(TASKS["writer"].classes)[int(np.argmin(written))],
        "year": pace * len(HEIGHTS) + framing,
    }
    liked, viewed = expected_numbers(classes)
    return {**classes, "like_ratio": liked, "view_count": viewed}


def _likeliest(facts: Facts, channel: int, choices: Sequence[Roles]) -> Roles:
    """Which of some roles the leads have in a channel."""
    return min(choices, key=lambda roles: _distance(facts, channel, roles))


def _distance(facts: Facts, channel: int, roles: Roles) -> float:
    """From what is expected."""
    found = (facts.agreement[channel], facts.left[channel], facts.left_trend[channel])
    return float(np.abs(np.subtract(found, EXPECTED[roles])).sum())


def _nearest(value: float, choices: Sequence[float]) -> int:
    """The place of the choice with the nearest ratio."""
    return int(np.abs(np.log(np.array(choices) / value)).argmin())
