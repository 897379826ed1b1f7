"""From labels to a screenplay: shots, who is in them, what they do, and where in the frame they are.

Both forms of the world, banks and rendered films, are made from it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.lvu.synthetic.design import (
    CHANNELS,
    Channel,
    Labels,
    Look,
    Rule,
    draw_labels,
    look_of,
    object_shares,
    rules_of,
)

LEFT, RIGHT, EXTRA = 0, 1, 2
"""Persons: the lead at the left of the frame, the one at the right (they keep their sides), and the first extra."""

NUM_EXTRAS = 4
SOLO_SHARE, EXTRA_SHARE = 0.2, 0.25
"""Of the shots that show one lead alone, and of those with an extra."""

SHORTEST, LONGEST = 0.6, 1.4
"""Shot, as a part of the mean."""

SPEAKER_FACTOR = 1.15
GROUND, GROUND_STEP = 0.90, 0.07
"""Where soles are, and how far up or down posture moves them."""

WIDTH = 0.19
"""Of a person, as a part of the frame's width, for one whose height is that of the frame."""

NEAREST, FARTHEST = 0.2, 0.6
"""Distance of the leads, as a part of the frame's width."""

MARGIN = 0.08
DRIFT_PER_S, FARTHEST_DRIFT = 0.03, 0.15

ASPECT = 16 / 9


@dataclass(frozen=True, kw_only=True, slots=True)
class Presence:
    """A person in one shot. Places are fractions of the frame."""

    person: int
    shot: int
    start_s: float
    end_s: float
    states: tuple[int, ...]
    """The value of each of `CHANNELS`; 0 for extras, who do nothing."""
    handled: int
    """Which object."""
    x: float
    """Middle at the beginning of the shot."""
    drift_per_s: float
    height: float
    ground: float

    def boxes(self, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N, 4) xyxy at some seconds of the movie."""
        middle = self.x + self.drift_per_s * (seconds - self.start_s)
        half = WIDTH * self.height / 2
        rows = np.full(len(seconds), self.ground)
        return np.clip(np.stack([middle - half, rows - self.height, middle + half, rows], axis=1), 0.0, 1.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Screenplay:
    """A movie."""

    labels: Labels
    cuts_s: NDArray[np.float64]
    """(S + 1,) when shots begin, and the end."""
    cast: tuple[Presence, ...]
    """By shot, then person."""

    @property
    def seconds(self) -> float:
        """Length of the movie."""
        return float(self.cuts_s[-1])


def write_screenplay(rng: np.random.Generator, seconds: float) -> Screenplay:
    """A movie with labels of its own.

    Args:
        seconds: its length.
    """
    labels = draw_labels(rng)
    look = look_of(labels)
    cuts_s = _cuts(rng, look.shot_s, seconds)
    rules = rules_of(labels)
    middles = (cuts_s[:-1] + cuts_s[1:]) / (2 * seconds)
    states = np.stack([_values(rules[channel], middles, rng) for channel in CHANNELS], axis=-1)
    distances = _distances(rules["affect"], middles, rng)
    shares = object_shares(labels.scene)
    cast: list[Presence] = []
    for shot in range(len(middles)):
        cast += _shot(rng, look, shot, cuts_s[shot : shot + 2], states[:, shot], distances[shot], shares)
    return Screenplay(labels=labels, cuts_s=cuts_s, cast=tuple(cast))


def _cuts(rng: np.random.Generator, shot_s: float, seconds: float) -> NDArray[np.float64]:
    """Shots of about the mean length that fill the movie."""
    count = max(2, round(seconds / shot_s))
    lengths = rng.uniform(SHORTEST, LONGEST, count)
    return np.concatenate([[0.0], np.cumsum(lengths) / lengths.sum() * seconds])


def _values(rule: Rule, middles: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.int64]:
    """(2, S) the values of both leads in a channel."""
    first = _sequence(rule.order, middles, rng)
    second = rule.agree * first if rule.agree else _sequence("shuffled", middles, rng)
    return np.stack([first, second])


def _sequence(order: str, middles: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.int64]:
    """(S,) values of -1 and +1 in shots whose middles are at these parts of the movie."""
    if order == "fixed":
        return np.full(len(middles), rng.choice((-1, 1)))
    if order == "shuffled":
        pairs = rng.choice((-1, 1), -(-len(middles) // 2))
        return np.stack([pairs, -pairs], axis=1).ravel()[: len(middles)]
    rising = np.where(rng.random(len(middles)) < _likelihood(middles), 1, -1)
    return rising if order == "rising" else rising[::-1].copy()


def _likelihood(middles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of +1 where values rise over the movie."""
    return np.clip(1.2 * middles - 0.1, 0.0, 1.0)


def _distances(affect: Rule, middles: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """(S,) of the leads: they come nearer while affect rises, part while it falls, and else come and go.

    Over a movie all distances are as frequent, whatever the relationship.
    """
    spread = np.linspace(0.0, 1.0, len(middles))
    order = {"rising": spread[::-1], "falling": spread}.get(affect.order)
    return NEAREST + (FARTHEST - NEAREST) * (rng.permutation(spread) if order is None else order)


def _shot(
    rng: np.random.Generator,
    look: Look,
    shot: int,
    span_s: NDArray[np.float64],
    states: NDArray[np.int64],
    distance: float,
    shares: NDArray[np.float64],
) -> list[Presence]:
    """Those seen in one shot, by person."""
    start_s, end_s = map(float, span_s)
    way = rng.choice((-1, 1)) * min(DRIFT_PER_S * (end_s - start_s), FARTHEST_DRIFT) if look.drifts else 0.0
    lowest, highest = MARGIN - min(0.0, way), 1 - MARGIN - distance - max(0.0, way)
    left = rng.uniform(lowest, highest) if highest > lowest else (lowest + highest) / 2
    places = {LEFT: left, RIGHT: left + distance}
    if rng.random() < SOLO_SHARE:
        del places[int(rng.integers(2))]
    if rng.random() < EXTRA_SHARE:
        places[EXTRA + int(rng.integers(NUM_EXTRAS))] = rng.uniform(2 * MARGIN, 1 - 2 * MARGIN)
    return [
        _presence(rng, look, person, shot, (start_s, end_s), tuple(map(int, states[person])), x, way, shares)
        if person < EXTRA
        else _presence(rng, look, person, shot, (start_s, end_s), (0,) * len(CHANNELS), x, 0.0, shares)
        for person, x in places.items()
    ]


def _presence(
    rng: np.random.Generator,
    look: Look,
    person: int,
    shot: int,
    span_s: tuple[float, float],
    states: tuple[int, ...],
    x: float,
    way: float,
    shares: NDArray[np.float64],
) -> Presence:
    speech, posture = (states[CHANNELS.index(channel)] for channel in _STAGED)
    return Presence(
        person=person,
        shot=shot,
        start_s=span_s[0],
        end_s=span_s[1],
        states=states,
        handled=int(rng.choice(len(shares), p=shares)),
        x=x,
        drift_per_s=way / (span_s[1] - span_s[0]),
        height=look.height * SPEAKER_FACTOR ** (look.large * speech) * rng.uniform(0.97, 1.03),
        ground=GROUND + GROUND_STEP * look.low * posture,
    )


_STAGED: tuple[Channel, ...] = ("speech", "posture")
"""The channels that decide on size and place."""
