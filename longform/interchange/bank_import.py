"""Put what was read from files of another project into a bank, video by video, by the bank's own commit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from longform.interchange.errors import InterchangeError
from longform.interchange.source_file import SourceFile
from pipeline.bank.manifest import create_or_open
from pipeline.bank.schema import FEATURES
from pipeline.bank.writer import BankWriter, DataFile

VERSION = 1
"""Raised when the same file gives other rows than before."""

Row = dict[str, Any]
Tables = Mapping[str, Sequence[Row]]


@dataclass(frozen=True, kw_only=True)
class ImportSettings:
    """What decides the rows beyond the files. It enters the fingerprint of every video."""

    format: str
    space: str
    start_second: int = 0
    """Second of the film that is 0 s in the bank."""


@dataclass
class ImportReport:
    """What an import did."""

    format: str
    bank: str
    space: str
    videos: int = 0
    up_to_date: int = 0
    rows: dict[str, int] = field(default_factory=dict)
    """Rows written, by table."""
    missing: dict[str, list[str]] = field(default_factory=dict)
    """What one file names and the files given do not have: a sentence on what is missing -> the names."""
    notes: list[str] = field(default_factory=list)
    """What was changed on the way in."""


class BankImport:
    """The bank side of an import. Stages of other names, and their rows, stay as they are."""

    def __init__(self, bank: str, settings: ImportSettings, source: Mapping[str, Any]) -> None:
        """`source` says in bank.json what the features are, whatever files they came from."""
        self.settings = settings
        self.stage = f"import-{settings.format}"
        self.report = ImportReport(settings.format, bank, settings.space)
        self._manifest = create_or_open(bank)
        self._writer = BankWriter(self._manifest.fs, self._manifest.root, self._manifest)
        self._source = dict(source)

    def record_run(self, files: Sequence[SourceFile], **more: Any) -> None:
        """Note in bank.json which files were imported."""
        named = [{"name": file.path.name, "sha256": file.sha256} for file in files]
        self._manifest.record_run({"import": vars(self.settings), "files": named, **more})

    def fingerprint(self, *content: Any) -> str:
        """sha256 of what decides the rows of a video: settings and `content` (JSON values)."""
        basis = {"version": VERSION, "settings": vars(self.settings), "content": content}
        return hashlib.sha256(json.dumps(basis, sort_keys=True).encode()).hexdigest()

    def has(self, video_id: str, fingerprint: str) -> bool:
        """Whether the bank holds the rows of `fingerprint`; counted as a video that is up to date."""
        row = self._writer.current_row(video_id)
        stages = {entry["stage"]: entry["fingerprint"] for entry in row["stages"]} if row else {}
        current = row is not None and row["status"] == "ok" and stages.get(self.stage) == fingerprint
        if current:
            self._writer.clean_up(video_id)
            self.report.videos += 1
            self.report.up_to_date += 1
        return current

    def add(self, video_id: str, source: SourceFile, fingerprint: str, tables: Tables) -> None:
        """Write the rows (without `video_id`, sorted by time) of one video, and commit them.

        Raises:
            InterchangeError: the video failed in this bank, or another stage gave it rows of the same tables.
            BankError: rows that the bank does not take.
        """
        row = self._writer.current_row(video_id)
        kept = self._kept_files(row, video_id, tables)
        self._register(tables)
        files = [self._write(name, video_id, fingerprint, rows) for name, rows in tables.items()]
        written = [file for file in files if file is not None]
        facts = _facts_of_source(video_id, source)
        stages = [{"stage": self.stage, "fingerprint": fingerprint}]
        if row is not None:
            others = [entry for entry in row["stages"] if entry["stage"] != self.stage]
            facts = {name: row[name] for name in row if name not in ("files", "revision")} if others else facts
            stages = sorted([*others, *stages], key=lambda entry: entry["stage"])
        self._writer.commit({**facts, "stages": stages}, [*kept, *written])
        self.report.videos += 1
        for file in written:
            self.report.rows[file.table] = self.report.rows.get(file.table, 0) + file.rows

    def _kept_files(self, row: Mapping[str, Any] | None, video_id: str, tables: Tables) -> list[DataFile]:
        if row is None:
            return []
        if row["status"] != "ok":
            raise InterchangeError(
                f"Video {video_id!r} failed in this bank at stage {row['error_stage']} ({row['error_message']}), "
                "so nothing can be added to it. Import into another bank."
            )
        kept = [DataFile(**entry) for entry in row["files"] if entry["stage"] != self.stage]
        for file in kept:
            if file.table in tables:
                raise InterchangeError(
                    f"Video {video_id!r} has rows of {file.table} from stage {file.stage!r} in this bank "
                    f"({row['uri']}), which an import would double. Import into another bank, or another --space."
                )
        return kept

    def _register(self, tables: Tables) -> None:
        table = FEATURES + self.settings.space
        dim = len(tables[table][0]["feature"]) if tables.get(table) else None
        if dim is not None and self.settings.space not in self._manifest.spaces:
            self._manifest.register_space(self.settings.space, dim, self._source)

    def _write(self, table: str, video_id: str, fingerprint: str, rows: Sequence[Row]) -> DataFile | None:
        if not rows:
            return None
        named = [{"video_id": video_id, **row} for row in rows]
        return self._writer.write_final(table, video_id, self.stage, fingerprint, [named])


def _facts_of_source(video_id: str, source: SourceFile) -> Row:
    """The columns of table videos that a file of features can fill: nothing is known of the video itself."""
    return {
        "video_id": video_id,
        "uri": str(source.path.resolve()),
        "status": "ok",
        "source_bytes": source.bytes,
        "source_mtime_s": source.mtime_s,
        "source_sha256": source.sha256,
    }


def vector(value: Any, dim: int | None, where: str) -> np.ndarray:
    """A feature as (D,) float32.

    Raises:
        InterchangeError: not one row of finite numbers, or not `dim` of them where that is known.
    """
    try:
        array = np.asarray(value, np.float32)
    except (TypeError, ValueError) as error:
        raise InterchangeError(f"{where}: a {type(value).__name__}; expected a row of numbers.") from error
    if array.ndim != 1 or not len(array) or dim not in (None, len(array)):
        raise InterchangeError(f"{where}: a feature of shape {array.shape}; expected ({dim or 'D'},).")
    if not np.isfinite(array).all() or np.abs(array).max() > np.finfo(np.float16).max:
        raise InterchangeError(f"{where}: NaN, infinity or more than 65504 in a feature; a bank keeps float16.")
    return array
