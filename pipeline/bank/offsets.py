"""The offset index: which rows of a data file are a video's, and at what times, without reading features.

It is made from the small columns of the Parquet files, block by block as videos are asked for, and kept
in memory: 24 bytes a row of a feature space, 36 a row of table detections.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.bank.caching import BoundedCache
from pipeline.bank.datafile import DataFile, DataFileReader, RowGroups
from pipeline.bank.errors import BankError
from pipeline.bank.rows import vectors_of

_BLOCK_ROWS = 1 << 16
_KEPT_BYTES = 256 << 20
_PLACES_KEPT = 200_000
_COLUMNS = {"detections": ("at_s", "detection_id", "box", "score")}
_COLUMNS_OF_SPACES = ("at_s", "detection_id", "track_id")


@dataclass(frozen=True)
class VideoRows:
    """The rows of one video in one file, sorted by time.

    `first_row` counts from the start of the file. `columns` holds arrays of one entry a row: ``at_s``
    in seconds, ids with -1 for null, and ``box`` and ``score`` of table detections.
    """

    first_row: int
    columns: Mapping[str, np.ndarray]

    def between(self, start_s: float, end_s: float) -> slice:
        """The rows with start_s <= time < end_s, counted from the video's first."""
        first, last = np.searchsorted(self.columns["at_s"], (start_s, end_s)).tolist()
        return slice(first, max(first, last))

    @cached_property
    def has_detections(self) -> bool:
        """True if any row names a detection."""
        return bool((self.columns["detection_id"] >= 0).any())

    @cached_property
    def has_tracks(self) -> bool:
        """True if any row names a track."""
        return bool((self.columns["track_id"] >= 0).any())


class RowIndex:
    """Finds the rows of videos in data files. Safe for threads.

    What it keeps belongs to a file's path and sha256, so it never answers for a file written anew.
    """

    def __init__(self, reader: DataFileReader, kept_bytes: int = _KEPT_BYTES) -> None:
        self._reader = reader
        self._blocks: BoundedCache[dict[str, VideoRows]] = BoundedCache(kept_bytes)
        self._places: dict[tuple[str, str, str], tuple[str, str, int, int]] = {}

    def rows(self, file: DataFile, video_id: str) -> VideoRows:
        """The rows of a video in a file of a feature space or of table detections.

        Raises FileNotFoundError if the file is gone and was not read before; BankError for a file that
        does not hold the rows its entry promises.
        """
        asked = (file.path, file.sha256, video_id)
        place = self._places.get(asked) or self._find(file, video_id)
        block = self._blocks.get_or_make(place, lambda: self._load(file, place[2], place[3]))
        if video_id not in block:
            raise _lost(file, video_id)
        if len(self._places) > _PLACES_KEPT:
            self._places.clear()
        self._places[asked] = place
        return block[video_id]

    def _find(self, file: DataFile, video_id: str) -> tuple[str, str, int, int]:
        """Key of the block of row groups, first to last, that holds all rows of the video."""
        groups = self._reader.row_groups(file)
        holding = groups.holding([video_id], -np.inf, np.inf)
        if not holding:
            raise _lost(file, video_id)
        blocks = groups.starts[:-1] // _BLOCK_ROWS
        first = np.searchsorted(blocks, blocks[holding[0]], "left")
        last = np.searchsorted(blocks, blocks[holding[-1]], "right") - 1
        return file.path, file.sha256, int(first), int(last)

    def _load(self, file: DataFile, first: int, last: int) -> tuple[dict[str, VideoRows], int]:
        names = _COLUMNS.get(file.table, _COLUMNS_OF_SPACES)
        table = self._reader.read_groups(file, range(first, last + 1), ["video_id", *names])
        columns = {name: _array(table[name]) for name in names}
        groups = self._reader.row_groups(file)
        ids, starts = _runs(table["video_id"])
        first_row = int(groups.starts[first])
        block = {
            video_id: VideoRows(first_row + start, {name: values[start:end] for name, values in columns.items()})
            for video_id, start, end in zip(ids, starts, [*starts[1:], table.num_rows], strict=True)
            if not _is_cut(groups, video_id, first, last)
        }
        return block, sum(values.nbytes for values in columns.values())


def detections_of(
    parts: Sequence[VideoRows], ids: np.ndarray, start_s: float, end_s: float
) -> tuple[np.ndarray, np.ndarray] | None:
    """Boxes (N, 4) and scores (N,) of detections by id, among those in a span; NaN for id -1.

    None if the span does not hold all of them.
    """
    boxes, scores = np.full((len(ids), 4), np.nan, np.float32), np.full(len(ids), np.nan, np.float32)
    spans = [part.between(start_s, end_s) for part in parts]
    for part, span in zip(parts, spans, strict=True):
        known = part.columns["detection_id"][span]
        if not len(known):
            continue
        order = np.argsort(known)
        at = order[np.minimum(np.searchsorted(known, ids, sorter=order), len(known) - 1)]
        hit = (known[at] == ids) & (ids >= 0)
        boxes[hit] = part.columns["box"][span][at[hit]]
        scores[hit] = part.columns["score"][span][at[hit]]
    return (boxes, scores) if not np.isnan(boxes[ids >= 0]).any() else None


def _array(column: pa.ChunkedArray) -> np.ndarray:
    if pa.types.is_fixed_size_list(column.type):
        return vectors_of(column)
    return (column.fill_null(-1) if column.null_count else column).to_numpy()


def _runs(column: pa.ChunkedArray) -> tuple[list[str], list[int]]:
    """The values of a column where they change, and the positions of these changes."""
    codes = pc.dictionary_encode(column).combine_chunks()
    indices = codes.indices.to_numpy()
    starts = np.flatnonzero(np.concatenate([[True], indices[1:] != indices[:-1]]))
    return codes.dictionary.take(pa.array(indices[starts])).to_pylist(), starts.tolist()


def _is_cut(groups: RowGroups, video_id: str, first: int, last: int) -> bool:
    """True if the row group before `first` or after `last` holds rows of the video too."""
    before = first > 0 and groups.last_ids[first - 1] == video_id
    return before or (last + 1 < len(groups.first_ids) and groups.first_ids[last + 1] == video_id)


def _lost(file: DataFile, video_id: str) -> BankError:
    return BankError(
        f"Cannot read {file.path!r}: got no rows of video {video_id!r}, expected {file.rows}. "
        "Run `longform verify`, and extract the videos it names again."
    )
