"""Comparing banks: what they hold, without what may differ between two good runs."""

from pathlib import Path

from pipeline.bank.reader import FeatureBank
from pipeline.bank.verify import verify

MAY_DIFFER = {"revision", "uri", "source_mtime_s"}


def contents(path: Path) -> dict:
    """Everything a bank holds, as plain values: videos rows, tables, features, and the bytes of data files."""
    report = verify(path)
    assert report.is_whole, report.problems
    bank = FeatureBank.open(path)
    videos = [{key: value for key, value in row.items() if key not in MAY_DIFFER} for row in bank.videos().to_pylist()]
    tables = {name: bank.table(name).to_pylist() for name in ("shots", "detections", "tracks")}
    spaces = {name: bank.features(name).to_pylist() for name in bank.spaces}
    return {"videos": videos, **tables, **spaces}
