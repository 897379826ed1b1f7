"""Many small files into few large ones, while readers and writers go on.

    1  read the valid rows; choose the files to merge, per (table, stage)
    2  write merged files, sorted by (video, time), row groups of whole videos or of one video
    3  write ``videos/@compacted.parquet`` in one step: from here on the merged files count
    4  delete the row files that 3 replaced, then the data files that no row names any more
    5  on a local disk, copy the features of merged files to where windows are read from (`vectors`)

A kill before 3 changes nothing that a reader sees; a kill after it leaves files that the next compact
deletes. A video committed meanwhile keeps its own, newer row.
"""

import os
from dataclasses import asdict, dataclass, field

import pyarrow as pa
from pyarrow import fs as pafs

from pipeline.bank import filesystem, snapshot, staging, vectors
from pipeline.bank.claims import COMPACT, claim
from pipeline.bank.datafile import DataFile, DataFileReader
from pipeline.bank.errors import BankError
from pipeline.bank.locks import lock
from pipeline.bank.manifest import read_manifest
from pipeline.bank.merging import plan, write_merged
from pipeline.bank.schema import FEATURES, VIDEOS
from pipeline.bank.seal import SealState, seal_state
from pipeline.bank.snapshot import Snapshot
from pipeline.bank.spare import write_with_spare
from pipeline.bank.writer import compacted_rows_file

_MEGABYTE = 1 << 20

_Marks = dict[str, tuple[int, int | None]]  # name of a row file -> size, modification time


@dataclass
class CompactReport:
    """What `compact` did: data files that rows name before and after, and files it deleted."""

    files_before: int = 0
    files_after: int = 0
    bytes_after: int = 0
    copies_bytes: int = 0
    """Bytes of the copies of features that windows are read from."""
    deleted: int = 0
    kept_unfinished: list[str] = field(default_factory=list)
    """Unreferenced files of videos whose extraction goes on, or was killed and not resumed."""


def compact(path: str | os.PathLike[str], target_mb: float = 256.0, discard_unfinished: bool = False) -> CompactReport:
    """Merge small files into files of about `target_mb` megabytes; queries answer the same afterwards.

    `discard_unfinished` also deletes staged work, and files on their way into a commit: only for when no
    run writes the bank. Raises NotABankError; BankBusyError if another compact works on this bank or, where
    there are no file locks, a run does; BankError for a bank that is not whole.
    """
    if not target_mb > 0:
        raise BankError(f"Cannot compact {os.fspath(path)!r}: got target_mb {target_mb}, expected above 0.")
    return compact_at(*filesystem.open_location(path), target_mb, discard_unfinished)


def compact_at(
    fs: pafs.FileSystem, root: str, target_mb: float = 256.0, discard_unfinished: bool = False
) -> CompactReport:
    """As `compact`, for a place that is open already."""
    manifest = read_manifest(fs, root)
    reader = DataFileReader(fs, root)
    with claim(fs, root, COMPACT):
        manifest.add_seal()
        seen = _row_files(fs, root)
        rows = snapshot.read_snapshot(fs, root)
        merged: dict[tuple[str, str], DataFile] = {}
        vanished: set[str] = set()
        for merge in plan(rows, reader, target_mb * _MEGABYTE):
            space = merge.table.removeprefix(FEATURES)
            dim = manifest.dim_of(space) if merge.table.startswith(FEATURES) else None
            entries, gone = write_merged(fs, root, reader, merge, dim)
            merged.update(entries)
            vanished |= gone
        with lock(fs, root, "commit"):
            changed = _changed(fs, root, rows, seen)
            _refuse_lost(vanished - changed)
            _switch(fs, root, rows, merged, changed)
            report = _clean(fs, root, discard_unfinished)
        present = snapshot.read_snapshot(fs, root)
        files = {file.path: file for space in manifest.spaces for _, file in present.entries(FEATURES + space)}
        report.copies_bytes = vectors.update_copies(fs, root, reader, files.values())
    report.files_before = len(_named(rows))
    return report


def _row_files(fs: pafs.FileSystem, root: str) -> _Marks:
    return {info.base_name: (info.size, info.mtime_ns) for info in snapshot.own_row_files(fs, root)}


