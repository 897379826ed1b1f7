"""What is compared: the tasks, and the conditions of every table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from benchmarks.lfb import kitchens, movies
from benchmarks.lfb.models import OperatorName
from benchmarks.lfb.videos import GeneratedVideo


@dataclass(frozen=True, kw_only=True)
class Task:
    """A generated data set with its classes, and how it is read and trained."""

    name: str
    make: Callable[[int, int, str], list[GeneratedVideo]]
    """Number of videos, seed, prefix of their names."""
    seconds: int
    classes: tuple[str, ...]
    first_class: int
    """Place of the first of `classes` in the labels of a video."""
    families: Sequence[str]
    """Families of classes, of `movies.FAMILIES`, that are measured by themselves."""
    one_label: bool
    """Softmax and top-1 accuracy; otherwise sigmoids and mean average precision."""
    items: Mapping[str, int]
    """Spaces, and their places a second."""
    queries: str
    """The space whose items the labels belong to."""
    batch: int
    steps: int


MIXED = Task(
    name="mixed", make=movies.make_movies, seconds=movies.SECONDS, families=tuple(movies.FAMILIES),
    classes=movies.CLASSES, first_class=0, one_label=False, queries=movies.PEOPLE, batch=32, steps=1200,
    items={movies.PEOPLE: movies.MAX_CAST, movies.GENERIC: movies.MAX_CAST,
           **{name: cells**2 for name, cells in movies.GRIDS.items()}},
)  # fmt: skip
INTERACTION, AROUND = (
    replace(MIXED, name=family, families=(family,), classes=movies.FAMILIES[family],
            first_class=movies.CLASSES.index(movies.FAMILIES[family][0]))
    for family in ("interaction", "around")
)  # fmt: skip
VERBS = Task(
    name="verbs", make=kitchens.make_kitchens, seconds=kitchens.SECONDS, classes=kitchens.VERBS, first_class=0,
    families=(), one_label=True, queries=kitchens.CLIPS, batch=64, steps=1500,
    items={kitchens.CLIPS: 1, kitchens.OBJECTS: kitchens.MAX_OBJECTS},
)  # fmt: skip
NOUNS = replace(VERBS, name="nouns", classes=kitchens.NOUNS, first_class=len(kitchens.VERBS))
TASKS = (INTERACTION, AROUND, MIXED, VERBS, NOUNS)


@dataclass(frozen=True, kw_only=True)
class Condition:
    """One model on one task."""

    name: str
    task: Task = INTERACTION
    operator: OperatorName
    bank: str = movies.PEOPLE
    before_s: int = 30
    after_s: int = 30
    masked: bool = False
    short_term: bool = True
    """Train a short-term network; otherwise S is the feature of the bank."""
    queries: str | None = None
    """Space of the short-term features, if not the task's."""
    empty_slots: int = 0
    """Slots without a feature that are added to every window, as if a second had places for more people."""
    members: int = 1
    """Models, from different random numbers, whose scores are averaged."""
    nl: Mapping[str, Any] = field(default_factory=dict)
    """Settings of FBO-NL that differ from the default."""


SHORT = Condition(name="3D CNN", operator="none", before_s=0, after_s=1)
STO = replace(SHORT, name="STO", operator="sto")
AVERAGE = Condition(name="Avg", operator="avg")
MAXIMUM = Condition(name="Max", operator="max")
NL = Condition(name="NL", operator="nl")
ONE_MODEL = (SHORT, STO, AVERAGE, MAXIMUM, NL)

WINDOWS_S = (2, 3, 5, 10, 15, 30, 60, 120)
SPARSE_EMPTY_SLOTS = 8 * 60
"""Twelve places a second instead of four."""
NL_DESIGNS: dict[str, Mapping[str, Any]] = {
    "1L": {"num_layers": 1},
    "w/o scale": {"scaled": False},
    "w/o LN": {"layer_norm": False},
    "with dropout": {"dropout": 0.2},
    "dot product": {"form": "dot_product"},
    "concat": {"form": "concatenation"},
    "3L": {"num_layers": 3},
    "post-activation": {"pre_activation": False},
}


def conditions() -> list[Condition]:
    """All of them."""
    return [*_operators(), *_windows(), *_decoupling(), *_layouts(), *_designs(), *_other_labels(), *_kitchens()]


def _operators() -> list[Condition]:
    ensembles = [replace(single, name=f"{single.name} x2", members=2) for single in (SHORT, STO)]
    masked = [_masked(one) for one in (AVERAGE, MAXIMUM, NL)]
    sparse = [
        replace(one, name=f"{one.name}, sparse", empty_slots=SPARSE_EMPTY_SLOTS)
        for one in (AVERAGE, _masked(AVERAGE), NL, _masked(NL))
    ]
    return [SHORT, STO, *ensembles, AVERAGE, MAXIMUM, NL, *masked, *sparse]


def _masked(condition: Condition) -> Condition:
    return replace(condition, name=f"{condition.name} masked", masked=True)


def _windows() -> list[Condition]:
    """Even spans as in the released code, [t - w/2, t + w/2), the larger half before t; causal [t - w, t)."""
    batch = [
        replace(one, name=f"{one.name} {w} s", before_s=w - w // 2, after_s=w // 2)
        for one in (NL, MAXIMUM, replace(MAXIMUM, name="around Max", task=AROUND))
        for w in WINDOWS_S if w != 60
    ]  # fmt: skip
    causal = [replace(NL, name=f"NL causal {w} s", before_s=w, after_s=0) for w in WINDOWS_S if w <= 60]
    return [*batch, *causal]


def _decoupling() -> list[Condition]:
    generic = replace(NL, name="NL generic, fixed", bank=movies.GENERIC, queries=movies.GENERIC, short_term=False)
    return [generic, replace(NL, name="NL tuned, fixed", short_term=False)]


def _layouts() -> list[Condition]:
    return [replace(NL, name=f"NL {space}", bank=space) for space in movies.GRIDS]


def _designs() -> list[Condition]:
    return [replace(NL, name=f"NL {name}", nl=settings) for name, settings in NL_DESIGNS.items()]


def _other_labels() -> list[Condition]:
    """Labels of the same movies for which nobody needs to be told from anybody; and all labels in one classifier."""
    around = [*ONE_MODEL, _masked(AVERAGE), _masked(NL)]
    return [
        *(replace(one, name=f"around {one.name}", task=AROUND) for one in around),
        *(replace(one, name=f"mixed {one.name}", task=MIXED) for one in ONE_MODEL),
    ]


def _kitchens() -> list[Condition]:
    verb = Condition(name="verbs", task=VERBS, operator="none", bank=kitchens.CLIPS, before_s=20, after_s=20)
    noun = Condition(name="nouns", task=NOUNS, operator="none", bank=kitchens.OBJECTS, before_s=6, after_s=6)
    operators: Sequence[tuple[str, OperatorName, bool]] = [
        ("3D CNN", "none", False), ("Avg", "avg", False), ("Max", "max", False), ("NL", "nl", False),
        ("Avg masked", "avg", True), ("NL masked", "nl", True),
    ]  # fmt: skip
    return [
        replace(one, name=f"{one.task.name} {label}", operator=operator, masked=masked)
        for one in (verb, noun)
        for label, operator, masked in operators
    ]
