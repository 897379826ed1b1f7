"""The folder of weight files: find, download, add and check them.

A file lies at `<store>/<name of the card>/<file name>`. The first time a file is seen, its sha256 goes into
`<store>/sha256.json`, and from then on it must not change.
"""

from __future__ import annotations

import difflib
import json
import os
import shutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from extractors.errors import WeightsError
from extractors.weights.card import WeightCard
from extractors.weights.cards import CARDS, card
from extractors.weights.download import Progress, download
from extractors.weights.hashes import digest_of, sha256_of
from extractors.weights.sniff import NOT_WEIGHTS, kind_of

__all__ = ["FOLDER_VARIABLE", "Check", "Store", "default_folder", "resolve", "sha256_of"]

FOLDER_VARIABLE: Final = "LONGFORM_WEIGHTS"

PACKAGED: Final = Path(__file__).parent / "builtin"
"""Where the files are that come with this program."""

_RECORD = "sha256.json"
_DOWNLOAD_FAILURES = ("empty", "html", "git-lfs")


@dataclass(frozen=True, kw_only=True)
class Check:
    """What `verify` says of one file."""

    name: str
    """Name of the card."""
    path: Path
    sha256: str | None
    """Of the file that is there."""
    expected: str | None
    """What it should be; None if nobody has stated or recorded it yet."""
    status: str
    """`ok`, `recorded` (seen for the first time), `changed` or `missing`."""


def default_folder() -> Path:
    """$LONGFORM_WEIGHTS, else `longform/weights` in the user's cache folder."""
    if named := os.environ.get(FOLDER_VARIABLE):
        return Path(named).expanduser()
    if sys.platform == "win32":
        cache = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        cache = Path.home() / "Library" / "Caches"
    else:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "longform" / "weights"


