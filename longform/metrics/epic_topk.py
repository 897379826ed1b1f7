"""Top-1 and top-5 accuracy of verbs, nouns and actions on EPIC-KITCHENS-55, as Long-Term Feature Banks count it.

The rules are those of `tools/evaluate_actions.py` in github.com/facebookresearch/video-long-term-feature-banks, commit
941b713: an action is a (verb, noun) pair, its score the product of both probabilities and, if given, of a prior.
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import ArrayLike, NDArray

from extractors.errors import ShapeError
from longform.metrics.tables import AnnotationError, PathLike, csv_columns, malformed, whole

NUM_VERBS, NUM_NOUNS = 125, 352
LAST_TRAINING_PARTICIPANT = 25
PRIOR_EPSILON = 1e-5
SEGMENTS_AT_ONCE = 64  # 22 MB of products at EPIC's sizes


def epic_topk(
    verb_logits: ArrayLike,
    noun_logits: ArrayLike,
    verb_labels: ArrayLike,
    noun_labels: ArrayLike,
    prior: ArrayLike | None = None,
) -> dict[str, float]:
    """Shares of segments, in percent, whose class is among the best one or five.

    Args:
        verb_logits, noun_logits: (N, V) and (N, M), before softmax.
        verb_labels, noun_labels: (N,) classes.
        prior: (V, M) weight of every pair, such as `epic_prior` counts; None for none.
    Returns:
        `verb_top1`, `verb_top5`, `noun_top1`, `noun_top5`, `action_top1`, `action_top5`. Of equal scores, the lower
        class comes first; of pairs, the lower verb, then the lower noun.
    Raises:
        ShapeError: the arrays do not fit together, hold numbers that are not finite, a label is no class, there is no
            segment, or the prior has a negative entry.
    """
    verbs, verb_of = _checked("verb", verb_logits, verb_labels)
    nouns, noun_of = _checked("noun", noun_logits, noun_labels)
    if len(verbs) != len(nouns):
        raise ShapeError(f"There are {len(verbs)} segments of verbs and {len(nouns)} of nouns; expected the same.")
    weights = _checked_prior(prior, verbs.shape[1], nouns.shape[1])
    ranks = {"verb": _ranks(verbs, verb_of), "noun": _ranks(nouns, noun_of), "action": np.empty(len(verbs), np.int64)}
    verbs, nouns = _softmax(verbs), _softmax(nouns)
    for start in range(0, len(verbs), SEGMENTS_AT_ONCE):
        part = slice(start, start + SEGMENTS_AT_ONCE)
        pairs = verbs[part, :, None] * nouns[part, None, :] * weights
        pair_of = verb_of[part] * nouns.shape[1] + noun_of[part]
        ranks["action"][part] = _ranks(pairs.reshape(len(pairs), -1), pair_of)
    return {f"{what}_top{k}": 100.0 * float((rank < k).mean()) for what, rank in ranks.items() for k in (1, 5)}


def epic_prior(
    annotations_csv: PathLike,
    *,
    last_participant: int = LAST_TRAINING_PARTICIPANT,
    num_verbs: int = NUM_VERBS,
    num_nouns: int = NUM_NOUNS,
) -> NDArray[np.float64]:
    """How often each noun goes with a verb in training: (V, M), about P(noun | verb).

    The share of all segments that show the pair, over the share that show its verb plus 1e-5, as in the original,
    where the variable is named the other way round.

    Args:
        annotations_csv: `EPIC_train_action_labels.csv`.
        last_participant: segments of participants after this one are left out: 25 in the split of the paper.
    Raises:
        AnnotationError: a column is not there, a line is malformed, or no segment is left.
    """
    counts = np.zeros((num_verbs, num_nouns))
    for line, fields in csv_columns(annotations_csv, ("participant_id", "verb_class", "noun_class")):
        try:
            participant, verb, noun = _training_segment(fields)
            if participant <= last_participant:
                counts[verb, noun] += 1
        except (ValueError, IndexError) as error:
            raise malformed(annotations_csv, line, error) from error
    if not counts.any():
        raise AnnotationError(f"{str(annotations_csv)!r} has no segment of participants up to P{last_participant:02d}.")
    frequency = counts / counts.sum()
    return frequency / (frequency.sum(1, keepdims=True) + PRIOR_EPSILON)


def _training_segment(fields: list[str]) -> tuple[int, int, int]:
    participant = re.fullmatch(r"P(\d+)", fields[0])
    if not participant:
        raise ValueError(f"participant {fields[0]!r}; expected one such as P01")
    verb, noun = whole(fields[1]), whole(fields[2])
    if min(verb, noun) < 0:
        raise ValueError(f"verb class {verb}, noun class {noun}; expected 0 or more")
    return int(participant[1]), verb, noun


def _checked(what: str, logits: ArrayLike, labels: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    scores, classes = np.asarray(logits, np.float64), np.asarray(labels)
    if scores.ndim != 2 or not scores.size or classes.shape != scores.shape[:1]:
        raise ShapeError(f"The {what} logits are {scores.shape} and labels {classes.shape}; expected (N, C) and (N,).")
    if not np.isfinite(scores).all():
        raise ShapeError(f"The {what} logits of segment {np.argwhere(~np.isfinite(scores))[0, 0]} are not all finite.")
    wrong = np.flatnonzero((classes != classes.astype(np.int64)) | (classes < 0) | (classes >= scores.shape[1]))
    if len(wrong):
        raise ShapeError(
            f"The {what} label of segment {wrong[0]} is {classes[wrong[0]]}; expected 0…{scores.shape[1] - 1}."
        )
    return scores, classes.astype(np.int64)


def _checked_prior(prior: ArrayLike | None, num_verbs: int, num_nouns: int) -> NDArray[np.float64]:
    if prior is None:
        return np.ones((num_verbs, num_nouns))
    weights = np.asarray(prior, np.float64)
    if weights.shape != (num_verbs, num_nouns) or not (np.isfinite(weights) & (weights >= 0)).all():
        raise ShapeError(f"The prior is {weights.shape}; expected ({num_verbs}, {num_nouns}), with no number below 0.")
    return weights


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def _ranks(scores: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """(N,) how many of (N, C) stand before the label's: higher ones, and equal ones of a lower index."""
    own = np.take_along_axis(scores, labels[:, None], axis=1)
    before = np.arange(scores.shape[1]) < labels[:, None]
    return ((scores > own) | ((scores == own) & before)).sum(1)
