"""A checksum that a small file carries within itself, so that one write renews the file and its checksum.

Data files have their sha256 in the videos rows. The rows themselves and bank.json are what everything else
hangs on, and no other file vouches for them: each holds `BLANK` once, with the sha256 of the whole file, taken
while the digits were still zeros, in place of the zeros. The word stands on both sides of the digits, so no
single flipped bit makes a sealed file look like one that never had a seal.
"""

import enum
import hashlib
import re

_WORD = "longform-seal"
BLANK = f"{_WORD} {64 * '0'} {_WORD}"
"""What a file to be sealed must hold."""

_SEALED = re.compile(f"{_WORD} ([0-9a-f]{{64}}) {_WORD}".encode())


class SealState(enum.Enum):
    """What the seal says of a file."""

    WHOLE = "whole"
    BROKEN = "broken"
    """The bytes are not those that were written."""
    NONE = "none"
    """Written by a version of this program that made no seals."""


def seal(data: bytes) -> bytes:
    """`data` with the last `BLANK` in it filled in. Raises ValueError if there is none."""
    start = data.rindex(BLANK.encode())
    return _with_digits(data, start + len(_WORD) + 1, hashlib.sha256(data).hexdigest().encode())


def seal_state(data: bytes) -> SealState:
    """Whether the bytes of a file are those that were sealed."""
    found = list(_SEALED.finditer(data))
    if not found:
        return SealState.BROKEN if _WORD.encode() in data else SealState.NONE
    blank = _with_digits(data, found[-1].start(1), 64 * b"0")
    is_whole = hashlib.sha256(blank).hexdigest().encode() == found[-1].group(1)
    return SealState.WHOLE if is_whole else SealState.BROKEN


def _with_digits(data: bytes, start: int, digits: bytes) -> bytes:
    return data[:start] + digits + data[start + len(digits) :]
