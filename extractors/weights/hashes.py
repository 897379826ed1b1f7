"""Hashes of files of any size."""

from __future__ import annotations

import hashlib
from pathlib import Path

_BLOCK_BYTES = 2**20


def digest_of(path: str | Path, algorithm: str) -> str:
    """Hexadecimal digest of a file's bytes by one of hashlib's algorithms."""
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with open(path, "rb") as stream:
        while block := stream.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def sha256_of(path: str | Path) -> str:
    """Hexadecimal sha256 of a file's bytes."""
    return digest_of(path, "sha256")
