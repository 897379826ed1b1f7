"""Proof that a bank is whole: every file that a videos row names is there, unchanged, and makes sense.

Data files must have the sha256 that the rows name; the rows and bank.json carry their own (`seal`). Files that
no row names are warnings: they are what a killed run leaves, or foreign, and no reader looks at them.
Works beside writers: a video whose row changed while it was checked is checked again.
"""

import hashlib
import os
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs as pafs

from pipeline.bank import filesystem, snapshot, staging, vectors
from pipeline.bank.checks import check_rows, check_video
from pipeline.bank.datafile import DataFile, DataFileReader
from pipeline.bank.errors import BankError, StorageError
from pipeline.bank.manifest import NAME, Manifest, read_manifest
from pipeline.bank.naming import is_compacted
from pipeline.bank.rows import vectors_of
from pipeline.bank.schema import FEATURES, TABLES, schema_of
from pipeline.bank.seal import SealState, seal_state
from pipeline.bank.snapshot import Snapshot

NEEDS_NO_VIDEO = frozenset({"unregistered_space", "wrong_copy"})
"""Kinds of problems that are mended without the video."""
_ROUNDS = 10
_THREADS = 8
_FOREIGN = "not a file of the bank; delete it, or move it away"
_OWN_NAMES = frozenset({NAME, snapshot.FOLDER, *TABLES, FEATURES.rstrip("/"), "index"})
_VIDEOS_AT_ONCE = 256
_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, order=True)
class Problem:
    """One thing that is wrong (or, among warnings, left over): `kind` is stable, `message` for people."""

    kind: str
    path: str
    video_id: str
    message: str


@dataclass
class VerifyReport:
    """What `verify` found. `is_whole` is the verdict; warnings do not touch it."""

    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    videos: int = 0
    files: int = 0
    rows: int = 0
    bytes: int = 0
    quick: bool = False

    @property
    def is_whole(self) -> bool:
        """True if there are no problems."""
        return not self.problems

    @property
    def videos_to_extract(self) -> list[str]:
        """Videos of which something is lost or wrong: what `longform extract --repair` extracts again."""
        return sorted({problem.video_id for problem in self.problems if problem.kind not in NEEDS_NO_VIDEO} - {""})


def verify(path: str | os.PathLike[str], quick: bool = False, video_ids: Collection[str] | None = None) -> VerifyReport:
    """Check a bank; `quick` leaves out all that reads rows or whole files (existence, size and footers stay).

    `video_ids` limits the check of data files and rows to some videos.
    Raises NotABankError or BankVersionError if there is no bank to check.
    """
    fs, root = filesystem.open_location(path)
    read_manifest(fs, root)
    report = VerifyReport(quick=quick)
    pending = None if video_ids is None else set(video_ids)
    for _ in range(_ROUNDS):
        rows, unreadable = _readable_rows(fs, root)
        ids = set(rows.index) if pending is None else pending & set(rows.index)
        check = _Check(fs, root, read_manifest(fs, root), rows, quick)
        found = unreadable + check.run(sorted(ids))
        changed = _changed(fs, root, rows, found)
        report.problems += [problem for problem in found if problem.video_id not in changed]
        if not changed:
            break
        pending = changed
    shared, without_seal = _check_seals(fs, root)
    report.problems = sorted({*report.problems, *shared, *_check_row_names(fs, root)})
    files = dict(zip(rows.all_files["path"].to_pylist(), rows.all_files["bytes"].to_pylist(), strict=True))
    report.videos, report.files, report.bytes = len(rows.index), len(files), sum(files.values())
    report.rows = sum(rows.rows_per_table().values())
    report.warnings = sorted([*_leftovers(fs, root, set(files)), *without_seal])
    return report


def _check_seals(fs: pafs.FileSystem, root: str) -> tuple[list[Problem], list[Problem]]:
    """What is wrong with bank.json and the row files as such; and those that have no checksum."""
    names = [f"{snapshot.FOLDER}/{name}" for name in [*snapshot.own_row_names(fs, root), snapshot.COMPACTED_ROWS]]
    with ThreadPoolExecutor(_THREADS) as pool:
        states = list(pool.map(lambda name: _seal_state(fs, filesystem.join(root, name)), [NAME, *names]))
    problems, without = [], []
    for name, state in zip([NAME, *names], states, strict=True):
        if state is SealState.NONE:
            text = "no checksums recorded, by an older version; `longform compact` records them"
            without.append(Problem("no_checksum", name, "", text))
        elif state is SealState.BROKEN and name == NAME:
            text = "got bytes that do not match the checksum in it, expected the file as it was written"
            problems.append(Problem("wrong_sha256", name, "", text))
    return problems, without


def _seal_state(fs: pafs.FileSystem, path: str) -> SealState | None:
    try:
        return seal_state(filesystem.read_bytes(fs, path))
    except FileNotFoundError:
        return None


