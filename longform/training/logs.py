"""Logs of a run that a restart continues without a row twice: CSV always, TensorBoard on request."""

import csv
import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from extractors.optional import require
from longform.training.atomic import replacing
from longform.training.errors import RunFolderError


class CsvLog:
    """Rows by `step` in a CSV file, each on disk for others to read as soon as it is written."""

    def __init__(self, path: Path, *, until: int) -> None:
        """Continue a file after step `until`: later rows and a torn last one are dropped."""
        self._path, self._columns = path, _keep_rows(path, until)
        self._file: IO[str] = path.open("a", encoding="utf-8", newline="")

    def add(self, row: Mapping[str, Any]) -> None:
        """Append a row. Raises RunFolderError if its columns are not those of the file."""
        if not self._columns:
            self._columns = list(row)
            csv.writer(self._file).writerow(self._columns)
        if list(row) != self._columns:
            raise RunFolderError(
                f"Log {str(self._path)!r}: expected columns {self._columns}, got {list(row)}. A task must give the "
                "same losses at every step, and the same metrics at every evaluation."
            )
        csv.writer(self._file).writerow(row.values())
        self._file.flush()

    def sync(self) -> None:
        """Put all rows on disk, safe from a power failure."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


def _keep_rows(path: Path, until: int) -> list[str]:
    """Rewrite a log without rows after a step; its columns, none for a new file."""
    if not path.exists():
        return []
    lines = [line for line in path.read_text(encoding="utf-8").splitlines(keepends=True) if line.endswith("\n")]
    rows = list(csv.reader(lines))
    if not rows:
        path.unlink()
        return []
    if rows[0][0] != "step":
        raise RunFolderError(f"{str(path)!r} is no log of a run: expected a first column 'step', got {rows[0][0]!r}.")
    with replacing(path) as scratch, scratch.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([rows[0], *(row for row in rows[1:] if int(row[0]) <= until)])
    return rows[0]


class RunLog:
    """`log.csv` (losses), `evaluations.csv` (metrics), and the same for TensorBoard."""

    def __init__(self, run: Path, *, until: int, tensorboard: bool) -> None:
        """Raises MissingDependency if TensorBoard is asked for and not installed."""
        self._board = _board(run, until) if tensorboard else None
        self._losses = CsvLog(run / "log.csv", until=until)
        self._metrics = CsvLog(run / "evaluations.csv", until=until)

    def add_losses(self, row: Mapping[str, Any]) -> None:
        self._losses.add(row)
        self._show("train", row)

    def add_metrics(self, row: Mapping[str, Any]) -> None:
        self._metrics.add(row)
        self._show("evaluation", row)

    def _show(self, group: str, row: Mapping[str, Any]) -> None:
        if self._board is not None:
            for name, value in row.items():
                if name != "step":
                    self._board.add_scalar(f"{group}/{name}", value, row["step"])
            self._board.flush()

    def sync(self) -> None:
        """Put all rows on disk, before a checkpoint that counts on them."""
        self._losses.sync()
        self._metrics.sync()

    def close(self) -> None:
        self._losses.close()
        self._metrics.close()
        if self._board is not None:
            self._board.close()


def _board(run: Path, until: int) -> Any:
    require("tensorboard", step="a log for TensorBoard", extra="tensorboard")
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(log_dir=str(run / "tensorboard"), purge_step=until + 1)
