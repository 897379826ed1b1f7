"""Read files of torch.save whose weights lie beside objects that `torch.load(weights_only=True)` does not admit.

Training scripts leave their options, counters and NumPy numbers in a checkpoint. torch.load then refuses the whole
file; here the pickle goes through our own interpreter (`unpickle`), which refuses whatever could run and drops the
rest. Only strided CPU tensors are read: that is what weight files hold.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from extractors.weights.unpickle import Inert, unpickle

_STORAGES: Mapping[str, torch.dtype] = {
    "torch.DoubleStorage": torch.float64,
    "torch.FloatStorage": torch.float32,
    "torch.HalfStorage": torch.float16,
    "torch.BFloat16Storage": torch.bfloat16,
    "torch.LongStorage": torch.int64,
    "torch.IntStorage": torch.int32,
    "torch.ShortStorage": torch.int16,
    "torch.CharStorage": torch.int8,
    "torch.ByteStorage": torch.uint8,
    "torch.BoolStorage": torch.bool,
}


def read_zip(path: Path) -> Any:
    """The object in a zip file of torch.save (torch 1.6 and later).

    Raises:
        WeightsError: it asks to import something else.
        LookupError, OSError, ValueError, zipfile.BadZipFile: it is damaged.
    """
    with zipfile.ZipFile(path) as archive:
        return _read_records(archive, path)


def _read_records(archive: zipfile.ZipFile, path: Path) -> Any:
    main = next(info for info in archive.infolist() if info.filename.split("/", 1)[-1] == "data.pkl")
    folder = main.filename.removesuffix("data.pkl")
    read: dict[str, Tensor] = {}

    def storage(key: tuple[Any, ...]) -> Tensor:
        _, kind, name, _, count = key[:5]
        if name not in read:
            record = archive.getinfo(f"{folder}data/{name}")
            read[name] = _values(archive.read(record), _STORAGES[kind.name], count)
        return read[name]

    with archive.open(main) as stream:
        return _unpickle(stream, main.file_size, path, storage)  # type: ignore[arg-type]


def read_legacy(path: Path) -> Any:
    """The object in a file of torch.save before 1.6: pickles of a number, a version, the system, the object and the
    order of its storages, and then the bytes of each.

    Raises:
        WeightsError: it asks to import something else.
        LookupError, TypeError, ValueError: it is damaged.
    """
    size = path.stat().st_size
    empty: dict[str, Tensor] = {}

    def storage(key: tuple[Any, ...]) -> Tensor:
        _, kind, name, _, count = key[:5]
        if count * _STORAGES[kind.name].itemsize > size:
            raise ValueError(f"{count} numbers in a file of {size} bytes")
        return empty.setdefault(name, torch.empty(count, dtype=_STORAGES[kind.name]))

    with path.open("rb") as stream:
        for _ in range(3):
            unpickle(stream, size, str(path))
        value = _unpickle(stream, size, path, storage)
        for name in unpickle(stream, size, str(path)):
            target = empty[name]
            stream.seek(8, 1)  # how many numbers follow, which `target` knows
            data = stream.read(target.numel() * target.itemsize)
            target.copy_(_values(data, target.dtype, target.numel()))
    return value


def _values(data: bytes, dtype: torch.dtype, count: int) -> Tensor:
    if len(data) != count * dtype.itemsize:
        raise ValueError(f"{count} numbers of {dtype} in {len(data)} bytes")
    return torch.frombuffer(bytearray(data), dtype=dtype) if count else torch.empty(0, dtype=dtype)


def _unpickle(stream: BinaryIO, size: int, path: Path, storage: Callable[[tuple[Any, ...]], Tensor]) -> Any:
    return unpickle(
        stream, size, str(path), calls=_CALLS, names=frozenset(_STORAGES), persistent=lambda key: storage(key)
    )


def _tensor(machine: object, storage: Tensor, offset: int, shape: Any, stride: Any, *_: Any) -> Tensor:
    if math.prod(shape) > storage.numel():
        raise ValueError(f"a tensor of shape {tuple(shape)} over {storage.numel()} numbers")
    return storage.as_strided(tuple(shape), tuple(stride), offset)


def _parameter(machine: object, value: Tensor, *_: Any) -> Tensor:
    return value


def _dropped(machine: object, *_: Any) -> Inert:
    return Inert()


_CALLS: Mapping[str, Callable[..., Any]] = {
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "collections.defaultdict": _dropped,
}
