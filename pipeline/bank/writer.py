"""Writing: tables streamed into files, and the commit that makes a video's files count.

    writer = BankWriter.open("bank")
    file = writer.write_final("shots", video_id, "shots", fingerprint, [rows])
    writer.commit({"video_id": video_id, "uri": ..., "status": "ok", "stages": [...]}, [file])

A killed process leaves at most files that no row names; see `BankWriter.commit`.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from types import TracebackType
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import fs as pafs

from pipeline.bank import filesystem, staging
from pipeline.bank.datafile import DataFile
from pipeline.bank.errors import BadRowsError, BankError
from pipeline.bank.locks import lock
from pipeline.bank.manifest import Manifest, read_manifest
from pipeline.bank.naming import file_stem, is_compacted
from pipeline.bank.rows import Rows, to_table
from pipeline.bank.schema import (
    FEATURES,
    VIDEOS,
    check_space_name,
    check_video_id,
    default_row_group_rows,
    order_of,
    schema_of,
)
from pipeline.bank.seal import BLANK, seal
from pipeline.bank.snapshot import current_row, row_path

__all__ = ["BankWriter", "DataFile", "TableWriter"]

_SET_BY_COMMIT = ("files", "revision")
_ROWS_PER_GROUP_OF_VIDEOS = 1024


class TableWriter:
    """Streams rows into one Parquet file that appears, whole, when the context ends well.

        with TableWriter(fs, path, schema) as out:
            out.write(rows)
        out.rows, out.bytes, out.sha256

    Holds at most about a row group in memory. The bytes do not depend on how rows were cut into
    `write` calls. After an exception nothing is left of it. A table without rows is a valid file.
    Raises StorageError if the storage does not take it.
    """

    rows: int
    """Rows written."""
    bytes: int
    """Size of the file; after the end."""
    sha256: str
    """Hex digest of the file's bytes; after the end."""

    def __init__(self, fs: pafs.FileSystem, path: str, schema: pa.Schema, row_group_rows: int | None = None) -> None:
        self._fs, self._path, self._schema = fs, path, schema
        self._row_group_rows = row_group_rows or default_row_group_rows(schema)
        self._buffer: list[pa.Table] = []
        self._buffered = 0
        self._stack = ExitStack()
        self.rows = 0

    def __enter__(self) -> "TableWriter":
        with ExitStack() as stack:  # closes in reverse order, then publishes
            temporary = stack.enter_context(filesystem.publishing(self._fs, self._path))
            with filesystem.storage_errors(self._fs, self._path):
                stream = stack.enter_context(self._fs.open_output_stream(temporary))
            self._sink = _HashingSink(stream)
            self._parquet = stack.enter_context(_parquet_writer(self._sink, self._schema))
            self._stack = stack.pop_all()
        return self

    def write(self, rows: Rows) -> None:
        """Append rows: dicts, a RecordBatch or a Table. Raises BadRowsError for rows not of the schema."""
        table = to_table(rows, self._schema, self._path)
        self._buffer.append(table)
        self._buffered += table.num_rows
        self.rows += table.num_rows
        if self._buffered >= self._row_group_rows:
            self._write_groups(self._buffered - self._buffered % self._row_group_rows)

    def end_row_group(self) -> None:
        """Let the next row begin a new row group."""
        self._write_groups(self._buffered)

    def _write_groups(self, count: int) -> None:
        if not count:
            return
        table = pa.concat_tables(self._buffer)
        with filesystem.storage_errors(self._fs, self._path):
            for start in range(0, count, self._row_group_rows):
                group = table.slice(start, min(self._row_group_rows, count - start))
                self._parquet.write_table(group.combine_chunks(), row_group_size=self._row_group_rows)
        self._buffer, self._buffered = [table.slice(count)], self._buffered - count

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._stack.__exit__(kind, error, trace)
            return
        with filesystem.storage_errors(self._fs, self._path), self._stack:
            self.end_row_group()
        self.bytes, self.sha256 = self._sink.size, self._sink.digest.hexdigest()


