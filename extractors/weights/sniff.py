"""What kind of file is it? Told from its first bytes, never from its name.

The extension `.pkl` alone stands for four containers in the public zoos (a Caffe2 pickle, a file of torch.save, a
Detectron2 pickle, a tar), so names say nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

HEAD_BYTES: Final = 512

_TORCH_LEGACY_MAGIC = (0x1950A86A20F9469CFC6C).to_bytes(10, "little")
_LEVELDB_MAGIC = (0xDB4775248B80FB57).to_bytes(8, "little")

NOT_WEIGHTS: Final[Mapping[str, str]] = {
    "empty": "empty: the download failed. Get the file again.",
    "html": "an HTML or XML page, not weights: the download went wrong (a log-in, a notice or an error page was "
    "saved). Open the address in a browser and save the file itself.",
    "git-lfs": "a Git LFS pointer, not the weights: run `git lfs pull` in the repository, or download the file itself.",
    "matlab": "a MATLAB file; no network here has weights in that format. Convert it to safetensors.",
    "hdf5": "an HDF5 file (Keras or MATLAB 7.3); no network here has weights in that format. Convert it to "
    "safetensors.",
    "numpy": "a single NumPy array, not the weights of a network.",
    "unknown": "not a weight file of a kind that we know: safetensors, torch.save, a Caffe2 or Detectron2 pickle, a "
    "TensorFlow index, or a tar or gzip of one of these. Look at what the download gave.",
}
"""Kinds that hold no weights we can read: what they are, and the way out."""

_MAGIC: Mapping[bytes, str] = {
    b"PK\x03\x04": "zip",
    b"\x1f\x8b": "gzip",
    b"version https://git-lfs": "git-lfs",
    b"MATLAB": "matlab",
    b"\x89HDF\r\n\x1a\n": "hdf5",
    b"\x93NUMPY": "numpy",
}

_PICKLE_STARTS = (b"\x80", b"(", b"}", b"]", b"c", b")", b"d", b"l", b"i")


def kind_of(path: str | Path) -> str:
    """The kind of a file: one of `kind_of_head`, or `tensorflow` for the index of a TensorFlow checkpoint."""
    with open(path, "rb") as stream:
        head = stream.read(HEAD_BYTES)
        stream.seek(max(0, Path(path).stat().st_size - len(_LEVELDB_MAGIC)))
        is_table = stream.read() == _LEVELDB_MAGIC
    kind = kind_of_head(head)
    return "tensorflow" if is_table and kind in ("unknown", "pickle") else kind


def kind_of_head(head: bytes) -> str:
    """The kind of a file that begins with these bytes.

    Returns:
        `zip`, `gzip`, `tar`, `safetensors`, `torch-legacy` or `pickle`; else a key of `NOT_WEIGHTS`.
    """
    if not head:
        return "empty"
    for magic, kind in _MAGIC.items():
        if head.startswith(magic):
            return kind
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        return "html"
    if head[257:262] == b"ustar":
        return "tar"
    if head[4:9] == b"\0\0\0\0{":  # the length of a header in JSON, below 4 GiB, and its first byte
        return "safetensors"
    if head[:1] == b"\x80" and _TORCH_LEGACY_MAGIC in head[:32]:
        return "torch-legacy"
    return "pickle" if head[:1] in _PICKLE_STARTS else "unknown"
