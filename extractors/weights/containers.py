"""Read the tensors of a weight file of any kind, without running anything in it."""

from __future__ import annotations

import gzip
import pickle
import shutil
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from extractors.errors import WeightsError
from extractors.weights import torch_archive
from extractors.weights.sniff import HEAD_BYTES, NOT_WEIGHTS, kind_of, kind_of_head
from extractors.weights.unpickle import unpickle

MAX_UNPACKED_BYTES: Final = 32 * 2**30
"""Archives that unpack to more are refused: the largest public file is below 1 GiB."""

_STATE_KEYS = ("model_state", "state_dict", "model_state_dict", "model")


@dataclass(frozen=True, slots=True)
class Contents:
    """What a weight file holds, under the names in the file."""

    container: str
    """`safetensors`, `torch-zip`, `torch-legacy`, `caffe2`, `detectron2`, `pickle` (of plain arrays) or
    `tensorflow`."""
    tensors: Mapping[str, Tensor]
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What else it says in plain text and numbers: PySlowFast's `cfg`, `epoch`, `arch`, our own model name."""


def read_tensors(path: str | Path) -> Contents:
    """The tensors of a weight file, whatever its container.

    An archive (gzip, tar) with one weight file inside is read through. Pickles go through `unpickle`; nothing in a
    file can run.

    Args:
        path: a file; for a TensorFlow checkpoint its `.index` file.
    Raises:
        WeightsError: the file is absent, cut off, not a weight file, several at once, or asks to import something.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"There is no weight file {path}.")
    kind = kind_of(path)
    if kind in NOT_WEIGHTS:
        raise WeightsError(f"{path} ({path.stat().st_size} bytes) is {NOT_WEIGHTS[kind]}")
    try:
        return _READERS[kind](path)
    except WeightsError:
        raise
    except _DAMAGE as error:
        reason = (str(error) or repr(error)).splitlines()[0]
        raise WeightsError(f"{path} is damaged or cut off ({path.stat().st_size} bytes; {reason}). Compare its size "
                           "with the original's and get it again.") from error  # fmt: skip


_DAMAGE = (ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, MemoryError, OSError, RuntimeError,
           TypeError, ValueError, SafetensorError, pickle.UnpicklingError, struct.error, tarfile.TarError,
           zipfile.BadZipFile, zlib.error)  # fmt: skip
"""What readers raise on bytes that are not as they should be."""


def _read_safetensors(path: Path) -> Contents:
    with safe_open(str(path), framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        return Contents("safetensors", tensors, file.metadata() or {})


def _read_zip(path: Path) -> Contents:
    with zipfile.ZipFile(path) as archive:
        names, is_stored = (
            archive.namelist(),
            all(info.compress_type == zipfile.ZIP_STORED for info in archive.filelist),
        )
    inner = {name.split("/", 1)[-1] for name in names}
    if "data.pkl" not in inner:
        raise WeightsError(f"{path} is a zip of {len(names)} files, such as {names[:3]}, but not a file of torch.save. "
                           "Unpack it and give the weight file inside.")  # fmt: skip
    if "constants.pkl" in inner:
        raise WeightsError(f"{path} is a TorchScript program, which cannot be read without running it. Save its "
                           "state_dict() with torch.save where you trust it.")  # fmt: skip
    if not is_stored:
        raise WeightsError(f"{path} has compressed tensors, which torch.save never writes and which may unpack to any "
                           "size. Get the file again.")  # fmt: skip
    return _from_torch("torch-zip", path, torch_archive.read_zip)


def _read_legacy(path: Path) -> Contents:
    return _from_torch("torch-legacy", path, torch_archive.read_legacy)


def _from_torch(container: str, path: Path, read_with_leftovers: Callable[[Path], Any]) -> Contents:
    """torch.load where it admits the file; our own reader where the weights lie beside objects it does not know."""
    try:
        with path.open("rb") as stream:  # given a path, torch.load goes by the extension
            value = torch.load(stream, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        value = read_with_leftovers(path)
    tensors, facts = _state(value, path)
    return Contents(container, tensors, facts)


def _read_pickle(path: Path) -> Contents:
    with path.open("rb") as stream:
        value = unpickle(stream, path.stat().st_size, str(path))
    if isinstance(value, dict) and isinstance(value.get("blobs"), dict):
        tensors, facts = _arrays(value["blobs"])
        return Contents("caffe2", tensors, facts | _plain(value))
    tensors, facts = _state(value, path)
    return Contents("detectron2" if "__author__" in facts else "pickle", tensors, facts)


def _read_tensorflow(path: Path) -> Contents:
    from extractors.weights.tensorflow_bundle import read_bundle

    tensors, facts = _arrays(read_bundle(path))
    return Contents("tensorflow", tensors, facts)


def _read_tar(path: Path) -> Contents:
    with tarfile.open(path) as archive:
        return _read_only_member(archive, path)


def _read_only_member(archive: tarfile.TarFile, path: Path) -> Contents:
    files = [member for member in archive if member.isfile()]
    found = [member for member in files if kind_of_head(_opened(archive, member).read(HEAD_BYTES)) in _READERS]
    if len(found) != 1:
        names = ", ".join(member.name for member in found) or "none"
        raise WeightsError(f"{path} is a tar archive with {len(found)} weight files inside ({names}); expected one. "
                           "Unpack it and give the one you want.")  # fmt: skip
    return _read_unpacked(_opened(archive, found[0]), f"{path}, member {found[0].name}")


def _opened(archive: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    stream = archive.extractfile(member)
    if stream is None:
        raise tarfile.TarError(f"{member.name} cannot be read")
    return stream


def _read_gzip(path: Path) -> Contents:
    with gzip.open(path) as stream:
        if kind_of_head(stream.read(HEAD_BYTES)) == "tar":
            return _read_tar(path)
        stream.seek(0)
        return _read_unpacked(stream, str(path))  # type: ignore[arg-type]


def _read_unpacked(stream: IO[bytes], source: str) -> Contents:
    with tempfile.TemporaryDirectory() as folder:
        unpacked = Path(folder) / "unpacked"
        with unpacked.open("wb") as target:
            while block := stream.read(2**20):
                target.write(block)
                if target.tell() > min(MAX_UNPACKED_BYTES, shutil.disk_usage(folder).free):
                    raise WeightsError(f"{source} unpacks to more than there is room for. Unpack it by hand.")
        if kind_of(unpacked) in ("gzip", "tar"):
            raise WeightsError(f"{source} is an archive within an archive. Unpack it by hand.")
        try:
            return read_tensors(unpacked)
        except WeightsError as error:
            raise WeightsError(str(error).replace(str(unpacked), source)) from error


_READERS: Mapping[str, Callable[[Path], Contents]] = {
    "safetensors": _read_safetensors,
    "zip": _read_zip,
    "torch-legacy": _read_legacy,
    "pickle": _read_pickle,
    "tensorflow": _read_tensorflow,
    "tar": _read_tar,
    "gzip": _read_gzip,
}


def _state(value: Any, path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The state dict in an object, at its top or under one of the usual keys, and the plain facts beside it."""
    if not isinstance(value, dict):
        raise WeightsError(f"{path} holds a {type(value).__name__}; expected a dict of tensors. Save the network's "
                           "state_dict().")  # fmt: skip
    for key in _STATE_KEYS:
        if isinstance(value.get(key), dict) and (found := _arrays(value[key])[0]):
            return found, _plain(value)
    tensors, facts = _arrays(value)
    if not tensors:
        raise WeightsError(f"{path} holds no tensors at its top and none under {', '.join(_STATE_KEYS)}; its keys are: "
                           f"{', '.join(map(str, list(value)[:10])) or 'none'}.")  # fmt: skip
    return tensors, facts


def _arrays(values: Mapping[Any, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    tensors = {str(name): _tensor(value) for name, value in values.items() if isinstance(value, (Tensor, np.ndarray))}
    return tensors, _plain(values)


def _tensor(value: Tensor | np.ndarray) -> Tensor:
    if isinstance(value, Tensor):
        return value.detach()
    native = value.astype(value.dtype.newbyteorder("="), copy=True)  # torch wants native order and memory of its own
    return torch.from_numpy(native if native.dtype.kind != "u" or native.itemsize == 1 else native.astype(np.int64))


def _plain(values: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(key): value for key, value in values.items() if isinstance(value, (str, int, float))}
