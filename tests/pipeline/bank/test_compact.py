"""compact: few files, same answers, nothing left over."""

from pathlib import Path

import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from pyarrow import fs as pafs

from pipeline.bank import BankError, FeatureBank
from pipeline.bank.claims import COMPACT, claim
from pipeline.bank.compact import compact
from pipeline.bank.errors import BankBusyError
from pipeline.bank.verify import verify
from pipeline.bank.writer import DataFile
from tests.pipeline.bank.helpers import (
    CLIPS,
    PEOPLE,
    assert_whole,
    everything,
    new_bank,
    ok_row,
    publish,
    put,
    video,
)

FAILED = {"video_id": "broken", "uri": "u", "status": "failed", "error_stage": "probe", "error_class": "E",
          "error_message": "m", "stages": []}  # fmt: skip


def test_answers_stay_and_files_become_few(tmp_path: Path) -> None:
    writer = new_bank(tmp_path)
    for i in range(12):
        put(writer, video(f"v{i}", seconds=1 + i, seed=i))
    before = everything(FeatureBank.open(tmp_path))
    report = compact(tmp_path)
    assert (report.files_before, report.files_after, report.deleted) == (60, 5, 60)
    assert everything(FeatureBank.open(tmp_path)) == before
    assert sorted(path.name for path in (tmp_path / "videos").iterdir()) == ["@compacted.parquet"]
    assert_whole(tmp_path, warnings=[])
    plain = ds.dataset(tmp_path / "detections", format="parquet").to_table()
    assert plain.num_rows == len(before["detections"])


def test_twice_is_harmless_and_changes_nothing(tmp_path: Path) -> None:
    writer = new_bank(tmp_path)
    for i in range(4):
        put(writer, video(f"v{i}", seed=i))
    compact(tmp_path)
    first = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.parquet")}
    report = compact(tmp_path)
    assert report.deleted == 0
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.parquet")} == first


def test_a_new_extraction_supersedes_compacted_rows(tmp_path: Path) -> None:
    writer = new_bank(tmp_path)
    for i in range(3):
        put(writer, video(f"v{i}", seed=i))
    compact(tmp_path)
    put(writer, video("v1", seed=50), "e" * 16)
    row = writer.current_row("v1")
    assert row is not None
    assert row["revision"] == 3
    assert FeatureBank.open(tmp_path).features(CLIPS).num_rows == 18
    assert_whole(tmp_path, warnings=[])
    before = everything(FeatureBank.open(tmp_path))
    compact(tmp_path)
    assert everything(FeatureBank.open(tmp_path)) == before
    assert len(list(tmp_path.rglob("*.parquet"))) == 6
    assert FeatureBank.open(tmp_path).table("shots").num_rows == sum(
        pq.read_metadata(path).num_rows for path in (tmp_path / "shots").iterdir()
    )
    assert_whole(tmp_path, warnings=[])


def test_row_groups_hold_whole_videos_or_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.bank.merging.default_row_group_rows", lambda schema: 8)
    writer = new_bank(tmp_path)
    for name, seconds in (("a", 3), ("b", 4), ("c", 5), ("d", 20), ("e", 2)):
        put(writer, video(name, seconds))
    before = everything(FeatureBank.open(tmp_path))
    compact(tmp_path)
    parquet = pq.ParquetFile(next((tmp_path / "features" / CLIPS).iterdir()))
    groups = [parquet.read_row_group(i)["video_id"].to_pylist() for i in range(parquet.num_row_groups)]
    assert [sorted(set(group)) for group in groups] == [["a", "b"], ["c"], ["d"], ["d"], ["d"], ["e"]]
    assert everything(FeatureBank.open(tmp_path)) == before


def test_target_size_cuts_between_videos(tmp_path: Path) -> None:
    writer = new_bank(tmp_path)
    for i in range(6):
        put(writer, video(f"v{i}", seed=i))
    before = everything(FeatureBank.open(tmp_path))
    compact(tmp_path, target_mb=0.012)
    assert 1 < len(list((tmp_path / "features" / PEOPLE).iterdir())) < 6
    assert everything(FeatureBank.open(tmp_path)) == before
    assert_whole(tmp_path, warnings=[])
    compact(tmp_path)
    assert len(list((tmp_path / "features" / PEOPLE).iterdir())) == 1
    assert everything(FeatureBank.open(tmp_path)) == before


