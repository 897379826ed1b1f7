"""Banks to ask: of the test helpers' videos, with stages as `longform extract` records them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import fs as pafs

from pipeline.bank import FeatureBank
from pipeline.bank.writer import BankWriter
from tests.pipeline.bank.helpers import CLIPS, PEOPLE, Video, new_bank, ok_row, publish, video

TABLES = ("shots", "detections", "tracks")


def put(writer: BankWriter, content: Video, fingerprint: str = "f" * 16, **facts: Any) -> None:
    """Extract a video in the way of a test; each table is the work of a stage of its own."""
    files = publish(writer, content, fingerprint)
    stages = [{"stage": table, "fingerprint": fingerprint} for table in content.rows]
    writer.commit({**ok_row(content.video_id, fingerprint), "stages": stages, **facts}, files)


def bank_of(folder: Path, seconds: Mapping[str, int], dims: Mapping[str, int] | None = None) -> BankWriter:
    """A bank of videos of some length each."""
    writer = new_bank(folder) if dims is None else new_bank(folder, dims)
    for seed, (video_id, length) in enumerate(seconds.items()):
        put(writer, video(video_id, seconds=length, seed=seed), duration_s=float(length))
    return writer


def rows_by_hand(bank: FeatureBank, space: str) -> list[dict[str, Any]]:
    """Every row of a space as the reader gives them."""
    return bank.features(space).to_pylist()


class CountingFilesystem(pafs.FileSystemHandler):
    """Local files, read through a handler that notes which were opened and how many bytes were read."""

    def __init__(self) -> None:
        self.local = pafs.LocalFileSystem()
        self.opened: list[str] = []
        self.bytes = 0

    def get_type_name(self) -> str:
        return "counting"

    def normalize_path(self, path: str) -> str:
        return path

    def get_file_info(self, paths: Any) -> Any:
        return self.local.get_file_info(paths)

    def get_file_info_selector(self, selector: Any) -> Any:
        return self.local.get_file_info(selector)

    def open_input_stream(self, path: str) -> Any:
        return self.open_input_file(path)

    def open_input_file(self, path: str) -> Any:
        if not Path(path).exists():
            raise FileNotFoundError(path)
        self.opened.append(path)
        return pa.PythonFile(_CountedFile(self, path), mode="r")

    def _refuse(self, *args: Any, **kwargs: Any) -> Any:
        raise PermissionError("read only")

    create_dir = delete_dir = delete_dir_contents = delete_root_dir_contents = delete_file = _refuse
    move = copy_file = open_output_stream = open_append_stream = _refuse


class _CountedFile:
    def __init__(self, owner: CountingFilesystem, path: str) -> None:
        self._owner, self._file = owner, open(path, "rb")  # noqa: SIM115
        self.closed = False

    def read(self, count: int = -1) -> bytes:
        data = self._file.read(count)
        self._owner.bytes += len(data)
        return data

    def seek(self, *place: int) -> int:
        return self._file.seek(*place)

    def tell(self) -> int:
        return self._file.tell()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        self._file.close()
        self.closed = True


def nearest_by_hand(rows: list[dict[str, Any]], query: np.ndarray, k: int) -> list[tuple[str, float, int | None]]:
    """The k rows of highest cosine, in plain double precision."""

    def cosine(row: dict[str, Any]) -> float:
        value = np.asarray(row["feature"], float)
        return float(value @ query / np.linalg.norm(value) / np.linalg.norm(query))

    best = sorted(rows, key=cosine, reverse=True)[:k]
    return [(row["video_id"], row["at_s"], row["detection_id"]) for row in best]


__all__ = ["CLIPS", "PEOPLE", "TABLES", "video"]
