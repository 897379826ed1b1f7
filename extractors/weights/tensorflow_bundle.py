"""Read a TensorFlow checkpoint (`model.ckpt.index` and `model.ckpt.data-?????-of-?????`) without TensorFlow.

The index is a LevelDB table (google/leveldb, doc/table_format.md) of tensor name to a BundleEntryProto
(tensorflow/core/protobuf/tensor_bundle.proto); the data files hold the values, little-endian, at the places it names.
Every block of the index and every tensor carries a CRC-32C, and both are checked.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from extractors.errors import WeightsError

_FOOTER_BYTES = 48
_TABLE_MAGIC = 0xDB4775248B80FB57
_BLOCK_TRAILER_BYTES = 5
_DTYPES = {1: "<f4", 2: "<f8", 3: "<i4", 9: "<i8"}
"""By TensorFlow's number of the type."""
_CASTAGNOLI = 0x82F63B78


@dataclass(frozen=True, slots=True)
class _Entry:
    """Where the values of one tensor are."""

    dtype: int
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    crc: int | None
    sliced: bool


def read_bundle(index_path: Path) -> dict[str, NDArray[np.generic]]:
    """All tensors of a checkpoint, by name.

    Args:
        index_path: the `.index` file; the data files must lie beside it under the same name.
    Raises:
        WeightsError: a file is absent, damaged, cut short or of a kind that is not read here; the message names the
            file and, where it is one, the tensor.
    """
    if index_path.suffix != ".index":
        raise WeightsError(f"{index_path} is not the index of a TensorFlow checkpoint; give the file ending in .index.")
    shards, entries = _read_index(index_path)
    paths = [index_path.with_suffix(f".data-{shard:05d}-of-{shards:05d}") for shard in range(shards)]
    missing = [str(path) for path in paths if not path.is_file()]
    if missing:
        raise WeightsError(f"{index_path} needs {', '.join(missing)} beside it; get every file of the checkpoint.")
    data = [np.memmap(path, np.uint8, "r") if path.stat().st_size else np.empty(0, np.uint8) for path in paths]
    return {name: _tensor(name, entry, paths, data) for name, entry in entries.items()}


def _read_index(path: Path) -> tuple[int, dict[str, _Entry]]:
    """Number of data files, and every tensor's entry."""
    try:
        table = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"Cannot read {path}: {error}.") from error
    try:
        records = dict(_table_records(table))
        shards = _shard_count(records.pop(b"", b""))
        return shards, {name.decode(): _entry(value) for name, value in records.items()}
    except (ValueError, IndexError, struct.error) as error:
        raise WeightsError(f"{path} is not a readable index of a TensorFlow checkpoint: {error}.") from error


def _tensor(name: str, entry: _Entry, paths: list[Path], data: list[NDArray[np.uint8]]) -> NDArray[np.generic]:
    if entry.dtype not in _DTYPES or entry.sliced:
        what = "is stored in slices" if entry.sliced else f"has TensorFlow's dtype {entry.dtype}"
        raise WeightsError(f"Tensor {name!r} {what}; this reader takes whole float and integer tensors only.")
    if entry.shard >= len(paths):
        raise WeightsError(f"Tensor {name!r} is in data file {entry.shard} of {len(paths)}: the index is damaged.")
    path, dtype = paths[entry.shard], np.dtype(_DTYPES[entry.dtype])
    if entry.size != dtype.itemsize * int(np.prod(entry.shape)):
        raise WeightsError(f"Tensor {name!r} has shape {entry.shape} but {entry.size} bytes: the index is damaged.")
    raw = data[entry.shard][entry.offset : entry.offset + entry.size]
    if len(raw) != entry.size:
        raise WeightsError(
            f"{path} ends inside tensor {name!r}: {len(raw)} of {entry.size} bytes are there. Get the file again."
        )
    if entry.crc is not None and _masked(crc32c(raw)) != entry.crc:
        raise WeightsError(f"{path} is damaged in tensor {name!r}: its checksum does not fit. Get the file again.")
    return np.array(raw).view(dtype).reshape(entry.shape)


