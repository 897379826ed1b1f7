"""A file of another project: what a bank notes of it, and the objects in it, read without running anything."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from extractors.weights.hashes import sha256_of
from extractors.weights.unpickle import Call, unpickle
from longform.interchange.errors import InterchangeError

MAX_COMPRESSION = 200
"""Bytes of an entry for each byte of it in the archive. Features hardly shrink; what shrinks more is a trap."""

_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceFile:
    """A file and what identifies its content."""

    path: Path
    sha256: str
    bytes: int
    mtime_s: float

    @classmethod
    def of(cls, path: Path) -> SourceFile:
        """Reads the whole file once. Raises InterchangeError if it cannot be read."""
        with _readable(path):
            stat = path.stat()
            return cls(path=path, sha256=sha256_of(path), bytes=stat.st_size, mtime_s=stat.st_mtime)


def read_pickle(path: Path) -> Any:
    """The object of a pickle, of Python 2 too: numbers, strings, containers and numeric arrays.

    Raises:
        WeightsError: it holds or asks for anything else, or it is damaged.
        InterchangeError: it cannot be read.
    """
    with _readable(path), open(path, "rb") as file:
        return _unpickled(file, path.stat().st_size, str(path))


def read_object_npz(path: Path, entry: str) -> Any:
    """The one object that `numpy.savez(path, entry=object)` has put into an archive.

    Raises:
        WeightsError: its pickle holds or asks for more than plain data, or is damaged.
        InterchangeError: it cannot be read, or holds something else.
    """
    with _readable(path), zipfile.ZipFile(path) as archive:
        name = f"{entry}.npy"
        if name not in archive.namelist():
            raise InterchangeError(f"{path} has no array {entry!r}: got {archive.namelist()[:5]}.")
        info = archive.getinfo(name)
        if info.file_size > MAX_COMPRESSION * max(1, info.compress_size):
            raise InterchangeError(
                f"{path}: {name} claims {info.file_size} bytes in {info.compress_size}, which no features do; refused."
            )
        data = io.BytesIO(archive.read(info))
    version = np.lib.format.read_magic(data)
    if version not in _HEADERS:
        raise InterchangeError(
            f"{path}: {name} has version {version} of NumPy's format; expected one of {[*_HEADERS]}."
        )
    shape, _, dtype = _HEADERS[version](data)
    if not dtype.hasobject or shape != ():
        raise InterchangeError(f"{path}: {name} is an array {shape} of {dtype}; expected one object, such as a dict.")
    array = _unpickled(data, info.file_size - data.tell(), f"{path} ({name})")
    if not isinstance(array, np.ndarray) or array.shape != ():
        raise InterchangeError(f"{path}: {name} holds a {type(array).__name__}; expected an array of one object.")
    return array.item()


def _unpickled(stream: BinaryIO, size: int, source: str) -> Any:
    return unpickle(stream, size, source, calls=_PLAIN_CALLS, names=_FACTORIES, object_arrays=True)


def _plain_dict(machine: object, factory: object = None) -> dict[Any, Any]:
    return {}


_PLAIN_CALLS: dict[str, Call] = {"collections.defaultdict": _plain_dict}
_FACTORIES = frozenset({f"{module}.{name}" for module in ("builtins", "__builtin__") for name in ("dict", "list")})
"""What a defaultdict is made with. They are never called."""


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        if isinstance(error, InterchangeError) or type(error).__module__.startswith("extractors."):
            raise
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
        raise InterchangeError(f"Cannot read {path}: {reason}. Check the path, or get the file again.") from error
