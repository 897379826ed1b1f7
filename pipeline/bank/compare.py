"""Whether two banks are the same bank: the same videos, and of each the same rows with the same values.

Names, sizes, number and order of files play no part, so a bank equals its compacted form and what another run
or another runner made of the same videos. Of the videos rows all columns count but those that say where and
when (`NOT_COMPARED`). Memory: the rows of `_VIDEOS_AT_ONCE` videos of each bank.
"""

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.bank.datafile import DataFile, DataFileReader
from pipeline.bank.errors import BankError
from pipeline.bank.reader import FeatureBank
from pipeline.bank.rows import vectors_of
from pipeline.bank.schema import FEATURES, TABLES, order_of, schema_of

NOT_COMPARED = ("uri", "source_mtime_s", "files", "revision", "error_message", "error_at_s")
"""Columns of table videos that may differ: messages name places and sizes; a failure is its stage and class."""
_VIDEOS_AT_ONCE = 64


@dataclass(frozen=True, order=True)
class Difference:
    """One way in which the second bank is not the first."""

    video_id: str
    table: str
    message: str


@dataclass
class CompareReport:
    """What `compare` found."""

    differences: list[Difference] = field(default_factory=list)
    videos: int = 0
    """Videos that both banks hold."""
    rows: int = 0
    """Rows compared, of all tables and spaces."""
    max_difference: float = 0.0
    """Largest difference of two floating point values, within the tolerance or not."""

    @property
    def is_same(self) -> bool:
        """True if nothing differs beyond the tolerance."""
        return not self.differences


def compare(path: str | os.PathLike[str], other: str | os.PathLike[str], tolerance: float = 0.0) -> CompareReport:
    """Compare two banks; floating point values may differ by up to `tolerance`, all else must be equal.

    The files are trusted to be whole: see `verify`. Raises NotABankError; BankError if a file that the rows name
    is missing.
    """
    if not 0 <= tolerance < np.inf:
        raise BankError(f"Cannot compare banks: got tolerance {tolerance}, expected a number from 0 on.")
    ours, theirs = FeatureBank.open(path), FeatureBank.open(other)
    comparison = _Comparison(ours, theirs, tolerance)
    comparison.run()
    comparison.report.differences.sort()
    return comparison.report


