"""Download one large file over HTTP: in pieces, going on after a break, into a `.part` file beside its place."""

from __future__ import annotations

import re
import shutil
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import BinaryIO, Final

from extractors.errors import WeightsError

Progress = Callable[[int, int | None], None]
"""Called with the bytes that are here, and the bytes there will be if the server says so."""

TIMEOUT_S: Final = 30.0
ATTEMPTS: Final = 5
"""Connections that may break off before we give up; the next call goes on where they came to."""

_BLOCK_BYTES = 2**18


def download(url: str, path: Path, name: str, progress: Progress | None = None) -> Path:
    """Bring a file to `<path>.part`, complete but not checked.

    Args:
        path: its final place.
        name: of its card, for messages.
    Raises:
        WeightsError: out of reach, refused by the server, broken off for good, or no room. What came is kept, and the
            next call goes on from there if the server still has the same file.
    """
    way_out = (f"Download {url} by hand, on another machine if need be, and run `longform weights add {name} FILE`; "
               f"the file will lie at {path}.")  # fmt: skip
    if urllib.parse.urlsplit(url).hostname == "drive.google.com":
        raise WeightsError(f"Google Drive gives large files to a browser only. {way_out}")
    part = path.with_name(f"{path.name}.part")
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        return _download(url, part, progress)
    except urllib.error.HTTPError as error:
        raise WeightsError(f"{url}: the server answers {error.code} {error.reason}. {way_out}") from error
    except (HTTPException, urllib.error.URLError, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", None) or error
        raise WeightsError(f"{url} is out of reach ({reason}). {way_out}") from error
    except OSError as error:
        raise WeightsError(f"{part} cannot be written: {error}. What came is kept; run the command again.") from error


def _download(url: str, part: Path, progress: Progress | None) -> Path:
    for _ in range(ATTEMPTS):
        total = _connection(url, part, progress)
        if total is None or total == _size(part):
            _validator_file(part).unlink(missing_ok=True)
            return part
    raise ConnectionError(f"broken off {ATTEMPTS} times; {_size(part)} of {total} bytes are here")


def _connection(url: str, part: Path, progress: Progress | None) -> int | None:
    """Receive what one connection gives; the size of the whole file, if the server says it."""
    request = urllib.request.Request(url, headers={"User-Agent": "longform", **_range(part)})
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
        start = _start(response)
        total = None if response.length is None else start + response.length
        free = shutil.disk_usage(part.parent).free
        if total is not None and total - start > free:
            raise OSError(f"{total - start} bytes are to come, and {free} bytes are free")
        _validator_file(part).write_text(_validator(response))
        with part.open("r+b" if start else "wb") as target:
            target.seek(start)
            _receive(response, target, total, progress)
    return total


def _receive(response: HTTPResponse, target: BinaryIO, total: int | None, progress: Progress | None) -> None:
    """Write an answer until its end, or until it breaks off."""
    while block := _block(response):
        target.write(block)
        if progress:
            progress(target.tell(), total)
    target.truncate()


def _block(response: HTTPResponse) -> bytes:
    try:
        return response.read(_BLOCK_BYTES)
    except (HTTPException, TimeoutError, ConnectionError):
        return b""


def _range(part: Path) -> dict[str, str]:
    """Headers that ask for the rest of a file, if it is still the same; else for all of it."""
    validator = _validator_file(part).read_text() if _validator_file(part).is_file() else ""
    if not validator or not _size(part):
        return {}
    return {"Range": f"bytes={_size(part)}-", "If-Range": validator}


def _start(response: HTTPResponse) -> int:
    """The place of the first byte of an answer in the file."""
    if response.status != 206:
        return 0
    return int(re.match(r"bytes (\d+)-", response.headers["Content-Range"])[1])  # type: ignore[index]


def _validator(response: HTTPResponse) -> str:
    """What tells this version of the file from another: a strong ETag, else the time of its last change."""
    etag = response.headers.get("ETag", "")
    return response.headers.get("Last-Modified", "") if etag.startswith("W/") or not etag else etag


def _validator_file(part: Path) -> Path:
    return part.with_name(f"{part.name}.version")


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
