"""The synthetic world as a feature bank with the split files of nine tasks.

world = write_bank_world(Path("world"), videos=600, seed=0)
world.bank, world.annotations, world.teacher
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from benchmarks.lvu.synthetic.features import FeatureWorld, action_codes
from benchmarks.lvu.synthetic.screenplay import Presence, Screenplay, write_screenplay
from benchmarks.lvu.synthetic.split_files import video_ids, write_split_files
from longform.object_transformer.config import PERSON_DIM
from pipeline.bank.manifest import create_or_open
from pipeline.bank.schema import FEATURES
from pipeline.bank.writer import BankWriter
from pipeline.errors import ConfigError

SPACE = "person.slowfast_32x2_r101_nl"
STAGE = "synthetic-world"
VERSION = 1
"""Raised when the same configuration gives other rows than before."""

FPS = 25
KEY_S = 3
"""Seconds between key frames: a third of LVU's boxes, at a third of the cost."""
CLIP_S = 64 / 30
"""Seconds that a feature stands for, centred on its own."""

MISSED = 0.03
"""Of the boxes, as a detector misses people."""

BOX_NOISE = 0.005
"""Of each side of a box, as a part of the frame."""

IDS_PER_SECOND = 100
"""Detection ids count the persons of each second, who are fewer."""


@dataclass(frozen=True, kw_only=True)
class WorldConfig:
    """A world; the same configuration gives the same files."""

    videos: int = 600
    """Movies with labels: each is in the split files of all nine tasks."""
    unlabelled: int = 0
    """Further movies that are only in the bank, for pre-training."""
    seed: int = 0
    seconds: tuple[float, float] = (60.0, 90.0)
    """Shortest and longest movie; lengths are uniform between them."""
    feature_dim: int = PERSON_DIM
    """Channels of the person features, 112 or more."""
    shares: tuple[float, float, float] = (0.6, 0.2, 0.2)
    """Of training, validation and test."""

    def __post_init__(self) -> None:
        shortest, longest = self.seconds
        if self.videos < 1 or self.unlabelled < 0 or not 20 <= shortest <= longest:
            raise ConfigError(
                f"Synthetic world of {self.videos} videos and {self.unlabelled} unlabelled ones of {shortest:g} to "
                f"{longest:g} s: expected a labelled video or more, and at least 20 s."
            )


@dataclass(frozen=True)
class BankWorld:
    """Where a world lies."""

    folder: Path

    @property
    def bank(self) -> Path:
        """The feature bank, with space `SPACE`."""
        return self.folder / "bank"

    @property
    def annotations(self) -> Path:
        """The folder of `<task>/{train,val,test}.csv`."""
        return self.folder / "lvu_1.0"

    @property
    def teacher(self) -> Path:
        """The linear classifier of 80 actions, for pseudo-labels."""
        return self.folder / "teacher.safetensors"


def write_bank_world(folder: Path | str, config: WorldConfig | None = None, **options: Any) -> BankWorld:
    """Write a world: `bank`, `lvu_1.0`, `teacher.safetensors` and `world.json` in `folder`.

    Args:
        config: None stands for `WorldConfig(**options)`.
    Raises:
        ConfigError: a world that cannot be.
        BankError: the folder `bank` holds something else.
    """
    config = config or WorldConfig(**options)
    world = BankWorld(Path(folder))
    world.folder.mkdir(parents=True, exist_ok=True)
    directions = FeatureWorld.draw(config.feature_dim, config.seed)
    directions.save_teacher(world.teacher)
    manifest = create_or_open(str(world.bank))
    manifest.register_space(SPACE, config.feature_dim, {"synthetic": "benchmarks.lvu.synthetic", **asdict(config)})
    writer = BankWriter(manifest.fs, manifest.root, manifest)
    labels = {}
    for place, video_id in enumerate(video_ids(config.videos + config.unlabelled, config.seed)):
        rng = np.random.default_rng([config.seed, place])
        play = write_screenplay(rng, float(rng.uniform(*config.seconds)))
        _write_movie(writer, video_id, play, directions, rng, _fingerprint(config, place))
        if place < config.videos:
            labels[video_id] = play.labels
    write_split_files(world.annotations, labels, config.shares)
    (world.folder / "world.json").write_text(json.dumps(asdict(config), indent=2) + "\n", encoding="utf-8")
    return world


def _fingerprint(config: WorldConfig, place: int) -> str:
    basis = [VERSION, config.seed, list(config.seconds), config.feature_dim, place]
    return hashlib.sha256(json.dumps(basis).encode()).hexdigest()


@dataclass(frozen=True, kw_only=True, eq=False)
class _Seen:
    """The boxes of a movie by second, then track."""

    seconds: NDArray[np.int64]
    tracks: NDArray[np.int64]
    """Number of the presence: a track ends with its shot."""
    persons: NDArray[np.int64]
    boxes: NDArray[np.float64]

    @property
    def detection_ids(self) -> NDArray[np.int64]:
        return self.seconds * IDS_PER_SECOND + self.persons


