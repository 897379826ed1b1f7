"""The boxes of a video in a feature bank, as Object Transformers read them: one key frame a second.

bank = FeatureBank.open("bank")
table = box_table(bank, "-e6lEsIUf3U", BankSpaces(persons="person.slowfast_16x8_r101_nl"))
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from longform.object_transformer.tokens import BoxTable, TokenError
from pipeline.bank import FeatureBank

LATE_S = 1e-6
"""By how much a key frame may come before its second without belonging to the one before: rounding of timestamps."""


@dataclass(frozen=True, kw_only=True)
class BankSpaces:
    """Where the features of boxes are, and which boxes count."""

    persons: str
    """Space of the person features."""
    objects: str | None = None
    """Space of the object features, side by side with the persons'; a box in both has both."""
    min_score: float = 0.0
    """Of the detector, for persons and objects alike; AVA's boxes have 0.8 or more."""

    @property
    def names(self) -> tuple[str, ...]:
        """The spaces in the order of their channels."""
        return (self.persons,) if self.objects is None else (self.persons, self.objects)


def feature_dims(bank: FeatureBank, spaces: BankSpaces) -> tuple[int, ...]:
    """Channels of each space, as `ModelConfig.feature_dims` takes them. Raises TokenError for an unknown space."""
    unknown = [name for name in spaces.names if name not in bank.spaces]
    if unknown:
        raise TokenError(
            f"Bank {bank.uri!r} has no space {', '.join(map(repr, unknown))}; it has: "
            f"{', '.join(bank.spaces) or 'none'}."
        )
    return tuple(bank.spaces[name].dim for name in spaces.names)


def box_table(bank: FeatureBank, video_id: str, spaces: BankSpaces) -> BoxTable:
    """The boxes of a video that have a feature; of each second those of its first frame.

    Boxes of a second go by space (persons first), then by detection id. A box without a track gets a track of its own.
    Raises:
        TokenError: the bank lacks a space, or the video's boxes have no shots.
        BankError: the bank has no such video.
    """
    dims = feature_dims(bank, spaces)
    found = [bank.features(name, video_id, ("at_s", "detection_id", "feature")) for name in spaces.names]
    ids = _detection_ids(video_id, found)
    boxes = _detections(bank, video_id, ids)
    features = np.zeros((len(ids), sum(dims)), np.float16)
    channels = np.cumsum((0, *dims))
    for number, rows in enumerate(found):
        places = np.searchsorted(boxes.ids, _numbers(rows, "detection_id"))
        features[places, channels[number] : channels[number + 1]] = _vectors(rows, "feature", dims[number])
    is_person = np.isin(boxes.ids, _numbers(found[0], "detection_id"))
    chosen = _key_rows(boxes, spaces.min_score)
    chosen = chosen[np.lexsort((boxes.ids[chosen], ~is_person[chosen], boxes.seconds[chosen]))]
    _check_shots(video_id, boxes.shots[chosen])
    return BoxTable(
        video_id=video_id,
        seconds=boxes.seconds[chosen],
        boxes=boxes.boxes[chosen],
        tracks=boxes.tracks[chosen],
        shots=boxes.shots[chosen],
        features=features[chosen],
    )


NO_SHOT = -1


@dataclass(frozen=True, kw_only=True, eq=False)
class _Boxes:
    """Detections by ascending id."""

    ids: NDArray[np.int64]
    at_s: NDArray[np.float64]
    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]
    tracks: NDArray[np.int64]
    shots: NDArray[np.int64]

    @property
    def seconds(self) -> NDArray[np.int64]:
        return np.floor(self.at_s + LATE_S).astype(np.int64)


def _detection_ids(video_id: str, found: Sequence[pa.Table]) -> NDArray[np.int64]:
    """Of all boxes with a feature, ascending."""
    if any(rows["detection_id"].null_count for rows in found):
        raise TokenError(f"Video {video_id!r}: features of whole clips; expected a space of boxes, such as person.*.")
    return np.unique(np.concatenate([_numbers(rows, "detection_id") for rows in found]))


def _detections(bank: FeatureBank, video_id: str, ids: NDArray[np.int64]) -> _Boxes:
    columns = ("at_s", "detection_id", "box", "score", "track_id", "shot_index")
    rows = bank.table("detections", video_id, columns)
    known = _numbers(rows, "detection_id")
    if not np.isin(ids, known).all():
        raise TokenError(
            f"Video {video_id!r}: a feature belongs to a detection that the bank does not hold. Run `longform verify`."
        )
    order = np.argsort(known, kind="stable")
    rows = rows.take(pa.array(order[np.searchsorted(known, ids, sorter=order)], pa.int64()))
    tracks = _numbers(rows, "track_id", null=-1)
    alone = tracks < 0
    tracks[alone] = -1 - np.arange(alone.sum())
    return _Boxes(
        ids=ids,
        at_s=rows["at_s"].to_numpy(),
        boxes=_vectors(rows, "box", 4).astype(np.float64),
        scores=rows["score"].to_numpy().astype(np.float64),
        tracks=tracks,
        shots=_numbers(rows, "shot_index", null=NO_SHOT),
    )


def _numbers(rows: pa.Table, column: str, null: int = -1) -> NDArray[np.int64]:
    return rows[column].fill_null(null).to_numpy().astype(np.int64)


def _vectors(rows: pa.Table, column: str, dim: int) -> NDArray[np.floating]:
    """A column of vectors as (N, dim)."""
    values = rows[column].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return np.asarray(values).reshape(-1, dim)


def _key_rows(boxes: _Boxes, min_score: float) -> NDArray[np.int64]:
    """Boxes in the first frame of their second that has any, with the score asked for."""
    seconds = boxes.seconds
    first = np.full(seconds.max(initial=-1) + 1, np.inf)
    np.minimum.at(first, seconds, boxes.at_s)
    return np.flatnonzero((boxes.at_s == first[seconds]) & (boxes.scores >= np.float32(min_score)))


def _check_shots(video_id: str, shots: NDArray[np.int64]) -> None:
    if (shots == NO_SHOT).any():
        raise TokenError(
            f"Video {video_id!r}: boxes without a shot. Object Transformers number shots: extract with shot detection."
        )
