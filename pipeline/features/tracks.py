"""Tracks: detections of the whole video linked over time, within shots, and published with their ids.

This is where detections and everything kept for a box get their `track_id` and `shot_index`, so the stage
publishes those tables too. It reads boxes only, never frames: changing its settings decodes nothing.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from extractors.tracking.appearance import HSV_STRIPES_DIM
from extractors.tracking.linker import NO_TRACK, LinkConfig, Linker
from pipeline.features.people import APPEARANCE
from pipeline.stages import FinishInputs, Row, Stage
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

    def finish(self, measured: MeasuredFacts, inputs: FinishInputs) -> Iterator[tuple[str, list[Row]]]:
        shots = inputs.table("shots")
        shot_starts = shots["start_pts"].to_numpy()
        boxes = [row for batch in inputs.part("people", "detections") for row in batch.to_pylist()]
        appearance = _appearance(inputs)
        height, width = measured.geometry.display_hw
        linker = Linker(self.config, frame_aspect=width / height)
        for frame_rows in _by_frame(boxes):
            shot = int(np.searchsorted(shot_starts, frame_rows[0]["pts"], side="right")) - 1
            ids = linker.step(
                frame_rows[0]["at_s"],
                shot,
                np.array([row["box"] for row in frame_rows], dtype=np.float32),
                np.array([row["class_id"] for row in frame_rows], dtype=np.int32),
                np.stack([appearance[row["detection_id"]] for row in frame_rows]),
                scores=np.array([row["score"] for row in frame_rows]),
            )
            for row, track_id in zip(frame_rows, ids.tolist(), strict=True):
                row |= {"track_id": None if track_id == NO_TRACK else track_id, "shot_index": shot}
        yield "detections", boxes
        yield "tracks", _track_rows(boxes)
        track_of = {row["detection_id"]: row["track_id"] for row in boxes}
        for space, (stage, _) in self._spaces.items():
            for batch in inputs.part(stage, f"features/{space}"):
                rows = batch.to_pylist()
                yield f"features/{space}", [row | {"track_id": track_of[row["detection_id"]]} for row in rows]


def _appearance(inputs: FinishInputs) -> dict[int, np.ndarray]:
    vectors: dict[int, np.ndarray] = {}
    for batch in inputs.part("people", f"features/{APPEARANCE}"):
        flat = batch.column("feature").flatten().to_numpy(zero_copy_only=False)
        vectors |= zip(batch.column("detection_id").to_pylist(), flat.reshape(len(batch), -1), strict=True)
    return vectors


def _by_frame(rows: list[Row]) -> Iterator[list[Row]]:
    start = 0
    for end in range(1, len(rows) + 1):
        if end == len(rows) or rows[end]["frame"] != rows[start]["frame"]:
            yield rows[start:end]
            start = end


def _track_rows(boxes: list[Row]) -> list[Row]:
    tracks: dict[int, dict[str, Any]] = {}
    for row in boxes:
        if row["track_id"] is None:
            continue
        track = tracks.setdefault(
            row["track_id"],
            {key: row[key] for key in ("track_id", "class_id", "label", "shot_index")}
            | {"start_s": row["at_s"], "num_detections": 0},
        )
        track["end_s"] = row["at_s"]
        track["num_detections"] += 1
    return sorted(tracks.values(), key=lambda track: (track["start_s"], track["track_id"]))