def _look(play: Screenplay, rng: np.random.Generator) -> _Seen:
    """What a detector finds every `KEY_S`."""
    spans = [_key_seconds(one) for one in play.cast]
    tracks = np.repeat(np.arange(len(spans)), [len(span) for span in spans])
    seconds = np.concatenate(spans).astype(np.int64)
    boxes = np.array([one.box for one in play.cast])[tracks]
    boxes = np.clip(boxes + BOX_NOISE * rng.standard_normal(boxes.shape), 0.0, 1.0)
    found = rng.random(len(seconds)) >= MISSED
    order = np.lexsort((tracks, seconds))
    order = order[found[order]]
    persons = np.array([one.person for one in play.cast])[tracks[order]]
    return _Seen(seconds=seconds[order], tracks=tracks[order], persons=persons, boxes=boxes[order])


def _key_seconds(one: Presence) -> NDArray[np.float64]:
    """When somebody in a shot is looked at."""
    first = np.ceil(one.start_s / KEY_S) * KEY_S
    return np.arange(first, one.end_s, KEY_S, dtype=np.float64)


def _write_movie(
    writer: BankWriter,
    video_id: str,
    play: Screenplay,
    directions: FeatureWorld,
    rng: np.random.Generator,
    fingerprint: str,
) -> None:
    seen = _look(play, rng)
    cast = play.cast
    codes = action_codes(np.array([one.states for one in cast]), np.array([one.handled for one in cast]))
    features = directions.features(codes[seen.tracks], seen.tracks, rng)
    tables = {
        "shots": _shots(video_id, play.cuts_s),
        "detections": _detections(video_id, seen, cast),
        "tracks": _tracks(video_id, seen, cast),
        FEATURES + SPACE: _features(video_id, seen, features),
    }
    files = [writer.write_final(name, video_id, STAGE, fingerprint, [rows]) for name, rows in tables.items()]
    row = {
        "video_id": video_id,
        "uri": f"synthetic:{video_id}",
        "status": "ok",
        "duration_s": play.seconds,
        "fps": float(FPS),
        "num_frames": round(play.seconds * FPS),
        "stages": [{"stage": STAGE, "fingerprint": fingerprint}],
    }
    writer.commit(row, [file for file in files if file is not None])


def _shots(video_id: str, cuts_s: NDArray[np.float64]) -> pa.Table:
    frames = np.round(cuts_s * FPS).astype(np.int64)
    columns = {
        "video_id": [video_id] * (len(cuts_s) - 1),
        "shot_index": np.arange(len(cuts_s) - 1, dtype=np.int32),
        "start_s": cuts_s[:-1],
        "end_s": cuts_s[1:],
        "start_frame": frames[:-1],
        "end_frame": frames[1:],
    }
    return pa.table(columns)


def _detections(video_id: str, seen: _Seen, cast: Sequence[Presence]) -> pa.Table:
    count = len(seen.seconds)
    columns = {
        "video_id": [video_id] * count,
        "at_s": seen.seconds.astype(np.float64),
        "frame": seen.seconds * FPS,
        "detection_id": seen.detection_ids,
        "box": _vectors(seen.boxes.astype(np.float32), pa.float32()),
        "score": np.ones(count, np.float32),
        "class_id": np.zeros(count, np.int32),
        "label": ["person"] * count,
        "track_id": seen.tracks,
        "shot_index": np.array([one.shot for one in cast], np.int32)[seen.tracks],
    }
    return pa.table(columns)


def _tracks(video_id: str, seen: _Seen, cast: Sequence[Presence]) -> pa.Table:
    tracks, first, counts = np.unique(seen.tracks, return_index=True, return_counts=True)
    last = len(seen.tracks) - 1 - np.unique(seen.tracks[::-1], return_index=True)[1]
    order = np.lexsort((tracks, seen.seconds[first]))
    columns = {
        "video_id": [video_id] * len(tracks),
        "track_id": tracks[order],
        "class_id": np.zeros(len(tracks), np.int32),
        "label": ["person"] * len(tracks),
        "shot_index": np.array([cast[track].shot for track in tracks[order]], np.int32),
        "start_s": seen.seconds[first][order].astype(np.float64),
        "end_s": seen.seconds[last][order].astype(np.float64),
        "num_detections": counts[order].astype(np.int32),
    }
    return pa.table(columns)


def _features(video_id: str, seen: _Seen, features: NDArray[np.float16]) -> pa.Table:
    at_s = seen.seconds.astype(np.float64)
    columns = {
        "video_id": [video_id] * len(at_s),
        "at_s": at_s,
        "start_s": np.maximum(0.0, at_s - CLIP_S / 2),
        "end_s": at_s + CLIP_S / 2,
        "detection_id": seen.detection_ids,
        "track_id": seen.tracks,
        "feature": _vectors(features, pa.float16()),
    }
    return pa.table(columns)


def _vectors(values: NDArray[np.floating], kind: pa.DataType) -> pa.Array:
    """A column of vectors from rows (N, D)."""
    element = pa.field("element", kind, nullable=False)
    flat = pa.array(values.ravel(), kind)
    return pa.FixedSizeListArray.from_arrays(flat, type=pa.list_(element, values.shape[1]))
