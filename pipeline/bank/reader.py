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
from pipeline.bank.offsets import RowIndex, VideoRows, detections_of
from pipeline.bank.schema import FEATURES, TABLES, order_of, schema_of
from pipeline.bank.snapshot import Snapshot, read_snapshot
from pipeline.bank.vectors import VectorReader, to_float32
from pipeline.bank.windows import Moment, Window

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


class FeatureBank:
    """A bank open for reading. Safe for threads; pickles as its place, and opens again where unpickled."""

    def __init__(self, fs: pafs.FileSystem, root: str, uri: str | None = None) -> None:
        self.fs, self.root = fs, root
        self._uri = uri if uri is not None else root
        self._reader = DataFileReader(fs, root)
        self._index = RowIndex(self._reader)
        self._vectors = VectorReader(fs, root, self._reader)
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
    def uri(self) -> str:
        """Where the bank is, as `open` takes it."""
        return self._uri

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

    def sql(self, query: str, *, allow_files: bool = False) -> pa.Table:
        """The rows of one SELECT over views of the tables and spaces, such as ``SELECT * FROM "clip.hoghof"``.

        `allow_files` lets it read files outside the bank. Raises SqlError (see `pipeline.bank.sql`).
        """
        from pipeline.bank import sql

        return sql.query(self, query, allow_files=allow_files)

    def window(self, space: str, video_id: str, at_s: float, before_s: float = 0.0, after_s: float = 0.0) -> Window:
        """Items with ``at_s - before_s <= time < at_s + after_s``, in seconds: causal if after_s is 0.

        Raises UnknownNameError for an unknown space or video, BankError for a video that failed and for
        times that are not finite or negative spans.
        """
        return self.windows(space, [(video_id, at_s)], before_s, after_s)[0]

    def windows(
        self, space: str, moments: Sequence[Moment], before_s: float = 0.0, after_s: float = 0.0
    ) -> list[Window]:
        """The window of each moment (video, at_s), in their order, all of one state of the bank.

        Reads video by video, so that neighbours share what has to be decoded. Raises as `window`.
        """
        for video_id, at_s in moments:
            _check_span(video_id, at_s, before_s, after_s)
        dim = self._space(space).dim
        order = sorted(range(len(moments)), key=moments.__getitem__)

        def read() -> list[Window]:
            snapshot = self._snapshot
            found = {
                i: self._window(snapshot, space, dim, moments[i][0], moments[i][1] - before_s, moments[i][1] + after_s)
                for i in order
            }
            return [found[i] for i in range(len(moments))]

        return self._retrying(read)

    def _window(self, snapshot: Snapshot, space: str, dim: int, video_id: str, start_s: float, end_s: float) -> Window:
        _check_known("video", video_id, snapshot.index)
        files = snapshot.files(video_id)
        mine = [file for file in files if file.table == FEATURES + space]
        if not mine:
            _refuse_failed(snapshot.row(video_id))
        parts = [self._index.rows(file, video_id) for file in mine]
        spans = [part.between(start_s, end_s) for part in parts]

        def column(name: str, kind: type) -> np.ndarray:
            found = [part.columns[name][span] for part, span in zip(parts, spans, strict=True)]
            return np.concatenate([*found, np.zeros(0, kind)])

        times_s, detections = column("at_s", np.float64), column("detection_id", np.int64)
        halves = self._halves(mine, parts, spans, dim)
        order = np.lexsort((detections.view(np.uint64), times_s))  # -1, no detection, comes last
        has_detections = any(part.has_detections for part in parts)
        boxed = [file for file in files if file.table == "detections"]
        boxes, scores = self._boxes(boxed, video_id, detections[order], times_s) if has_detections else (None, None)
        return Window(
            space=space,
            video_id=video_id,
            start_s=start_s,
            end_s=end_s,
            features=to_float32(halves if (np.diff(order) == 1).all() else halves[order]),
            times_s=times_s[order],
            boxes=boxes,
            scores=scores,
            detection_ids=detections[order] if has_detections else None,
            track_ids=column("track_id", np.int64)[order] if any(part.has_tracks for part in parts) else None,
        )

    def _halves(
        self, files: Sequence[DataFile], parts: Sequence[VideoRows], spans: Sequence[slice], dim: int
    ) -> np.ndarray:
        """Features (N, D) float16 of a span of rows of each file; a view where one file has them all."""
        found = [
            self._vectors.read(file, part.first_row + span.start, part.first_row + span.stop)
            for file, part, span in zip(files, parts, spans, strict=True)
            if span.start < span.stop
        ]
        return found[0] if len(found) == 1 else np.concatenate([*found, np.zeros((0, dim), np.float16)])

    def _boxes(
        self, files: Sequence[DataFile], video_id: str, ids: np.ndarray, times_s: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Boxes and scores of detections by id; NaN for id -1."""
        parts = [self._index.rows(file, video_id) for file in files] if (ids >= 0).any() else []
        near = (times_s.min(), np.nextafter(times_s.max(), np.inf)) if len(times_s) else (0.0, 0.0)
        for span in (near, (-np.inf, np.inf)):  # a detection may lie at another time than its feature
            found = detections_of(parts, ids, *span)
            if found is not None:
                return found
        raise BankError(
            f"No boxes for video {video_id!r}: got detection ids among {ids[:5].tolist()} that table detections "
            "does not hold, expected all. Run `longform verify`."
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


def _check_span(video_id: str, at_s: float, before_s: float, after_s: float) -> None:
    if not (math.isfinite(at_s) and 0 <= before_s < math.inf and 0 <= after_s < math.inf):
        raise BankError(
            f"No window of {video_id!r}: got at_s {at_s}, before_s {before_s}, after_s {after_s}, "
            "expected finite seconds and spans not below 0."
        )


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


def _check_known(kind: str, name: str, known: Collection[str]) -> None:
    if name in known:
        return
    near = difflib.get_close_matches(str(name), list(known), n=3, cutoff=0.5) or sorted(known)[:3]
    raise UnknownNameError(
        f"No {kind} {name!r} in this bank: expected one of {len(known)}"
        + (f", such as {', '.join(map(repr, near))}." if near else ", and there are none.")
    )