class Store:
    """The weight files in a folder, which is made when the first file comes.

    Args:
        folder: where the files are; None for `default_folder()`.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        self.folder = default_folder() if folder is None else Path(folder).expanduser()

    def path(self, name: str) -> Path:
        """Where the file of a card is, or would be.

        Raises:
            WeightsError: there is no such card.
        """
        known = card(name)
        return self._folder(known) / known.file_name

    def find(self, name: str) -> Path | None:
        """The file of a card if it, and all that belongs to it, is here."""
        paths = self._paths(card(name))
        return paths[0] if all(path.is_file() for path in paths) else None

    def recorded(self, name: str) -> str | None:
        """The sha256 that the file of a card must have: as published, else as recorded."""
        known = card(name)
        return self._expected(known, known.file_name)

    def fetch(self, name: str, progress: Progress | None = None) -> Path:
        """Download what is missing of a checkpoint, check it, and give its path.

        A download that broke off goes on where it stopped, where the server allows it.

        Args:
            progress: called now and then with the bytes that are here and the bytes there will be, if known.
        Raises:
            WeightsError: out of reach (the message gives the address to download by hand, and the command that
                takes the file), not the file that was published, or no room for it.
        """
        known = card(name)
        for file_name, url in known.files().items():
            path = self._folder(known) / file_name
            if not path.is_file():
                if known.packaged:
                    raise WeightsError(f"{path} is missing. {by_hand(known)}")
                part = download(url, path, name, progress)
                self._accept(known, part, path)
        return self.path(name)

    def add(self, name: str, file: str | Path) -> Path:
        """Take a file that was downloaded by hand: check it, copy it here, and give its path.

        Raises:
            WeightsError: it is not there, or not the file that was published.
        """
        known, source = card(name), Path(file)
        if known.packaged:
            raise WeightsError(f"{name} comes with this program, so no other file is taken for it.")
        for file_name in known.files():
            found = source if file_name == known.file_name else source.with_name(file_name)
            if not found.is_file():
                raise WeightsError(f"There is no file {found}; the checkpoint {name} needs it.")
            path = self.folder / name / file_name
            if not (path.exists() and path.samefile(found)):
                self._accept(known, _copied(found, path), path)
        return self.path(name)

    def verify(self, names: Iterable[str] = ()) -> list[Check]:
        """Check files against their sha256, and record those that nobody has stated or recorded yet.

        Args:
            names: cards to check; none for all whose files are here.
        """
        wanted = list(names) or [name for name in CARDS if self.find(name)]
        return [self._check(card(name), path) for name in wanted for path in self._paths(card(name))]

    def _paths(self, known: WeightCard) -> list[Path]:
        return [self._folder(known) / file_name for file_name in known.files()]

    def _folder(self, known: WeightCard) -> Path:
        return PACKAGED if known.packaged else self.folder / known.name

    def _check(self, known: WeightCard, path: Path) -> Check:
        expected = self._expected(known, path.name)
        if not path.is_file():
            return Check(name=known.name, path=path, sha256=None, expected=expected, status="missing")
        found = sha256_of(path)
        if expected is None:
            self._record(known, path.name, found)
        status = "recorded" if expected is None else "ok" if found == expected else "changed"
        return Check(name=known.name, path=path, sha256=found, expected=expected, status=status)

    def _accept(self, known: WeightCard, part: Path, path: Path) -> None:
        """Put a complete file in its place if it is what it should be; else it goes."""
        try:
            found = sha256_of(part)
            self._require_digest(known, part, path.name, found)
            if path.name == known.file_name:
                _require_weights(known, part)
        except WeightsError:
            part.unlink()
            raise
        os.replace(part, path)
        self._record(known, path.name, found)

    def _require_digest(self, known: WeightCard, part: Path, file_name: str, found: str) -> None:
        kind, expected = kind_of(part), self._expected(known, file_name)
        if kind in _DOWNLOAD_FAILURES:
            raise WeightsError(f"What came for {known.name} is {NOT_WEIGHTS[kind]} {by_hand(known)}")
        if expected is not None and found != expected:
            raise changed(known, file_name, found, expected, self.folder)
        algorithm, _, prefix = known.digest_prefix.partition(":")
        if prefix and file_name == known.file_name and not digest_of(part, algorithm).startswith(prefix):
            raise WeightsError(f"{file_name} for {known.name} has the {algorithm} {digest_of(part, algorithm)}; the "
                               f"published one begins with {prefix}. {by_hand(known)}")  # fmt: skip

    def _expected(self, known: WeightCard, file_name: str) -> str | None:
        if known.sha256 is not None and file_name == known.file_name:
            return known.sha256
        return self._records().get(f"{known.name}/{file_name}")

    def _records(self) -> dict[str, str]:
        path = self.folder / _RECORD
        try:
            records = json.loads(path.read_text()) if path.is_file() else {}
        except ValueError as error:
            raise WeightsError(
                f"{path} is not JSON ({error}). Mend it, or delete it to record all files anew."
            ) from error
        return dict(records)

    def _record(self, known: WeightCard, file_name: str, sha256: str) -> None:
        records = {**self._records(), f"{known.name}/{file_name}": sha256}
        draft = self.folder / f"{_RECORD}.{os.getpid()}"
        draft.write_text(json.dumps(records, indent=2, sort_keys=True) + "\n")
        os.replace(draft, self.folder / _RECORD)


def _require_weights(known: WeightCard, part: Path) -> None:
    """Refuse a file that is damaged or unsafe to read. An index is no use before its data is here: it is not read."""
    if kind_of(part) != "tensorflow":
        from extractors.weights.containers import read_tensors  # torch: seconds to import, and not needed to list

        try:
            read_tensors(part)
        except WeightsError as error:
            raise WeightsError(f"What came for {known.name} cannot be used: {error}") from error


def resolve(name_or_path: str | Path, store: Store | None = None) -> tuple[Path, WeightCard | None]:
    """The file that a user means, with its card where it is one of ours.

    A file of the store is checked against its sha256, which is recorded at its first use.

    Raises:
        WeightsError: it is no card and no file; or the card's file is not here, or has changed.
    """
    store = store or Store()
    name = str(name_or_path)
    if name not in CARDS:
        if Path(name).is_file():
            return Path(name), None
        close = difflib.get_close_matches(name, CARDS, n=3, cutoff=0.5)
        raise WeightsError(f"{name!r} is neither a file nor a checkpoint that `longform weights list` shows."
                           + (f" Did you mean: {', '.join(close)}?" if close else ""))  # fmt: skip
    known = CARDS[name]
    path = store.find(name)
    if path is None:
        get = "" if known.packaged else f"Get them with `longform weights fetch {name}`. "
        raise WeightsError(f"The weights {name} are not in {store.path(name).parent}. {get}{by_hand(known)}")
    for check in store.verify([name]):
        if check.status == "changed":
            raise changed(known, check.path.name, str(check.sha256), str(check.expected), store.folder)
    return path, known


def by_hand(known: WeightCard) -> str:
    """How to get a checkpoint without `fetch`."""
    if known.packaged:
        return "It comes with this program: install longform-video again."
    beside = f" (and, into the same folder, {', '.join(known.companions.values())})" if known.companions else ""
    return f"By hand: download {known.url}{beside}, then run `longform weights add {known.name} FILE`."


def changed(known: WeightCard, file_name: str, found: str, expected: str, folder: Path) -> WeightsError:
    """The error for a file that is not the one that was published or first seen."""
    if known.sha256 is not None:
        source = "as it was packed" if known.packaged else "published"
    else:
        source = f"recorded in {folder / _RECORD}; remove its line only if you know why the file changed"
    return WeightsError(
        f"{file_name} for {known.name} is not the file it should be: its sha256 is {found}, expected {expected} "
        f"({source})."
    )


def _copied(source: Path, path: Path) -> Path:
    """A copy of a file beside its final place."""
    part = path.with_name(f"{path.name}.part")
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, part)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise WeightsError(f"{source} cannot be copied to {part.parent}: {error}.") from error
    return part
