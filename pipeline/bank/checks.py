"""What the rows of a video must satisfy, table by table and between tables. Used by `verify`."""

from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa

from pipeline.bank.rows import vectors_of
from pipeline.bank.schema import order_of

_TIME_TOLERANCE_S = 1e-6


def check_rows(table: str, rows: pa.Table, expected_rows: int) -> Iterator[tuple[str, str]]:
    """(kind, message) of what is wrong with a video's rows in one file."""
    if rows.num_rows != expected_rows:
        yield "wrong_rows", f"got {rows.num_rows} rows, expected {expected_rows}"
    times = rows[order_of(table)[0]].to_numpy()
    if (np.diff(times) < 0).any():
        yield "unsorted", f"got {order_of(table)[0]} that goes back, expected rows sorted by time"
    if not np.isfinite(times).all():
        yield "bad_time", f"got {order_of(table)[0]} that is not finite, expected seconds"
    if table != "detections":
        spans = rows["end_s"].to_numpy() - rows["start_s"].to_numpy()
        if not (spans >= 0).all():
            yield "bad_time", "got end_s before start_s, expected start_s <= end_s"


def check_video(tables: Mapping[str, pa.Table]) -> Iterator[tuple[str, str, str]]:
    """(table, kind, message) of what is wrong between the rows of one video in all tables."""
    shots, detections, tracks = (tables.get(name) for name in ("shots", "detections", "tracks"))
    if shots is not None:
        yield from _check_shots(shots)
    if detections is not None:
        yield from _check_detections(detections)
    if tracks is not None and _has_duplicates(_values(tracks, "track_id")):
        yield "tracks", "duplicate_track_id", "got a track_id twice, expected each once"
    known = {
        "shot_index": (_values(shots, "shot_index"), "unknown_shot"),
        "track_id": (_values(tracks, "track_id"), "unknown_track"),
        "detection_id": (_values(detections, "detection_id"), "unknown_detection"),
    }
    for table, rows in tables.items():
        for column, (ids, kind) in known.items():
            if column in rows.column_names and table != _home(column):
                missing = np.setdiff1d(_values(rows, column), ids)
                if len(missing):
                    what = f"got {column} {missing[:5].tolist()}, expected ids of table {_home(column)}"
                    yield table, kind, what


def _home(column: str) -> str:
    return {"shot_index": "shots", "track_id": "tracks", "detection_id": "detections"}[column]


def _values(rows: pa.Table | None, column: str) -> np.ndarray:
    return np.zeros(0, np.int64) if rows is None else rows[column].drop_null().to_numpy()


def _has_duplicates(ids: np.ndarray) -> bool:
    return len(np.unique(ids)) != len(ids)


def _check_shots(shots: pa.Table) -> Iterator[tuple[str, str, str]]:
    shots = shots.sort_by("shot_index")
    index, start, end = (shots[name].to_numpy() for name in ("shot_index", "start_frame", "end_frame"))
    start_s, end_s = shots["start_s"].to_numpy(), shots["end_s"].to_numpy()
    if not np.array_equal(index, np.arange(len(index))):
        yield "shots", "bad_shots", f"got shot_index {index[:5].tolist()}…, expected 0, 1, 2, …"
    if (end <= start).any():
        yield "shots", "bad_shots", "got a shot without frames, expected start_frame < end_frame"
    if start[0] != 0 or not np.array_equal(start[1:], end[:-1]):
        yield (
            "shots",
            "bad_shots",
            "got frames in no shot or in two, expected shots side by side from frame 0",
        )
    if not np.allclose(start_s[1:], end_s[:-1], rtol=0, atol=_TIME_TOLERANCE_S):
        yield "shots", "bad_shots", "got a start_s other than the end_s before, expected shots side by side"


def _check_detections(detections: pa.Table) -> Iterator[tuple[str, str, str]]:
    boxes = vectors_of(detections["box"])
    inside = (boxes >= 0).all() and (boxes <= 1).all()  # false for NaN
    if not inside or (boxes[:, :2] > boxes[:, 2:]).any():
        yield "detections", "bad_box", "got a box outside, expected 0 <= x0 <= x1 <= 1 and so for y"
    if _has_duplicates(_values(detections, "detection_id")):
        yield (
            "detections",
            "duplicate_detection_id",
            "got a detection_id twice in a video, expected each once",
        )
