"""Kitchens: one person, one thing at a time. Two tasks, of one verb and of one noun.

A video is cut into activities of 30 to 60 seconds, each with a verb and a noun. Features have 32 units, 0 or more: 12
verbs, 12 nouns, and 8 for the room.

verb   A clip a second shows the activity's verb in three of ten seconds and another one else, because to cook is also
       to walk, to look and to wipe. What most of the window shows is the answer, so the average has it; the maximum
       forgets how often, and keeps a little because what comes often also comes strongly. Window: 40 s, 40 slots.
noun   The clip hardly ever shows what is in the hand. For one or two seconds in about six it lies open, as an object
       that is seen three times as clearly as the three to six on the counter, which are in view most of the time. So
       the maximum has the answer and the average mixes it with the counter. Window: 12 s, up to 8 objects a second.

Nobody needs to be told from anybody: there is nothing here that attention can do and the right pooling cannot.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmarks.lfb.videos import GeneratedVideo, Items, noisy, packed

CLIPS, OBJECTS = "clip.kitchen", "object.kitchen"
SECONDS = 240
MAX_OBJECTS = 8
VERBS = tuple(f"verb {i}" for i in range(12))
NOUNS = tuple(f"noun {i}" for i in range(12))
CLASSES = (*VERBS, *NOUNS)

VERB, NOUN, ROOM = slice(0, 12), slice(12, 24), slice(24, 32)
DIM = 32
ACTIVITY_S = (30, 60)
SHOWS_VERB, SHOWS_NOUN = 0.3, 0.1
ON_COUNTER = (3, 6)
IN_SIGHT = 0.7
COUNTER_STRENGTH, OPEN_STRENGTH, CLIP_STRENGTH = 1.0, 3.0, 2.0
OPEN_EVERY_S, OPEN_S = (4, 8), (1, 2)


def make_kitchens(count: int, seed: int, prefix: str) -> list[GeneratedVideo]:
    """Videos of `SECONDS` seconds; the same for the same seed."""
    return [make_kitchen(f"{prefix}{i:03d}", np.random.default_rng([seed, i])) for i in range(count)]


def make_kitchen(video_id: str, rng: np.random.Generator) -> GeneratedVideo:
    room = np.eye(8)[rng.permutation(8)[:3]].sum(0)
    clips, objects, labels = np.zeros((SECONDS, 1, DIM)), np.zeros((SECONDS, MAX_OBJECTS, DIM)), []
    clips[..., ROOM] = room
    present = np.zeros((SECONDS, MAX_OBJECTS), bool)
    start = 0
    while start < SECONDS:
        end = min(start + int(rng.integers(*ACTIVITY_S, endpoint=True)), SECONDS)
        verb, noun = rng.integers(12, size=2)
        _show_activity(rng, clips[start:end, 0], verb, noun)
        _show_objects(rng, objects[start:end], present[start:end], noun)
        labels += [np.eye(24, dtype=bool)[verb] | np.eye(24, dtype=bool)[12 + noun]] * (end - start)
        start = end
    objects[..., ROOM] = room
    boxes = np.sort(rng.uniform(size=(SECONDS, MAX_OBJECTS, 2, 2)), axis=2).reshape(SECONDS, MAX_OBJECTS, 4)
    return GeneratedVideo(
        video_id=video_id,
        spaces={
            CLIPS: Items(values=noisy(rng, clips), present=np.ones((SECONDS, 1), bool)),
            OBJECTS: Items(
                values=packed(noisy(rng, objects), present),
                present=packed(present, present),
                boxes=packed(boxes.astype(np.float32), present),
            ),
        },
        labels=np.array(labels)[:, None],
    )


def _show_activity(rng: np.random.Generator, clips: NDArray[np.float64], verb: int, noun: int) -> None:
    """Put verbs and nouns into the clips (S, DIM) of an activity."""
    seconds = len(clips)
    shown = np.where(rng.random(seconds) < SHOWS_VERB, verb, rng.integers(12, size=seconds))
    clips[:, VERB] = CLIP_STRENGTH * np.eye(12)[shown]
    clips[:, NOUN.start + noun] = CLIP_STRENGTH * (rng.random(seconds) < SHOWS_NOUN)


def _show_objects(
    rng: np.random.Generator, objects: NDArray[np.float64], present: NDArray[np.bool_], noun: int
) -> None:
    """Put objects (S, MAX_OBJECTS, DIM) on the counter, and the noun where it lies open."""
    counter = rng.permutation(12)[: rng.integers(*ON_COUNTER, endpoint=True)]
    for place, other in enumerate(counter, start=1):
        objects[:, place, NOUN.start + other] = COUNTER_STRENGTH
        present[:, place] = rng.random(len(objects)) < IN_SIGHT
    start = int(rng.integers(OPEN_EVERY_S[1]))
    while start < len(objects):
        during = slice(start, start + int(rng.integers(*OPEN_S, endpoint=True)))
        objects[during, 0, NOUN.start + noun], present[during, 0] = OPEN_STRENGTH, True
        start += int(rng.integers(*OPEN_EVERY_S, endpoint=True))