def test_failed_videos_and_banks_without_files(tmp_path: Path) -> None:
    writer = new_bank(tmp_path)
    writer.commit(FAILED)
    put(writer, video("v"))
    compact(tmp_path)
    assert FeatureBank.open(tmp_path).videos()["status"].to_pylist() == ["failed", "ok"]
    put(writer, video("broken"))
    assert FeatureBank.open(tmp_path).videos()["status"].to_pylist() == ["ok", "ok"]
    assert_whole(tmp_path, warnings=[])


def test_work_on_its_way_into_a_commit_is_kept(tmp_path: Path) -> None:
    writer = new_bank(tmp_path)
    put(writer, video("v"))
    files = publish(writer, video("w"), "a" * 16)
    report = compact(tmp_path)
    assert report.kept_unfinished == sorted(file.path for file in files)
    writer.commit(ok_row("w", "a" * 16), files)
    assert_whole(tmp_path, warnings=[])
    publish(writer, video("x"), "a" * 16)
    assert compact(tmp_path, discard_unfinished=True).kept_unfinished == []
    assert_whole(tmp_path, warnings=[])
    assert FeatureBank.open(tmp_path).videos().num_rows == 2


def test_a_commit_that_reuses_files_finds_them_after_compact(tmp_path: Path) -> None:
    writer = new_bank(tmp_path)
    for name in ("v", "w"):
        rows = video(name).rows["shots"]
        file = writer.write_final("shots", name, "shots", "a" * 16, [rows])
        writer.commit(ok_row(name, "a" * 16), [file] if file else [])
    row = writer.current_row("v")
    assert row is not None
    reused = [DataFile(**entry) for entry in row["files"]]
    compact(tmp_path)
    clips = writer.write_final("features/" + CLIPS, "v", "clips", "b" * 16, [video("v").rows["features/" + CLIPS]])
    assert clips is not None
    writer.commit(ok_row("v", "a" * 16), [*reused, clips])
    assert_whole(tmp_path, warnings=[])
    assert FeatureBank.open(tmp_path).table("shots", "v").num_rows == 2
    with pytest.raises(BankError, match="run again"):
        writer.commit(ok_row("v", "c" * 16), [*reused, clips])


def test_a_commit_during_the_merge_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline.bank import compact as module

    writer = new_bank(tmp_path)
    for i in range(3):
        put(writer, video(f"v{i}", seed=i))
    real = module.write_merged
    done = []

    def meanwhile(*args: object) -> object:
        if not done:
            done.append(True)
            put(writer, video("v1", seed=70), "e" * 16)  # its old files vanish before they are merged
            put(writer, video("v9", seed=9))
        out = real(*args)
        if len(done) == 1:
            done.append(True)
            put(writer, video("v2", seed=71), "e" * 16)  # after its rows of one table were merged
        return out

    monkeypatch.setattr(module, "write_merged", meanwhile)
    compact(tmp_path)
    assert_whole(tmp_path, warnings=[])
    expected = new_bank(tmp_path.with_name("expected"))
    for name, seed in (("v0", 0), ("v1", 70), ("v2", 71), ("v9", 9)):
        put(expected, video(name, seed=seed))
    assert everything(FeatureBank.open(tmp_path)) == everything(FeatureBank.open(tmp_path.with_name("expected")))


def test_a_bank_that_is_not_whole_is_left_alone(tmp_path: Path) -> None:
    writer = new_bank(tmp_path)
    for name in ("a", "b"):
        put(writer, video(name))
    next((tmp_path / "shots").glob("a.*")).unlink()
    with pytest.raises(BankError, match=r"\['a'\].*longform verify"):
        compact(tmp_path)
    assert {problem.video_id for problem in verify(tmp_path).problems} == {"a"}


def test_one_compact_at_a_time(tmp_path: Path) -> None:
    new_bank(tmp_path)
    with (
        claim(pafs.LocalFileSystem(), str(tmp_path), COMPACT),
        pytest.raises(BankBusyError, match="compact by process"),
    ):
        compact(tmp_path)
    with pytest.raises(BankError, match="target_mb 0"):
        compact(tmp_path, target_mb=0)


def test_on_fsspec() -> None:
    pytest.importorskip("fsspec")
    uri = "memory://bank-of-test-compact"
    writer = new_bank(uri)
    for i in range(3):
        put(writer, video(f"v{i}", seed=i))
    before = everything(FeatureBank.open(uri))
    compact(uri)
    put(writer, video("v1", seed=1), "f" * 16)
    assert everything(FeatureBank.open(uri)) == before
    assert_whole(uri, warnings=[])
