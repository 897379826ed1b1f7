"""What the page shows of a bank, in columns ready for JSON. Times in seconds, boxes in fractions of the frame."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.bank.inspect import inspect
from pipeline.bank.reader import FeatureBank
from pipeline.bank.rows import vectors_of
from pipeline.bank.schema import TABLES

_FACTS = (
    "video_id", "uri", "status", "error_stage", "error_class", "error_message", "error_at_s", "damage", "gaps",
    "duration_s", "width", "height", "num_frames", "fps", "container", "codec", "pixel_format", "rotation_deg",
    "is_vfr", "source_bytes",
)  # fmt: skip
MOST_GAPS = 200
"""Spans without pictures of a video that the page has room for."""


@dataclass(frozen=True, kw_only=True)
class Shots:
    """Shots of one video by time; a video without any has one from its start to its end."""

    start_s: list[float]
    end_s: list[float]
    start_frame: list[int]
    end_frame: list[int]
    found: bool
    """False where no shots were extracted."""


@dataclass(frozen=True, kw_only=True)
class Tracks:
    """Tracks of one video by start."""

    id: list[int]
    label: list[str]
    start_s: list[float]
    end_s: list[float]
    boxes: list[int]
    lane: list[int]
    """Rows of the time line; tracks of one row do not overlap."""


@dataclass(frozen=True, kw_only=True)
class Boxes:
    """Detections of one video by time."""

    at_s: list[float]
    frame: list[int]
    box: list[list[float]]
    score: list[float]
    label: list[str]
    track: list[int | None]


@dataclass(frozen=True, kw_only=True)
class VideoDetail:
    """Everything of one video but its pictures."""

    shots: Shots
    tracks: Tracks
    boxes: Boxes
    notes: list[str]


def summary(bank: FeatureBank, path: str) -> dict[str, Any]:
    """Counts, and spaces with what made them, of the whole bank at `path`."""
    facts = inspect(path)
    del facts["failures"]
    spaces = [
        {"name": name, "dim": info.dim, "rows": info.rows, "provenance": _plain(info.provenance)}
        for name, info in sorted(bank.spaces.items())
    ]
    return facts | {"damaged": len(facts["damaged"]), "spaces": spaces}


def _plain(value: Any) -> Any:
    """JSON values of provenance; numbers that JSON does not have become text."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, (bool, int, str)) or value - value == 0 else str(value)


def listed_ids(bank: FeatureBank, most: int, first: Collection[str] = ()) -> list[str]:
    """Videos for the list, sorted: where there are too many, `first`, those that failed or are damaged, then others."""
    videos = bank.videos().select(["video_id", "status", "damage"]).to_pylist()
    videos.sort(key=lambda row: (row["video_id"] not in first, row["status"] == "ok" and row["damage"] is None))
    return sorted(row["video_id"] for row in videos[:most])


def video_facts(bank: FeatureBank, video_ids: Sequence[str], message_letters: int) -> list[dict[str, Any]]:
    """Header facts, failure (its message cut to so many letters), gaps and row counts of videos."""
    snapshot = bank.snapshot
    rows = snapshot.rows.select(list(_FACTS)).take([snapshot.index[video_id] for video_id in video_ids]).to_pylist()
    for row in rows:
        row["error_message"] = _cut(row["error_message"], message_letters)
        gaps = row["gaps"] or []
        row["gaps"], row["gaps_left_out"] = gaps[:MOST_GAPS], max(0, len(gaps) - MOST_GAPS)
        row["rows"] = {name: row_count(bank, name, row["video_id"]) for name in TABLES}
    return rows


def _cut(text: str | None, letters: int) -> str | None:
    return text if text is None or len(text) <= letters else text[:letters] + " …"


def video_detail(bank: FeatureBank, video: Mapping[str, Any], most: Mapping[str, int]) -> VideoDetail:
    """Shots, tracks and boxes of one video; `most` is the room there is, by table."""
    notes: list[str] = []
    video_id = video["video_id"]
    shots = _thinned(bank.table("shots", video_id), most["shots"], "shots", notes)
    tracks = _thinned(bank.table("tracks", video_id), most["tracks"], "tracks", notes)
    boxes = _boxes(bank.table("detections", video_id), most["detections"], notes)
    return VideoDetail(shots=_shots(shots, video), tracks=_tracks(tracks), boxes=boxes, notes=notes)


def _thinned(table: pa.Table, most: int, what: str, notes: list[str]) -> pa.Table:
    if len(table) <= most:
        return table
    notes.append(f"The page has room for {most:,} of {len(table):,} {what} of this video: an even selection.")
    return table.take(np.linspace(0, len(table) - 1, most).round().astype(np.int64))


def _shots(table: pa.Table, video: Mapping[str, Any]) -> Shots:
    if not len(table):
        end_s, frames = video["duration_s"] or 0.0, video["num_frames"] or 0
        return Shots(start_s=[0.0], end_s=[end_s], start_frame=[0], end_frame=[frames], found=False)
    return Shots(
        start_s=_rounded(table["start_s"]),
        end_s=_rounded(table["end_s"]),
        start_frame=table["start_frame"].to_pylist(),
        end_frame=table["end_frame"].to_pylist(),
        found=True,
    )


def _tracks(table: pa.Table) -> Tracks:
    starts, ends = _rounded(table["start_s"]), _rounded(table["end_s"])
    return Tracks(
        id=table["track_id"].to_pylist(),
        label=table["label"].to_pylist(),
        start_s=starts,
        end_s=ends,
        boxes=table["num_detections"].to_pylist(),
        lane=lanes(starts, ends),
    )


def lanes(starts: Sequence[float], ends: Sequence[float]) -> list[int]:
    """The lowest free lane for each span, in order of their starts (ascending); no two in a lane overlap."""
    busy: list[tuple[float, int]] = []
    free: list[int] = []
    given = []
    for start, end in zip(starts, ends, strict=True):
        while busy and busy[0][0] < start:
            heapq.heappush(free, heapq.heappop(busy)[1])
        lane = heapq.heappop(free) if free else len(busy)
        heapq.heappush(busy, (end, lane))
        given.append(lane)
    return given


def _boxes(table: pa.Table, most: int, notes: list[str]) -> Boxes:
    """Boxes of whole frames: where there are too many, evenly chosen frames keep all of theirs."""
    frames = table["frame"].to_numpy()
    if len(table) > most:
        distinct = np.unique(frames)
        count = max(1, most * len(distinct) // len(table))
        kept = distinct[np.linspace(0, len(distinct) - 1, count).round().astype(int)]
        table = table.filter(pa.array(np.isin(frames, kept)))
        notes.append(f"The page has room for the boxes of {count:,} of {len(distinct):,} frames: an even selection.")
    boxes = vectors_of(table["box"]).astype(np.float64)
    return Boxes(
        at_s=_rounded(table["at_s"]),
        frame=table["frame"].to_pylist(),
        box=[[round(value, 4) for value in box] for box in boxes.tolist()],
        score=[round(score, 3) for score in table["score"].to_pylist()],
        label=table["label"].to_pylist(),
        track=table["track_id"].to_pylist(),
    )


def _rounded(column: pa.ChunkedArray) -> list[float]:
    return [round(value, 3) for value in column.to_pylist()]


def row_count(bank: FeatureBank, table: str, video_id: str) -> int:
    """Rows of a table of one video, from its videos row."""
    return sum(file.rows for file in bank.snapshot.files(video_id) if file.table == table)
