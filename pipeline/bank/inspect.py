"""What a bank holds, in numbers, from bank.json and the videos rows alone."""

import os
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.bank.reader import FeatureBank
from pipeline.bank.schema import FORMAT_VERSION, TABLES

_S_PER_HOUR = 3600.0


def inspect(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Counts of videos, rows and bytes, and every failure, as `longform inspect --json` prints them.

    "hours" is of the videos that are ok, "bytes" of the data files. Raises NotABankError.
    """
    bank = FeatureBank.open(path)
    videos, snapshot = bank.videos(), bank.snapshot
    is_ok = pc.equal(videos["status"], "ok")
    ok, failed = videos.filter(is_ok), videos.filter(pc.invert(is_ok))
    rows = snapshot.rows_per_table()
    duration_s = pc.sum(ok["duration_s"]).as_py() or 0.0
    return {
        "videos": {"ok": ok.num_rows, "failed": failed.num_rows},
        "tables": {name: rows.get(name, 0) for name in TABLES},
        "spaces": {name: {"dim": info.dim, "rows": info.rows} for name, info in sorted(bank.spaces.items())},
        "failures": [_failure(row) for row in failed.to_pylist()],
        "damaged": _damaged(ok),
        "hours": duration_s / _S_PER_HOUR,
        "files": len(_distinct_files(snapshot.all_files)),
        "bytes": sum(_distinct_files(snapshot.all_files).values()),
        "format_version": FORMAT_VERSION,
    }


def _failure(row: dict[str, Any]) -> dict[str, str]:
    return {
        "video_id": row["video_id"],
        "stage": row["error_stage"],
        "error": f"{row['error_class']}: {row['error_message']}",
    }


def _damaged(ok: pa.Table) -> list[dict[str, Any]]:
    found = ok.filter(pc.is_valid(ok["damage"]))
    return found.select(["video_id", "damage", "gaps"]).to_pylist()


def _distinct_files(files: pa.Table) -> dict[str, int]:
    return dict(zip(files["path"].to_pylist(), files["bytes"].to_pylist(), strict=True))
