"""Which rows of a space a search may find: by video, time, and the detections they belong to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.bank.errors import BankError, UnknownNameError
from pipeline.bank.reader import FeatureBank


@dataclass(frozen=True, kw_only=True)
class Filters:
    """Conditions that all must hold; the defaults let every row through.

    `start_s <= at_s < end_s`, in seconds. `labels` are names of classes in table detections, or their numbers.
    `labels` and `min_score` look at the detection a row describes; a row that describes none (a clip) passes if some
    such detection lies in its span.
    """

    video_ids: tuple[str, ...] = ()
    start_s: float = -np.inf
    end_s: float = np.inf
    labels: tuple[str, ...] = ()
    min_score: float = -np.inf

    @property
    def asks_for_detections(self) -> bool:
        """True if rows without a matching detection are out."""
        return bool(self.labels) or self.min_score > -np.inf


NO_FILTERS = Filters()


class RowFilter:
    """`Filters` ready for rows of one bank. Raises UnknownNameError for a video or label the bank does not have."""

    def __init__(self, bank: FeatureBank, filters: Filters) -> None:
        if unknown := [video_id for video_id in filters.video_ids if video_id not in bank.snapshot.index]:
            raise UnknownNameError(f"No video {unknown[0]!r} in this bank: got it as a filter.")
        if np.isnan([filters.start_s, filters.end_s, filters.min_score]).any():
            raise BankError("Cannot filter: got NaN, expected numbers.")
        self._filters = filters
        self._detections = _matching(bank, filters) if filters.asks_for_detections else None
        self._times: dict[str, NDArray[np.float64]] = {}
        if self._detections is not None:
            ordered = self._detections.sort_by([("video_id", "ascending"), ("at_s", "ascending")])
            groups = ordered.group_by("video_id", use_threads=False).aggregate([("at_s", "list")])
            lists = zip(groups["video_id"].to_pylist(), groups["at_s_list"].to_pylist(), strict=True)
            self._times = {video_id: np.array(times) for video_id, times in lists}

    def __call__(self, rows: pa.Table) -> NDArray[np.bool_]:
        """Which rows (N,) of a table with the columns `rows.KEYS` pass."""
        at_s = rows["at_s"].to_numpy()
        passed = (at_s >= self._filters.start_s) & (at_s < self._filters.end_s)
        if self._filters.video_ids:
            passed &= pc.is_in(rows["video_id"], value_set=pa.array(self._filters.video_ids)).to_numpy()
        if self._detections is not None:
            passed &= self._has_detection(rows, self._detections)
        return passed

    def _has_detection(self, rows: pa.Table, detections: pa.Table) -> NDArray[np.bool_]:
        keys = ["video_id", "detection_id"]
        numbered = rows.select(keys).append_column("row", pa.array(np.arange(rows.num_rows)))
        passed = np.zeros(rows.num_rows, bool)
        passed[numbered.join(detections.select(keys), keys, join_type="left semi")["row"].to_numpy()] = True
        clips = np.flatnonzero(rows["detection_id"].is_null().to_numpy())
        spans = rows.take(clips).select(["video_id", "start_s", "end_s"])
        columns = (column.to_pylist() for column in spans.columns)
        for place, video_id, start_s, end_s in zip(clips, *columns, strict=True):
            times = self._times.get(video_id, np.zeros(0))
            passed[place] = np.searchsorted(times, start_s) < np.searchsorted(times, end_s)
        return passed


def _matching(bank: FeatureBank, filters: Filters) -> pa.Table:
    """Detections of the wanted labels and score: video_id, detection_id, at_s."""
    columns = ["video_id", "detection_id", "at_s", "score", "label", "class_id"]
    parts = [bank.table("detections", video_id, columns) for video_id in filters.video_ids]
    found = pa.concat_tables(parts) if parts else bank.table("detections", columns=columns)
    passed = pc.greater_equal(found["score"], pa.scalar(filters.min_score, pa.float32()))
    if filters.labels:
        names = pa.array(filters.labels, pa.string())
        is_wanted = pc.or_(pc.is_in(found["label"], names), pc.is_in(found["class_id"].cast(pa.string()), names))
        if not pc.any(is_wanted).as_py():
            known = sorted(set(found["label"].unique().to_pylist()))
            raise UnknownNameError(
                f"No detection of {', '.join(filters.labels)}: there are {', '.join(known) or 'none'}."
            )
        passed = pc.and_(passed, is_wanted)
    return found.filter(passed).select(["video_id", "detection_id", "at_s"])
