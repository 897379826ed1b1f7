"""What the bank holds at one moment: the valid row of every video, read from ``videos/`` alone.

Rows live in ``videos/<video>.parquet`` and, after `compact`, in ``videos/@compacted.parquet``. Of several
rows of a video the highest revision is valid; at equal revisions the video's own file is. `compact` writes
the compacted rows before it deletes the files they replace, therefore they are read last here: a file
that vanished in between is then found among them.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import fs as pafs

from pipeline.bank import filesystem
from pipeline.bank.datafile import DataFile
from pipeline.bank.errors import BankBusyError, BankError
from pipeline.bank.naming import COMPACTED, file_stem, is_compacted
from pipeline.bank.schema import ADDED_COLUMNS, FEATURES, TABLES, VIDEOS
from pipeline.bank.seal import SealState, seal_state

FOLDER = "videos"
COMPACTED_ROWS = f"{COMPACTED}.parquet"
_DATA_FILE = re.compile(r"\.[0-9a-f]{12}(\.[0-9a-f]{8})?\.parquet$")
_LISTINGS = 100
_THREADS = 8


def row_path(root: str, video_id: str) -> str:
    """The file of a video's own row."""
    return filesystem.join(root, FOLDER, f"{file_stem(video_id)}.parquet")


def compacted_rows_path(root: str) -> str:
    """The file of the rows that `compact` gathered."""
    return filesystem.join(root, FOLDER, COMPACTED_ROWS)


@dataclass(frozen=True)
class Snapshot:
    """`rows`: table videos, one row a video, sorted by video_id. `own`: row has a file of its own."""

    rows: pa.Table
    own: np.ndarray

    @cached_property
    def index(self) -> dict[str, int]:
        """Row number of each video."""
        return {video_id: i for i, video_id in enumerate(self.rows["video_id"].to_pylist())}

    def row(self, video_id: str) -> dict[str, Any]:
        """The row of a video; raises KeyError."""
        i = self.index[video_id]
        return self.rows.slice(i, 1).to_pylist()[0]

    @cached_property
    def _files(self) -> dict[str, list[DataFile]]:
        return {}

    def files(self, video_id: str) -> list[DataFile]:
        """The data files of a video; none if it is unknown."""
        if video_id not in self._files:
            i = self.index.get(video_id)
            entries = [] if i is None else self.rows["files"][i].as_py()
            self._files[video_id] = [DataFile(**entry) for entry in entries]
        return self._files[video_id]

    def entries(self, table: str, video_ids: Collection[str] | None = None) -> list[tuple[str, DataFile]]:
        """(video_id, file) of one table, for some videos or all, by video_id."""
        if video_ids is not None:
            pairs = [(video_id, file) for video_id in sorted(video_ids) for file in self.files(video_id)]
            return [pair for pair in pairs if pair[1].table == table]
        found = self.all_files.filter(pc.equal(self.all_files["table"], table))
        videos = found["video_id"].to_pylist()
        entries = found.drop_columns(["video_id"]).to_pylist()
        return [(video_id, DataFile(**entry)) for video_id, entry in zip(videos, entries, strict=True)]

    @cached_property
    def all_files(self) -> pa.Table:
        """One row per (video, data file): video_id and the fields of DataFile."""
        files = self.rows["files"].combine_chunks()
        flat = pc.list_flatten(files)
        videos = self.rows["video_id"].combine_chunks().take(pc.list_parent_indices(files))
        names = [field.name for field in files.type.value_type]
        return pa.table([videos, *(pc.struct_field(flat, name) for name in names)], names=["video_id", *names])

    def rows_per_table(self) -> dict[str, int]:
        """How many rows each table and space has, from what the videos rows say."""
        sums = self.all_files.group_by("table").aggregate([("rows", "sum")])
        return dict(zip(sums["table"].to_pylist(), sums["rows_sum"].to_pylist(), strict=True))


def read_snapshot(fs: pafs.FileSystem, root: str) -> Snapshot:
    """The valid rows. Lists until a listing shows nothing new, so that a file being replaced is not missed.

    Raises BankError naming a file that cannot be read.
    """
    seen: set[str] = set()
    tables: list[pa.Table] = []
    compacted = VIDEOS.empty_table()
    for _ in range(_LISTINGS):
        new = [name for name in own_row_names(fs, root) if name not in seen]
        if seen and not new:
            break
        paths = [filesystem.join(root, FOLDER, name) for name in new]
        tables += [table for table in _read_all(fs, paths) if table is not None]
        found = read_rows_file(fs, compacted_rows_path(root))
        compacted = VIDEOS.empty_table() if found is None else found
        if not new:
            break
        seen.update(new)
    else:
        raise BankBusyError(f"Cannot read {root!r}: got new videos in each of {_LISTINGS} listings. Try again later.")
    return newest(pa.concat_tables([*tables, VIDEOS.empty_table()]), compacted)


