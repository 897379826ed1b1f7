"""Two banks are the same when their videos hold the same values, whatever their files are."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.bank.compact import compact
from pipeline.bank.compare import CompareReport, Difference, compare
from pipeline.bank.errors import BankError
from tests.pipeline.bank.helpers import CLIPS, DIMS, new_bank, ok_row, publish, put, video

FEATURES = "features/" + CLIPS


@pytest.fixture
def first(tmp_path: Path) -> Path:
    writer = new_bank(tmp_path / "first")
    for name in ("a", "b", "c"):
        put(writer, video(name, seed=ord(name)))
    return tmp_path / "first"


def other(tmp_path: Path, spoil: Any = None) -> Path:
    """The same videos in another order, one of them extracted twice, with rows of b as `spoil` leaves them."""
    writer = new_bank(tmp_path / "other")
    put(writer, video("c", seed=1), "a" * 16)
    for name in ("c", "b", "a"):
        content = video(name, seed=ord(name))
        if spoil is not None and name == "b":
            spoil(content.rows)
        put(writer, content)
    return tmp_path / "other"


def test_order_files_and_compaction_do_not_count(first: Path, tmp_path: Path) -> None:
    second = other(tmp_path)
    report = compare(first, second)
    assert report.is_same
    assert (report.videos, report.rows, report.max_difference) == (3, 3 * (2 + 12 + 2 + 6 + 12), 0.0)
    compact(second, target_mb=0.001)
    assert compare(first, second).is_same
    compact(first)
    assert compare(first, second).is_same


def change(table: str, index: int, **values: Any) -> Any:
    def spoil(rows: dict[str, list[dict[str, Any]]]) -> None:
        rows[table][index] = {**rows[table][index], **values}

    return spoil


@pytest.mark.parametrize(
    ("spoil", "table", "words"),
    [
        (change("shots", 1, end_pts=7), "shots", "end_pts: 6 and 7 in row 1"),
        (change("detections", 3, label="dog"), "detections", "label: 'person' and 'dog' in row 3"),
        (change("detections", 3, score=0.75), "detections", "score: values differ by up to 0.25"),
        (change("detections", 3, shot_index=None), "detections", "shot_index: 0 and None in row 3"),
        (change(FEATURES, 2, feature=np.zeros(4)), FEATURES, "feature: values differ by up to"),
        (lambda rows: rows[FEATURES].pop(), FEATURES, "6 and 5 rows"),
        (lambda rows: rows.pop("tracks"), "tracks", "2 and 0 rows"),
    ],
)
def test_one_changed_value_is_found(first: Path, tmp_path: Path, spoil: Any, table: str, words: str) -> None:
    report = compare(first, other(tmp_path, spoil))
    assert [(difference.video_id, difference.table) for difference in report.differences] == [("b", table)]
    assert words in report.differences[0].message


def test_the_tolerance_is_for_floating_point_values_only(first: Path, tmp_path: Path) -> None:
    second = other(tmp_path, change("detections", 3, score=0.5 + 2**-10))
    assert not compare(first, second, tolerance=2**-11).is_same
    report = compare(first, second, tolerance=2**-10)
    assert report.is_same
    assert report.max_difference == 2**-10
    for tolerance in (-1.0, float("nan"), float("inf")):
        with pytest.raises(BankError, match="tolerance"):
            compare(first, second, tolerance)


def test_videos_rows_count_but_not_where_and_when(first: Path, tmp_path: Path) -> None:
    second = other(tmp_path)
    writer = new_bank(second)
    moved = ok_row("b", "f" * 16, uri="file:///elsewhere/b", source_mtime_s=5.0)
    writer.commit(moved, publish(writer, video("b", seed=ord("b")), "f" * 16))
    assert compare(first, second).is_same
    writer.commit({**moved, "fps": 24.0}, publish(writer, video("b", seed=ord("b")), "f" * 16))
    assert compare(first, second) == CompareReport(
        differences=[Difference("b", "videos", "fps: 25.0 and 24.0")], videos=3, rows=102, max_difference=1.0
    )


def test_other_videos_and_spaces_are_named(first: Path, tmp_path: Path) -> None:
    second = new_bank(tmp_path / "second", {**DIMS, "more": 2})
    for name in ("b", "c", "d"):
        put(second, video(name, seed=ord(name)))
    rows = [{**row, "feature": [1.0, 2.0]} for row in video("b").rows[FEATURES]]
    row = second.current_row("b")
    assert row is not None
    extra = second.write_final("features/more", "b", "more", "e" * 16, [rows])
    assert extra is not None
    second.commit(ok_row("b", "f" * 16), [*publish(second, video("b", seed=ord("b")), "f" * 16), extra])
    found = compare(first, tmp_path / "second").differences
    assert [(d.video_id, d.table, d.message) for d in found] == [
        ("", "features/more", "only in the second bank"),
        ("a", "videos", "only in the first bank"),
        ("d", "videos", "only in the second bank"),
    ]


def test_a_lost_file_is_an_error(first: Path, tmp_path: Path) -> None:
    second = other(tmp_path)
    next((second / "tracks").glob("a.*")).unlink()
    with pytest.raises(BankError, match=r"tracks/a\..*longform verify"):
        compare(first, second)
