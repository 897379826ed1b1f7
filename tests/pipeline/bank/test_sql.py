"""SQL over a bank: the valid rows and no others, nothing but reading, and errors in one line."""

import itertools
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import fs as pafs

from pipeline.bank import BankError, FeatureBank
from pipeline.bank.compact import compact
from pipeline.bank.sql import SqlError, query, stream, view_names
from pipeline.bank.writer import BankWriter
from tests.longform.query.banks import CLIPS, PEOPLE, TABLES, CountingFilesystem, bank_of, put, video


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six videos: compacted, then one extracted again with fewer rows, one added; leftovers of a killed run."""
    folder = tmp_path / "bank"
    writer = bank_of(folder, dict.fromkeys("abcde", 6))
    compact(folder)
    put(writer, video("b", seconds=3, seed=9), "e" * 16)
    put(writer, video("f", seconds=2, seed=10))
    writer.write_final("shots", "ghost", "shots", "d" * 16, [video("ghost").rows["shots"]])
    return folder


def ordered(rows: list[dict]) -> list[dict]:
    return sorted(rows, key=repr)


def floats(rows: list[dict]) -> list[dict]:
    """Rows with half floats as floats."""
    return [{name: [float(x) for x in v] if name == "feature" else v for name, v in row.items()} for row in rows]


def test_views_hold_the_valid_rows_of_every_table_and_space(folder: Path) -> None:
    bank = FeatureBank.open(folder)
    for name in TABLES:
        assert ordered(query(bank, f"SELECT * FROM {name}").to_pylist()) == ordered(bank.table(name).to_pylist())
    for space in (CLIPS, PEOPLE):
        found = query(bank, f'SELECT * FROM "{space}"').to_pylist()
        assert ordered(found) == ordered(floats(bank.features(space).to_pylist()))
    assert query(bank, "SELECT * FROM videos ORDER BY video_id").to_pylist() == bank.videos().to_pylist()
    assert query(bank, "SELECT count(*) AS n FROM shots WHERE video_id = 'b'").to_pylist() == [{"n": 2}]


def test_conditions_and_joins_reach_through_the_parts_of_a_view(folder: Path) -> None:
    bank = FeatureBank.open(folder)
    sql = f"""SELECT d.video_id, count(*) AS n FROM detections AS d JOIN "{PEOPLE}" AS p USING (video_id, detection_id)
              WHERE d.at_s >= 1 AND p.track_id IS NOT NULL GROUP BY ALL ORDER BY ALL"""
    by_hand = {}
    for row in bank.features(PEOPLE).to_pylist():
        if row["at_s"] >= 1 and row["track_id"] is not None:
            by_hand[row["video_id"]] = by_hand.get(row["video_id"], 0) + 1
    assert {row["video_id"]: row["n"] for row in query(bank, sql).to_pylist()} == by_hand


def test_a_bank_without_rows_has_views_of_the_right_columns(tmp_path: Path) -> None:
    bank_of(tmp_path / "bank", {})
    bank = FeatureBank.open(tmp_path / "bank")
    assert query(bank, f'SELECT * FROM "{CLIPS}"').num_rows == 0
    assert [row["column_name"] for row in query(bank, "DESCRIBE tracks").to_pylist()] == bank.table(
        "tracks"
    ).schema.names


def test_an_answer_survives_compact_and_new_videos_since_the_bank_was_opened(folder: Path) -> None:
    bank = FeatureBank.open(folder)
    before = query(bank, "SELECT count(*) AS n FROM detections").to_pylist()
    compact(folder)
    assert query(bank, "SELECT count(*) AS n FROM detections").to_pylist() == before


def test_answers_stay_whole_while_a_run_and_compact_work(folder: Path) -> None:
    """Each extraction of "b" has 3 or 6 clips and as many pairs of people; no answer may mix two."""
    stop = threading.Event()

    def work() -> None:
        writer = BankWriter.open(str(folder))
        for turn in itertools.count():
            if stop.is_set():
                return
            put(writer, video("b", seconds=3 + 3 * (turn % 2), seed=turn), f"{turn:012x}")
            if turn % 3 == 2:
                compact(folder)
            time.sleep(0.05)

    worker = threading.Thread(target=work)
    worker.start()
    bank, seen, turns = FeatureBank.open(folder), set(), 0
    end = time.monotonic() + 60
    try:
        while turns < 30 or (seen != {3, 6} and time.monotonic() < end):
            turns += 1
            bank.refresh()
            sql = f"""SELECT count(*) AS clips, (SELECT count(*) FROM "{PEOPLE}" WHERE video_id = 'b') AS people
                      FROM "{CLIPS}" WHERE video_id = 'b'"""
            (row,) = query(bank, sql).to_pylist()
            assert row["people"] == 2 * row["clips"]
            seen.add(row["clips"])
    finally:
        stop.set()
        worker.join()
    assert seen == {3, 6}


def test_the_bank_itself_answers_sql(folder: Path) -> None:
    bank, sql = FeatureBank.open(folder), "SELECT count(*) AS n FROM shots"
    assert bank.sql(sql).equals(query(bank, sql))
    with pytest.raises(SqlError, match="only read"):
        bank.sql("DROP VIEW shots")


def test_a_stream_gives_the_answer_piece_by_piece(tmp_path: Path) -> None:
    bank_of(tmp_path / "bank", {"a": 2})
    bank, sizes = FeatureBank.open(tmp_path / "bank"), []

    def consume(schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> int:
        assert schema.names == ["n"]
        sizes.extend(batch.num_rows for batch in batches)
        return sum(sizes)

    assert stream(bank, "SELECT * FROM range(100000) AS t(n)", consume) == 100_000
    assert len(sizes) > 5
    assert max(sizes) < 20_000


def test_a_stream_that_breaks_off_when_the_bank_changes_begins_anew(folder: Path) -> None:
    """The files of a view are compacted away after the first batch of an answer that needs them."""
    bank, seen = FeatureBank.open(folder), []

    def consume(schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> int:
        seen.append(0)
        for batch in batches:
            seen[-1] += batch.num_rows
            if len(seen) == 1:
                compact(folder)
                raise FileNotFoundError("as a scan finds its next file gone")
        return seen[-1]

    rows = FeatureBank.open(folder).table("detections").num_rows
    assert stream(bank, "SELECT * FROM detections", consume) == rows
    assert len(seen) == 2


def test_an_error_in_the_middle_of_a_stream_has_its_reason(folder: Path) -> None:
    sql = "SELECT CAST(CASE WHEN n < 90000 THEN '1' ELSE 'one' END AS INTEGER) AS n FROM range(100000) AS t(n)"
    with pytest.raises(SqlError, match="Could not convert string 'one'") as refused:
        stream(FeatureBank.open(folder), sql, lambda schema, batches: sum(batch.num_rows for batch in batches))
    assert "\n" not in str(refused.value)


def test_a_lost_file_is_named_as_such(folder: Path) -> None:
    bank = FeatureBank.open(folder)
    for path in (folder / "shots").glob("*.parquet"):
        path.unlink()
    with pytest.raises(BankError, match="longform verify"):
        query(bank, "SELECT * FROM shots")


def test_a_query_reads_its_columns_and_its_videos_only(tmp_path: Path) -> None:
    dims = {CLIPS: 8192, PEOPLE: 3}
    writer, random = bank_of(tmp_path / "bank", {}, dims), np.random.default_rng(0)
    for name in "abcd":
        content = video(name, seconds=30)
        for row in content.rows["features/" + CLIPS]:
            row["feature"] = random.normal(size=8192)
        put(writer, content)
    handler = CountingFilesystem()
    bank = FeatureBank(pafs.PyFileSystem(handler), str(tmp_path / "bank"))
    size = sum(path.stat().st_size for path in (tmp_path / "bank" / "features" / CLIPS).iterdir())
    handler.bytes, handler.opened = 0, []
    assert query(bank, f'SELECT max(at_s) AS t FROM "{CLIPS}"').to_pylist() == [{"t": 29.0}]
    assert handler.bytes < size / 6  # footers, 64 KB each
    handler.opened = []
    assert query(bank, f"SELECT count(*) AS n FROM \"{CLIPS}\" WHERE video_id = 'c' AND at_s < 3").to_pylist() == [
        {"n": 3}
    ]
    assert {Path(path).name.split(".")[0] for path in handler.opened if "features" in path} == {"c"}


OUTSIDE = [
    "SELECT * FROM read_text('{file}')",
    "SELECT * FROM '{file}'",
    "SELECT * FROM read_csv('{file}')",
    "SELECT * FROM glob('{file}*')",
    "SELECT * FROM parquet_scan('{bank}/videos/f.parquet')",
    "COPY (SELECT 1) TO '{new}'",
    "COPY shots TO '{new}'",
    "ATTACH '{new}' AS other",
    "EXPORT DATABASE '{new}'",
    "SET enable_external_access = true",
    "SELECT 1; COPY (SELECT 1) TO '{new}'",
    "INSTALL httpfs",
    "LOAD httpfs",
    "PRAGMA database_list",
    "CREATE TABLE copy_of AS SELECT * FROM shots",
    "DELETE FROM shots",
    "DROP VIEW shots",
    "SELECT * FROM query('COPY (SELECT 1) TO ''{new}''')",
    "SELECT * FROM secret_of_the_caller",
    "",
    ";",
]


@pytest.mark.parametrize("sql", OUTSIDE)
def test_nothing_but_the_bank_is_read_and_nothing_written(folder: Path, tmp_path: Path, sql: str) -> None:
    secret_of_the_caller = pa.table({"a": [1]})
    assert secret_of_the_caller.num_rows
    (tmp_path / "secret.csv").write_text("word\nxyzzy\n")
    before = sorted(tmp_path.rglob("*"))
    filled = sql.format(file=tmp_path / "secret.csv", new=tmp_path / "new", bank=folder)
    with pytest.raises(SqlError) as refused:
        query(FeatureBank.open(folder), filled)
    assert "\n" not in str(refused.value)
    assert "xyzzy" not in str(refused.value)
    assert sorted(tmp_path.rglob("*")) == before


def test_files_are_read_but_never_written_when_the_user_allows_files(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "names.csv").write_text("video_id,title\na,Harbour\nb,Gallery\n")
    sql = f"SELECT title, count(*) AS n FROM shots JOIN '{tmp_path}/names.csv' USING (video_id) GROUP BY 1 ORDER BY 1"
    found = query(FeatureBank.open(folder), sql, allow_files=True).to_pylist()
    assert found == [{"title": "Gallery", "n": 2}, {"title": "Harbour", "n": 2}]
    with pytest.raises(SqlError, match="only read"):
        query(FeatureBank.open(folder), f"COPY shots TO '{tmp_path}/new.csv'", allow_files=True)


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("SELEC 1", "syntax error"),
        ("SELECT colour FROM shots", "colour"),
        ("SELECT * FROM shotz", f'Views are videos, shots, detections, tracks, "{CLIPS}", "{PEOPLE}"'),
        (f"SELECT * FROM {CLIPS}", f'"{CLIPS}"'),
        ("SELECT CAST(video_id AS INTEGER) FROM shots", "Could not convert"),
    ],
)
def test_errors_are_one_line_with_the_reason(folder: Path, sql: str, reason: str) -> None:
    with pytest.raises(SqlError) as refused:
        query(FeatureBank.open(folder), sql)
    assert reason in str(refused.value)
    assert "\n" not in str(refused.value)


def test_spaces_that_share_a_name_with_a_table_or_differ_in_case_have_views_too(tmp_path: Path) -> None:
    writer = bank_of(tmp_path / "bank", {}, {"shots": 2, "clip.a": 3, "clip.A": 4})
    rows = [{"video_id": "v", "at_s": 0.0, "start_s": 0.0, "end_s": 1.0, "feature": [1.0] * 4}]
    files = [writer.write_final("features/clip.A", "v", "clips", "f" * 16, [rows])]
    writer.commit({"video_id": "v", "uri": "v", "status": "ok", "stages": []}, files)
    bank = FeatureBank.open(tmp_path / "bank")
    assert view_names(bank) == {
        "shots": "shots",
        "detections": "detections",
        "tracks": "tracks",
        "clip.A": "features/clip.A",
        "features/clip.a": "features/clip.a",
        "features/shots": "features/shots",
    }
    assert query(bank, 'SELECT feature FROM "clip.A"').to_pylist() == [{"feature": [1.0] * 4}]
    assert query(bank, 'SELECT * FROM "features/clip.a"').num_rows == 0


@pytest.mark.parametrize("name", ['x"; DROP VIEW shots; --', "../../outside", "a'b", "a\nb"])
def test_a_space_with_a_harmful_name_is_refused_when_the_bank_is_opened(folder: Path, name: str) -> None:
    manifest = json.loads((folder / "bank.json").read_text())
    manifest["spaces"][name] = {"dim": 2, "provenance": {}}
    (folder / "bank.json").write_text(json.dumps(manifest))
    with pytest.raises(BankError):
        FeatureBank.open(folder)


def test_harmful_text_in_rows_is_only_text(folder: Path) -> None:
    """Ids hold no quotes, uris may; a row file made by other hands may hold anything."""
    path = folder / "videos" / "f.parquet"
    rows = pq.read_table(path)
    uri = "x'); DROP VIEW shots; SELECT ('"
    rows = rows.set_column(rows.schema.get_field_index("uri"), rows.schema.field("uri"), pa.array([uri]))
    harmful = "f' OR '1'='1"
    rows = rows.set_column(0, rows.schema.field(0), pa.array([harmful]))
    pq.write_table(rows, path)
    bank = FeatureBank.open(folder)
    assert query(bank, "SELECT uri FROM videos WHERE video_id LIKE 'f%'").to_pylist() == [{"uri": uri}]
    assert query(bank, "SELECT DISTINCT video_id FROM shots ORDER BY 1").num_rows >= 5
