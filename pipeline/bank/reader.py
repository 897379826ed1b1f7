"""Reading a bank: tables, feature spaces, and windows in time.

    bank = FeatureBank.open("bank")
    bank.window("clip.slowfast_8x8_r50", "a.mp4", at_s=61.0, before_s=30, after_s=30).features

A reader sees whole videos only, as they were when the bank was opened or last refreshed. Where a writer
or `compact` has replaced a file since, the reader takes up the present state and reads again.
"""

import difflib
import math
import os
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from pyarrow import fs as pafs

from pipeline.bank import filesystem
from pipeline.bank.datafile import DataFile, DataFileReader
from pipeline.bank.errors import BankError, UnknownNameError
from pipeline.bank.manifest import read_manifest
from pipeline.bank.rows import vectors_of
from pipeline.bank.schema import FEATURES, TABLES, order_of, schema_of
from pipeline.bank.snapshot import Snapshot, read_snapshot

_MISSES_OF_A_FILE = 3
_MISSES = 10_000
_LONGEST_PAUSE_S = 0.05
_THREADS = 8

T = TypeVar("T")


@dataclass(frozen=True)
class SpaceInfo:
    """A feature space: values a row, rows in all videos, and what made it."""

    dim: int
    rows: int
    provenance: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Window:
    """The N items of a space in a span of one video, by time, then detection id.

    `features` (N, D) float32; `times_s` (N,) float64, seconds; `boxes` (N, 4) float32, x0 y0 x1 y1 in
    [0, 1], NaN where an item has no detection; `detection_ids` and `track_ids` (N,) int64, -1 where an
    item has none. `boxes` and `detection_ids` are None if no item of the video in this space has a
    detection, `track_ids` if none has a track.
    """

    space: str
    video_id: str
    features: np.ndarray
    times_s: np.ndarray
    boxes: np.ndarray | None
    detection_ids: np.ndarray | None
    track_ids: np.ndarray | None

    def __post_init__(self) -> None:
        count = len(self.times_s)
        per_item = (self.features, self.boxes, self.detection_ids, self.track_ids)
        lengths = [None if array is None else len(array) for array in per_item]
        if any(length not in (None, count) for length in lengths):
            raise ValueError(f"Window of {count} times: got lengths {lengths}, expected {count} or None.")

    @property
    def times(self) -> np.ndarray:
        """`times_s`."""
        return self.times_s

    def to_json(self) -> dict[str, Any]:
        """The window as `longform window --json` prints it."""
        return {
            "space": self.space,
            "video_id": self.video_id,
            "times_s": self.times_s.tolist(),
            "boxes": None if self.boxes is None else [None if box[0] != box[0] else box for box in self.boxes.tolist()],
            "track_ids": None if self.track_ids is None else _none_if_negative(self.track_ids),
            "features": self.features.tolist(),
        }


