"""The folder of a run: one process at a time, and only ever one set of settings."""

import json
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from longform.training.atomic import clear_scratch, replacing
from longform.training.errors import RunFolderError
from longform.training.settings import FREE

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

CONFIG = "config.json"
_ABSENT = "not there"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds a folder, made if it is missing; the system frees it when the process dies.

    Raises RunFolderError if another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if fcntl is None:
        yield
        return
    with open(folder / ".lock", "a", encoding="utf-8") as handle:
        try:
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # unlike flock, not inherited by the loader's workers
        except (BlockingIOError, PermissionError) as error:
            raise RunFolderError(
                f"Folder {str(folder)!r}: another process trains into it now. Wait for it, or choose another folder."
            ) from error
        yield


def settle_config(folder: Path, settings: Mapping[str, Any]) -> None:
    """Record the settings of a new run, or check that they are those of the run in the folder.

    Raises RunFolderError that names the settings which differ; those of `FREE` may.
    """
    clear_scratch(folder)
    path = folder / CONFIG
    settings = json.loads(json.dumps(settings, default=str))
    if path.exists():
        _refuse_others(folder, json.loads(path.read_text(encoding="utf-8"))["settings"], settings)
    elif any(folder.glob("checkpoints/step-*")):
        raise RunFolderError(f"Folder {str(folder)!r} has checkpoints but no {CONFIG}: expected both or none.")
    versions = {"python": platform.python_version(), "torch": torch.__version__}
    with replacing(path) as scratch:
        scratch.write_text(json.dumps({"settings": settings, "versions": versions}, indent=2), encoding="utf-8")


def _refuse_others(folder: Path, there: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    before, after = _flat(there), _flat(now)
    names = sorted(before.keys() | after.keys())
    differences = [
        f"{name} is {before.get(name, _ABSENT)!r} there and {after.get(name, _ABSENT)!r} now"
        for name in names
        if name not in FREE and before.get(name, _ABSENT) != after.get(name, _ABSENT)
    ]
    if differences:
        raise RunFolderError(
            f"Folder {str(folder)!r} holds a run with other settings: {'; '.join(differences)}. Go on with the "
            "settings there, or choose another folder."
        )


def _flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{"a": {"b": 1}}` as `{"a.b": 1}`."""
    flat: dict[str, Any] = {}
    for name, item in value.items():
        flat |= _flat(item, f"{prefix}{name}.") if isinstance(item, Mapping) else {f"{prefix}{name}": item}
    return flat
