"""Read a TensorFlow checkpoint that the test writes, whole and damaged."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from extractors.errors import WeightsError
from extractors.weights.tensorflow_bundle import crc32c, read_bundle

TENSORS: dict[str, NDArray[np.generic]] = {
    "Conv/b": np.arange(7, dtype=np.float32),
    "Conv/steps": np.array(70_000_000_000, np.int64),
    "Conv/w": np.random.RandomState(0).standard_normal((3, 5, 7, 11, 2)).astype(np.float32),
    "Logits/w": np.zeros((0, 4), np.float32),
}


def slow_crc32c(data: bytes) -> int:
    """Bit by bit, from RFC 3720's polynomial."""
    state = 0xFFFFFFFF
    for byte in data:
        state ^= byte
        for _ in range(8):
            state = state >> 1 ^ (0x82F63B78 if state & 1 else 0)
    return state ^ 0xFFFFFFFF


def masked(data: bytes) -> bytes:
    crc = slow_crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def varint(value: int) -> bytes:
    digits = bytearray()
    while value >= 0x80:
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*digits, value])


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def message(field: int, content: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(content)) + content


def block(records: list[tuple[bytes, bytes]]) -> bytes:
    """A LevelDB block with shared key prefixes and one restart point."""
    content, before = b"", b""
    for key, value in records:
        shared = next(
            (i for i, (a, b) in enumerate(zip(before, key, strict=False)) if a != b), min(map(len, (before, key)))
        )
        content += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        before = key
    return content + struct.pack("<II", 0, 1)


def write_table(path: Path, records: list[tuple[bytes, bytes]], compression: int = 0) -> None:
    """Records in two data blocks, an empty metaindex, the index and the footer."""
    table, handles = b"", []
    half = len(records) // 2
    index: list[tuple[bytes, bytes]] = []
    for part in (records[:half], records[half:], [], index):
        content = block(part)
        handle = varint(len(table)) + varint(len(content))
        handles.append(handle)
        if part and part is not index:
            index.append((part[-1][0], handle))
        kind = bytes([compression])
        table += content + kind + masked(content + kind)
    footer = (handles[2] + handles[3]).ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57)
    path.write_bytes(table + footer)


def write_bundle(folder: Path, **header: int) -> Path:
    """The checkpoint `model.ckpt` of `TENSORS` in two data files; returns the index."""
    numbers = {np.dtype(np.float32): 1, np.dtype(np.int64): 9}
    shards = [b"", b""]
    records = [(b"", number(1, 2) + number(2, header.get("endianness", 0)))]
    for i, (name, array) in enumerate(TENSORS.items()):
        raw, shard = array.tobytes(), i % 2
        shape = b"".join(message(2, number(1, size)) for size in array.shape)
        entry = number(1, header.get("dtype", numbers[array.dtype])) + message(2, shape) + number(3, shard)
        entry += number(4, len(shards[shard])) + number(5, len(raw)) + varint(6 << 3 | 5) + masked(raw)
        records.append((name.encode(), entry))
        shards[shard] += raw
    for i, data in enumerate(shards):
        (folder / f"model.ckpt.data-{i:05d}-of-00002").write_bytes(data)
    write_table(folder / "model.ckpt.index", records, header.get("compression", 0))
    return folder / "model.ckpt.index"


def test_every_tensor_comes_back(tmp_path: Path) -> None:
    tensors = read_bundle(write_bundle(tmp_path))
    assert list(tensors) == list(TENSORS)
    for name, array in TENSORS.items():
        assert tensors[name].dtype == array.dtype
        assert tensors[name].shape == array.shape
        assert np.array_equal(tensors[name], array)
        assert tensors[name].flags.writeable  # torch.from_numpy wants it


@pytest.mark.parametrize("length", [0, 1, 2, 9, 63, 64, 65, 1000, 4099])
def test_checksum_equals_the_plain_algorithm(length: int) -> None:
    data = np.random.RandomState(length).randint(0, 256, length).astype(np.uint8)
    assert crc32c(data) == slow_crc32c(data.tobytes())


def test_checksum_of_the_standard_check_string() -> None:
    assert crc32c(np.frombuffer(b"123456789", np.uint8)) == 0xE3069283


def test_a_changed_value_is_found_and_named(tmp_path: Path) -> None:
    index = write_bundle(tmp_path)
    data = tmp_path / "model.ckpt.data-00000-of-00002"
    changed = bytearray(data.read_bytes())
    changed[100] ^= 4
    data.write_bytes(changed)
    with pytest.raises(WeightsError, match=r"data-00000-of-00002 is damaged in tensor 'Conv/w'"):
        read_bundle(index)


@pytest.mark.parametrize("kept", [0, 40])
def test_a_truncated_data_file_is_named(tmp_path: Path, kept: int) -> None:
    index = write_bundle(tmp_path)
    data = tmp_path / "model.ckpt.data-00000-of-00002"
    data.write_bytes(data.read_bytes()[:kept])
    with pytest.raises(WeightsError, match=r"data-00000-of-00002 ends inside tensor 'Conv/"):
        read_bundle(index)


def test_a_missing_data_file_is_named(tmp_path: Path) -> None:
    index = write_bundle(tmp_path)
    (tmp_path / "model.ckpt.data-00001-of-00002").unlink()
    with pytest.raises(WeightsError, match=r"needs .*data-00001-of-00002 beside it"):
        read_bundle(index)


def test_a_truncated_index_is_refused(tmp_path: Path) -> None:
    index = write_bundle(tmp_path)
    whole = index.read_bytes()
    for length in range(0, len(whole), 7):
        index.write_bytes(whole[:length])
        with pytest.raises(WeightsError, match=r"model\.ckpt\.index"):
            read_bundle(index)


def test_a_changed_byte_of_the_index_is_found(tmp_path: Path) -> None:
    index = write_bundle(tmp_path)
    whole = index.read_bytes()
    in_data_blocks = range(0, whole.index(b"Logits/w"), 5)
    assert len(in_data_blocks) > 20
    for at in [*in_data_blocks, len(whole) - 1]:
        index.write_bytes(whole[:at] + bytes([whole[at] ^ 0x20]) + whole[at + 1 :])
        with pytest.raises(WeightsError, match=r"model\.ckpt\.index"):
            read_bundle(index)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"compression": 1}, "compressed"),
        ({"endianness": 1}, "big-endian"),
        ({"dtype": 7}, "TensorFlow's dtype 7"),
        ({"dtype": 2}, "the index is damaged"),
    ],
)
def test_what_is_not_read_is_refused(tmp_path: Path, header: dict[str, int], message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        read_bundle(write_bundle(tmp_path, **header))


def test_an_index_without_a_header_is_refused(tmp_path: Path) -> None:
    write_table(tmp_path / "model.ckpt.index", [(b"a", b""), (b"b", b"")])
    with pytest.raises(WeightsError, match="no header"):
        read_bundle(tmp_path / "model.ckpt.index")


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"ending in \.index"):
        read_bundle(tmp_path / "model.ckpt.meta")
    with pytest.raises(WeightsError, match="Cannot read"):
        read_bundle(tmp_path / "absent.index")
