"""Video ids and the file names made from them.

An id keeps what a person recognises and escapes the rest, so that two paths never share an id:

    people/Zoë's clip.mp4  ->  people~Zoë%27s%20clip.mp4
"""

import hashlib
import os

from pipeline.bank.errors import BankError

MAX_ID_BYTES = 180
LONG_ID_KEPT_BYTES = 120
COMPACTED = "@compacted"
"""First part of the names of files that hold many videos; "@" occurs in no video id."""

_PLAIN = frozenset(".-_")
_HIDDEN = ("_", ".")  # dataset readers (Arrow, DuckDB, Spark) skip names that start so


def video_id_for(relative_path: str) -> str:
    """The video id of a path relative to the input root: injective, and safe as a file name.

    Unicode letters, digits, ``.``, ``-`` and ``_`` stay; ``/`` becomes ``~``; every other byte of the
    UTF-8 (surrogateescape) form becomes ``%XX``, and so does a leading ``_`` or ``.``. What is longer
    than 180 bytes keeps its first 120 and gets ``~~`` and 16 hex digits of the path's sha256.
    Raises BankError for an empty path or one that has no byte form.
    """
    path = relative_path.replace(os.sep, "/")
    if not path:
        raise BankError("No video id for an empty path: got '', expected a path below the input root.")
    try:
        raw = path.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise BankError(
            f"No video id for {path!r}: got a character without a UTF-8 form, expected a file name as the "
            "operating system gives it. Rename the file, or give its video_id in a list of videos."
        ) from error
    video_id = "".join(_escape(path, i) for i in range(len(path)))
    encoded = video_id.encode("utf-8")
    if len(encoded) <= MAX_ID_BYTES:
        return video_id
    head = encoded[:LONG_ID_KEPT_BYTES].decode("utf-8", "ignore")
    return f"{head}~~{hashlib.sha256(raw).hexdigest()[:16]}"


def _escape(path: str, i: int) -> str:
    char = path[i]
    if char == "/":  # "~~" is kept for shortened ids, so the second of two slashes is escaped
        return "%2F" if i and path[i - 1] == "/" else "~"
    if (char.isalnum() or char in _PLAIN) and not (i == 0 and char in _HIDDEN):
        return char
    return "".join(f"%{byte:02X}" for byte in char.encode("utf-8", "surrogateescape"))


def is_id_character(char: str) -> bool:
    """True for the characters that a video id may hold."""
    return char.isalnum() or char in _PLAIN or char in "~%"


def file_stem(video_id: str) -> str:
    """The first part of the names of a video's files: the id, behind an ``@`` if readers would skip it.

    Ids given by the user may start with ``_`` (YouTube ids do).
    """
    return f"@{video_id}" if video_id.startswith(_HIDDEN) else video_id


def is_compacted(path: str) -> bool:
    """True for a file written by `compact`, which holds rows of many videos."""
    return path.rsplit("/", 1)[-1].startswith(COMPACTED + ".")
