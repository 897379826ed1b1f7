"""Tables in files, and commits."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import fs as pafs

from pipeline.bank import FeatureBank, staging
from pipeline.bank.errors import BadRowsError, BankError, UnknownNameError
from pipeline.bank.schema import SHOTS, feature_schema
from pipeline.bank.writer import BankWriter, TableWriter
from tests.pipeline.bank.helpers import CLIPS, assert_whole, feature, new_bank, ok_row, publish, put, video

LOCAL = pafs.LocalFileSystem()
FP = "0123456789abcdef"


def write(path: Path, rows: list[dict[str, Any]], step: int, schema: pa.Schema, group: int) -> TableWriter:
    with TableWriter(LOCAL, str(path), schema, row_group_rows=group) as out:
        for start in range(0, len(rows), step):
            out.write(rows[start : start + step])
    return out


def test_bytes_do_not_depend_on_batches_and_are_what_the_digest_says(tmp_path: Path) -> None:
    rows = [feature("v", float(i), np.arange(4) + i) for i in range(23)]
    digests = set()
    for step in (1, 5, 10, 23):
        out = write(tmp_path / "x.parquet", rows, step, feature_schema(4), group=10)
        data = (tmp_path / "x.parquet").read_bytes()
        assert (out.rows, out.bytes, out.sha256) == (23, len(data), hashlib.sha256(data).hexdigest())
        digests.add(out.sha256)
    assert len(digests) == 1
    metadata = pq.read_metadata(tmp_path / "x.parquet")
    assert [metadata.row_group(i).num_rows for i in range(3)] == [10, 10, 3]
    back = pq.read_table(tmp_path / "x.parquet")
    assert back.schema.equals(feature_schema(4), check_metadata=True)
    assert back["feature"].to_pylist()[3] == [3.0, 4.0, 5.0, 6.0]


def test_features_are_plain_zstd_without_statistics(tmp_path: Path) -> None:
    write(tmp_path / "x.parquet", [feature("v", 0.0, [1, 2])], 1, feature_schema(2), 10)
    group = pq.read_metadata(tmp_path / "x.parquet").row_group(0)
    columns = [group.column(i) for i in range(group.num_columns)]
    (column,) = [column for column in columns if column.path_in_schema.startswith("feature.")]
    assert column.compression == "ZSTD"
    assert "PLAIN" in column.encodings
    assert not column.has_dictionary_page
    assert "BYTE_STREAM_SPLIT" not in column.encodings
    assert not column.is_stats_set
    assert group.column(1).statistics.has_min_max


def test_a_table_without_rows_is_a_valid_file(tmp_path: Path) -> None:
    out = write(tmp_path / "x.parquet", [], 1, SHOTS, 10)
    assert (out.rows, pq.read_table(tmp_path / "x.parquet").num_rows) == (0, 0)


def test_arrow_rows_are_taken_and_cast(tmp_path: Path) -> None:
    table = pa.table({"video_id": ["v"], "at_s": [1], "start_s": [1], "end_s": [2], "feature": [[1.5, 2.5]]})
    with TableWriter(LOCAL, str(tmp_path / "x.parquet"), feature_schema(2)) as out:
        out.write(table)
        out.write(table.to_batches()[0])
    assert pq.read_table(tmp_path / "x.parquet")["feature"].to_pylist() == [[1.5, 2.5]] * 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"feature": None}, "null feature"),
        ({"feature": [1.0, 2.0, 3.0]}, r"shape \(3,\), expected \(2,\)"),
        ({"feature": [1.0, float("nan")]}, "NaN or infinity in feature"),
        ({"feature": [1.0, 1e6]}, "expected finite halffloat"),
        ({"at_s": None}, "null at_s"),
        ({"at_s": float("nan")}, "NaN in at_s"),
        ({"at_s": "soon"}, "for at_s, expected double"),
        ({"extra": 1}, r"unknown columns \['extra'\]"),
    ],
)
def test_bad_rows_are_refused_and_leave_nothing(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with (
        pytest.raises(BadRowsError, match=message),
        TableWriter(LOCAL, str(tmp_path / "x.parquet"), feature_schema(2)) as out,
    ):
        out.write([{**feature("v", 0.0, [1, 2]), **change}])
    assert list(tmp_path.iterdir()) == []


def test_a_missing_column_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadRowsError, match=r"missing columns \['feature'\]"):
        write(tmp_path / "x", [{"video_id": "v", "at_s": 0.0, "start_s": 0.0, "end_s": 0.0}], 1, feature_schema(2), 9)


def test_round_trip(tmp_path: Path) -> None:
    writer, content = new_bank(tmp_path), video("a.mp4", seed=3)
    put(writer, content, FP)
    bank = FeatureBank.open(tmp_path)
    for table in ("shots", "detections", "tracks"):
        got = bank.table(table, "a.mp4").to_pylist()
        assert len(got) == len(content.rows[table])
        assert [row["video_id"] for row in got] == ["a.mp4"] * len(got)
    assert bank.stage_fingerprints("a.mp4") == {"shots": FP, "people": FP, "clips": FP}
    row = writer.current_row("a.mp4")
    assert row is not None
    assert row["revision"] == 1
    assert [file["path"] for file in row["files"]][:2] == [
        "detections/a.mp4.0123456789ab.parquet",
        "features/clip.test/a.mp4.0123456789ab.parquet",
    ]
    assert not (tmp_path / "_staging" / "a.mp4").exists()
    assert_whole(tmp_path, warnings=[])


def test_two_banks_of_the_same_videos_are_equal_byte_for_byte(tmp_path: Path) -> None:
    for name in ("one", "two"):
        writer = new_bank(tmp_path / name)
        for i in (0, 1) if name == "one" else (1, 0):
            put(writer, video(f"v{i}", seed=i))
    files = {
        name: {p.relative_to(tmp_path / name): p.read_bytes() for p in (tmp_path / name).rglob("*") if p.is_file()}
        for name in ("one", "two")
    }
    assert files["one"] == files["two"]


def test_a_new_commit_replaces_files_and_an_equal_one_changes_nothing(tmp_path: Path) -> None:
    writer = new_bank(tmp_path)
    put(writer, video("v", seed=1), "a" * 16)
    put(writer, video("v", seed=1), "a" * 16)
    assert writer.current_row("v")["revision"] == 1  # type: ignore[index]
    put(writer, video("v", seed=2), "b" * 16)
    assert writer.current_row("v")["revision"] == 2  # type: ignore[index]
    assert not list(tmp_path.rglob("*aaaa*"))
    assert_whole(tmp_path, warnings=[])


def test_other_bytes_for_the_same_fingerprint_do_not_touch_the_file_in_use(tmp_path: Path) -> None:
    writer = new_bank(tmp_path)
    put(writer, video("v", seed=1), FP)
    files = publish(writer, video("v", seed=2), FP)
    assert_whole(tmp_path)
    writer.commit(ok_row("v", FP), files)
    assert_whole(tmp_path, warnings=[])
    assert FeatureBank.open(tmp_path).features(CLIPS)["feature"].to_pylist()[0] == (
        video("v", seed=2).rows["features/" + CLIPS][0]["feature"].tolist()
    )


def test_a_failed_video_is_a_row_without_files(tmp_path: Path) -> None:
    writer = new_bank(tmp_path)
    row = {"video_id": "v", "uri": "u", "status": "failed", "error_stage": "probe", "error_class": "DecodeError",
           "error_message": "no stream", "stages": []}  # fmt: skip
    writer.commit(row, [])
    with pytest.raises(BankError, match=r"failed at stage probe \(DecodeError: no stream\)"):
        FeatureBank.open(tmp_path).window(CLIPS, "v", 0.0, 1, 1)
    put(writer, video("v"))
    assert FeatureBank.open(tmp_path).videos()["status"].to_pylist() == ["ok"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"status": "done"}, "got status 'done'"),
        ({"status": "failed"}, "expected 'ok' with no error columns or 'failed' with"),
        ({"error_class": "X"}, "'ok' with no error columns"),
        ({"revision": 3}, r"got \['revision'\]"),
        ({"colour": 3}, r"unknown columns \['colour'\]"),
        ({"uri": None}, "null uri"),
        ({"video_id": "../x"}, "Bad video_id"),
    ],
)
def test_bad_videos_rows_are_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    writer = new_bank(tmp_path)
    with pytest.raises(BankError, match=message):
        writer.commit({**ok_row("v", FP), **change}, [])
    assert writer.current_row("v") is None


def test_write_final_refuses_what_does_not_belong(tmp_path: Path) -> None:
    writer = new_bank(tmp_path)
    clips, table = video("v").rows["features/" + CLIPS], "features/" + CLIPS
    with pytest.raises(BadRowsError, match="expected rows sorted by time"):
        writer.write_final(table, "v", "clips", FP, [clips[1:2], clips[0:1]])
    with pytest.raises(BadRowsError, match="expected video_id 'w'"):
        writer.write_final(table, "w", "clips", FP, [clips])
    with pytest.raises(BankError, match="got dim 5, expected 4"):
        writer.write_final(table, "v", "clips", FP, [clips], dim=5)
    with pytest.raises(UnknownNameError, match=r"No space 'clip\.other'"):
        writer.write_final("features/clip.other", "v", "clips", FP, [clips], dim=4)
    with pytest.raises(UnknownNameError, match="No table 'frames'"):
        writer.write_final("frames", "v", "clips", FP, [clips])
    assert writer.write_final(table, "v", "clips", FP, [[], []]) is None
    assert not [path for path in (tmp_path / "features").rglob("*") if path.is_file()]


def test_a_commit_needs_its_files(tmp_path: Path) -> None:
    writer = new_bank(tmp_path)
    files = publish(writer, video("v"), FP)
    (tmp_path / files[0].path).unlink()
    with pytest.raises(BankError, match=r"got no file.*run again"):
        writer.commit(ok_row("v", FP), files)


def test_a_failed_video_may_keep_its_parts(tmp_path: Path) -> None:
    writer = new_bank(tmp_path)
    put(writer, video("v", seed=1), "a" * 16)
    part = Path(writer.staging("v")) / "part-0.parquet"
    part.write_bytes(b"x")
    publish(writer, video("v", seed=2), "b" * 16)
    row = {"video_id": "v", "uri": "u", "status": "failed", "error_stage": "clips", "error_class": "E",
           "error_message": "m", "stages": []}  # fmt: skip
    writer.commit(row, [], keep_staging=True)
    assert [path.name for path in part.parent.iterdir()] == ["part-0.parquet"]
    assert_whole(tmp_path, warnings=["unfinished_work"])
    put(writer, video("v", seed=2), "b" * 16)
    assert_whole(tmp_path, warnings=[])


def test_clean_up_removes_what_no_row_names(tmp_path: Path) -> None:
    writer = new_bank(tmp_path)
    put(writer, video("v", seed=1), "a" * 16)
    publish(writer, video("v", seed=2), "b" * 16)
    writer.clean_up("v")
    assert_whole(tmp_path, warnings=[])
    writer.clean_up("v")
    writer.clean_up("unknown")


@pytest.mark.parametrize("video_id", ["_mAfwH6i90E", ".hidden", "-5KQ66BBWC4", "a%27b~Zoë.mp4"])
def test_ids_that_look_odd(tmp_path: Path, video_id: str) -> None:
    put(new_bank(tmp_path), video(video_id))
    bank = FeatureBank.open(tmp_path)
    assert bank.videos()["video_id"].to_pylist() == [video_id]
    assert len(bank.window(CLIPS, video_id, 2.0, 1, 1).times_s) == 2
    assert_whole(tmp_path, warnings=[])


def test_fsspec_locations_hold_banks_too() -> None:
    pytest.importorskip("fsspec")
    uri = "memory://bank-of-test-writer"
    writer = new_bank(uri)
    put(writer, video("a"), "a" * 16)
    put(writer, video("a", seed=5), "b" * 16)
    put(BankWriter.open(uri), video("b"))
    assert FeatureBank.open(uri).features(CLIPS).num_rows == 12
    assert_whole(uri, warnings=[])


def test_two_processes_may_write_the_same_file_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two segments that end at the same moment both find their video complete, and both finish it."""
    writer = new_bank(tmp_path)
    batches = [video("a").rows["shots"]]
    note, others = staging.note_publishing, []

    def note_and_be_overtaken(*place: Any) -> None:
        monkeypatch.setattr(staging, "note_publishing", note)
        others.append(writer.write_final("shots", "a", "shots", FP, batches))
        note(*place)

    monkeypatch.setattr(staging, "note_publishing", note_and_be_overtaken)
    file = writer.write_final("shots", "a", "shots", FP, batches)
    assert file == others[0]
    writer.commit(ok_row("a", FP), [file])
    assert_whole(tmp_path, warnings=[])
