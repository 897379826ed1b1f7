"""Results of action recognition on EPIC-KITCHENS as its challenges take them: JSON, in a flat zip archive.

    {"version": "0.1", "challenge": "action_recognition",
     "results": {"1924": {"verb": {"0": 1.223, …}, "noun": {"0": 0.804, …}, "action": {"0,1": 1.083, …}}, …}}

`action` is optional: the 100 best pairs "verb,noun". Without it the server multiplies the softmax of verbs and nouns.
EPIC-KITCHENS-55 has version 0.1, keyed by `uid`; its archive holds `seen.json` and `unseen.json`. EPIC-KITCHENS-100 has
version 0.2, keyed by `narration_id`, with three declarations of supervision (`Supervision`) and one file, `test.json`.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import softmax

from extractors.errors import ConfigError, ShapeError
from longform.datasets.epic import EDITIONS, EPIC_55, EPIC_100, EpicEdition
from longform.metrics.tables import AnnotationError, PathLike

CHALLENGE = "action_recognition"
VERSIONS = {EPIC_55.name: "0.1", EPIC_100.name: "0.2"}
ARCHIVED = {EPIC_55.name: ("seen.json", "unseen.json"), EPIC_100.name: ("test.json",)}
NUM_ACTIONS = 100
"""Pairs of a segment that a submission with actions of its own must have."""


@dataclass(frozen=True, kw_only=True)
class Supervision:
    """What a result of EPIC-KITCHENS-100 was trained with, each from 0 to 5 (epic-kitchens/sls)."""

    sls_pt: int
    """Pre-training: 2 for public image and video data."""
    sls_tl: int
    """Labels: 3 for the times and classes of segments, 4 with boxes of a detector."""
    sls_td: int
    """Data: 3 for the training set, 4 with the validation set."""

    def __post_init__(self) -> None:
        for name, level in asdict(self).items():
            if level not in range(6):
                raise ConfigError(f"{name} is {level}; expected 0 to 5.")


@dataclass(frozen=True, kw_only=True, eq=False)
class EpicActions:
    """The 100 best pairs of each segment."""

    pairs: NDArray[np.int64]
    """(N, 100, 2) verb and noun."""
    scores: NDArray[np.float64]
    """(N, 100)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class EpicScores:
    """Scores of segments, before softmax."""

    edition: EpicEdition
    segment_ids: tuple[str, ...]
    verbs: NDArray[np.float64]
    """(N, V)."""
    nouns: NDArray[np.float64]
    """(N, M)."""
    actions: EpicActions | None = None
    """Where the server is not to multiply verbs and nouns by itself; see `best_actions`."""

    def __post_init__(self) -> None:
        count = len(self.segment_ids)
        expected = {"verbs": (count, self.edition.num_verbs), "nouns": (count, self.edition.num_nouns)}
        for name, shape in expected.items():
            scores = getattr(self, name)
            if scores.shape != shape or not np.isfinite(scores).all():
                raise ShapeError(f"The {name} are {scores.shape}; expected {shape}, all finite, for {count} segments.")
        if len(set(self.segment_ids)) != count:
            raise ShapeError("A segment is there twice; expected one row of scores for each.")


def best_actions(verbs: ArrayLike, nouns: ArrayLike, prior: ArrayLike | None = None) -> EpicActions:
    """The pairs with the largest product of both probabilities and the prior; of equal ones, the lower verb first.

    Args:
        verbs, nouns: (N, V) and (N, M), before softmax.
        prior: (V, M) weight of every pair, such as `longform.metrics.epic_prior` counts; None for none.
    """
    verb_shares, noun_shares = softmax(np.asarray(verbs, np.float64), 1), softmax(np.asarray(nouns, np.float64), 1)
    weights = np.ones(()) if prior is None else np.asarray(prior, np.float64)
    pairs = np.empty((len(verb_shares), NUM_ACTIONS, 2), np.int64)
    scores = np.empty((len(verb_shares), NUM_ACTIONS))
    for row, (verb, noun) in enumerate(zip(verb_shares, noun_shares, strict=True)):
        products = np.outer(verb, noun) * weights
        best = np.argsort(-products, axis=None, kind="stable")[:NUM_ACTIONS]
        pairs[row] = np.stack(np.unravel_index(best, products.shape), axis=1)
        scores[row] = products.flat[best]
    return EpicActions(pairs=pairs, scores=scores)


def write_submission(path: PathLike, parts: Sequence[EpicScores], supervision: Supervision | None = None) -> None:
    """Write the archive that the server takes.

    Args:
        parts: for EPIC-KITCHENS-55 the seen and the unseen kitchens, in this order; for -100 all segments in one.
        supervision: for EPIC-KITCHENS-100, which asks for it.
    Raises:
        ConfigError: another number of parts, parts of two editions, or supervision where it does not belong.
    """
    editions = {part.edition.name for part in parts}
    if len(editions) != 1:
        raise ConfigError(f"A submission is of one edition; got {', '.join(sorted(editions)) or 'no part'}.")
    edition = parts[0].edition
    names = ARCHIVED[edition.name]
    if len(parts) != len(names):
        raise ConfigError(f"{edition.name} takes {len(names)} parts ({', '.join(names)}); got {len(parts)}.")
    if (supervision is None) != (edition is EPIC_55):
        needed = "takes no" if edition is EPIC_55 else "needs a"
        raise ConfigError(f"{edition.name} {needed} declaration of supervision.")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, part in zip(names, parts, strict=True):
            archive.writestr(name, json.dumps(as_submission(part, supervision)))


