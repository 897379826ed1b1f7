"""Tracks: detections of the whole video linked over time, within shots, and published with their ids.

This is where detections and everything kept for a box get their `track_id` and `shot_index`, so the stage
publishes those tables too. It reads boxes only, never frames: changing its settings decodes nothing.
"""

import heapq
from array import array
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby, islice
from operator import itemgetter

import numpy as np
import pyarrow as pa

from extractors.tracking.linker import NO_TRACK, LinkConfig, Linker
from pipeline.features.box_rows import DETECTION_PART, LOOK
from pipeline.stages import FinishInputs, Row, Rows, Stage
from pipeline.video.probe import MeasuredFacts

ROWS_PER_BATCH = 512


class TrackStage(Stage):
    """Links the boxes of one or more stages into tracks; boxes of different classes are never linked."""

    name = "tracks"

    def __init__(self, config: LinkConfig | None = None, boxes: Iterable[Stage] = ()) -> None:
        """`boxes` are the stages whose parts are linked and published."""
        self.config: LinkConfig = config or LinkConfig()
        self._spaces = {space: (stage.name, dim) for stage in boxes for space, dim in stage.spaces.items()}
        self._boxes = tuple(dict.fromkeys(stage for stage, _ in self._spaces.values()))
        self.needs = ("shots", *self._boxes)

    @property
    def publishes(self) -> tuple[str, ...]:
        return ("detections", "tracks", *(f"features/{space}" for space in self._spaces))

    @property
    def spaces(self) -> Mapping[str, int]:
        return {space: dim for space, (_, dim) in self._spaces.items()}

    def finish(self, measured: MeasuredFacts, inputs: FinishInputs) -> Iterator[tuple[str, Rows]]:
        looks = {stage: space for space, (stage, _) in self._spaces.items() if space.endswith(LOOK)}
        linked = _Linked(measured, inputs, self.config, looks)
        merged = (row for _, row in _detections(inputs, self._boxes))
        while rows := list(islice(merged, ROWS_PER_BATCH)):
            batch = pa.RecordBatch.from_pylist(rows, DETECTION_PART)
            yield "detections", linked.with_ids(batch, "track_id", "shot_index")
        yield "tracks", linked.track_rows()
        for space, (stage, _) in self._spaces.items():
            for batch in inputs.part(stage, f"features/{space}"):
                yield f"features/{space}", linked.with_ids(batch, "track_id")


def _detections(inputs: FinishInputs, stages: Iterable[str]) -> Iterator[tuple[str, Row]]:
    """`(stage, row)` of part `detections` of several stages, by frame, then id."""

    def rows(stage: str) -> Iterator[tuple[str, Row]]:
        return ((stage, row) for batch in inputs.part(stage, "detections") for row in batch.to_pylist())

    return heapq.merge(*(rows(stage) for stage in stages), key=lambda pair: pair[1]["detection_id"])


class _Linked:
    """Track and shot of every detection of a video. Keeps three numbers a detection and a row a track."""

    def __init__(
        self, measured: MeasuredFacts, inputs: FinishInputs, config: LinkConfig, looks: Mapping[str, str]
    ) -> None:
        """`looks` names the appearance space of each stage with boxes."""
        self._detection_ids = array("q")
        self._track_ids = array("q")
        self._shots = array("q")
        self._tracks: dict[int, Row] = {}
        height, width = measured.geometry.display_hw
        linker = Linker(config, frame_aspect=width / height)
        shot_starts = inputs.table("shots")["start_pts"].to_numpy()
        vectors = {stage: _vectors(inputs.part(stage, f"features/{space}")) for stage, space in looks.items()}
        labels: dict[str, int] = {}  # detectors number their classes each in their own way
        for _, group in groupby(_detections(inputs, looks), key=lambda pair: pair[1]["frame"]):
            pairs = list(group)
            rows = [row for _, row in pairs]
            shot = int(np.searchsorted(shot_starts, rows[0]["pts"], side="right")) - 1
            track_ids = linker.step(
                rows[0]["at_s"],
                shot,
                np.array([row["box"] for row in rows], dtype=np.float32),
                np.array([labels.setdefault(row["label"], len(labels)) for row in rows], dtype=np.int32),
                np.stack([next(vectors[stage]) for stage, _ in pairs]),
                scores=np.array([row["score"] for row in rows]),
            )
            for row, track_id in zip(rows, track_ids.tolist(), strict=True):
                self._add(row, track_id, shot)

    def _add(self, row: Row, track_id: int, shot: int) -> None:
        self._detection_ids.append(row["detection_id"])
        self._track_ids.append(track_id)
        self._shots.append(shot)
        if track_id == NO_TRACK:
            return
        new = {key: row[key] for key in ("class_id", "label")} | {"track_id": track_id, "shot_index": shot}
        track = self._tracks.setdefault(track_id, new | {"start_s": row["at_s"], "num_detections": 0})
        track["end_s"] = row["at_s"]
        track["num_detections"] += 1

    def with_ids(self, batch: pa.RecordBatch, *names: str) -> pa.RecordBatch:
        """`batch` with the track, and the shot, of each row's `detection_id`."""
        ids = np.frombuffer(self._detection_ids, np.int64)
        places = np.searchsorted(ids, batch.column("detection_id").to_numpy())
        tracks = np.frombuffer(self._track_ids, np.int64)[places]
        shots = np.frombuffer(self._shots, np.int64)[places]
        columns = {"track_id": pa.array(tracks, mask=tracks == NO_TRACK), "shot_index": pa.array(shots, pa.int32())}
        for name in names:
            batch = batch.append_column(name, columns[name])
        return batch

    def track_rows(self) -> list[Row]:
        """The table of tracks, by start."""
        return sorted(self._tracks.values(), key=itemgetter("start_s", "track_id"))


def _vectors(batches: Iterable[pa.RecordBatch]) -> Iterator[np.ndarray]:
    """The appearance of each detection; the stage of people writes both in one order."""
    for batch in batches:
        flat = batch.column("feature").flatten().to_numpy(zero_copy_only=False)
        yield from flat.reshape(len(batch), -1)