class _HashingSink:
    """Passes writes on, and knows their number of bytes and sha256."""

    closed = False

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.size = 0
        self.digest = hashlib.sha256()

    def write(self, data: Any) -> int:
        block = memoryview(data)
        self._stream.write(block)
        self.digest.update(block)
        self.size += block.nbytes
        return block.nbytes

    def tell(self) -> int:
        return self.size

    def flush(self) -> None:
        return None

    def close(self) -> None:
        return None


def _parquet_writer(sink: Any, schema: pa.Schema) -> pq.ParquetWriter:
    """zstd; dictionaries for strings only; statistics for all but the vectors. Features stay PLAIN."""
    return pq.ParquetWriter(
        sink,
        schema,
        compression="zstd",
        use_dictionary=[field.name for field in schema if pa.types.is_string(field.type)],
        write_statistics=[field.name for field in schema if not pa.types.is_fixed_size_list(field.type)],
    )


class BankWriter:
    """The writing side of a bank, for one process; cheap to open, lists nothing, safe for threads."""

    def __init__(self, fs: pafs.FileSystem, root: str, manifest: Manifest | None = None) -> None:
        self.fs, self.root = fs, root
        self._manifest = manifest or read_manifest(fs, root)

    @classmethod
    def open(cls, uri: Any) -> "BankWriter":
        """A writer for an existing bank (`manifest.create_or_open` makes one). Raises NotABankError."""
        return cls(*filesystem.open_location(uri))

    def staging(self, video_id: str) -> str:
        """Folder on `fs` for unpublished parts of a video, removed by its commit. Created if missing.

        Names that begin with ``_`` are the bank's own there.
        """
        folder = staging.folder_of(self.root, check_video_id(video_id))
        filesystem.make_folder(self.fs, folder)
        return folder

    def final_path(self, table: str, video_id: str, fingerprint: str) -> str:
        """Where a stage's rows of a video go, relative to the bank."""
        if table.startswith(FEATURES):
            check_space_name(table[len(FEATURES) :])
        else:
            schema_of(table)
        return f"{table}/{file_stem(check_video_id(video_id))}.{fingerprint[:12]}.parquet"

    def write_final(
        self,
        table: str,
        video_id: str,
        stage: str,
        fingerprint: str,
        batches: Iterable[Rows],
        dim: int | None = None,
    ) -> DataFile | None:
        """Stream rows, sorted by time, into their final file; None, and no file, if there are no rows.

        The file counts only once `commit` names it. A file that the present row names is left alone:
        other bytes for the same fingerprint go to a name of their own. Processes may write the same file at
        once. Raises BadRowsError for rows of another video, not sorted, or not of the table; BankError for an
        unregistered space or another dim.
        """
        path = self.final_path(table, video_id, fingerprint)
        schema = schema_of(table, self._checked_dim(table, dim))
        filled = (batch for batch in batches if (batch.num_rows if hasattr(batch, "num_rows") else len(batch)))
        first = next(iter(filled), None)
        if first is None:
            return None
        folder = self.staging(video_id)
        scratch = filesystem.temporary_name(filesystem.join(folder, "final.parquet"))
        checked = _OrderCheck(table, video_id, path)
        with TableWriter(self.fs, scratch, schema) as out:
            for batch in (first, *filled):
                out.write(checked(to_table(batch, schema, path)))
        path = self._free_path(path, video_id, out.sha256)
        staging.note_publishing(self.fs, folder, path)
        filesystem.make_folder(self.fs, filesystem.join(self.root, table))
        with filesystem.storage_errors(self.fs, path):
            self.fs.move(scratch, filesystem.join(self.root, path))
        return DataFile(table=table, stage=stage, path=path, rows=out.rows, bytes=out.bytes, sha256=out.sha256)

    def _checked_dim(self, table: str, dim: int | None) -> int | None:
        if not table.startswith(FEATURES):
            return None
        registered = self._manifest.dim_of(table[len(FEATURES) :])
        if dim not in (None, registered):
            raise BankError(
                f"Cannot write {table}: got dim {dim}, expected {registered} as registered in bank.json. "
                "Give the new features another space name."
            )
        return registered

    def _free_path(self, path: str, video_id: str, sha256: str) -> str:
        """`path`, or another name if the present row names `path` with other bytes."""
        if not filesystem.exists(self.fs, filesystem.join(self.root, path)):
            return path
        row = self.current_row(video_id)
        taken = {entry["path"]: entry["sha256"] for entry in row["files"]} if row else {}
        if taken.get(path, sha256) == sha256:
            return path
        return f"{path.removesuffix('.parquet')}.{sha256[:8]}.parquet"

    def commit(self, row: Mapping[str, Any], files: Sequence[DataFile] = (), *, keep_staging: bool = False) -> bool:
        """Make `row` with `files` what the bank holds of the video; the last step of its extraction.

        `row` has the columns of table videos but `files` and `revision`. In this order: new files must be
        there (one that `compact` has merged since is looked up); the row is replaced in one step; files
        that only the old row named go (not compacted ones); the staging folder goes. A kill at any point
        leaves the old row or the new one, whole, and maybe files that no row names, which the next commit
        of the video, `clean_up` or `compact` deletes. A row equal to the present one changes nothing.
        With `keep_staging` staged parts stay, so that a video that failed can go on where it was.
        Returns whether the row has changed: of two workers that commit the same, one gets True (on a local disk).
        Raises BankError, BadRowsError.
        """
        video_id = check_video_id(str(row.get("video_id", "")))
        _check_row(row, video_id)
        with lock(self.fs, self.root, "commit"):
            previous = self.current_row(video_id)
            present = [self._present(file, row, previous) for file in files]
            table = _commit_row(row, present, previous)
            kept = {file.path for file in present}
            has_changed = previous is None or table.to_pylist()[0] != previous
            if has_changed:
                self._note_superseded(previous, kept)
                path, scratch = row_path(self.root, video_id), self.staging(video_id)
                filesystem.write_bytes_atomic(self.fs, path, row_file(table), scratch)
            self._delete_leftovers(video_id, kept, keep_staging)
        return has_changed

    def current_row(self, video_id: str) -> dict[str, Any] | None:
        """The valid videos row of a video, or None. Reads at most two small files."""
        return current_row(self.fs, self.root, check_video_id(video_id))

    def forget_row(self, video_id: str) -> None:
        """Delete a video's own row file, for one that cannot be read; what files it named is lost with it."""
        with lock(self.fs, self.root, "commit"):
            filesystem.delete_quietly(self.fs, row_path(self.root, check_video_id(video_id)))

    def clean_up(self, video_id: str) -> None:
        """Delete what killed attempts left of a video: files no row names, and its staging folder.

        For a video that needs no more work; staged parts that were to be resumed are lost.
        """
        if not filesystem.exists(self.fs, staging.folder_of(self.root, check_video_id(video_id))):
            return
        with lock(self.fs, self.root, "commit"):
            row = self.current_row(video_id)
            self._delete_leftovers(video_id, {entry["path"] for entry in row["files"]} if row else set())

    def _present(self, file: DataFile, row: Mapping[str, Any], previous: Mapping[str, Any] | None) -> DataFile:
        """The file, or what `compact` has made of it since the caller read the row. Raises BankError.

        What the present row names stays named: that such a file is lost is for `verify` to say, and no reason
        to refuse other results of the video.
        """
        info = filesystem.file_info(self.fs, filesystem.join(self.root, file.path))
        is_named = previous is not None and asdict(file) in previous["files"]
        if is_named or (info is not None and info.size == file.bytes):
            return file
        fingerprint = _fingerprint(row, file.stage)
        if previous is not None and fingerprint == _fingerprint(previous, file.stage) is not None:
            for entry in previous["files"]:
                if (entry["table"], entry["stage"]) == (file.table, file.stage) and is_compacted(entry["path"]):
                    return DataFile(**entry)
        got = "no file" if info is None else f"{info.size} bytes"
        raise BankError(
            f"Cannot commit video {row['video_id']!r}: got {got} at {file.path!r}, expected {file.bytes} "
            "bytes. Another run may have replaced it; run again."
        )

    def _note_superseded(self, previous: Mapping[str, Any] | None, kept: set[str]) -> None:
        if previous is None:
            return
        gone = [entry["path"] for entry in previous["files"] if entry["path"] not in kept]
        gone = [path for path in gone if not is_compacted(path)]
        if gone:
            staging.note_superseded(self.fs, self.staging(previous["video_id"]), gone)

    def _delete_leftovers(self, video_id: str, kept: set[str], keep_staging: bool = False) -> None:
        """What the journal says, then the journal: as notes, or with the whole staging folder."""
        folder = staging.folder_of(self.root, video_id)
        for path in {*staging.superseded(self.fs, folder), *staging.publishing(self.fs, folder)} - kept:
            filesystem.delete_quietly(self.fs, filesystem.join(self.root, path))
        if keep_staging:
            staging.delete_notes(self.fs, folder)
        if not keep_staging or not filesystem.list_names(self.fs, folder):
            filesystem.delete_folder_quietly(self.fs, folder)


