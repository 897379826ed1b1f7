"""Names of the classes that networks answer with, in the order of their outputs.

`kinetics-400` and `kinetics-600` are alphabetical, as in every public checkpoint. `ava-80` is in the order of AVA's
ids, class 0 being id 1 (Gu et al., AVA annotations, CC BY 4.0); the names of its 20 classes that are not evaluated
could not be compared with an original file. `generated-motions` is what `slowfast_compact_motions` tells apart.
The licence of Charades forbids to pass its lists on: give
`Charades_v1_classes.txt` of the data set as a file.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from extractors.errors import ConfigError

CLASS_LISTS = ("kinetics-400", "kinetics-600", "ava-80", "generated-motions")


def class_names(name_or_path: str, *, num_classes: int | None = None) -> tuple[str, ...]:
    """The class names of a list.

    Args:
        name_or_path: one of `CLASS_LISTS`, or a UTF-8 text file with one name a line.
        num_classes: how many there must be: the outputs of the network.
    Raises:
        ConfigError: there is no such list or file, it is no text, it has an empty line, or another number of names.
    """
    if name_or_path in CLASS_LISTS:
        text = (files(__name__) / f"{name_or_path}.txt").read_text(encoding="utf-8")
    else:
        text = _read(name_or_path)
    names = tuple(line.strip() for line in text.rstrip("\n").split("\n"))
    if "" in names:
        raise ConfigError(f"Class list {name_or_path!r}: line {names.index('') + 1} is empty; give one name a line.")
    if num_classes is not None and len(names) != num_classes:
        raise ConfigError(f"Class list {name_or_path!r} has {len(names)} names, the network {num_classes} classes.")
    return names


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"Class list {path!r} is no UTF-8 text; expected one name a line.") from error
    except OSError as error:
        known = ", ".join(CLASS_LISTS)
        raise ConfigError(
            f"No class list {path!r} ({error.strerror}); expected one of {known}, or a file with one name a line."
        ) from error
