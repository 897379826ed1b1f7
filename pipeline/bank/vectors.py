"""Feature vectors by row number, from a memory-mapped copy where there is one, else from the Parquet file.

`compact` leaves a copy of the feature column of each file it wrote in ``_vectors/<sha256>.npy``: a plain
NumPy array of float16, one row for each row of the Parquet file with that sha256. It may be deleted at any
time: the Parquet file is the truth, and without the copy its row groups are decoded. Copies are used on
local disks only.
"""

import logging
import os
from collections.abc import Iterable, Iterator

import numpy as np
from pyarrow import fs as pafs

from pipeline.bank import filesystem
from pipeline.bank.caching import BoundedCache
from pipeline.bank.datafile import DataFile, DataFileReader
from pipeline.bank.naming import is_compacted
from pipeline.bank.rows import vectors_of
from pipeline.bank.schema import FEATURES

FOLDER = "_vectors"
_KEPT_BYTES = 64 << 20
_OPEN_COPIES = 1024
_log = logging.getLogger(__name__)

_HALF_TO_SINGLE = np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(np.float32)


class VectorReader:
    """Reads ranges of rows of feature files. Safe for threads; keeps up to 64 MB of decoded row groups."""

    def __init__(self, fs: pafs.FileSystem, root: str, reader: DataFileReader) -> None:
        self._fs, self._root, self._reader = fs, root, reader
        self._decoded: BoundedCache[np.ndarray] = BoundedCache(_KEPT_BYTES)
        self._copies: BoundedCache[np.ndarray] = BoundedCache(_OPEN_COPIES)

    def read(self, file: DataFile, start: int, stop: int) -> np.ndarray:
        """Rows start to stop of a file, (rows, D) float16, maybe a view. Raises FileNotFoundError."""
        copy = self._copy(file)
        if copy is not None:
            return copy[start:stop]
        starts = self._reader.row_groups(file).starts
        first = int(np.searchsorted(starts, start, "right")) - 1
        last = max(first, int(np.searchsorted(starts, stop, "left")) - 1)
        parts = [
            self._group(file, group)[max(0, start - starts[group]) : stop - starts[group]]
            for group in range(first, last + 1)
        ]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _group(self, file: DataFile, group: int) -> np.ndarray:
        def decode() -> tuple[np.ndarray, int]:
            vectors = vectors_of(self._reader.read_groups(file, [group], ["feature"])["feature"])
            return vectors, vectors.nbytes

        return self._decoded.get_or_make((file.path, file.sha256, group), decode)

    def _copy(self, file: DataFile) -> np.ndarray | None:
        if not has_copy(self._fs, file):
            return None
        try:
            return self._copies.get_or_make(file.sha256, lambda: (self._open_copy(file), 1))
        except FileNotFoundError:
            return None
        except ValueError as error:
            _log.warning("%s; windows are read from %s, slower; `longform compact` makes it anew", error, file.path)
            return None

    def _open_copy(self, file: DataFile) -> np.ndarray:
        return open_copy(copy_path(self._root, file), self._reader.row_groups(file).metadata.num_rows)


def to_float32(halves: np.ndarray) -> np.ndarray:
    """float16 to float32 by a table of all 65,536 values: six times as fast as NumPy's cast."""
    return _HALF_TO_SINGLE.take(halves.view(np.uint16))


def has_copy(fs: pafs.FileSystem, file: DataFile) -> bool:
    """True for files of which `compact` leaves a copy."""
    return filesystem.is_local(fs) and file.table.startswith(FEATURES) and is_compacted(file.path)


def copy_path(root: str, file: DataFile) -> str:
    """Where the copy of a file's feature column is."""
    return filesystem.join(root, FOLDER, f"{file.sha256}.npy")


def open_copy(path: str, rows: int) -> np.ndarray:
    """Map a copy. Raises FileNotFoundError, and ValueError if it is not an array of so many rows."""
    try:
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
    except (EOFError, ValueError) as error:
        raise ValueError(f"{path}: got no NumPy array ({error}), expected float16 of {rows} rows") from error
    if mapped.dtype != np.float16 or mapped.ndim != 2 or len(mapped) != rows:
        raise ValueError(f"{path}: got {mapped.dtype} of shape {mapped.shape}, expected float16 of {rows} rows")
    return mapped.view(np.ndarray)


def update_copies(fs: pafs.FileSystem, root: str, reader: DataFileReader, files: Iterable[DataFile]) -> int:
    """Write the copies that are missing, delete those of other files; returns bytes of all copies.

    Streams row group by row group. A kill leaves whole copies, and temporary files that the next call
    deletes.
    """
    wanted = {copy_path(root, file): file for file in files if has_copy(fs, file)}
    for info in filesystem.list_files(fs, filesystem.join(root, FOLDER)) if filesystem.is_local(fs) else ():
        if info.path not in wanted or not _is_whole(info.path, reader, wanted[info.path]):
            filesystem.delete_quietly(fs, info.path)
    for path, file in wanted.items():
        if not filesystem.exists(fs, path):
            _write_copy(fs, path, reader, file)
    return sum(os.path.getsize(path) for path in wanted)


def copy_differs(fs: pafs.FileSystem, root: str, reader: DataFileReader, file: DataFile) -> bool:
    """True if a file has a copy that is not what the file holds."""
    try:
        copy = open_copy(copy_path(root, file), reader.total_rows(file)) if has_copy(fs, file) else None
    except FileNotFoundError:
        return False
    except ValueError:
        return True
    if copy is None:
        return False
    start = 0
    for vectors in _stream(reader, file):
        if not np.array_equal(copy[start : start + len(vectors)].view(np.uint16), vectors.view(np.uint16)):
            return True
        start += len(vectors)
    return False


def _is_whole(path: str, reader: DataFileReader, file: DataFile) -> bool:
    try:
        open_copy(path, reader.total_rows(file))
    except ValueError:
        return False
    return True


def _write_copy(fs: pafs.FileSystem, path: str, reader: DataFileReader, file: DataFile) -> None:
    with filesystem.publishing(fs, path) as temporary, fs.open_output_stream(temporary) as stream:
        for i, vectors in enumerate(_stream(reader, file)):
            if i == 0:
                shape = (reader.total_rows(file), vectors.shape[1])
                header = {"descr": vectors.dtype.str, "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(stream, header)
            stream.write(np.ascontiguousarray(vectors))


def _stream(reader: DataFileReader, file: DataFile) -> Iterator[np.ndarray]:
    for group in range(reader.row_groups(file).metadata.num_row_groups):
        yield vectors_of(reader.read_groups(file, [group], ["feature"])["feature"])
