"""Movies: several people at once, scenes with a cast of their own, and labels of three families.

A movie is cut into scenes of 22 to 30 seconds, each with three or four people who are in no other scene. Once a second
a person in view has a feature of 48 units, each of which stands for one thing and is 0 or more, as after a ReLU:

    appearance  12  who this is: one of 12 looks, all different within a scene
    address     12  the look of the one whom this person acts on or looks at
    deed         8  talk, give, hug, push (to somebody); play music, phone (alone); drink, smoke (never asked for)
    pose         4  changes every few seconds
    object       4  changes every few seconds
    place        8  three units are on, the same for all in a scene

and noise. There is nothing else to tell time or scenes by. A label belongs to one person at one second.

own (3 classes)          This person sits, stands, reads. It is in the person's own feature of this second: no operator
                         is needed, and none helps.
interaction (4 classes)  Somebody talks to, gives something to, hugs, pushes this person in this scene, before or after.
                         The answer is in the one or two features of the one who does it, whose address is this
                         person's look. The same deeds to others, here and in the neighbouring scenes, and people who
                         merely look at this person are distractors.
                         - The short-term network sees only the person's own feature: chance.
                         - STO sees the others of this second, so the event if it is on now: 1 or 2 of some 26 seconds.
                         - Pooling sees which deeds there were, not to whom. The classifier adds what it is given, and a
                           sum cannot compare a look with an address.
                         - FBO-NL compares them, which is what its affinity is, and reads the deed from what matches.
                         - Windows: an event lies less than 30 seconds away, because scenes are not longer, and mostly
                           nearer, so the gain rises with the window and ends at 60 seconds. Features of other scenes in
                           a longer window can be told by place and look. A causal window has the events that have been,
                           about half of them.
around (2 classes)       Somebody plays music, or phones, within 30 seconds before or after, in whatever scene. Nobody
                         needs to be told from anybody, so the maximum over the window is the answer. The average has it
                         too, but divides one or two features by the number of slots. The window must have the reach of
                         the label: a shorter one misses events and a longer one finds those of others.

All labels are symmetric in time, because the operators have no notion of order: what follows an event could not be told
from what precedes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.lfb.videos import NOISE, GeneratedVideo, Items, noisy, packed

PEOPLE, GENERIC = "person.tuned", "person.generic"
GRIDS = {"clip.global": 1, "clip.grid_2x2": 2, "clip.grid_4x4": 4}
"""Spaces without people, and the number of cells on each side of the picture."""
SECONDS = 240
MAX_CAST = 4
REACH_S = 30
"""Nothing farther away than this changes a label."""

TO_SOMEBODY = ("talk", "give", "hug", "push")
ALONE = ("music", "phone")
IRRELEVANT = ("drink", "smoke")
DEEDS = (*TO_SOMEBODY, *ALONE, *IRRELEVANT)
FAMILIES = {
    "own": ("sit", "stand", "read"),
    "interaction": tuple(f"{deed} to me" for deed in TO_SOMEBODY),
    "around": tuple(f"{deed} nearby" for deed in ALONE),
}
CLASSES = tuple(name for names in FAMILIES.values() for name in names)

LOOKS = 12
APPEARANCE, ADDRESS, DEED = slice(0, 12), slice(12, 24), slice(24, 32)
POSE, OBJECT, PLACE = slice(32, 36), slice(36, 40), slice(40, 48)
DIM = 48
STRENGTH = np.repeat([3.0, 3.0, 4.0, 1.0, 1.0, 2.0], [12, 12, 8, 4, 4, 8])
"""How far each unit goes up: a network trained on actions has most to say about actions."""

SCENE_S = (22, 30)
CAST = (3, MAX_CAST)
IN_VIEW = 0.8
LOOKS_AT_SOMEBODY = 0.2
DEED_S = (1, 2)
PER_SCENE = {**dict.fromkeys(TO_SOMEBODY, 0.6), **dict.fromkeys(ALONE, 0.2), **dict.fromkeys(IRRELEVANT, 0.5)}
"""Mean number of times in a scene."""


@dataclass(kw_only=True, eq=False)
class _Scene:
    """C people in S seconds."""

    looks: NDArray[np.int64]
    """(C,)"""
    deed: NDArray[np.int64]
    """(C, S), -1 for none"""
    toward: NDArray[np.int64]
    """(C, S): on whom, -1 for nobody"""
    in_view: NDArray[np.bool_]
    """(C, S)"""
    pose: NDArray[np.int64]
    object: NDArray[np.int64]
    """(C, S)"""
    place: NDArray[np.int64]
    """Units that are on."""
    boxes: NDArray[np.float32]
    """(C, 4)"""
    done_to: set[tuple[int, str]] = field(default_factory=set)
    """Who had what done to them."""

    @property
    def seconds(self) -> int:
        return self.deed.shape[1]


def make_movies(count: int, seed: int, prefix: str) -> list[GeneratedVideo]:
    """Movies of `SECONDS` seconds; the same for the same seed."""
    return [make_movie(f"{prefix}{i:03d}", np.random.default_rng([seed, i])) for i in range(count)]


def make_movie(video_id: str, rng: np.random.Generator) -> GeneratedVideo:
    scenes, seconds = [], 0
    while seconds < SECONDS:
        length = min(int(rng.integers(*SCENE_S, endpoint=True)), SECONDS - seconds)
        scenes.append(_make_scene(rng, length))
        seconds += length
    present = _joined(scene.in_view for scene in scenes)
    values = _joined(_features(rng, scene) for scene in scenes)
    boxes = _joined(np.repeat(scene.boxes[:, None], scene.seconds, axis=1) for scene in scenes)
    labels = _joined(_labels_of_scene(scene) for scene in scenes)
    for deed in ALONE:
        labels[..., CLASSES.index(f"{deed} nearby")] = _within_reach(scenes, deed)[:, None]
    people = Items(values=packed(values, present), present=packed(present, present), boxes=packed(boxes, present))
    empty = np.concatenate([_background(rng, scene) for scene in scenes])
    spaces = {
        PEOPLE: people,
        GENERIC: Items(values=_generic(rng, people), present=people.present, boxes=people.boxes),
        **{name: grid(people, empty, cells) for name, cells in GRIDS.items()},
    }
    return GeneratedVideo(video_id=video_id, spaces=spaces, labels=packed(labels, present))


def _make_scene(rng: np.random.Generator, seconds: int) -> _Scene:
    cast = int(rng.integers(*CAST, endpoint=True))
    shape = (cast, seconds)
    looking = _held(rng, shape, (2, 5), lambda: int(rng.random() < LOOKS_AT_SOMEBODY))
    others = (np.arange(cast)[:, None] + _held(rng, shape, (2, 5), lambda: int(rng.integers(1, cast)))) % cast
    scene = _Scene(
        looks=rng.permutation(LOOKS)[:cast],
        deed=np.full(shape, -1),
        toward=np.where(looking, others, -1),
        in_view=rng.random(shape) < IN_VIEW,
        pose=_held(rng, shape, (3, 8), lambda: int(rng.integers(4))),
        object=_held(rng, shape, (3, 8), lambda: int(rng.integers(4))),
        place=rng.permutation(8)[:3],
        boxes=_boxes(rng, cast),
    )
    for deed in DEEDS:
        for _ in range(rng.poisson(PER_SCENE[deed] * seconds / SCENE_S[1])):
            _act(rng, scene, deed)
    return scene


def _held(
    rng: np.random.Generator, shape: tuple[int, int], span_s: tuple[int, int], draw: Callable[[], int]
) -> NDArray[np.int64]:
    """(C, S) of draws that each last for some seconds."""
    values = np.zeros(shape, np.int64)
    for row in values:
        start = 0
        while start < len(row):
            end = start + int(rng.integers(*span_s, endpoint=True))
            row[start:end] = draw()
            start = end
    return values


def _act(rng: np.random.Generator, scene: _Scene, deed: str) -> None:
    """Somebody does it, in view, if free at the drawn time."""
    actor, target = rng.permutation(len(scene.looks))[:2]
    length = int(rng.integers(*DEED_S, endpoint=True))
    start = int(rng.integers(0, max(1, scene.seconds - length + 1)))
    during = np.s_[actor, start : start + length]
    if (scene.deed[during] >= 0).any():
        return
    scene.deed[during], scene.in_view[during] = DEEDS.index(deed), True
    scene.toward[during] = target if deed in TO_SOMEBODY else -1
    if deed in TO_SOMEBODY:
        scene.done_to.add((int(target), deed))


def _boxes(rng: np.random.Generator, cast: int) -> NDArray[np.float32]:
    """(C, 4): people who stand beside and before each other."""
    width, height = rng.uniform(0.15, 0.25, cast), rng.uniform(0.5, 0.8, cast)
    left, top = rng.uniform(0, 1 - width), rng.uniform(0.1, 1 - height)
    return np.stack([left, top, left + width, top + height], axis=1).astype(np.float32)


def _features(rng: np.random.Generator, scene: _Scene) -> NDArray[np.float32]:
    """(C, S, DIM)"""
    units = np.zeros((*scene.deed.shape, DIM))
    units[..., APPEARANCE] = np.eye(LOOKS)[scene.looks][:, None]
    units[..., ADDRESS] = np.eye(LOOKS)[scene.looks[scene.toward]] * (scene.toward >= 0)[..., None]
    units[..., DEED] = np.eye(len(DEEDS))[scene.deed] * (scene.deed >= 0)[..., None]
    units[..., POSE], units[..., OBJECT] = np.eye(4)[scene.pose], np.eye(4)[scene.object]
    units[..., PLACE] = np.eye(8)[scene.place].sum(0)
    return noisy(rng, units * STRENGTH)


def _background(rng: np.random.Generator, scene: _Scene) -> NDArray[np.float32]:
    """(S, DIM): what is seen where nobody is."""
    units = np.zeros((scene.seconds, DIM))
    units[:, PLACE] = np.eye(8)[scene.place].sum(0)
    return noisy(rng, units * STRENGTH)


def _generic(rng: np.random.Generator, people: Items) -> NDArray[np.float32]:
    """(T, K, DIM): as from a network that was not trained for these labels: deeds are faint, and noise is strong."""
    faint = people.values.copy()
    faint[..., DEED] *= 0.25
    noise = 3 * NOISE * rng.standard_normal(faint.shape)
    return np.where(people.present[..., None], np.maximum(faint + noise, 0), 0).astype(np.float32)


def _labels_of_scene(scene: _Scene) -> NDArray[np.bool_]:
    """(C, S, classes): the families that a scene decides."""
    labels = np.zeros((*scene.deed.shape, len(CLASSES)), bool)
    labels[..., CLASSES.index("sit")] = scene.pose == 0
    labels[..., CLASSES.index("stand")] = scene.pose == 1
    labels[..., CLASSES.index("read")] = scene.object == 0
    for person, deed in scene.done_to:
        labels[person, :, CLASSES.index(f"{deed} to me")] = True
    return labels


def _within_reach(scenes: Sequence[_Scene], deed: str) -> NDArray[np.bool_]:
    """(T,): whether anybody does it in [t - REACH_S, t + REACH_S)."""
    done = np.concatenate([(scene.deed == DEEDS.index(deed)).any(0) for scene in scenes])
    padded = np.pad(done, (REACH_S, REACH_S - 1))
    return np.lib.stride_tricks.sliding_window_view(padded, 2 * REACH_S).max(1)


def _joined(of_scenes: Iterable[NDArray[Any]]) -> NDArray[Any]:
    """(T, MAX_CAST, ...) from (C, S, ...) of scenes."""
    padded = [np.pad(values, [(0, MAX_CAST - len(values)), *[(0, 0)] * (values.ndim - 1)]) for values in of_scenes]
    return np.concatenate([values.swapaxes(0, 1) for values in padded])


def grid(people: Items, empty: NDArray[np.float32], cells: int) -> Items:
    """The picture in `cells` x `cells` parts, each with the mean over its area of what is there (thesis, table 7.2d).

    Args:
        empty: (T, DIM) feature of the background.
    """
    assert people.boxes is not None
    edges = np.linspace(0, 1, cells + 1)
    low, high = people.boxes[..., :2, None], people.boxes[..., 2:, None]
    overlap = np.clip(np.minimum(high, edges[1:]) - np.maximum(low, edges[:-1]), 0, None)  # (T, K, xy, cells)
    share = overlap[..., 1, :, None] * overlap[..., 0, None, :] * cells**2
    share = share.reshape(*share.shape[:2], -1) * people.present[..., None]
    share /= np.maximum(share.sum(1, keepdims=True), 1)
    values = np.einsum("tkc,tkd->tcd", share, people.values) + (1 - share.sum(1))[..., None] * empty[:, None]
    return Items(values=values.astype(np.float32), present=np.ones(values.shape[:2], bool))