class FeatureBank:
    """A bank open for reading. Safe for threads; pickles as its place, and opens again where unpickled."""

    def __init__(self, fs: pafs.FileSystem, root: str, uri: str | None = None) -> None:
        self.fs, self.root = fs, root
        self._uri = uri if uri is not None else root
        self._reader = DataFileReader(fs, root)
        self.refresh()

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> "FeatureBank":
        """Open a bank; reads bank.json and ``videos/``, no data file. Raises NotABankError."""
        fs, root = filesystem.open_location(path)
        return cls(fs, root, root if filesystem.is_local(fs) else os.fspath(path))

    def __reduce__(self) -> tuple[Any, ...]:
        return FeatureBank.open, (self._uri,)

    def refresh(self) -> None:
        """Take up what was committed since the bank was opened."""
        manifest = read_manifest(self.fs, self.root)
        self._snapshot = read_snapshot(self.fs, self.root)
        rows = self._snapshot.rows_per_table()
        self._spaces = {
            name: SpaceInfo(int(entry["dim"]), rows.get(FEATURES + name, 0), entry.get("provenance", {}))
            for name, entry in manifest.spaces.items()
        }

    @property
    def spaces(self) -> Mapping[str, SpaceInfo]:
        """The registered feature spaces by name."""
        return dict(self._spaces)

    @property
    def snapshot(self) -> Snapshot:
        """The videos rows that this reader answers from."""
        return self._snapshot

    def videos(self) -> pa.Table:
        """Table videos: one row a video, failed ones too, by video_id."""
        return self._snapshot.rows

    def stage_fingerprints(self, video_id: str) -> dict[str, str]:
        """Fingerprint of each stage that was done for a video. Raises UnknownNameError."""
        row = self._row(video_id)
        return {entry["stage"]: entry["fingerprint"] for entry in row["stages"]}

    def table(self, name: str, video_id: str | None = None, columns: Sequence[str] | None = None) -> pa.Table:
        """Rows of "shots", "detections" or "tracks", of one video or of all, by (video_id, time).

        Raises UnknownNameError for another table, column or video.
        """
        _check_known("table", name, TABLES)
        return self._rows(name, TABLES[name], video_id, columns)

    def features(self, space: str, video_id: str | None = None, columns: Sequence[str] | None = None) -> pa.Table:
        """Rows of a feature space, of one video or of all, by (video_id, time). Raises UnknownNameError."""
        schema = schema_of(FEATURES + space, self._space(space).dim)
        return self._rows(FEATURES + space, schema, video_id, columns)

    def window(self, space: str, video_id: str, at_s: float, before_s: float = 0.0, after_s: float = 0.0) -> Window:
        """Items with ``at_s - before_s <= time < at_s + after_s``, in seconds: causal if after_s is 0.

        Raises UnknownNameError for an unknown space or video, BankError for a video that failed and for
        times that are not finite or negative spans.
        """
        if not (math.isfinite(at_s) and 0 <= before_s < math.inf and 0 <= after_s < math.inf):
            raise BankError(
                f"No window of {video_id!r}: got at_s {at_s}, before_s {before_s}, after_s {after_s}, "
                "expected finite seconds and spans not below 0."
            )
        dim = self._space(space).dim
        return self._retrying(lambda: self._window(space, dim, video_id, at_s - before_s, at_s + after_s))

    def _window(self, space: str, dim: int, video_id: str, start_s: float, end_s: float) -> Window:
        snapshot, table = self._snapshot, FEATURES + space
        _check_known("video", video_id, snapshot.index)
        files = snapshot.files(video_id)
        mine = [file for file in files if file.table == table]
        if not mine:
            _refuse_failed(snapshot.row(video_id))
        parts = [self._reader.read(file, [video_id], None, start_s, end_s) for file in mine]
        found = pa.concat_tables([*parts, schema_of(table, dim).empty_table()])
        found = found.take(_order(found, order_of(table)))
        detections, tracks = _ids(found["detection_id"]), _ids(found["track_id"])
        has_detections = any(self._reader.has_values(file, video_id, "detection_id") for file in mine)
        has_tracks = any(self._reader.has_values(file, video_id, "track_id") for file in mine)
        times_s = found["at_s"].to_numpy()
        boxed = [file for file in files if file.table == "detections"]
        return Window(
            space=space,
            video_id=video_id,
            features=vectors_of(found["feature"]).astype(np.float32),
            times_s=times_s,
            boxes=self._boxes(boxed, video_id, detections, times_s) if has_detections else None,
            detection_ids=detections if has_detections else None,
            track_ids=tracks if has_tracks else None,
        )

    def _boxes(self, files: Sequence[DataFile], video_id: str, ids: np.ndarray, times_s: np.ndarray) -> np.ndarray:
        """Boxes of detections by id; NaN for id -1."""
        wanted = ids >= 0
        boxes = np.full((len(ids), 4), np.nan, np.float32)
        if not wanted.any():
            return boxes
        near = (times_s.min(), np.nextafter(times_s.max(), np.inf))
        for span in (near, (-np.inf, np.inf)):  # a detection may lie at another time than its feature
            found = [self._reader.read(file, [video_id], ["detection_id", "box"], *span) for file in files]
            box_of = {
                detection: box
                for part in found
                for detection, box in zip(part["detection_id"].to_pylist(), vectors_of(part["box"]), strict=True)
            }
            unknown = [i for i in ids[wanted].tolist() if i not in box_of]
            if not unknown:
                boxes[wanted] = [box_of[i] for i in ids[wanted].tolist()]
                return boxes
        raise BankError(
            f"No boxes for video {video_id!r}: got detection ids {unknown[:5]} that table detections does "
            "not hold, expected all. Run `longform verify`."
        )

    def _rows(self, table: str, schema: pa.Schema, video_id: str | None, columns: Sequence[str] | None) -> pa.Table:
        for column in columns or ():
            _check_known(f"column of {table}", column, schema.names)
        if video_id is not None:
            self._row(video_id)
        order = ("video_id", *order_of(table))
        wanted = None if columns is None else [*dict.fromkeys([*columns, *order])]
        chosen = schema if wanted is None else pa.schema([schema.field(name) for name in wanted])
        found = pa.concat_tables([*self._parts(table, video_id, wanted), chosen.empty_table()])
        positions = _order(found, order)
        if (np.diff(positions) < 0).any():
            found = found.take(positions)
        found = found.combine_chunks()
        return found if columns is None else found.select(list(columns))

    def _parts(self, table: str, video_id: str | None, columns: Sequence[str] | None) -> list[pa.Table]:
        """Rows of each file. Videos whose file vanished are looked up again; each is read at one revision."""
        parts: list[pa.Table] = []
        pending = None if video_id is None else {video_id}
        missed: Counter[str] = Counter()
        while True:
            vanished: set[str] = set()
            work = _by_files(self._snapshot, table, pending)
            results = _map(lambda item: self._read_or_error(item[0], item[1], columns), work)
            for (ids, _), tables in zip(work, results, strict=True):
                if isinstance(tables, FileNotFoundError):
                    vanished |= ids
                    self._note_missed(missed, tables)
                else:
                    parts += tables
            if not vanished:
                return parts
            self._catch_up(missed)
            pending = vanished

    def _read_or_error(
        self, ids: Collection[str], files: Sequence[DataFile], columns: Sequence[str] | None
    ) -> list[pa.Table] | FileNotFoundError:
        try:
            return [self._reader.read(file, ids, columns) for file in files]
        except FileNotFoundError as error:
            return error

    def _retrying(self, read: Callable[[], T]) -> T:
        missed: Counter[str] = Counter()
        while True:
            try:
                return read()
            except FileNotFoundError as error:
                self._note_missed(missed, error)
                self._catch_up(missed)

    def _note_missed(self, missed: Counter[str], error: FileNotFoundError) -> None:
        """A superseded file is missed once; one that the present row still names is lost."""
        missed[str(error)] += 1
        if missed[str(error)] >= _MISSES_OF_A_FILE or missed.total() >= _MISSES:
            raise BankError(
                f"Cannot read bank {self.root!r}: got no data file ({error}), expected all files that the "
                "videos rows name. Run `longform verify`, and extract the videos it names again."
            ) from error

    def _catch_up(self, missed: Counter[str]) -> None:
        time.sleep(min(_LONGEST_PAUSE_S, 0.002 * missed.total()))
        self.refresh()

    def _row(self, video_id: str) -> dict[str, Any]:
        _check_known("video", video_id, self._snapshot.index)
        return self._snapshot.row(video_id)

    def _space(self, space: str) -> SpaceInfo:
        _check_known("space", space, self._spaces)
        return self._spaces[space]