class _OrderCheck:
    """Rows of one video must come in the order of time, also from batch to batch."""

    def __init__(self, table: str, video_id: str, path: str) -> None:
        self._column = order_of(table)[0]
        self._video_id, self._path = video_id, path
        self._last = float("-inf")

    def __call__(self, table: pa.Table) -> pa.Table:
        if not pc.all(pc.equal(table["video_id"], self._video_id)).as_py():
            got = pc.unique(table["video_id"]).to_pylist()[:3]
            raise BadRowsError(
                f"Cannot write {self._path}: got rows of {got}, expected video_id {self._video_id!r} in all."
            )
        times = table[self._column].to_numpy()
        before = [self._last, *times[:-1]]
        if (times < before).any():
            i = int((times < before).argmax())
            raise BadRowsError(
                f"Cannot write {self._path}: got {self._column} {times[i]} after {before[i]}, expected rows "
                "sorted by time. Sort them before writing."
            )
        self._last = times[-1]
        return table


def row_file(table: pa.Table) -> bytes:
    """A small sealed Parquet file of videos rows: no statistics and dictionaries, so that it opens quickly."""
    sink = pa.BufferOutputStream()
    options = {"compression": "none", "use_dictionary": False, "write_statistics": False}
    return _sealed(sink, table, pq.ParquetWriter(sink, table.schema, **options))


