"""One data file: what a videos row says of it, and reading only the part that is asked for."""

import threading
from collections import OrderedDict
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import fs as pafs

from pipeline.bank import filesystem
from pipeline.bank.schema import order_of

_FOOTERS_KEPT = 256


@dataclass(frozen=True, kw_only=True)
class DataFile:
    """A file that holds rows of one video: an entry of column `files` in table videos.

    `path` is relative to the bank. `rows` counts the video's own rows; `bytes` and `sha256` are those of
    the whole file, which holds other videos too once it was compacted.
    """

    table: str
    stage: str
    path: str
    rows: int
    bytes: int
    sha256: str


class RowGroups:
    """The footer of a data file as arrays: which videos, times and rows each row group spans."""

    def __init__(self, metadata: pq.FileMetaData, time_column: str) -> None:
        self.metadata = metadata
        names = [metadata.schema.column(i).path for i in range(metadata.num_columns)]
        videos, times = names.index("video_id"), names.index(time_column)
        groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
        ids = [group.column(videos).statistics for group in groups]
        spans = [group.column(times).statistics for group in groups]
        self.first_ids = np.array([str(s.min) for s in ids], dtype=object)
        self.last_ids = np.array([str(s.max) for s in ids], dtype=object)
        self.first_s = np.array([s.min for s in spans], dtype=float)
        self.last_s = np.array([s.max for s in spans], dtype=float)
        self.starts = np.cumsum([0, *(group.num_rows for group in groups)])

    def holding(self, video_ids: Collection[str], start_s: float, end_s: float) -> list[int]:
        """Row groups that may hold rows of these videos with start_s <= time < end_s."""
        wanted = np.array(sorted(video_ids), dtype=object)
        if not len(wanted) or not len(self.first_ids):
            return []
        at = np.searchsorted(wanted, self.first_ids)  # the first wanted id not below the group's first
        candidate = wanted[np.minimum(at, len(wanted) - 1)]
        hit = (at < len(wanted)) & (candidate <= self.last_ids)
        hit &= (self.first_s < end_s) & (self.last_s >= start_s)
        return [int(i) for i in np.flatnonzero(hit)]


class DataFileReader:
    """Reads rows out of a bank's data files, and remembers the footers of those used last.

    Safe for threads. A footer is remembered under the file's sha256, so a path that was written anew is
    read anew. Every read opens and closes the file, so no handle crosses a fork.
    """

    def __init__(self, fs: pafs.FileSystem, root: str) -> None:
        self._fs, self._root = fs, root
        self._footers: OrderedDict[tuple[str, str], RowGroups] = OrderedDict()
        self._guard = threading.Lock()

    def read(
        self,
        file: DataFile,
        video_ids: Collection[str],
        columns: Sequence[str] | None = None,
        start_s: float = -np.inf,
        end_s: float = np.inf,
    ) -> pa.Table:
        """Rows of these videos with start_s <= time < end_s, in the order of the file.

        Raises FileNotFoundError if the file is gone (superseded since its row was read).
        """
        time_column = order_of(file.table)[0]
        with self._opened(file) as source:
            groups = self._row_groups(file, source, time_column)
            parquet = pq.ParquetFile(source, metadata=groups.metadata)
            wanted = None if columns is None else [*dict.fromkeys([*columns, "video_id", time_column])]
            chosen = groups.holding(video_ids, start_s, end_s)
            table = parquet.read_row_groups(chosen, columns=wanted, use_threads=False)
        mask = pc.is_in(table["video_id"], value_set=pa.array(sorted(video_ids), pa.string()))
        if np.isfinite(start_s):
            mask = pc.and_(mask, pc.greater_equal(table[time_column], start_s))
        if np.isfinite(end_s):
            mask = pc.and_(mask, pc.less(table[time_column], end_s))
        table = table.filter(mask)
        return table if columns is None else table.select(list(columns))

    def row_groups(self, file: DataFile) -> RowGroups:
        """The footer of a file. Raises FileNotFoundError."""
        known = self._known(file)
        if known is not None:
            return known
        with self._opened(file) as source:
            return self._row_groups(file, source, order_of(file.table)[0])

    def read_groups(self, file: DataFile, groups: Sequence[int], columns: Sequence[str]) -> pa.Table:
        """Some columns of whole row groups, of all videos in them. Raises FileNotFoundError."""
        with self._opened(file) as source:
            footer = self._row_groups(file, source, order_of(file.table)[0])
            remote = not filesystem.is_local(self._fs)
            parquet = pq.ParquetFile(source, metadata=footer.metadata, pre_buffer=remote)
            return parquet.read_row_groups(list(groups), columns=list(columns), use_threads=False)

    def total_rows(self, file: DataFile) -> int:
        """Rows in the whole file, of all videos. Raises FileNotFoundError."""
        return self.row_groups(file).metadata.num_rows

    @contextmanager
    def _opened(self, file: DataFile) -> Iterator[pa.NativeFile]:
        path = filesystem.join(self._root, file.path)
        with filesystem.remote_errors(self._fs, path), self._fs.open_input_file(path) as source:
            yield source

    def _known(self, file: DataFile) -> RowGroups | None:
        key = (file.path, file.sha256)
        with self._guard:
            if key in self._footers:
                self._footers.move_to_end(key)
            return self._footers.get(key)

    def _row_groups(self, file: DataFile, source: pa.NativeFile, time_column: str) -> RowGroups:
        known = self._known(file)
        if known is not None:
            return known
        groups = RowGroups(pq.read_metadata(source), time_column)
        with self._guard:
            self._footers[(file.path, file.sha256)] = groups
            while len(self._footers) > _FOOTERS_KEPT:
                self._footers.popitem(last=False)
        return groups
