"""What each of the nine labels makes happen in a movie of the synthetic world.

Every label is uniform over its classes and independent of the others. Six channels say what a lead does; each has two
values that are AVA classes, and each value takes half of the boxes whatever the label is. A label of a channel says
only which lead has which and when, so no sum, mean or maximum over boxes tells it.
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

Roles = Literal["left", "right", "left, then right", "right, then left", "in turn", "together"]
"""Who has the value +1 of a channel, while the other lead has -1: one side throughout, one in the first half of the
movie and the other in the second, or now one and now the other, shot by shot. Together: both leads have the same value,
which changes shot by shot."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """What style decides."""

    shot_s: float
    """Mean length of a shot."""
    height: float
    """Of a person, as a part of the frame's height, before the factor of `large`."""
    large: int
    """1: who stands is shown larger; -1: who sits."""
    middle: float
    """Where the leads are, as a part of the frame's width, on average."""


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


RELATIONSHIPS: tuple[tuple[Roles, bool], ...] = (
    ("left, then right", False),
    ("right, then left", False),
    ("left, then right", True),
    ("right, then left", True),
)
"""Affect, and whether the leads come nearer over the movie instead of parting: friend, ex, husband and wife,
boyfriend and girlfriend."""

WAYS_OF_SPEAKING: tuple[Roles, ...] = ("left", "together", "in turn", "right", "right, then left")
"""Speech: explains, confronts, discuss, teaches, threatens."""

GENRES: tuple[Roles, ...] = ("left, then right", "left", "right, then left", "right")
"""Tension: comedy, action, romance, thriller."""

WRITERS: tuple[tuple[Roles, Roles], ...] = (
    ("left", "left"),
    ("left", "right"),
    ("left", "in turn"),
    ("right", "left"),
    ("right", "right"),
    ("right", "in turn"),
    ("in turn", "left"),
)
"""Gesture and gaze, in the order of the writers' ids."""

SHOT_SECONDS, HEIGHTS = (12.0, 8.0, 5.0), (0.52, 0.63, 0.76)
"""Of the thirds of the century, and of the decades of each."""

MIDDLES = (0.42, 0.58)

LIKE_EFFECTS, LIKE_NOISE = (0.4, 0.4), 0.2
"""Of leads who come nearer instead of parting, and of the left one beginning the fights instead of the right one."""

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

    Likes: whether the leads come nearer, and who fights first. Views: scene plus pace.
    """
    nearer = RELATIONSHIPS[classes["relationship"]][1]
    left_begins = GENRES[classes["genre"]].startswith("left")
    signs = [1 if holds else -1 for holds in (nearer, left_begins)]
    liked = -0.2 + float(np.dot(LIKE_EFFECTS, signs))
    return liked, SCENE_VIEWS[classes["scene"]] + SHOT_VIEWS[classes["year"] // len(HEIGHTS)]


def rules_of(labels: Labels) -> dict[Channel, Roles]:
    """How the leads act."""
    gesture, gaze = WRITERS[class_place("writer", labels.writer)]
    return {
        "affect": RELATIONSHIPS[labels.relationship][0],
        "tension": GENRES[labels.genre],
        "speech": WAYS_OF_SPEAKING[labels.way_speaking],
        "posture": "right" if class_place("director", labels.director) & 2 else "left",
        "gesture": gesture,
        "gaze": gaze,
    }


def come_nearer(labels: Labels) -> bool:
    """Whether the leads come nearer over the movie, instead of parting."""
    return RELATIONSHIPS[labels.relationship][1]


def look_of(labels: Labels) -> Look:
    """How the movie looks."""
    director = class_place("director", labels.director)
    pace, framing = divmod(labels.year, len(HEIGHTS))
    return Look(
        shot_s=SHOT_SECONDS[pace],
        height=HEIGHTS[framing],
        large=1 if director & 1 else -1,
        middle=MIDDLES[director >> 2],
    )


def object_shares(scene: int) -> np.ndarray:
    """(12,) how often each object is handled in a scene."""
    shares = np.zeros(len(OBJECT_ACTIONS))
    shares[np.arange(2 * scene, 2 * scene + len(OBJECT_SHARES)) % len(shares)] = OBJECT_SHARES
    return shares