def _by_files(snapshot: Snapshot, table: str, pending: Collection[str] | None) -> list[tuple[set[str], list[DataFile]]]:
    """Work items (videos, their files of `table`), one per set of files: a compacted file is read once."""
    files_of: dict[str, list[DataFile]] = {}
    for entry in snapshot.entries(table, pending):
        files_of.setdefault(entry[0], []).append(entry[1])
    groups: dict[tuple[str, ...], tuple[set[str], list[DataFile]]] = {}
    for video_id, files in files_of.items():
        key = tuple(file.path for file in files)
        groups.setdefault(key, (set(), files))[0].add(video_id)
    return list(groups.values())


def _refuse_failed(row: Mapping[str, Any]) -> None:
    if row["status"] != "ok":
        raise BankError(
            f"No window of {row['video_id']!r}: got a video that failed at stage {row['error_stage']} "
            f"({row['error_class']}: {row['error_message']}), expected one that was extracted."
        )


def _map(function: Callable[[Any], T], items: Sequence[Any]) -> list[T]:
    if len(items) < _THREADS:
        return [function(item) for item in items]
    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(function, items))


def _order(table: pa.Table, columns: Sequence[str]) -> np.ndarray:
    """Positions that sort a table by columns, stable; null ids last."""
    keys = []
    for name in columns:
        column = table[name]
        if pa.types.is_string(column.type):
            keys.append(np.array(column.to_pylist(), dtype=object))
        elif pa.types.is_integer(column.type):
            keys.append(column.fill_null((1 << column.type.bit_width - 1) - 1).to_numpy())
        else:
            keys.append(column.to_numpy())
    return np.lexsort(keys[::-1])


def _ids(column: pa.ChunkedArray) -> np.ndarray:
    return column.fill_null(-1).to_numpy()


def _none_if_negative(ids: np.ndarray) -> list[int | None]:
    return [None if value < 0 else value for value in ids.tolist()]


def _check_known(kind: str, name: str, known: Collection[str]) -> None:
    if name in known:
        return
    near = difflib.get_close_matches(str(name), list(known), n=3, cutoff=0.5) or sorted(known)[:3]
    raise UnknownNameError(
        f"No {kind} {name!r} in this bank: expected one of {len(known)}"
        + (f", such as {', '.join(map(repr, near))}." if near else ", and there are none.")
    )
