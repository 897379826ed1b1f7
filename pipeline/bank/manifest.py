"""bank.json: what makes a folder a bank, its feature spaces, and how each run was configured."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pyarrow import fs as pafs

from pipeline.bank import filesystem
from pipeline.bank.errors import BankError, BankVersionError, NotABankError, UnknownNameError
from pipeline.bank.locks import lock
from pipeline.bank.schema import FORMAT_VERSION, check_space_name, feature_schema
from pipeline.bank.seal import BLANK, SealState, seal, seal_state
from pipeline.bank.spare import write_with_spare

NAME = "bank.json"
_FORMAT = "longform-bank"


@dataclass
class Manifest:
    """bank.json of one bank. Changes are written at once, under the bank's lock."""

    fs: pafs.FileSystem
    root: str
    spaces: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Per space {"dim": values a row, "provenance": what made it}."""
    runs: list[dict[str, Any]] = field(default_factory=list)
    """Each different run once, in the order of their first start: {"config", "weights", "versions"}."""
    format_version: int = FORMAT_VERSION
    seal_state: SealState = SealState.NONE

    def register_space(self, name: str, dim: int, provenance: Mapping[str, Any] | None = None) -> None:
        """Make a feature space known, or renew its provenance.

        Raises BankError for a bad name, or a dim other than the one it is registered with.
        """
        check_space_name(name)
        feature_schema(dim)
        entry = {"dim": int(dim), "provenance": dict(provenance or {})}
        with lock(self.fs, self.root, "commit"):
            self._reload()
            known = self.spaces.get(name, entry)
            if known["dim"] != dim:
                raise BankError(
                    f"Cannot register space {name!r} in {self.root!r}: got dim {dim}, expected "
                    f"{known['dim']} as registered before. Give the new features another space name."
                )
            if self.spaces.get(name) != entry or self.seal_state is SealState.NONE:
                self.spaces[name] = _plain(entry)
                self._write()

    def record_run(
        self,
        config: Mapping[str, Any],
        weights: Mapping[str, Any] | None = None,
        versions: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> None:
        """Add what a run was made with (JSON values only); a run equal to a recorded one adds nothing."""
        run = _plain({"config": config, "weights": weights or {}, "versions": versions or {}, **more})
        with lock(self.fs, self.root, "commit"):
            self._reload()
            if run not in self.runs:
                self.runs.append(run)
                self._write()

    def add_seal(self) -> None:
        """Give a bank.json of an older version of this program its checksum."""
        with lock(self.fs, self.root, "commit"):
            self._reload()
            if self.seal_state is SealState.NONE:
                self._write()

    def dim_of(self, space: str) -> int:
        """The dim of a registered space, also of one registered since. Raises UnknownNameError."""
        if space not in self.spaces:
            self._reload()
        if space not in self.spaces:
            raise UnknownNameError(
                f"No space {space!r} in bank {self.root!r}: got an unregistered name, expected one of "
                f"{sorted(self.spaces)}. Register it with Manifest.register_space first."
            )
        return int(self.spaces[space]["dim"])

    def _reload(self) -> None:
        fresh = read_manifest(self.fs, self.root)
        self.spaces, self.runs, self.seal_state = fresh.spaces, fresh.runs, fresh.seal_state

    def _write(self) -> None:
        if self.seal_state is SealState.BROKEN:
            raise NotABankError(
                f"Cannot change {filesystem.join(self.root, NAME)!r}: got bytes that do not match the checksum in "
                "it, expected the file as it was written. Run `longform extract --repair`, which puts the second "
                'copy back; after an edit by hand delete its "seal" line.'
            )
        content = {
            "format": _FORMAT,
            "format_version": self.format_version,
            "spaces": dict(sorted(self.spaces.items())),
            "runs": self.runs,
            "seal": BLANK,
        }
        data = json.dumps(content, indent=2, ensure_ascii=False).encode("utf-8") + b"\n"
        write_with_spare(self.fs, filesystem.join(self.root, NAME), self.root, seal(data))
        self.seal_state = SealState.WHOLE


def create_or_open(uri: Any) -> Manifest:
    """The manifest of a bank; a missing or empty folder becomes a bank first.

    Raises NotABankError for a folder with other things in it, BankVersionError for a newer format.
    """
    fs, root = filesystem.open_location(uri)
    if not filesystem.exists(fs, filesystem.join(root, NAME)):
        filesystem.make_folder(fs, root)
        with lock(fs, root, "commit"):
            if not filesystem.exists(fs, filesystem.join(root, NAME)):
                _refuse_foreign_folder(fs, root)
                Manifest(fs, root)._write()
    return read_manifest(fs, root)


def open_manifest(uri: Any) -> Manifest:
    """The manifest of an existing bank. Raises NotABankError, BankVersionError."""
    return read_manifest(*filesystem.open_location(uri))


def read_manifest(fs: pafs.FileSystem, root: str) -> Manifest:
    """As `open_manifest`, for a place that is open already."""
    try:
        data = filesystem.read_bytes(fs, filesystem.join(root, NAME))
    except (FileNotFoundError, NotADirectoryError) as error:
        got = "no bank.json" if filesystem.exists(fs, root) else "nothing there"
        raise NotABankError(
            f"Not a bank: {root!r}: got {got}, expected the folder that `longform extract --bank` wrote. "
            "Check the path."
        ) from error
    try:
        content = json.loads(data)
        is_bank = isinstance(content, dict) and content.get("format") == _FORMAT
        version = int(content["format_version"]) if is_bank else 0
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(root, f"{len(data)} bytes that do not parse ({error})") from error
    if not is_bank:
        raise _damaged(root, "JSON of another kind")
    if version > FORMAT_VERSION:
        raise BankVersionError(
            f"Cannot read bank {root!r}: got format version {version}, expected at most {FORMAT_VERSION}, "
            "which this program reads. Upgrade: pip install -U longform-video."
        )
    try:
        spaces = {
            check_space_name(name): {**entry, "dim": int(entry["dim"])} for name, entry in content["spaces"].items()
        }
        return Manifest(fs, root, spaces, list(content["runs"]), version, seal_state(data))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _damaged(root, f"no readable spaces and runs ({error})") from error


def _refuse_foreign_folder(fs: pafs.FileSystem, root: str) -> None:
    others = [name for name in filesystem.list_names(fs, root) if not name.startswith(("_", "."))]
    if others:
        raise NotABankError(
            f"Cannot make a bank in {root!r}: got a folder that holds {others[:5]} and no bank.json, "
            "expected a new, an empty or a bank folder. Choose another folder."
        )


def _damaged(root: str, got: str) -> NotABankError:
    return NotABankError(
        f"Cannot read {filesystem.join(root, NAME)!r}: got {got}, expected the JSON of a bank. "
        "Run `longform extract --repair`, which puts the second copy back."
    )


def _plain(value: Mapping[str, Any]) -> dict[str, Any]:
    """What JSON makes of it, so that what is compared equals what is read back."""
    return json.loads(json.dumps(value))