class _Comparison:
    def __init__(self, ours: FeatureBank, theirs: FeatureBank, tolerance: float) -> None:
        self.ours, self.theirs, self.tolerance = _Side(ours), _Side(theirs), tolerance
        self.report = CompareReport()

    def run(self) -> None:
        mine, other = set(self.ours.bank.snapshot.index), set(self.theirs.bank.snapshot.index)
        for video_id in mine ^ other:
            self._say(video_id, "videos", "only in the first bank" if video_id in mine else "only in the second bank")
        both = sorted(mine & other)
        self.report.videos = len(both)
        self._compare_spaces()
        for start in range(0, len(both), _VIDEOS_AT_ONCE):
            ids = both[start : start + _VIDEOS_AT_ONCE]
            for video_id in ids:
                self._compare_rows_of_videos(video_id)
            for table in self._tables():
                self._compare_table(table, ids)

    def _tables(self) -> list[str]:
        return [*TABLES, *(FEATURES + space for space in self.ours.bank.spaces if space in self.theirs.bank.spaces)]

    def _compare_spaces(self) -> None:
        ours, theirs = self.ours.bank.spaces, self.theirs.bank.spaces
        for space in sorted({*ours, *theirs}):
            a, b = ours.get(space), theirs.get(space)
            if a is None or b is None:
                if (a or b).rows:  # type: ignore[union-attr]
                    self._say("", FEATURES + space, f"only in the {'second' if a is None else 'first'} bank")
            elif a.dim != b.dim:
                raise BankError(f"Cannot compare space {space!r}: got dims {a.dim} and {b.dim}, expected one.")

    def _compare_rows_of_videos(self, video_id: str) -> None:
        a, b = self.ours.bank.snapshot.row(video_id), self.theirs.bank.snapshot.row(video_id)
        for column in a:
            if column not in NOT_COMPARED and not self._equal(a[column], b[column]):
                self._say(video_id, "videos", f"{column}: {_short(a[column])} and {_short(b[column])}")

    def _equal(self, a: object, b: object) -> bool:
        if isinstance(a, float) and isinstance(b, float):
            self.report.max_difference = max(self.report.max_difference, abs(a - b))
            return abs(a - b) <= self.tolerance
        return a == b

    def _compare_table(self, table: str, ids: Sequence[str]) -> None:
        a, b = self.ours.rows(table, ids), self.theirs.rows(table, ids)
        self.report.rows += len(a)
        if a.equals(b):
            return
        for video_id in ids:
            ours, theirs = (rows.filter(pc.equal(rows["video_id"], video_id)) for rows in (a, b))
            if len(ours) != len(theirs):
                self._say(video_id, table, f"{len(ours)} and {len(theirs)} rows")
            else:
                for message in self._differing_columns(ours, theirs):
                    self._say(video_id, table, message)

    def _differing_columns(self, ours: pa.Table, theirs: pa.Table) -> Iterator[str]:
        for column in ours.column_names:
            a, b = ours[column], theirs[column]
            if a.equals(b):
                continue
            gap = _largest_gap(a, b)
            if gap is None:
                unequal = next(i for i, (x, y) in enumerate(zip(a, b, strict=True)) if not x.equals(y))
                yield f"{column}: {_short(a[unequal].as_py())} and {_short(b[unequal].as_py())} in row {unequal}"
                continue
            self.report.max_difference = max(self.report.max_difference, gap)
            if gap > self.tolerance:
                yield f"{column}: values differ by up to {gap:g}"

    def _say(self, video_id: str, table: str, message: str) -> None:
        self.report.differences.append(Difference(video_id, table, message))


class _Side:
    """One of the two banks."""

    def __init__(self, bank: FeatureBank) -> None:
        self.bank = bank
        self._reader = DataFileReader(bank.fs, bank.root)

    def rows(self, table: str, ids: Sequence[str]) -> pa.Table:
        """Rows of some videos, by video, time and id."""
        users: dict[DataFile, list[str]] = defaultdict(list)
        for video_id, file in self.bank.snapshot.entries(table, ids):
            users[DataFile(**{**vars(file), "rows": 0})].append(video_id)
        parts = [self._read(file, wanted) for file, wanted in users.items()]
        dim = self.bank.spaces[table.removeprefix(FEATURES)].dim if table.startswith(FEATURES) else None
        found = pa.concat_tables([*parts, schema_of(table, dim).empty_table()])
        order = pc.sort_indices(found, [(name, "ascending") for name in ("video_id", *order_of(table))])
        return found.take(order).combine_chunks()

    def _read(self, file: DataFile, ids: Sequence[str]) -> pa.Table:
        try:
            return self._reader.read(file, ids)
        except FileNotFoundError as error:
            raise BankError(
                f"Cannot compare {self.bank.uri!r}: got no file {file.path!r}, expected all that the videos rows "
                "name. Run `longform verify`; if a run or compact works on the bank, try again after it."
            ) from error


def _largest_gap(a: pa.ChunkedArray, b: pa.ChunkedArray) -> float | None:
    """Largest difference of two columns of floating point values or vectors; None for other types."""
    if pa.types.is_fixed_size_list(a.type):
        x, y = vectors_of(a), vectors_of(b)
    elif pa.types.is_floating(a.type) and a.is_null().equals(b.is_null()):
        x, y = (column.drop_null().to_numpy() for column in (a, b))
    else:
        return None
    return float(np.abs(x.astype(np.float64) - y.astype(np.float64)).max(initial=0.0))


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
