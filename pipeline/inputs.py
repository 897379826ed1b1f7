"""From what the user names (files, folders, patterns, lists) to the videos of a run, each with its id.

A folder gives every file in it that is a video by its ending or, whatever its name, by its first bytes; the
others are counted and named. A file that is named outright is always taken. Ids come from the path below the
folder (or the pattern's fixed part), or from a list with the columns `video_id,uri`.
"""

import csv
import glob
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pipeline.bank.errors import BankError
from pipeline.bank.naming import video_id_for
from pipeline.bank.schema import check_video_id
from pipeline.errors import InputError
from pipeline.jobs import VideoSource
from pipeline.video.source import local_path

VIDEO_ENDINGS = frozenset(
    ".3gp .asf .avi .divx .dv .f4v .flv .gif .h264 .hevc .m1v .m2ts .m2v .m4v .mjpeg .mkv .mov .mp4 .mpe .mpeg "
    ".mpg .mts .mxf .nut .ogg .ogm .ogv .qt .rm .rmvb .ts .vob .webm .wmv .y4m".split()
)
LIST_ENDINGS = frozenset({".csv", ".parquet"})
_MAGIC = {
    (0, b"\x1aE\xdf\xa3"): "Matroska",
    (0, b"FLV\x01"): "FLV",
    (0, b"GIF8"): "GIF",
    (0, b"0&\xb2u\x8ef\xcf\x11"): "ASF",
    (0, b"\x00\x00\x01\xba"): "MPEG program stream",
    (0, b"YUV4MPEG2"): "Y4M",
    (4, b"ftyp"): "MP4",
    (4, b"moov"): "QuickTime",
    (8, b"AVI "): "AVI",
}


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """The videos of a run, sorted by id, and the files of the given folders that are none."""

    videos: tuple[VideoSource, ...]
    ignored: tuple[str, ...]


def find_videos(inputs: Iterable[str]) -> Inputs:
    """The videos that `inputs` name.

    Raises:
        InputError: something does not exist, no video is found, or two videos would have one id.
    """
    videos: dict[str, VideoSource] = {}
    ignored: list[str] = []
    for text in inputs:
        for video in _find(text, ignored):
            other = videos.setdefault(video.video_id, video)
            if other.uri != video.uri:
                raise InputError(
                    f"Two videos have the id {video.video_id!r}: {other.uri!r} and {video.uri!r}. Give the folder "
                    "above both, or a CSV with the columns video_id,uri."
                )
    if not videos:
        raise InputError(f"No video found in {', '.join(map(repr, inputs))} ({len(ignored)} other files).")
    return Inputs(videos=tuple(videos[key] for key in sorted(videos)), ignored=tuple(sorted(ignored)))


def _find(text: str, ignored: list[str]) -> Iterator[VideoSource]:
    path = local_path(text)
    if path is None:
        yield from _find_remote(text)
    elif path.is_dir():
        yield from _walk(path, ignored)
    elif path.suffix.lower() in LIST_ENDINGS and path.is_file():
        yield from _read_list(path)
    elif os.path.lexists(path):
        yield _local_source(path, path.name)
    elif glob.has_magic(str(path)):
        yield from _expand(str(path), ignored)
    else:
        raise InputError(f"No file or folder at {text!r}.")


def _walk(folder: Path, ignored: list[str], root: Path | None = None) -> Iterator[VideoSource]:
    seen = {os.path.realpath(folder)}
    for current, subfolders, names in os.walk(folder, followlinks=True):
        subfolders[:] = [
            name for name in sorted(subfolders) if not name.startswith(".") and _is_new(current, name, seen)
        ]
        for name in sorted(names):
            path = Path(current, name)
            if name.startswith("."):
                continue
            if is_video_file(path):
                yield _local_source(path, str(path.relative_to(root or folder)))
            else:
                ignored.append(str(path))


def _is_new(parent: str, name: str, seen: set[str]) -> bool:
    """Whether a folder is met for the first time; links may lead in circles."""
    real = os.path.realpath(os.path.join(parent, name))
    new = real not in seen
    seen.add(real)
    return new