def _changed(fs: pafs.FileSystem, root: str, rows: Snapshot, seen: _Marks) -> set[str]:
    """Videos committed since `rows` were read."""
    changed = set()
    for name, mark in _row_files(fs, root).items():
        if seen.get(name) == mark and mark[1] is not None:
            continue
        table = snapshot.read_rows_file(fs, filesystem.join(root, snapshot.FOLDER, name))
        for row in [] if table is None else table.to_pylist():
            known = rows.row(row["video_id"]) if row["video_id"] in rows.index else None
            if known is None or row["revision"] > known["revision"]:
                changed.add(row["video_id"])
    return changed


def _refuse_lost(video_ids: set[str]) -> None:
    if video_ids:
        raise BankError(
            f"Cannot compact: got no data file for videos {sorted(video_ids)[:5]}, expected all files that "
            "the videos rows name. Run `longform verify`, and extract the videos it names again."
        )


def _switch(
    fs: pafs.FileSystem,
    root: str,
    rows: Snapshot,
    merged: dict[tuple[str, str], DataFile],
    changed: set[str],
) -> None:
    """One atomic write of all valid rows but the changed; what differs from before is a new revision."""
    path = snapshot.compacted_rows_path(root)
    if not merged and not rows.own.any() and not _lacks_seal(fs, path):
        return
    new = []
    for row, own in zip(rows.rows.to_pylist(), rows.own.tolist(), strict=True):
        if row["video_id"] in changed:
            continue
        found = [(entry, merged.get((row["video_id"], entry["path"]))) for entry in row["files"]]
        entries = [entry if file is None else asdict(file) for entry, file in found]
        revision = row["revision"] + int(own or entries != row["files"])
        new.append({**row, "files": entries, "revision": revision})
    write_with_spare(fs, path, root, compacted_rows_file(pa.Table.from_pylist(new, schema=VIDEOS)))


def _lacks_seal(fs: pafs.FileSystem, path: str) -> bool:
    return filesystem.exists(fs, path) and seal_state(filesystem.read_bytes(fs, path)) is SealState.NONE


def _clean(fs: pafs.FileSystem, root: str, discard_unfinished: bool) -> CompactReport:
    """Delete superseded rows, then files that no row names.

    Files are listed before the journal, and that before the rows: a file published and committed in
    between is in one of them.
    """
    candidates = list(snapshot.data_paths(fs, root))
    publishing = set() if discard_unfinished else staging.all_publishing(fs, root)
    rows = snapshot.read_snapshot(fs, root)
    named = _named(rows)
    _delete_stale_rows(fs, root, rows)
    unnamed = [path for path in candidates if path not in named and snapshot.is_bank_file(path)]
    for path in unnamed:
        if path not in publishing:
            filesystem.delete_quietly(fs, filesystem.join(root, path))
    for name in filesystem.list_names(fs, root):
        if filesystem.is_temporary(name):  # of bank.json
            filesystem.delete_quietly(fs, filesystem.join(root, name))
    if discard_unfinished:
        filesystem.delete_folder_quietly(fs, filesystem.join(root, staging.FOLDER))
    kept = sorted(publishing.intersection(unnamed))
    return CompactReport(
        files_after=len(named),
        bytes_after=sum(named.values()),
        deleted=len(unnamed) - len(kept),
        kept_unfinished=kept,
    )


def _delete_stale_rows(fs: pafs.FileSystem, root: str, rows: Snapshot) -> None:
    ids, own = rows.rows["video_id"].to_pylist(), rows.own.tolist()
    stale = {snapshot.row_path(root, video_id) for video_id, is_own in zip(ids, own, strict=True) if not is_own}
    for info in filesystem.list_files(fs, filesystem.join(root, snapshot.FOLDER)):
        path = filesystem.join(root, snapshot.FOLDER, info.base_name)
        if path in stale or filesystem.is_temporary(info.base_name):
            filesystem.delete_quietly(fs, path)


def _named(rows: Snapshot) -> dict[str, int]:
    files = rows.all_files
    return dict(zip(files["path"].to_pylist(), files["bytes"].to_pylist(), strict=True))
