"""Unpublished work of a video, and the journal that lets a later commit clean up after a kill.

``_staging/<video>/`` holds the parts that workers write, and two kinds of notes:

    _publishing.<hash>   a path: this final file is about to be named by a commit; compact keeps it
    _superseded.json     paths that the commit in progress replaces; they may go once its row is written
"""

import hashlib
import json

from pyarrow import fs as pafs

from pipeline.bank import filesystem
from pipeline.bank.naming import file_stem

FOLDER = "_staging"
_PUBLISHING = "_publishing."
_SUPERSEDED = "_superseded.json"


def folder_of(root: str, video_id: str) -> str:
    """The staging folder of a video."""
    return filesystem.join(root, FOLDER, file_stem(video_id))


def note_publishing(fs: pafs.FileSystem, folder: str, path: str) -> None:
    """Say, before it is written, that `path` (relative to the bank) is on its way into a commit."""
    name = _PUBLISHING + hashlib.sha256(path.encode("utf-8")).hexdigest()[:16]
    filesystem.write_bytes_atomic(fs, filesystem.join(folder, name), path.encode("utf-8"))


def note_superseded(fs: pafs.FileSystem, folder: str, paths: list[str]) -> None:
    """Say, before the row that named them is replaced, which files the new row does not name."""
    data = json.dumps(sorted({*paths, *superseded(fs, folder)})).encode("utf-8")
    filesystem.write_bytes_atomic(fs, filesystem.join(folder, _SUPERSEDED), data)


def publishing(fs: pafs.FileSystem, folder: str) -> list[str]:
    """Paths noted by `note_publishing`."""
    names = [name for name in filesystem.list_names(fs, folder) if name.startswith(_PUBLISHING)]
    return [filesystem.read_bytes(fs, filesystem.join(folder, name)).decode("utf-8") for name in names]


def superseded(fs: pafs.FileSystem, folder: str) -> list[str]:
    """Paths noted by `note_superseded`."""
    path = filesystem.join(folder, _SUPERSEDED)
    return json.loads(filesystem.read_bytes(fs, path)) if filesystem.exists(fs, path) else []


def delete_notes(fs: pafs.FileSystem, folder: str) -> None:
    """Delete the bank's own files in a staging folder; parts written by workers stay."""
    for name in filesystem.list_names(fs, folder):
        if name.startswith("_"):
            filesystem.delete_quietly(fs, filesystem.join(folder, name))


def all_publishing(fs: pafs.FileSystem, root: str) -> set[str]:
    """Paths noted by `note_publishing` for any video: work that runs now, or was killed and not resumed."""
    found = filesystem.list_files(fs, filesystem.join(root, FOLDER), recursive=True)
    paths = set()
    for info in found:
        if info.base_name.startswith(_PUBLISHING):
            try:
                paths.add(filesystem.read_bytes(fs, info.path).decode("utf-8"))
            except FileNotFoundError:  # committed in between
                continue
    return paths