def _table_records(table: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a LevelDB table, through its index block."""
    if len(table) < _FOOTER_BYTES or struct.unpack("<Q", table[-8:])[0] != _TABLE_MAGIC:
        raise ValueError("it does not end like a LevelDB table, or is cut short")
    footer = table[-_FOOTER_BYTES:]
    _, _, at = _handle(footer, 0)
    offset, size, _ = _handle(footer, at)
    for _, handle in _block_records(_block(table, offset, size)):
        yield from _block_records(_block(table, *_handle(handle, 0)[:2]))


def _block(table: bytes, offset: int, size: int) -> bytes:
    whole = table[offset : offset + size + _BLOCK_TRAILER_BYTES]
    if len(whole) != size + _BLOCK_TRAILER_BYTES:
        raise ValueError("a block lies outside the file")
    compression, crc = struct.unpack("<BI", whole[size:])
    if compression != 0:
        raise ValueError(f"a block is compressed (type {compression}), which TensorFlow does not do")
    if _masked(crc32c(np.frombuffer(whole[: size + 1], np.uint8))) != crc:
        raise ValueError("the checksum of a block does not fit")
    return whole[:size]


def _block_records(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Records before the restart points; each key repeats the start of the one before."""
    (restarts,) = struct.unpack("<I", block[-4:])
    end = len(block) - 4 - 4 * restarts
    at, key = 0, b""
    while at < end:
        shared, at = _varint(block, at)
        fresh, at = _varint(block, at)
        size, at = _varint(block, at)
        key = key[:shared] + block[at : at + fresh]
        at += fresh
        yield key, block[at : at + size]
        at += size


def _handle(data: bytes, at: int) -> tuple[int, int, int]:
    """(offset and size of a block, where the handle ends)."""
    offset, at = _varint(data, at)
    size, at = _varint(data, at)
    return offset, size, at


def _shard_count(header: bytes) -> int:
    """Of a BundleHeaderProto: 1 number of data files, 2 endianness (0 is little)."""
    fields = _fields(header)
    if _number(fields, 2):
        raise ValueError("its values are big-endian")
    if 1 not in fields:
        raise ValueError("it has no header")
    return _number(fields, 1)


def _entry(value: bytes) -> _Entry:
    """A BundleEntryProto: 1 dtype, 2 shape, 3 shard, 4 offset, 5 size, 6 masked CRC-32C, 7 slices."""
    fields = _fields(value)
    shapes = (shape for shape in fields.get(2, []) if isinstance(shape, bytes))
    dims = [dim for shape in shapes for dim in _fields(shape).get(2, []) if isinstance(dim, bytes)]
    return _Entry(
        dtype=_number(fields, 1),
        shape=tuple(_number(_fields(dim), 1) for dim in dims),
        shard=_number(fields, 3),
        offset=_number(fields, 4),
        size=_number(fields, 5),
        crc=_number(fields, 6) if 6 in fields else None,
        sliced=7 in fields,
    )


def _number(fields: dict[int, list[int | bytes]], field: int) -> int:
    """The last value of a numeric field; 0, protobuf's default, where it is absent."""
    value = fields.get(field, [0])[-1]
    if isinstance(value, bytes):
        raise ValueError(f"field {field} of an entry is not a number")
    return value


def _fields(message: bytes) -> dict[int, list[int | bytes]]:
    """Fields of a protobuf message: numbers, and bytes where the field has a length."""
    fields: dict[int, list[int | bytes]] = {}
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        value: int | bytes
        if tag & 7 == 0:
            value, at = _varint(message, at)
        elif tag & 7 == 2:
            size, at = _varint(message, at)
            value, at = message[at : at + size], at + size
        elif tag & 7 == 5:
            value, at = struct.unpack_from("<I", message, at)[0], at + 4
        else:
            raise ValueError(f"a field has the wire type {tag & 7}")
        fields.setdefault(tag >> 3, []).append(value)
    return fields


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """(a number in base 128, lowest digit first; where it ends)."""
    value = shift = 0
    while data[at] & 0x80:
        value |= (data[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
    return value | data[at] << shift, at + 1


def crc32c(data: NDArray[np.uint8]) -> int:
    """CRC-32C (Castagnoli, RFC 3720) of bytes.

    The data are cut into lanes that advance together, one byte of each per step. The register is linear over
    GF(2), so that the lanes join by advancing each result over the zeros of the lane that follows.
    """
    table, lanes = _crc_table(), max(math.isqrt(len(data)), 1)
    length = len(data) // lanes
    registers = np.zeros(lanes, np.uint32)
    for column in np.ascontiguousarray(data[: lanes * length].reshape(lanes, length).T):
        registers = table[(registers ^ column) & 0xFF] ^ (registers >> np.uint32(8))
    state = _joined(registers, length, 0xFFFFFFFF)
    for byte in data[lanes * length :].tolist():
        state = int(table[(state ^ byte) & 0xFF]) ^ (state >> 8)
    return state ^ 0xFFFFFFFF


def _joined(registers: NDArray[np.uint32], length: int, state: int) -> int:
    """The register after all lanes of `length` bytes, from `state` before the first."""
    images = np.uint32(1) << np.arange(32, dtype=np.uint32)
    for _ in range(length):
        images = _crc_table()[images & 0xFF] ^ (images >> np.uint32(8))
    advanced_bits = images.tolist()
    for register in registers.tolist():
        advanced = 0
        for bit in range(32):
            if state >> bit & 1:
                advanced ^= advanced_bits[bit]
        state = advanced ^ register
    return state


@lru_cache(maxsize=1)
def _crc_table() -> NDArray[np.uint32]:
    """(256,): the register after one byte, for every byte."""
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, table >> np.uint32(1) ^ np.uint32(_CASTAGNOLI), table >> np.uint32(1))
    return table.astype(np.uint32)


def _masked(crc: int) -> int:
    """As LevelDB and TensorFlow store a CRC, so that data holding CRCs have useful CRCs too."""
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