def own_row_names(fs: pafs.FileSystem, root: str) -> list[str]:
    """Names of the row files of single videos."""
    return [info.base_name for info in own_row_files(fs, root)]


def own_row_files(fs: pafs.FileSystem, root: str) -> list[pafs.FileInfo]:
    """The row files of single videos; temporary and foreign files are left out."""
    infos = filesystem.list_files(fs, filesystem.join(root, FOLDER))
    return [info for info in infos if is_own_row_name(info.base_name)]


def data_paths(fs: pafs.FileSystem, root: str) -> Iterator[str]:
    """All files under the tables' folders, relative to the bank."""
    for folder in [*TABLES, FEATURES.rstrip("/")]:
        for info in filesystem.list_files(fs, filesystem.join(root, folder), recursive=True):
            yield info.path.removeprefix(root).lstrip("/")


def is_own_row_name(name: str) -> bool:
    """True for names that `row_path` gives."""
    return name.endswith(".parquet") and name != COMPACTED_ROWS and not name.startswith(("_", "."))


def video_of(name: str) -> str:
    """The video whose row a file of that name holds."""
    return name.removesuffix(".parquet").removeprefix("@")


def is_bank_file(path: str) -> bool:
    """True for names that this program gives to data files, also while it writes them."""
    name = path.rsplit("/", 1)[-1]
    return is_compacted(name) or filesystem.is_temporary(name) or bool(_DATA_FILE.search(name))


def newest(own: pa.Table, compacted: pa.Table) -> Snapshot:
    """Of all rows the valid one of each video."""
    rows = pa.concat_tables([compacted, own])
    is_own = np.arange(rows.num_rows) >= compacted.num_rows
    ids = np.array(rows["video_id"].to_pylist(), dtype=object)
    order = np.lexsort((is_own, rows["revision"].to_numpy(), ids))
    last = np.ones(len(order), bool)
    last[:-1] = ids[order][1:] != ids[order][:-1]
    keep = order[last]
    return Snapshot(rows=rows.take(keep).combine_chunks(), own=is_own[keep])


def current_row(fs: pafs.FileSystem, root: str, video_id: str) -> dict[str, Any] | None:
    """The valid row of one video without listing anything, or None."""
    own = read_rows_file(fs, row_path(root, video_id))
    compacted = read_rows_file(fs, compacted_rows_path(root), video_id)
    empty = VIDEOS.empty_table()
    snapshot = newest(empty if own is None else own, empty if compacted is None else compacted)
    return snapshot.row(video_id) if video_id in snapshot.index else None


def read_rows_file(fs: pafs.FileSystem, path: str, video_id: str | None = None) -> pa.Table | None:
    """Rows of one file of ``videos/`` (of one video); None if there is no such file. Raises BankError."""
    try:
        if video_id is None:
            data = filesystem.read_bytes(fs, path)
            if seal_state(data) is SealState.BROKEN:
                raise _unreadable(path, "bytes that do not match the checksum in them")
            table = pq.ParquetFile(pa.BufferReader(data)).read(use_threads=False)
        else:
            with fs.open_input_file(path) as source:
                table = pq.read_table(source, filters=[("video_id", "=", video_id)], use_threads=False)
    except FileNotFoundError:
        return None
    except BankError:
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _unreadable(path, str(error)) from error
    table = _with_added_columns(table)
    if not table.schema.equals(VIDEOS):
        raise _unreadable(path, f"columns {table.schema.names}")
    return table.replace_schema_metadata(None)


def _with_added_columns(table: pa.Table) -> pa.Table:
    for place, column in enumerate(VIDEOS):
        if column.name in ADDED_COLUMNS and column.name not in table.column_names:
            table = table.add_column(place, column, pa.nulls(len(table), column.type))
    return table


def _read_all(fs: pafs.FileSystem, paths: Sequence[str]) -> list[pa.Table | None]:
    if len(paths) < 2 * _THREADS:
        return [read_rows_file(fs, path) for path in paths]
    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(lambda path: read_rows_file(fs, path), paths, chunksize=64))


def _unreadable(path: str, got: str) -> BankError:
    return BankError(
        f"Cannot read the videos rows in {path!r}: got {got}, expected rows of table videos. "
        "Run `longform extract --repair`: it extracts again what was lost."
    )
