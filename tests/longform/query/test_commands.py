"""`longform sql`, `index` and `search` as a user runs them: what they print, their files, and their errors."""

import argparse
import csv
import errno
import json
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pyarrow.parquet as pq
import pytest

from extractors.errors import ConfigError
from longform.search_command import index, search
from longform.sql_command import WRITERS, sql
from pipeline.bank import BankError
from pipeline.bank.sql import SqlError
from tests.longform.query.banks import CLIPS, PEOPLE, bank_of, put, video

SHOTS = "SELECT video_id, count(*) AS shots, sum(shot_index) AS total FROM shots GROUP BY ALL ORDER BY ALL"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    bank_of(tmp_path / "bank", {"a": 20, "b": 1, "c": 10})
    return tmp_path / "bank"


def run_sql(folder: Path, words: str, **options: Any) -> int:
    defaults = {"format": None, "output": None, "json": False, "allow_files": False}
    return sql(argparse.Namespace(bank=str(folder), query=words, **{**defaults, **options}))


def run_index(folder: Path, space: str, **options: Any) -> int:
    defaults = {"type": None, "metric": None, "rebuild": False, "device": "cpu", "json": False}
    return index(argparse.Namespace(bank=str(folder), space=space, **{**defaults, **options}))


def run_search(folder: Path, space: str, **options: Any) -> int:
    defaults = {"video": None, "at": None, "track": None, "vector": None, "text": None, "weights": None, "k": 10,
                "within": [], "start": -np.inf, "end": np.inf, "label": [], "min_score": -np.inf, "exclude_near": None,
                "exact": False, "stale": None, "json": False}  # fmt: skip
    return search(argparse.Namespace(bank=str(folder), space=space, **{**defaults, **options}))


