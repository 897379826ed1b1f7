"""Damage files on purpose, byte by byte, to see how readers bear it; the same seed does the same damage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

HEADER_BYTES = 4_096

PIXEL_PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c63f8cfc0f01f0005000"
    "1ff89993d1d0000000049454e44ae426082"
)
"""A valid picture of one pixel."""


def damage(source: Path, target: Path, kind: str, seed: int = 0) -> None:
    """Write a damaged copy of a file.

    Args:
        source: a whole video.
        target: the damaged file.
        kind: a key of `DAMAGES`.
        seed: where the damage falls.
    """
    if kind not in DAMAGES:
        raise ValueError(f"Damaging {source}: got kind {kind!r}, expected one of {', '.join(DAMAGES)}.")
    target.write_bytes(DAMAGES[kind](source.read_bytes(), np.random.default_rng(seed)))


def _truncated(data: bytes, rng: np.random.Generator) -> bytes:
    """Ends after 50 to 80 % of its bytes, as an interrupted download; an mp4 loses its index."""
    return data[: int(len(data) * rng.uniform(0.5, 0.8))]


def _bytes_flipped(data: bytes, rng: np.random.Generator) -> bytes:
    """One byte in 2,000 is changed, past the header and before the last eighth, where mp4 keeps its index."""
    first, last = min(HEADER_BYTES, len(data) // 4), len(data) - len(data) // 8
    places = rng.integers(first, max(first + 1, last), max(8, len(data) // 2_000))
    damaged = np.frombuffer(data, np.uint8).copy()
    damaged[places] ^= rng.integers(1, 256, len(places)).astype(np.uint8)
    return damaged.tobytes()


def _header_destroyed(data: bytes, rng: np.random.Generator) -> bytes:
    """The first 4 KiB are random."""
    length = min(HEADER_BYTES, len(data))
    return rng.bytes(length) + data[length:]


def _tail_garbage(data: bytes, rng: np.random.Generator) -> bytes:
    """A whole file with 64 KiB of random bytes behind it."""
    return data + rng.bytes(65_536)


def _zeros_inside(data: bytes, rng: np.random.Generator) -> bytes:
    """A twentieth of the file in its middle is zero, as a disk that lost blocks."""
    length = len(data) // 20
    first = int(len(data) * rng.uniform(0.4, 0.6))
    return data[:first] + bytes(length) + data[first + length :]


def _text(data: bytes, rng: np.random.Generator) -> bytes:
    """Text under a video's name."""
    return b"This is not a video.\n" * 200


def _image(data: bytes, rng: np.random.Generator) -> bytes:
    """A picture under a video's name."""
    return PIXEL_PNG


def _random(data: bytes, rng: np.random.Generator) -> bytes:
    """Random bytes, as many as before."""
    return rng.bytes(len(data))


def _empty(data: bytes, rng: np.random.Generator) -> bytes:
    """No bytes."""
    return b""


DAMAGES: dict[str, Callable[[bytes, np.random.Generator], bytes]] = {
    "truncated": _truncated,
    "bytes_flipped": _bytes_flipped,
    "header_destroyed": _header_destroyed,
    "tail_garbage": _tail_garbage,
    "zeros_inside": _zeros_inside,
    "wrong_extension": _text,
    "wrong_extension_image": _image,
    "random": _random,
    "empty": _empty,
}
"""Ways to damage a file; their docstrings say what each does."""