def _expand(pattern: str, ignored: list[str]) -> Iterator[VideoSource]:
    fixed = Path(pattern)
    while glob.has_magic(str(fixed)):
        fixed = fixed.parent
    for found in sorted(glob.glob(pattern, recursive=True)):
        path = Path(found)
        if path.is_dir():
            yield from _walk(path, ignored, fixed)
        elif is_video_file(path):
            yield _local_source(path, str(path.relative_to(fixed)))
        else:
            ignored.append(found)


def is_video_file(path: Path) -> bool:
    """Whether a file found in a folder counts as a video: by its ending, or by the bytes it begins with."""
    if path.suffix.lower() in VIDEO_ENDINGS:
        return True
    try:
        if not path.is_file():  # opening a named pipe would wait for its other end
            return False
        with open(path, "rb") as file:
            head = file.read(16)
    except OSError:
        return False
    return any(head[start : start + len(magic)] == magic for start, magic in _MAGIC)


def _local_source(path: Path, relative: str, video_id: str | None = None) -> VideoSource:
    try:
        stat = path.stat()
        size, mtime = stat.st_size, stat.st_mtime
    except OSError:
        size, mtime = 0, 0.0
    uri = os.path.abspath(path)
    return VideoSource(video_id=video_id or video_id_for(relative), uri=uri, bytes=size, mtime_s=mtime)


def _find_remote(uri: str) -> Iterator[VideoSource]:
    """Files on a remote filesystem: one file, a pattern, or everything below a uri that ends with `/`."""
    from apache_beam.io.filesystems import FileSystems

    pattern = uri + "**" if uri.endswith("/") else uri
    try:
        found = FileSystems.match([pattern])[0].metadata_list
    except Exception as error:
        raise InputError(f"Cannot list {uri!r}: {error}.") from error
    root = pattern.split("*")[0].rpartition("/")[0]
    for file in sorted(found, key=lambda file: file.path):
        if file.path == uri or PurePosixPath(file.path).suffix.lower() in VIDEO_ENDINGS:
            relative = file.path.removeprefix(root + "/")
            yield VideoSource(
                video_id=video_id_for(relative),
                uri=file.path,
                bytes=file.size_in_bytes,
                mtime_s=float(file.last_updated_in_seconds or 0.0),
            )


def _read_list(path: Path) -> Iterator[VideoSource]:
    """A CSV or Parquet file with the columns `video_id,uri`; relative paths are relative to the list."""
    for number, row in enumerate(_list_rows(path), start=1):
        video_id, uri = row.get("video_id"), row.get("uri")
        if not video_id or not uri:
            raise InputError(f"Row {number} of {str(path)!r} must give video_id and uri: got {row}.")
        try:
            check_video_id(video_id)
        except BankError as error:
            raise InputError(f"Row {number} of {str(path)!r}: {error}") from error
        yield video_at(uri, video_id, path.parent)


def video_at(uri: str, video_id: str, folder: Path = Path()) -> VideoSource:
    """The video of that id at a place, relative to `folder`; of 0 bytes where there is none."""
    path = local_path(uri)
    if path is not None:
        return _local_source(folder / path, uri, video_id)
    found = list(_find_remote(uri))
    size, mtime = (found[0].bytes, found[0].mtime_s) if found else (0, 0.0)
    return VideoSource(video_id=video_id, uri=uri, bytes=size, mtime_s=mtime)


def _list_rows(path: Path) -> list[dict]:
    if path.suffix.lower() == ".parquet":
        import pyarrow.parquet as pq

        table = pq.read_table(path)
        columns, rows = table.column_names, table.to_pylist()
    else:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            rows, columns = list(reader), reader.fieldnames or []
    if missing := {"video_id", "uri"} - set(columns):
        raise InputError(f"{str(path)!r} lacks the column {', '.join(sorted(missing))}: it has {', '.join(columns)}.")
    return rows
