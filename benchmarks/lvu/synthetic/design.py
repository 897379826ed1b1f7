"""What each of the nine labels makes happen in a movie of the synthetic world.

Every label is uniform over its classes and independent of the others. Six channels say what a lead does; each has two
values that are AVA classes, and each value takes half of the boxes whatever the label is. A label of a channel says
only how the two leads' values go together and in which order, so no sum, mean or maximum over boxes tells it.
README.md goes through the tasks one by one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from longform.datasets.lvu import LIKE_RATIO_MEAN, TASKS, VIEW_COUNT_MEAN

Channel = Literal["affect", "tension", "speech", "posture", "gesture", "gaze"]
CHANNELS: tuple[Channel, ...] = get_args(Channel)

ACTIONS: dict[Channel, tuple[str, str]] = {
    "affect": ("hug (a person)", "push (another person)"),
    "tension": ("fight/hit (a person)", "dance"),
    "speech": ("talk to (e.g., self, a person, a group)", "listen to (a person)"),
    "posture": ("stand", "sit"),
    "gesture": ("hand wave", "hand clap"),
    "gaze": ("watch (a person)", "watch (e.g., TV)"),
}
"""The AVA classes of the values +1 and -1."""

OBJECT_ACTIONS = (
    "write",
    "work on a computer",
    "answer phone",
    "carry/hold (an object)",
    "read",
    "play with kids",
    "text on/look at a cellphone",
    "open (e.g., a window, a car door)",
    "smoke",
    "touch (an object)",
    "eat",
    "clink glass",
)
"""What people do with the objects of a scene: two of each of the six scenes, in their order."""

OBJECT_SHARES = (0.3, 0.3, 0.2, 0.2)
"""Of a scene's own two objects and of the next scene's two: one box leaves it open which scene it is."""

Order = Literal["shuffled", "rising", "falling", "fixed"]


@dataclass(frozen=True, slots=True)
class Rule:
    """How the values of a channel go together over the shots of a movie."""

    agree: int = 0
    """1: the leads have the same value in a shot; -1: opposite ones; 0: each has its own."""
    order: Order = "shuffled"
    """Of the first lead's values: balanced over every two shots; -1 at first and +1 in the end; the reverse; one for
    the whole movie."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """What style decides."""

    shot_s: float
    """Mean length of a shot."""
    height: float
    """Of a person, as a part of the frame's height, before the speaker's factor."""
    large: int
    """1: who speaks is shown larger; -1: who listens."""
    low: int
    """1: who stands is lower in the frame; -1: who sits."""
    drifts: bool
    """Whether the leads drift through the frame during a shot, both the same way."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Labels:
    """The nine labels of a movie: class ids as in the files of LVU 1.0, and what the two regressions count."""

    relationship: int
    way_speaking: int
    scene: int
    director: int
    genre: int
    writer: int
    year: int
    likes: int
    dislikes: int
    views: int


RELATIONSHIPS = (Rule(1), Rule(1, "falling"), Rule(-1), Rule(1, "rising"))
"""Of affect: friend, ex, husband and wife, boyfriend and girlfriend."""

GENRES = (Rule(1), Rule(1, "falling"), Rule(-1), Rule(1, "rising"))
"""Of tension: comedy, action, romance, thriller."""

WAYS_OF_SPEAKING: tuple[dict[Channel, Rule], ...] = (
    {"speech": Rule(-1, "fixed"), "posture": Rule()},
    {"speech": Rule(1), "posture": Rule(1)},
    {"speech": Rule(-1), "posture": Rule(1)},
    {"speech": Rule(-1), "posture": Rule(-1)},
    {"speech": Rule(1), "posture": Rule(-1)},
)
"""Explains, confronts, discuss, teaches, threatens."""

WRITERS: tuple[dict[Channel, Rule], ...] = tuple(
    {"gesture": Rule(gesture), "gaze": Rule(gaze)}
    for gesture, gaze in ((0, -1), (1, 1), (1, -1), (-1, 1), (-1, -1), (1, 0), (-1, 0))
)
"""In the order of the writers' ids."""

SHOT_SECONDS, HEIGHTS = (8.0, 5.0, 3.0), (0.48, 0.62, 0.80)
"""Of the thirds of the century, and of the decades of each."""

LIKED_SCENES = (1, 1, -1, 1, -1, -1)
"""1: people like agreement of the speakers there; -1: they like the opposite."""

LIKE_EFFECT, LIKE_NOISE = 0.6, 0.2
SCENE_VIEWS, SHOT_VIEWS, VIEW_NOISE = (-1.0, -0.6, -0.2, 0.2, 0.6, 1.0), (-0.8, 0.0, 0.8), 0.3
VOTES = 100_000


def class_place(task: str, class_id: int) -> int:
    """The place of a class among those that the files of a task use; ids of directors and writers have gaps."""
    return list(TASKS[task].classes).index(class_id)


def draw_labels(rng: np.random.Generator) -> Labels:
    """The labels of one movie."""
    classes = {name: int(rng.choice(list(task.classes))) for name, task in TASKS.items() if not task.is_regression}
    like_ratio, views = expected_numbers(classes)
    likes = min(0.99, (LIKE_RATIO_MEAN + like_ratio + LIKE_NOISE * rng.standard_normal()) / 10)
    log_views = VIEW_COUNT_MEAN + views + VIEW_NOISE * rng.standard_normal()
    return Labels(
        **classes,
        likes=round(VOTES * likes),
        dislikes=VOTES - round(VOTES * likes),
        views=round(float(np.exp(log_views))),
    )


def expected_numbers(classes: Mapping[str, int]) -> tuple[float, float]:
    """Targets of like_ratio and view_count, without their noise, of a movie with these classes.

    Likes: whether the leads speak at the same time, times what is liked in this scene. Views: scene plus pace.
    """
    speakers_agree = WAYS_OF_SPEAKING[classes["way_speaking"]]["speech"].agree
    liked = -0.2 + LIKE_EFFECT * speakers_agree * LIKED_SCENES[classes["scene"]]
    return liked, SCENE_VIEWS[classes["scene"]] + SHOT_VIEWS[classes["year"] // len(HEIGHTS)]


def rules_of(labels: Labels) -> dict[Channel, Rule]:
    """How the leads act."""
    return {
        "affect": RELATIONSHIPS[labels.relationship],
        "tension": GENRES[labels.genre],
        **WAYS_OF_SPEAKING[labels.way_speaking],
        **WRITERS[class_place("writer", labels.writer)],
    }


def look_of(labels: Labels) -> Look:
    """How the movie looks."""
    director = class_place("director", labels.director)
    pace, framing = divmod(labels.year, len(HEIGHTS))
    return Look(
        shot_s=SHOT_SECONDS[pace],
        height=HEIGHTS[framing],
        large=1 if director & 1 else -1,
        low=1 if director & 2 else -1,
        drifts=bool(director & 4),
    )


def object_shares(scene: int) -> np.ndarray:
    """(12,) how often each object is handled in a scene."""
    shares = np.zeros(len(OBJECT_ACTIONS))
    shares[np.arange(2 * scene, 2 * scene + len(OBJECT_SHARES)) % len(shares)] = OBJECT_SHARES
    return shares
