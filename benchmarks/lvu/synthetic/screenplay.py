"""From labels to a screenplay: shots, who is in them, what they do, and where in the frame they are.

Both forms of the world, banks and rendered films, are made from it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.lvu.synthetic.design import (
    CHANNELS,
    Labels,
    Look,
    Roles,
    come_nearer,
    draw_labels,
    look_of,
    object_shares,
    rules_of,
)

LEFT, RIGHT, EXTRA = 0, 1, 2
"""Persons: the lead at the left of the frame, the one at the right (they keep their sides), and the first extra."""

NUM_EXTRAS = 4
EXTRA_SHARE = 0.2
"""Of the shots with an extra. The leads are in all."""

SHORTEST, LONGEST = 0.6, 1.4
"""Shot, as a part of the mean."""

LARGE_FACTOR = 1.25
HIGHEST_GROUND, LOWEST_GROUND = 0.86, 0.96
"""Where soles are."""

WIDTH = 0.19
"""Of a person, as a part of the frame's width, for one whose height is that of the frame."""

NEAREST, FARTHEST = 0.2, 0.5
"""Distance of the leads, as a part of the frame's width."""

OFF_CENTRE = 0.04
"""How far the middle between the leads may be from the movie's own."""

MARGIN = 0.16
"""Of extras."""

ASPECT = 16 / 9

_POSTURE = CHANNELS.index("posture")


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
    """Middle."""
    height: float
    ground: float

    @property
    def box(self) -> tuple[float, float, float, float]:
        """xyxy."""
        half = WIDTH * self.height / 2
        return max(0.0, self.x - half), max(0.0, self.ground - self.height), min(1.0, self.x + half), self.ground


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
    shots = len(cuts_s) - 1
    rules = rules_of(labels)
    middles = (cuts_s[:-1] + cuts_s[1:]) / (2 * seconds)
    states = np.stack([_values(rules[channel], middles, rng) for channel in CHANNELS], axis=-1)
    spread = np.linspace(FARTHEST, NEAREST, shots)
    distances = spread if come_nearer(labels) else spread[::-1]
    shares = object_shares(labels.scene)
    cast: list[Presence] = []
    for shot in range(shots):
        cast += _shot(rng, look, shot, cuts_s[shot : shot + 2], states[:, shot], distances[shot], shares)
    return Screenplay(labels=labels, cuts_s=cuts_s, cast=tuple(cast))


def _cuts(rng: np.random.Generator, shot_s: float, seconds: float) -> NDArray[np.float64]:
    """Shots of about the mean length that fill the movie."""
    count = max(2, round(seconds / shot_s))
    lengths = rng.uniform(SHORTEST, LONGEST, count)
    return np.concatenate([[0.0], np.cumsum(lengths) / lengths.sum() * seconds])


def _values(roles: Roles, middles: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.int64]:
    """(2, S) the values of both leads in a channel, in shots whose middles are at these parts of the movie."""
    if roles in ("in turn", "together"):
        pairs = rng.choice((-1, 1), -(-len(middles) // 2))
        left = np.stack([pairs, -pairs], axis=1).ravel()[: len(middles)]
    else:
        first, last = (1 if name == "left" else -1 for name in (roles.split(", then ") * 2)[:2])
        left = np.where(middles < 0.5, first, last)
    return np.stack([left, left if roles == "together" else -left])


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
    middle = look.middle + rng.uniform(-OFF_CENTRE, OFF_CENTRE)
    places = {LEFT: middle - distance / 2, RIGHT: middle + distance / 2}
    if rng.random() < EXTRA_SHARE:
        places[EXTRA + int(rng.integers(NUM_EXTRAS))] = rng.uniform(MARGIN, 1 - MARGIN)
    cast = []
    for person, x in places.items():
        values = tuple(map(int, states[person])) if person < EXTRA else (0,) * len(CHANNELS)
        cast.append(
            Presence(
                person=person,
                shot=shot,
                start_s=float(span_s[0]),
                end_s=float(span_s[1]),
                states=values,
                handled=int(rng.choice(len(shares), p=shares)),
                x=x,
                height=look.height * LARGE_FACTOR ** (look.large * values[_POSTURE]) * rng.uniform(0.97, 1.03),
                ground=rng.uniform(HIGHEST_GROUND, LOWEST_GROUND),
            )
        )
    return cast
