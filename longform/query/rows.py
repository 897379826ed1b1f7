"""Rows of a feature space on their way into an index or a comparison: streamed, never all in memory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.bank import filesystem
from pipeline.bank.datafile import RowGroups
from pipeline.bank.errors import BankBusyError, UnknownNameError
from pipeline.bank.reader import FeatureBank
from pipeline.bank.rows import vectors_of
from pipeline.bank.schema import FEATURES
from pipeline.bank.valid_files import ValidFile, valid_files

KEYS = ("video_id", "at_s", "start_s", "end_s", "detection_id", "track_id")
"""What a search knows of a row beside its feature."""

_BATCH_BYTES = 32 << 20
_ATTEMPTS = 5


def stream_rows(bank: FeatureBank, space: str, video_ids: Collection[str]) -> Iterator[pa.Table]:
    """Tables of the columns `KEYS` and `feature`, each video's rows together and by time; every row once.

    About 32 MB of features at a time. A file that `compact` or a run removed meanwhile is looked up anew.
    Raises BankBusyError if files keep vanishing, or if a video got other rows since `bank` was refreshed last.
    """
    known = identities(bank, space)
    pending = {video_id for video_id in video_ids if video_id in known}
    batch_rows = max(1, _BATCH_BYTES // (2 * bank.spaces[space].dim))
    for _ in range(_ATTEMPTS):
        for ids, files in _by_file_sets(valid_files(bank, FEATURES + space, pending)):
            try:
                with ExitStack() as stack:  # an open file stays readable when its name goes
                    sources = [
                        stack.enter_context(bank.fs.open_input_file(filesystem.join(bank.root, file.file.path)))
                        for file in files
                    ]
                    for source in sources:
                        yield from _batches(source, ids, batch_rows)
            except FileNotFoundError:
                break
            pending -= ids
        if not pending:
            return
        bank.refresh()
        now = identities(bank, space)
        if changed := sorted(video_id for video_id in pending if now.get(video_id) != known[video_id]):
            raise BankBusyError(
                f"Cannot read space {space!r} of {bank.root!r}: got new rows of {changed[:5]} while it was read, "
                "expected a bank that no run changes. Try again."
            )
    raise BankBusyError(
        f"Cannot read space {space!r} of {bank.root!r}: data files were missing in {_ATTEMPTS} attempts. "
        "Run `longform verify`."
    )


def check_space(bank: FeatureBank, space: str) -> int:
    """Values a row of a space. Raises UnknownNameError."""
    if space not in bank.spaces:
        known = ", ".join(sorted(bank.spaces)) or "none"
        raise UnknownNameError(f"No space {space!r} in this bank: expected one of those it has ({known}).")
    return bank.spaces[space].dim


def identities(bank: FeatureBank, space: str) -> dict[str, str]:
    """What made the rows of each video that has some: the fingerprint of its stage, and how many rows.

    `compact` does not change it. Where a videos row gives no fingerprint, the sha256 of the data file stands for it.
    """
    stages = dict(zip(bank.videos()["video_id"].to_pylist(), bank.videos()["stages"].to_pylist(), strict=True))
    found: dict[str, list[str]] = defaultdict(list)
    for video_id, file in bank.snapshot.entries(FEATURES + space):
        prints = {entry["stage"]: entry["fingerprint"] for entry in stages[video_id]}
        found[video_id].append(f"{prints.get(file.stage, file.sha256)[:32]}:{file.rows}")
    return {video_id: "+".join(sorted(parts)) for video_id, parts in found.items()}


def vectors_in(rows: pa.Table) -> NDArray[np.float32]:
    """(N, D) float32 of column `feature`."""
    return np.ascontiguousarray(vectors_of(rows["feature"]), np.float32)


def _by_file_sets(files: Sequence[ValidFile]) -> Iterator[tuple[set[str], list[ValidFile]]]:
    """Videos that lie in the same files, together with these."""
    files_of: dict[str, list[ValidFile]] = defaultdict(list)
    for file in files:
        for video_id in file.video_ids:
            files_of[video_id].append(file)
    groups: dict[tuple[str, ...], tuple[set[str], list[ValidFile]]] = {}
    for video_id, its_files in files_of.items():
        key = tuple(file.file.path for file in its_files)
        groups.setdefault(key, (set(), its_files))[0].add(video_id)
    yield from groups.values()


def _batches(source: pa.NativeFile, ids: set[str], batch_rows: int) -> Iterator[pa.Table]:
    parquet = pq.ParquetFile(source)
    chosen = RowGroups(parquet.metadata, "at_s").holding(ids, -np.inf, np.inf)
    wanted = pa.array(sorted(ids), pa.string())
    for batch in parquet.iter_batches(batch_rows, row_groups=chosen, columns=[*KEYS, "feature"], use_threads=False):
        table = pa.Table.from_batches([batch])
        kept = table.filter(pc.is_in(table["video_id"], value_set=wanted))
        if kept.num_rows:
            yield kept
