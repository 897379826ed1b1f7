"""Videos that cannot be read in training: replaced by others, counted, named, and not too many."""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import NamedTuple

from longform.training.errors import TrainingError

NAMED = 5


class Failure(NamedTuple):
    """A video that could not be read."""

    video: str
    reason: str


class Unreadable:
    """The videos of a run that could not be read so far, each said once on standard error and in a file."""

    def __init__(self, *, videos: int, most: float, path: Path | None = None) -> None:
        """
        Args:
            videos: of the list.
            most: the share of them that may be unreadable; one may be in any case.
            path: CSV `video,reason` that new ones are added to, beside those of the run so far.
        """
        self._allowed, self._path = max(1, int(most * videos)), path
        self._videos = videos
        self._reasons: dict[str, str] = {}
        self._read()

    def _read(self) -> None:
        """Take over what is in the file, of this process's runs before and of other processes."""
        if self._path is not None and self._path.exists():
            with self._path.open(encoding="utf-8", newline="") as file:
                self._reasons |= {row["video"]: row["reason"] for row in csv.DictReader(file)}

    def note(self, failure: Failure) -> None:
        """Take note of a video. Raises TrainingError if there are more than allowed."""
        if failure.video in self._reasons:
            return
        self._read()
        if failure.video in self._reasons:
            return
        self._reasons[failure.video] = failure.reason
        print(f"Cannot be read, and is replaced by other videos: {failure.reason}", file=sys.stderr, flush=True)
        if self._path is not None:
            self._write(self._path, failure)
        if len(self._reasons) > self._allowed:
            named = " ".join(list(self._reasons.values())[:NAMED])
            raise TrainingError(
                f"{len(self._reasons)} of {self._videos} videos cannot be read, more than the {self._allowed} that "
                f"--max-unreadable allows: {named} Repair them, or take them off the list."
            )

    @staticmethod
    def _write(path: Path, failure: Failure) -> None:
        is_new = not path.exists()
        with path.open("a", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            if is_new:
                writer.writerow(Failure._fields)
            writer.writerow(failure)
