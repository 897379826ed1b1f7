"""Which data files `compact` merges, and writing a merged file."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import fs as pafs

from pipeline.bank import filesystem
from pipeline.bank.datafile import DataFile, DataFileReader
from pipeline.bank.errors import BankError
from pipeline.bank.naming import COMPACTED, is_compacted
from pipeline.bank.schema import default_row_group_rows, schema_of
from pipeline.bank.snapshot import Snapshot
from pipeline.bank.writer import TableWriter

Part = tuple[str, DataFile]
"""A video and one of its data files."""


@dataclass(frozen=True)
class Merge:
    """Parts of one table and stage that become one file, by video_id."""

    table: str
    stage: str
    parts: tuple[Part, ...]

    @property
    def path(self) -> str:
        """Relative to the bank; made from what goes in, so that a repeated merge has the same name."""
        names = json.dumps([(video_id, file.path, file.sha256) for video_id, file in self.parts])
        return f"{self.table}/{COMPACTED}.{hashlib.sha256(names.encode()).hexdigest()[:12]}.parquet"


def plan(rows: Snapshot, reader: DataFileReader, target_bytes: float) -> list[Merge]:
    """What to merge: all but large merged files without dead rows, unless that would win nothing.

    A file never mixes tables or stages, and holds all rows of a video in them.
    """
    merges = []
    for table in sorted(set(rows.all_files["table"].to_pylist())):
        by_stage: dict[str, list[Part]] = defaultdict(list)
        for video_id, file in rows.entries(table):
            by_stage[file.stage].append((video_id, file))
        for stage, parts in sorted(by_stage.items()):
            merges += _plan_stage(table, stage, parts, reader, target_bytes)
    return merges


def _plan_stage(
    table: str, stage: str, parts: Sequence[Part], reader: DataFileReader, target_bytes: float
) -> list[Merge]:
    by_path: dict[str, list[Part]] = defaultdict(list)
    for part in parts:
        by_path[part[1].path].append(part)
    chosen: list[tuple[Part, float]] = []
    sources = worn = 0
    for path, users in by_path.items():
        file = users[0][1]
        live = sum(user.rows for _, user in users)
        total = _total_rows(reader, file) if is_compacted(path) else live
        if is_compacted(path) and total == live and file.bytes >= target_bytes / 2:
            continue
        sources += 1
        worn += total != live
        chosen += [(user, user[1].bytes * user[1].rows / max(total, 1)) for user in users]
    merges = [Merge(table, stage, tuple(group)) for group in _cut(chosen, target_bytes)]
    return merges if worn or len(merges) < sources else []


def _total_rows(reader: DataFileReader, file: DataFile) -> int:
    try:
        return reader.total_rows(file)
    except FileNotFoundError as error:
        raise BankError(
            f"Cannot compact: got no file {file.path!r}, expected it as a videos row names it. Run `longform "
            "verify`, and extract the videos it names again."
        ) from error


def _cut(parts: Sequence[tuple[Part, float]], target_bytes: float) -> Iterator[list[Part]]:
    """Runs of videos of about `target_bytes`."""
    group: list[Part] = []
    size = 0.0
    for part, part_bytes in sorted(parts, key=lambda item: (item[0][0], item[0][1].path)):
        if group and size + part_bytes > target_bytes:
            yield group
            group, size = [], 0.0
        group.append(part)
        size += part_bytes
    if group:
        yield group


def write_merged(
    fs: pafs.FileSystem, root: str, reader: DataFileReader, merge: Merge, dim: int | None
) -> tuple[dict[tuple[str, str], DataFile], set[str]]:
    """Write one merged file: its entry for each (video_id, old path), and the videos whose file vanished.

    A row group holds whole videos, or a piece of one video. Memory: about two row groups or one video.
    """
    schema = schema_of(merge.table, dim)
    group_rows, in_group = default_row_group_rows(schema), 0
    done: list[Part] = []
    vanished: set[str] = set()
    with TableWriter(fs, filesystem.join(root, merge.path), schema, group_rows) as out:
        for part, rows in _rows_in_order(reader, merge.parts, 2 * group_rows):
            if rows is None:
                vanished.add(part[0])
                continue
            _check_count(part, rows)
            if in_group + rows.num_rows > group_rows:
                out.end_row_group()
                in_group = 0
            out.write(rows)
            in_group += rows.num_rows
            done.append(part)
    entries = {
        (video_id, file.path): replace(file, path=merge.path, bytes=out.bytes, sha256=out.sha256)
        for video_id, file in done
    }
    return entries, vanished


def _rows_in_order(
    reader: DataFileReader, parts: Sequence[Part], at_once: int
) -> Iterator[tuple[Part, pa.Table | None]]:
    """Rows of each part, None where its file vanished; reads about `at_once` rows in one go from a file."""
    batch: list[Part] = []
    for part in parts:
        if batch and sum(file.rows for _, file in [*batch, part]) > at_once:
            yield from _read_batch(reader, batch)
            batch = []
        batch.append(part)
    yield from _read_batch(reader, batch)


def _read_batch(reader: DataFileReader, batch: Sequence[Part]) -> Iterator[tuple[Part, pa.Table | None]]:
    ids_of: dict[str, set[str]] = defaultdict(set)
    for video_id, file in batch:
        ids_of[file.path].add(video_id)
    tables: dict[str, pa.Table | None] = {}
    for _, file in batch:
        if file.path not in tables:
            try:
                tables[file.path] = reader.read(file, ids_of[file.path])
            except FileNotFoundError:
                tables[file.path] = None
    for video_id, file in batch:
        rows = tables[file.path]
        if rows is not None and len(ids_of[file.path]) > 1:
            rows = rows.filter(pc.equal(rows["video_id"], video_id))
        yield (video_id, file), rows


def _check_count(part: Part, rows: pa.Table) -> None:
    video_id, file = part
    if rows.num_rows != file.rows:
        raise BankError(
            f"Cannot compact {file.path!r}: got {rows.num_rows} rows of video {video_id!r}, expected "
            f"{file.rows}. Run `longform verify`, and extract the videos it names again."
        )