def _check_row_names(fs: pafs.FileSystem, root: str) -> list[Problem]:
    """Row files under another name than that of their video: readers list their rows, and writers do not see them."""
    names = snapshot.own_row_names(fs, root)
    with ThreadPoolExecutor(_THREADS) as pool:
        ids = list(pool.map(lambda name: _ids_in(fs, filesystem.join(root, snapshot.FOLDER, name)), names))
    problems = []
    for name, found in zip(names, ids, strict=True):
        expected = [snapshot.video_of(name)]
        if found is not None and found != expected:
            text = f"got {len(found)} rows, of {found[:1]}, expected one, of {expected}: {_FOREIGN}"
            problems.append(Problem("misplaced_row", f"{snapshot.FOLDER}/{name}", "", text))
    return problems


def _ids_in(fs: pafs.FileSystem, path: str) -> list[str] | None:
    """Videos of which a file holds rows; None if it cannot be read, which is a problem of its own."""
    try:
        table = snapshot.read_rows_file(fs, path)
    except StorageError:
        raise
    except BankError:
        return None
    return None if table is None else table["video_id"].to_pylist()


def _readable_rows(fs: pafs.FileSystem, root: str) -> tuple[Snapshot, list[Problem]]:
    """The valid rows of all readable files of ``videos/``, and the files that are not."""
    try:
        return snapshot.read_snapshot(fs, root), []
    except BankError:
        pass
    own, problems, compacted = [], [], snapshot.VIDEOS.empty_table()
    for name in [*snapshot.own_row_names(fs, root), snapshot.COMPACTED_ROWS]:
        path = filesystem.join(root, snapshot.FOLDER, name)
        try:
            table = snapshot.read_rows_file(fs, path)
        except BankError as error:
            video_id = "" if name == snapshot.COMPACTED_ROWS else snapshot.video_of(name)
            problems.append(Problem("unreadable_row", f"{snapshot.FOLDER}/{name}", video_id, str(error)))
            continue
        if name == snapshot.COMPACTED_ROWS:
            compacted = compacted if table is None else table
        elif table is not None:
            own.append(table)
    return snapshot.newest(pa.concat_tables([*own, snapshot.VIDEOS.empty_table()]), compacted), problems


def _changed(fs: pafs.FileSystem, root: str, rows: Snapshot, problems: Sequence[Problem]) -> set[str]:
    """Videos with problems whose row is no longer the one that was checked."""
    suspects = {problem.video_id for problem in problems} & set(rows.index)
    changed = set()
    for video_id in suspects:
        try:
            if snapshot.current_row(fs, root, video_id) != rows.row(video_id):
                changed.add(video_id)
        except BankError:
            continue
    return changed