def compacted_rows_file(table: pa.Table) -> bytes:
    """A sealed Parquet file of many videos rows, in which one is found by its statistics."""
    sink = pa.BufferOutputStream()
    return _sealed(sink, table, _parquet_writer(sink, table.schema))


def _sealed(sink: pa.BufferOutputStream, table: pa.Table, parquet: pq.ParquetWriter) -> bytes:
    with parquet:
        parquet.write_table(table, row_group_size=_ROWS_PER_GROUP_OF_VIDEOS)
        parquet.add_key_value_metadata({"seal": BLANK})
    return seal(sink.getvalue().to_pybytes())


def _commit_row(row: Mapping[str, Any], files: Sequence[DataFile], previous: Mapping[str, Any] | None) -> pa.Table:
    """The row to write: with its files, and the next revision unless it equals the present row."""
    entries = sorted(map(asdict, files), key=lambda entry: (entry["table"], entry["stage"], entry["path"]))
    revision = previous["revision"] if previous else 0
    what = f"videos row {row['video_id']}"
    table = to_table([{**row, "files": entries, "revision": revision}], VIDEOS, what)
    if table.to_pylist()[0] == previous:
        return table
    return to_table([{**row, "files": entries, "revision": revision + 1}], VIDEOS, what)


def _fingerprint(row: Mapping[str, Any], stage: str) -> str | None:
    return next((entry["fingerprint"] for entry in row["stages"] if entry["stage"] == stage), None)


def _check_row(row: Mapping[str, Any], video_id: str) -> None:
    extra = [name for name in _SET_BY_COMMIT if name in row]
    if extra:
        raise BadRowsError(f"Cannot commit video {video_id!r}: got {extra} in the row, expected commit to set them.")
    status = row.get("status")
    missing = [name for name in ("error_stage", "error_class", "error_message") if row.get(name) is None]
    if status not in ("ok", "failed") or len(missing) != (3 if status == "ok" else 0):
        raise BadRowsError(
            f"Cannot commit video {video_id!r}: got status {status!r} without {missing}, expected 'ok' "
            "with no error columns or 'failed' with error_stage, error_class and error_message."
        )
