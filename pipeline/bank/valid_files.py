"""The data files that hold what a bank says now, each with the videos whose rows in it are valid."""

from collections.abc import Collection
from dataclasses import dataclass

import pyarrow.parquet as pq

from pipeline.bank import filesystem
from pipeline.bank.datafile import DataFile
from pipeline.bank.naming import is_compacted
from pipeline.bank.reader import FeatureBank


@dataclass(frozen=True)
class ValidFile:
    """A data file and the videos, in order, whose rows are to be read from it; `rows` counts theirs."""

    file: DataFile
    video_ids: tuple[str, ...]
    rows: int

    def has_dead_rows(self, bank: FeatureBank) -> bool:
        """True if it also holds rows of videos that were extracted again since. Raises FileNotFoundError."""
        if not is_compacted(self.file.path):
            return False
        with bank.fs.open_input_file(filesystem.join(bank.root, self.file.path)) as source:
            return pq.read_metadata(source).num_rows != self.rows


def valid_files(bank: FeatureBank, table: str, video_ids: Collection[str] | None = None) -> list[ValidFile]:
    """Files of a table or of "features/<space>", for some videos or all, by path. Reads no file."""
    users: dict[str, list[tuple[str, DataFile]]] = {}
    for video_id, file in bank.snapshot.entries(table, video_ids):
        users.setdefault(file.path, []).append((video_id, file))
    return [
        ValidFile(group[0][1], tuple(video_id for video_id, _ in group), sum(file.rows for _, file in group))
        for _, group in sorted(users.items())
    ]
