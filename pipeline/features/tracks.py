"""Tracks: detections of the whole video linked over time, within shots, and published with their ids.

This is where detections and everything kept for a box get their `track_id` and `shot_index`, so the stage
publishes those tables too. It reads boxes only, never frames: changing its settings decodes nothing.
"""

from array import array
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from operator import itemgetter

import numpy as np
import pyarrow as pa

from extractors.tracking.appearance import HSV_STRIPES_DIM
from extractors.tracking.linker import NO_TRACK, LinkConfig, Linker
from pipeline.features.people import APPEARANCE
from pipeline.stages import FinishInputs, Row, Rows, Stage
from pipeline.video.probe import MeasuredFacts


class TrackStage(Stage):
    """Links the boxes of `people` into tracks."""

    name = "tracks"
    needs = ("shots", "people")

    def __init__(self, config: LinkConfig | None = None, spaces: Mapping[str, tuple[str, int]] | None = None) -> None:
        """`spaces` names the per-box feature spaces to publish: space -> (stage that makes it, dimension)."""
        self.config: LinkConfig = config or LinkConfig()
        self._spaces = dict(spaces or {APPEARANCE: ("people", HSV_STRIPES_DIM)})

    @property
    def publishes(self) -> tuple[str, ...]:
        return ("detections", "tracks", *(f"features/{space}" for space in self._spaces))

    @property
    def spaces(self) -> Mapping[str, int]:
        return {space: dim for space, (_, dim) in self._spaces.items()}

    def finish(self, measured: MeasuredFacts, inputs: FinishInputs) -> Iterator[tuple[str, Rows]]:
        linked = _Linked(measured, inputs, self.config)
        for batch in inputs.part("people", "detections"):
            yield "detections", linked.with_ids(batch, "track_id", "shot_index")
        yield "tracks", linked.track_rows()
        for space, (stage, _) in self._spaces.items():
            for batch in inputs.part(stage, f"features/{space}"):
                yield f"features/{space}", linked.with_ids(batch, "track_id")


class _Linked:
    """Track and shot of every detection of a video. Keeps two numbers a detection and a row a track."""

    def __init__(self, measured: MeasuredFacts, inputs: FinishInputs, config: LinkConfig) -> None:
        self._detection_ids = array("q")
        self._track_ids = array("q")
        self._shots = array("q")
        self._tracks: dict[int, Row] = {}
        height, width = measured.geometry.display_hw
        linker = Linker(config, frame_aspect=width / height)
        shot_starts = inputs.table("shots")["start_pts"].to_numpy()
        looks = _vectors(inputs.part("people", f"features/{APPEARANCE}"))
        detections = (row for batch in inputs.part("people", "detections") for row in batch.to_pylist())
        for _, group in groupby(detections, key=itemgetter("frame")):
            rows = list(group)
            shot = int(np.searchsorted(shot_starts, rows[0]["pts"], side="right")) - 1
            track_ids = linker.step(
                rows[0]["at_s"],
                shot,
                np.array([row["box"] for row in rows], dtype=np.float32),
                np.array([row["class_id"] for row in rows], dtype=np.int32),
                np.stack([next(looks) for _ in rows]),
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
