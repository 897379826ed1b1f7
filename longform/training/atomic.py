"""Files and folders that appear whole or not at all, whenever the process or the machine dies."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SCRATCH = "_{}.tmp"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives a temporary name for a file; leaving puts the file on disk and moves it to `path`."""
    scratch = _scratch(path)
    yield scratch
    _sync(scratch)
    scratch.replace(path)
    _sync(path.parent)


@contextmanager
def making_folder(path: Path) -> Iterator[Path]:
    """Gives an empty temporary folder; leaving puts its files on disk and moves it to `path`, which must be new."""
    scratch = _scratch(path)
    scratch.mkdir(parents=True)
    yield scratch
    for file in scratch.iterdir():
        _sync(file)
    _sync(scratch)
    scratch.rename(path)
    _sync(path.parent)


def remove_folder(path: Path) -> None:
    """Delete a folder; one that is deleted half way has a temporary name."""
    scratch = _scratch(path)
    path.rename(scratch)
    shutil.rmtree(scratch)


def clear_scratch(folder: Path) -> None:
    """Remove what a killed process left half done in a folder."""
    for path in folder.glob(_SCRATCH.format("*")):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _scratch(path: Path) -> Path:
    return path.with_name(_SCRATCH.format(path.name))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