def test_sql_prints_a_table_json_and_csv(folder: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert run_sql(folder, SHOTS) == 0
    lines = capfdbinary.readouterr().out.decode().splitlines()
    assert [line.split() for line in lines] == [
        ["video_id", "shots", "total"], ["a", "2", "1"], ["b", "1", "0"], ["c", "2", "1"], ["3", "rows"],
    ]  # fmt: skip
    assert run_sql(folder, SHOTS, json=True) == 0
    assert json.loads(capfdbinary.readouterr().out)[0] == {"video_id": "a", "shots": 2, "total": 1}
    assert run_sql(folder, SHOTS, format="csv") == 0
    assert list(csv.reader(capfdbinary.readouterr().out.decode().splitlines()))[1] == ["a", "2", "1"]


def test_sql_writes_every_format_by_the_name_of_the_file(folder: Path, tmp_path: Path) -> None:
    words = f"SELECT at_s, feature FROM \"{CLIPS}\" WHERE video_id = 'c' ORDER BY at_s"
    for suffix in ("csv", "json", "parquet"):
        assert run_sql(folder, words, output=str(tmp_path / f"out.{suffix}")) == 0
    rows = json.loads((tmp_path / "out.json").read_text())
    assert len(rows) == 10
    assert pq.read_table(tmp_path / "out.parquet").to_pylist() == rows
    with open(tmp_path / "out.csv", newline="") as lines:
        cells = list(csv.DictReader(lines))
    assert [json.loads(row["feature"]) for row in cells] == [row["feature"] for row in rows]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bank", "out.csv", "out.json", "out.parquet"]


def test_json_knows_no_nan_and_keeps_columns_of_one_name_apart(
    folder: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    words = "SELECT 'nan'::FLOAT AS x, 1e999::DOUBLE AS x, 'é' AS x, DATE '2026-01-02' AS day, '\\x01'::BLOB AS raw"
    assert run_sql(folder, words, json=True) == 0
    text = capfdbinary.readouterr().out.decode()
    assert json.loads(text) == [{"x": None, "x_2": None, "x_3": "é", "day": "2026-01-02", "raw": "01"}]
    assert run_sql(folder, "SELECT * FROM shots LIMIT 0", json=True) == 0
    assert json.loads(capfdbinary.readouterr().out) == []


def test_sql_says_what_to_write_instead(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(SqlError, match="--format csv, json or parquet"):
        run_sql(folder, SHOTS, output=str(tmp_path / "out.txt"))
    with pytest.raises(SqlError, match="No such file or directory"):
        run_sql(folder, SHOTS, output=str(tmp_path / "absent" / "out.csv"))
    with pytest.raises(SqlError, match="colour"):
        run_sql(folder, "SELECT colour FROM shots", output=str(tmp_path / "out.csv"))
    assert [path.name for path in tmp_path.iterdir()] == ["bank"]


def test_sql_leaves_no_half_of_a_file(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "out.csv").write_text("what was there")
    words = "SELECT CAST(CASE WHEN n < 90000 THEN '1' ELSE 'one' END AS INTEGER) AS n FROM range(100000) AS t(n)"
    with pytest.raises(SqlError, match="Could not convert"):
        run_sql(folder, words, output=str(tmp_path / "out.csv"))

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setitem(WRITERS, "csv", full)
    with pytest.raises(SqlError, match=r"Cannot write .*out.csv': No space left"):
        run_sql(folder, SHOTS, output=str(tmp_path / "out.csv"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bank", "out.csv"]
    assert (tmp_path / "out.csv").read_text() == "what was there"


def test_sql_writes_long_answers_whole_and_empty_ones_with_their_columns(folder: Path, tmp_path: Path) -> None:
    for suffix in ("csv", "parquet", "json"):
        words = "SELECT n, [n, 1] AS pair, 'x' AS n FROM range(30000) AS t(n) ORDER BY 1"
        assert run_sql(folder, words, output=str(tmp_path / f"long.{suffix}")) == 0
        assert run_sql(folder, "SELECT * FROM shots LIMIT 0", output=str(tmp_path / f"none.{suffix}")) == 0
    rows = pq.read_table(tmp_path / "long.parquet").to_pylist()
    assert rows[29_999] == {"n": 29_999, "pair": [29_999, 1], "n_2": "x"}
    assert json.loads((tmp_path / "long.json").read_text()) == rows
    with open(tmp_path / "long.csv", newline="") as lines:
        assert [int(row[0]) for row in list(csv.reader(lines))[1:]] == list(range(30_000))
    assert (tmp_path / "none.csv").read_text().startswith('"video_id","shot_index"')
    assert pq.read_table(tmp_path / "none.parquet").num_rows == 0


def test_an_index_is_made_on_a_gpu_only_where_faiss_has_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="expected cpu, cuda or"):
        run_index(folder, PEOPLE, device="gpu")
    if not faiss.get_num_gpus():
        with pytest.raises(ConfigError, match=r"longform-video\[gpu\]"):
            run_index(folder, PEOPLE, device="cuda")
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 2)
    with pytest.raises(ConfigError, match="graph"):
        run_index(folder, PEOPLE, device="cuda:1")


def test_what_is_made_on_a_gpu_is_searched_on_the_cpu(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With stand-ins for the functions of a FAISS with GPUs: that the index goes there, is filled, and returns."""
    steps: list[Any] = []

    def to_gpu(resources: str, gpu: int, made: Any) -> Any:
        steps.append((resources, gpu, made.ntotal))
        return made

    def to_cpu(made: Any) -> Any:
        steps.append(made.ntotal)
        return made

    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 2)
    monkeypatch.setattr(faiss, "StandardGpuResources", lambda: "resources", raising=False)
    monkeypatch.setattr(faiss, "index_cpu_to_gpu", to_gpu, raising=False)
    monkeypatch.setattr(faiss, "index_gpu_to_cpu", to_cpu, raising=False)
    assert run_index(folder, PEOPLE, type="flat", device="cuda:1") == 0
    assert steps == [("resources", 1, 0), 62]


def test_index_prints_what_it_covers_and_its_recall(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_index(folder, PEOPLE) == 0
    out = capsys.readouterr()
    assert out.out.splitlines() == [
        "built: there was none",
        "62 rows of 3 videos, 3 values, cosine, HNSW32; recall@10 1.000 against comparing every row",
    ]
    assert "read 62 of 62 rows" in out.err
    put(bank_of(folder, {}), video("d", seconds=10, seed=7))
    assert run_index(folder, PEOPLE, json=True) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["action"], facts["added_rows"], facts["rows"], facts["videos"]) == ("extended", 20, 82, 4)
    assert facts["recall_at_10"] == 1.0


def test_search_prints_hits_and_says_on_the_side_how_it_found_them(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_index(folder, PEOPLE)
    capsys.readouterr()
    assert run_search(folder, PEOPLE, video="a", at=4.2, k=3, json=True) == 0
    out = capsys.readouterr()
    hits = json.loads(out.out)
    assert [set(hit) >= {"video_id", "at_s", "score", "track_id"} for hit in hits] == [True] * 3
    assert (hits[0]["video_id"], hits[0]["at_s"]) == ("a", 4.0)
    assert hits[0]["score"] == pytest.approx(1, abs=1e-6)
    assert out.err.startswith("index HNSW32 (cosine), recall@10 1.000")
    assert run_search(folder, PEOPLE, video="a", at=4.2, k=2, exclude_near=5.0, within=["c"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["score", "time", "s", "track", "video"]
    assert [line.split()[-1] for line in lines[1:]] == ["c", "c"]


def test_search_takes_a_track_or_a_vector_file(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "v.npy", np.ones(3, np.float32))
    assert run_search(folder, PEOPLE, vector=str(tmp_path / "v.npy"), k=1, json=True) == 0
    assert run_search(folder, PEOPLE, video="a", track=0, k=1, label=["person"], min_score=0.25) == 0
    assert "there is no index" in capsys.readouterr().err


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"video": "a"},
        {"video": "a", "vector": "v.npy"},
        {"vector": "v.npy", "at": 3.0},
        {"at": 3.0},
        {"text": "words", "video": "a"},
        {"text": "words", "track": 1},
        {"video": "a", "at": 3.0, "weights": "hf:a"},
    ],
)
def test_search_wants_one_query(folder: Path, options: dict[str, Any]) -> None:
    with pytest.raises(BankError, match="--v"):
        run_search(folder, PEOPLE, **options)