def as_submission(scores: EpicScores, supervision: Supervision | None = None) -> dict[str, Any]:
    """The content of one JSON file."""
    return {
        "version": VERSIONS[scores.edition.name],
        "challenge": CHALLENGE,
        **(asdict(supervision) if supervision else {}),
        "results": {segment_id: _entry(scores, row) for row, segment_id in enumerate(scores.segment_ids)},
    }


def read_submission(path: PathLike) -> dict[str, EpicScores]:
    """The scores of a JSON file, or of each in a zip archive, by its name.

    Raises:
        AnnotationError: the file cannot be read, is another, or a segment lacks a class or has a bad score; the
            message names the file and the segment.
    """
    return {name: _scores(name, content) for name, content in _files(path)}


def _entry(scores: EpicScores, row: int) -> dict[str, dict[str, float]]:
    entry = {"verb": _numbered(scores.verbs[row]), "noun": _numbered(scores.nouns[row])}
    if scores.actions is not None:
        pairs, values = scores.actions.pairs[row].tolist(), scores.actions.scores[row].tolist()
        entry["action"] = {f"{verb},{noun}": value for (verb, noun), value in zip(pairs, values, strict=True)}
    return entry


def _numbered(scores: NDArray[np.float64]) -> dict[str, float]:
    return {str(number): score for number, score in enumerate(scores.tolist())}


def _files(path: PathLike) -> Iterator[tuple[str, Any]]:
    """`(name, content)` of the file, or of each JSON file in the archive."""
    where = os.fspath(path)
    try:
        if not zipfile.is_zipfile(path):
            with open(path, encoding="utf-8") as file:
                yield where, json.load(file)
            return
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                yield f"{where}/{name}", json.loads(archive.read(name))
    except OSError as error:
        raise AnnotationError(f"{where!r} cannot be read: {error.strerror}.") from error
    except (ValueError, zipfile.BadZipFile) as error:
        raise AnnotationError(f"{where!r} is neither JSON nor a zip archive of it: {error}.") from error


def _scores(where: str, content: Any) -> EpicScores:
    if not isinstance(content, dict) or not isinstance(content.get("results"), dict) or not content["results"]:
        raise AnnotationError(f"{where!r} is no submission; expected an object with version, challenge and results.")
    edition = next((e for e in EDITIONS if VERSIONS[e.name] == content.get("version")), None)
    if edition is None or content.get("challenge") != CHALLENGE:
        raise AnnotationError(
            f"{where!r} has version {content.get('version')!r} and challenge {content.get('challenge')!r}; expected "
            f"0.1 or 0.2, and {CHALLENGE!r}."
        )
    results = content["results"]
    with_actions = any(isinstance(entry, dict) and "action" in entry for entry in results.values())
    verbs = np.empty((len(results), edition.num_verbs))
    nouns = np.empty((len(results), edition.num_nouns))
    pairs = np.empty((len(results), NUM_ACTIONS, 2), np.int64)
    values = np.empty((len(results), NUM_ACTIONS))
    for row, (segment_id, entry) in enumerate(results.items()):
        try:
            verbs[row] = _dense(_part(entry, "verb"), edition.num_verbs)
            nouns[row] = _dense(_part(entry, "noun"), edition.num_nouns)
            if with_actions:
                pairs[row], values[row] = _pairs(_part(entry, "action"), edition)
        except (TypeError, ValueError) as error:
            raise AnnotationError(f"{where!r}, segment {segment_id!r} is malformed: {error}.") from error
    actions = EpicActions(pairs=pairs, scores=values) if with_actions else None
    return EpicScores(edition=edition, segment_ids=tuple(results), verbs=verbs, nouns=nouns, actions=actions)


def _part(entry: Any, name: str) -> dict[str, Any]:
    part = entry.get(name) if isinstance(entry, dict) else None
    if not isinstance(part, dict):
        raise ValueError(f"no {name!r} with a score for each class")
    return part


def _dense(scores: Mapping[str, float], count: int) -> list[float]:
    """The scores of all classes, in order."""
    if scores.keys() != {str(number) for number in range(count)}:
        raise ValueError(f"{len(scores)} classes; expected those from 0 to {count - 1}")
    return [_finite(scores[str(number)]) for number in range(count)]


def _pairs(scores: Mapping[str, float], edition: EpicEdition) -> tuple[list[list[int]], list[float]]:
    if len(scores) != NUM_ACTIONS:
        raise ValueError(f"{len(scores)} actions; expected {NUM_ACTIONS}")
    pairs = [[int(number) for number in pair.split(",")] for pair in scores]
    for pair in pairs:
        if len(pair) != 2 or pair[0] not in range(edition.num_verbs) or pair[1] not in range(edition.num_nouns):
            raise ValueError(f"action {pair}; expected verb,noun")
    return pairs, [_finite(score) for score in scores.values()]


def _finite(score: Any) -> float:
    value = float(score)
    if not np.isfinite(value):
        raise ValueError(f"score {score!r} is not finite")
    return value