class _Check:
    """One pass over some videos of one snapshot."""

    def __init__(self, fs: pafs.FileSystem, root: str, manifest: Manifest, rows: Snapshot, quick: bool) -> None:
        self.fs, self.root, self.rows, self.quick = fs, root, rows, quick
        self.dims = {FEATURES + name: entry["dim"] for name, entry in manifest.spaces.items()}
        self.reader = DataFileReader(fs, root)
        self.problems: list[Problem] = []

    def run(self, video_ids: Sequence[str]) -> list[Problem]:
        """Files first; then, unless quick, the rows of videos whose files are all sound."""
        users: dict[DataFile, list[tuple[str, int]]] = defaultdict(list)
        for video_id in video_ids:
            for file in self.rows.files(video_id):
                whole = DataFile(**{**vars(file), "rows": 0})
                users[whole].append((video_id, file.rows))
        broken: set[str] = set()
        for file, entries in users.items():
            wrong = self._check_file(file, sum(rows for _, rows in entries), len(entries))
            if wrong is not None:
                kind, message = wrong
                broken |= {video_id for video_id, _ in entries}
                self.problems += [Problem(kind, file.path, video_id, message) for video_id, _ in entries]
        sound = [video_id for video_id in video_ids if video_id not in broken]
        if not self.quick:
            for start in range(0, len(sound), _VIDEOS_AT_ONCE):
                self._check_rows(sound[start : start + _VIDEOS_AT_ONCE])
        return self.problems

    def _check_file(self, file: DataFile, rows: int, videos: int) -> tuple[str, str] | None:
        """The first thing wrong with a file as such, or None."""
        if file.table not in TABLES and file.table not in self.dims:
            return "unregistered_space", f"got table {file.table!r}, expected one registered in {NAME}"
        path = filesystem.join(self.root, file.path)
        info = filesystem.file_info(self.fs, path)
        if info is None:
            return "missing_file", f"got no file, expected {file.bytes} bytes. Extract the video again"
        if info.size != file.bytes:
            return "wrong_size", f"got {info.size} bytes, expected {file.bytes}. Extract the video again"
        try:
            if not self.quick and (digest := _sha256(self.fs, path)) != file.sha256:
                return "wrong_sha256", f"got sha256 {digest}, expected {file.sha256}. Extract the video again"
            return self._check_content(file, path, rows, videos)
        except FileNotFoundError:
            return "missing_file", f"got no file, expected {file.bytes} bytes. Extract the video again"
        except StorageError:  # an outage is no damage
            raise
        except (pa.ArrowException, OSError, ValueError) as error:
            return "unreadable_file", f"got {error}, expected a Parquet file"

    def _check_content(self, file: DataFile, path: str, rows: int, videos: int) -> tuple[str, str] | None:
        with filesystem.remote_errors(self.fs, path), self.fs.open_input_file(path) as source:
            parquet = pq.ParquetFile(source)
            expected = schema_of(file.table, self.dims.get(file.table))
            if not parquet.schema_arrow.equals(expected):
                return (
                    "wrong_schema",
                    f"got {parquet.schema_arrow.names}, expected the columns of {file.table}",
                )
            total = parquet.metadata.num_rows
            if (total != rows) if not is_compacted(file.path) else (total < rows):
                return "wrong_rows", f"got {total} rows, expected {rows} as the videos rows say"
            if videos > 1 and not is_compacted(file.path):
                return "foreign_rows", f"got a file that {videos} videos name, expected one"
            if self.quick or not file.table.startswith(FEATURES):
                return None
            for i in range(parquet.num_row_groups):
                column = parquet.read_row_group(i, columns=["feature"], use_threads=False)["feature"]
                if column.null_count or not np.isfinite(vectors_of(column)).all():
                    return "bad_feature", "got NaN, infinity or null in a feature, expected finite values"
        if vectors.copy_differs(self.fs, self.root, self.reader, file):
            text = "got a copy in _vectors with other features, expected those of the file. Delete the copy"
            return "wrong_copy", text
        return None

    def _check_rows(self, video_ids: Sequence[str]) -> None:
        """Rows of some videos at once, so that a compacted file is not read once per video."""
        rows_of: dict[str, dict[str, list[pa.Table]]] = {video_id: {} for video_id in video_ids}
        per_file: dict[DataFile, dict[str, int]] = defaultdict(dict)
        for video_id in video_ids:
            for file in self.rows.files(video_id):
                per_file[DataFile(**{**vars(file), "rows": 0})][video_id] = file.rows
        for file, expected in per_file.items():
            columns = [name for name in schema_of(file.table, 1).names if name != "feature"]
            try:
                found = self.reader.read(file, set(expected), columns)
            except FileNotFoundError as error:
                for video_id in expected:
                    self._say("missing_file", file.path, video_id, str(error))
                continue
            for video_id, part in _by_video(found).items():
                for kind, message in check_rows(file.table, part, expected[video_id]):
                    self._say(kind, file.path, video_id, message)
                rows_of[video_id].setdefault(file.table, []).append(part)
            for video_id in set(expected) - set(found["video_id"].to_pylist()):
                self._say("wrong_rows", file.path, video_id, f"got 0 rows, expected {expected[video_id]}")
        for video_id, parts in rows_of.items():
            tables = {table: pa.concat_tables(found) for table, found in parts.items()}
            for table, kind, message in check_video(tables):
                self._say(kind, table, video_id, message)

    def _say(self, kind: str, path: str, video_id: str, message: str) -> None:
        self.problems.append(Problem(kind, path, video_id, message))


def _by_video(table: pa.Table) -> dict[str, pa.Table]:
    """Rows of each video, in order; a file keeps the rows of a video together."""
    ids = np.array(table["video_id"].to_pylist(), dtype=object)
    if not len(ids):
        return {}
    starts = np.flatnonzero(np.concatenate([[True], ids[1:] != ids[:-1]]))
    ends = [*starts[1:].tolist(), len(ids)]
    parts: dict[str, Any] = defaultdict(list)
    for start, end in zip(starts.tolist(), ends, strict=True):
        parts[ids[start]].append(table.slice(start, end - start))
    return {video_id: pa.concat_tables(found) for video_id, found in parts.items()}


def _sha256(fs: pafs.FileSystem, path: str) -> str:
    digest = hashlib.sha256()
    with filesystem.remote_errors(fs, path), fs.open_input_stream(path) as stream:
        while block := stream.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _leftovers(fs: pafs.FileSystem, root: str, named: set[str]) -> Iterator[Problem]:
    """Files that no row names, and unfinished work. All harmless to readers of the bank."""
    for path in snapshot.data_paths(fs, root):
        if path not in named and snapshot.is_bank_file(path):
            yield Problem("unreferenced_file", path, "", "no videos row names it; `longform compact` deletes it")
        elif path not in named:
            yield Problem("foreign_file", path, "", _FOREIGN)
    for name in filesystem.list_names(fs, filesystem.join(root, staging.FOLDER)):
        text = "unfinished work of a run that goes on, or was killed; run it again to finish"
        yield Problem("unfinished_work", f"{staging.FOLDER}/{name}", "", text)
    for info in filesystem.list_files(fs, filesystem.join(root, snapshot.FOLDER)):
        name = info.base_name
        if not (snapshot.is_own_row_name(name) or name == snapshot.COMPACTED_ROWS):
            yield Problem("foreign_file", f"{snapshot.FOLDER}/{name}", "", _FOREIGN)
    for name in filesystem.list_names(fs, root):
        if name not in _OWN_NAMES and not name.startswith(("_", ".")):
            yield Problem("foreign_file", name, "", _FOREIGN)
