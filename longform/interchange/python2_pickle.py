"""Write a dict of float32 arrays as a pickle that Python 2 and Python 3 read, entry by entry.

The code of Long-Term Feature Banks is Python 2, and its files are larger than the memory one wants to spend. Protocol 2
with names of NumPy that every version has; strings are Python 2's, so Python 3 reads it with `encoding="latin1"`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np

from longform.interchange.errors import InterchangeError

Pairs = Iterator[tuple[int | str, Any]]
"""The entries of a dict, made one after another."""

_PROTOCOL_2, _STOP = b"\x80\x02", b"."
_RECONSTRUCT, _NDARRAY, _FLOAT32 = b"h\x00", b"h\x01", b"h\x02"
_INTRODUCTION = (
    b"cnumpy.core.multiarray\n_reconstruct\nq\x000"
    b"cnumpy\nndarray\nq\x010"
    b"cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tbq\x020"
)
"""Puts the function, the class and the dtype `<f4` under the numbers 0, 1 and 2 of the memo, and off the stack."""


def write_python2_pickle(file: BinaryIO, entries: Pairs) -> None:
    """Write one dict.

    Args:
        entries: keys are int (32 bits) or str; values are float32 arrays, lists of values, or again `Pairs`.
    Raises:
        InterchangeError: another key or value.
    """
    file.write(_PROTOCOL_2 + _INTRODUCTION)
    _write(file, entries)
    file.write(_STOP)


def _write(file: BinaryIO, value: Any) -> None:
    if isinstance(value, np.ndarray) and value.dtype == np.float32:
        _write_array(file, value)
    elif isinstance(value, list):
        file.write(b"](")
        for item in value:
            _write(file, item)
        file.write(b"e")
    elif isinstance(value, Iterator):
        file.write(b"}")
        for key, item in value:
            file.write(_key(key))
            _write(file, item)
            file.write(b"s")
    else:
        raise InterchangeError(f"Cannot write a {type(value).__name__} into a pickle of features.")


def _key(key: int | str) -> bytes:
    if isinstance(key, str) and len(text := key.encode()) < 256:
        return b"U" + bytes([len(text)]) + text
    if isinstance(key, int) and -(1 << 31) <= key < 1 << 31:
        return b"J" + struct.pack("<i", key)
    raise InterchangeError(f"Cannot write the key {key!r} into a pickle of features.")


def _write_array(file: BinaryIO, array: np.ndarray) -> None:
    shape = b"(" + b"".join(map(_key, array.shape)) + b"t"
    data = np.ascontiguousarray(array, "<f4").tobytes()
    file.write(_RECONSTRUCT + _NDARRAY + b"K\x00\x85U\x01b\x87R")
    file.write(b"(K\x01" + shape + _FLOAT32 + b"\x89T" + struct.pack("<I", len(data)))
    file.write(data)
    file.write(b"tb")
