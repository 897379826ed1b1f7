"""`classes.txt` in the folder of a run: the names of its classes, by number."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from longform.training.atomic import replacing
from longform.training.errors import RunFolderError
from longform.training.run_folder import CONFIG

CLASSES = "classes.txt"


def keep_classes(folder: Path, classes: Sequence[str]) -> None:
    """Write the names of a new run; under torchrun only the first process does.

    Raises RunFolderError if the folder holds a run with other classes, which stay as they are.
    """
    if os.environ.get("RANK", "0") != "0":
        return
    path, names = folder / CLASSES, "".join(f"{name}\n" for name in classes)
    there = path.read_text(encoding="utf-8") if path.is_file() else None
    if there == names:
        return
    if there is not None and (folder / CONFIG).is_file():
        raise RunFolderError(
            f"Folder {str(folder)!r} holds a run with other classes: {_first_names(there.splitlines())} there, "
            f"{_first_names(classes)} now. Go on with the list of that run, or choose another folder."
        )
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(path) as scratch:
        scratch.write_text(names, encoding="utf-8")


def _first_names(classes: Sequence[str]) -> str:
    return f"{len(classes)} ({', '.join(classes[:3])}{', ...' if len(classes) > 3 else ''})"
