"""Videos by the names of a data set, among files or in a bank, whose ids may have folders (`a~b.mp4`) and an ending."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from pipeline.errors import InputError


def found_names(names: Sequence[str], held: Iterable[str], where: str) -> dict[str, str]:
    """Of each name that is there, what it is called there: the same, or with folders before and an ending behind it.

    Raises:
        InputError: a name is there twice.
    """
    ids = list(held)
    exact = set(ids)
    by_stem: dict[str, list[str]] = {}
    for video_id in ids:
        path = PurePosixPath(video_id.rpartition("~")[2])
        for stem in {path.name, path.stem}:
            by_stem.setdefault(stem, []).append(video_id)
    found = {}
    for name in names:
        candidates = [name] if name in exact else by_stem.get(name, [])
        if len(candidates) > 1:
            raise InputError(
                f"Video {name!r} can be {' or '.join(map(repr, candidates[:3]))} of {where}: give a CSV with the "
                "columns video_id,uri that says which."
            )
        if candidates:
            found[name] = candidates[0]
    return found
