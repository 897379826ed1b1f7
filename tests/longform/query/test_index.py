"""An index in a bank: what it covers, when it is out of date, and what a stop in the middle leaves."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pyarrow as pa
import pytest

from extractors.errors import ConfigError
from longform.query.ann import VectorIndex, factory_string
from longform.query.exact import normalised
from longform.query.index import SpaceIndexError, StaleIndexError, build, coverage, open_index, read_facts
from longform.query.recall import measured_recall
from longform.query.search import search, vector
from pipeline.bank import FeatureBank
from pipeline.bank.compact import compact
from pipeline.bank.errors import BankBusyError, BankError
from pipeline.bank.locks import lock
from pipeline.bank.snapshot import row_path
from tests.longform.query.banks import PEOPLE, bank_of, put, rows_by_hand, video
from tests.pipeline.bank.helpers import Killed, assert_whole, dying

QUERY = vector([0.3, -0.8, 0.5])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    bank_of(tmp_path / "bank", dict.fromkeys("abc", 20))
    return tmp_path / "bank"


def videos_found(bank: FeatureBank, **options: Any) -> set[str]:
    return {hit.video_id for hit in search(bank, PEOPLE, QUERY, 1000, **options).hits}


@pytest.mark.parametrize("kind", ["flat", "ivf", "hnsw", "IVF3,Flat", "HNSW8_SQfp16"])
def test_what_is_built_is_found_again_by_another_reader(folder: Path, kind: str) -> None:
    report = build(FeatureBank.open(folder), PEOPLE, kind)
    facts = report.facts
    assert (report.action, report.added_rows) == ("built", 120)
    assert (facts.rows, facts.dim, facts.metric, facts.type, list(facts.videos)) == (
        120,
        3,
        "cosine",
        kind,
        ["a", "b", "c"],
    )
    assert facts.recall_at_10 >= 0.99
    bank = FeatureBank.open(folder)
    opened = open_index(bank, PEOPLE)
    assert opened is not None
    rows = {(row["video_id"], row["detection_id"]): row["track_id"] for row in rows_by_hand(bank, PEOPLE)}
    assert {(row["video_id"], row["detection_id"]): row["track_id"] for row in opened.rows.to_pylist()} == rows


def test_product_quantisation_needs_and_gets_enough_rows(tmp_path: Path) -> None:
    bank_of(tmp_path / "bank", {"a": 150, "b": 20})
    bank = FeatureBank.open(tmp_path / "bank")
    assert build(bank, PEOPLE, "pq").facts.factory == "IVF6,PQ1x8"
    assert len(search(bank, PEOPLE, QUERY, 5).hits) == 5
    bank_of(tmp_path / "small", {"a": 20})
    with pytest.raises(ConfigError, match="Use --type hnsw or flat"):
        build(FeatureBank.open(tmp_path / "small"), PEOPLE, "pq")


def test_new_videos_are_found_beside_the_index_and_added_by_the_next_build(folder: Path) -> None:
    build(FeatureBank.open(folder), PEOPLE, "ivf")
    writer = bank_of(folder, {})
    put(writer, video("d", seconds=10, seed=7))
    bank = FeatureBank.open(folder)
    answer = search(bank, PEOPLE, QUERY, 1000)
    assert {hit.video_id for hit in answer.hits} == set("abcd")
    assert "20 rows of 1 new videos" in answer.notes[-1]
    scores = [hit.score for hit in answer.hits]
    assert scores == sorted(scores, reverse=True)
    report = build(bank, PEOPLE)
    assert (report.action, report.added_rows, report.facts.rows, report.facts.type) == ("extended", 20, 140, "ivf")
    assert len(search(bank, PEOPLE, QUERY, 1000).notes) == 1
    assert build(bank, PEOPLE).action == "up to date"
    assert len(list((folder / "index" / PEOPLE).iterdir())) == 3
    assert build(bank, PEOPLE, rebuild=True).action == "rebuilt"


def test_features_that_come_scene_after_scene_are_all_within_reach() -> None:
    """A graph that got these batch by batch would find 0.90 of them."""
    random = np.random.default_rng(1)
    scenes = np.repeat(random.normal(size=(400, 32)), 50, axis=0)
    rows = normalised((scenes + 0.05 * random.normal(size=scenes.shape)).astype(np.float32))
    index = VectorIndex.make(factory_string("hnsw", 32, len(rows)), 32, "cosine")
    index.fill((rows[first : first + 500] for first in range(0, len(rows), 500)), len(rows))
    _, ids = index.search(rows[::37], 10)
    assert (ids // 50 == (np.arange(len(rows))[::37] // 50)[:, None]).mean() > 0.99


def test_a_graph_of_more_rows_is_searched_harder(monkeypatch: pytest.MonkeyPatch) -> None:
    random, efforts = np.random.default_rng(1), []
    rows = normalised(random.normal(size=(1000, 8)).astype(np.float32))
    index = VectorIndex.make("HNSW32", 8, "cosine")
    index.fill([rows], len(rows))
    as_made = faiss.SearchParametersHNSW

    def noted(**settings: Any) -> Any:
        efforts.append(settings["efSearch"])
        return as_made(**settings)

    monkeypatch.setattr(faiss, "SearchParametersHNSW", noted)
    for full_effort_rows in (1000, 100, 10):
        monkeypatch.setattr("longform.query.ann._HNSW_EFFORT_ROWS", full_effort_rows)
        index.search(rows[:1], 10)
    index.search(rows[:1], 500)
    assert efforts == [64, 127, 254, 1000]


def test_changed_and_vanished_videos_make_it_stale(folder: Path) -> None:
    build(FeatureBank.open(folder), PEOPLE)
    put(bank_of(folder, {}), video("b", seconds=5, seed=8), "e" * 16)
    Path(row_path(str(folder), "c")).unlink()
    bank = FeatureBank.open(folder)
    facts = read_facts(bank, PEOPLE)
    assert facts is not None
    assert coverage(facts, bank).changed == ("b",)
    with pytest.raises(StaleIndexError, match=r"1 changed \(b\); 1 gone \(c\).*--stale ok"):
        search(bank, PEOPLE, QUERY)
    assert videos_found(bank, stale_ok=True) == set("abc")
    assert "OUT OF DATE" in search(bank, PEOPLE, QUERY, stale_ok=True).notes[-1]
    assert build(bank, PEOPLE).action == "rebuilt"
    assert videos_found(bank) == set("ab")


def test_compact_and_verify_leave_an_index_alone_and_it_stays_up_to_date(folder: Path) -> None:
    build(FeatureBank.open(folder), PEOPLE)
    compact(folder)
    assert_whole(folder, [])
    assert len(list((folder / "index" / PEOPLE).iterdir())) == 3
    assert build(FeatureBank.open(folder), PEOPLE).action == "up to date"


def test_rows_of_a_file_with_dead_rows_are_left_out(folder: Path) -> None:
    compact(folder)
    put(bank_of(folder, {}), video("b", seconds=5, seed=8), "e" * 16)
    assert build(FeatureBank.open(folder), PEOPLE).facts.rows == 40 + 40 + 10


def test_the_bank_may_be_compacted_while_it_is_read(folder: Path) -> None:
    bank = FeatureBank.open(folder)
    compact(folder)
    assert build(bank, PEOPLE).facts.rows == 120


def test_rows_that_change_while_they_are_read_are_refused(folder: Path) -> None:
    bank = FeatureBank.open(folder)
    put(bank_of(folder, {}), video("b", seconds=5, seed=8), "e" * 16)
    with pytest.raises(BankBusyError, match="new rows of"):
        build(bank, PEOPLE)
    assert not (folder / "index").exists()


def test_a_second_builder_waits_for_nothing(folder: Path) -> None:
    bank = FeatureBank.open(folder)
    with lock(bank.fs, bank.root, f"index.{PEOPLE}"), pytest.raises(BankBusyError):
        build(bank, PEOPLE)


@pytest.mark.parametrize("after", [False, True])
def test_a_stop_at_any_moment_leaves_the_old_index_or_the_new_one(folder: Path, after: bool) -> None:
    build(FeatureBank.open(folder), PEOPLE, "flat")
    put(bank_of(folder, {}), video("d", seconds=10, seed=7))
    for step in _stops_of_a_build(folder, after):
        opened = open_index(FeatureBank.open(folder), PEOPLE)
        assert opened is not None, step
        assert opened.facts.rows in (120, 140), step


def _stops_of_a_build(folder: Path, after: bool) -> Iterator[int]:
    """Dies at the first, second, ... operation of a build, each on a fresh copy, until one gets through."""
    kept = folder.with_name("kept")
    shutil.copytree(folder, kept)
    for step in range(1, 100):
        shutil.rmtree(folder)
        shutil.copytree(kept, folder)
        fs, _ = dying(step, after)
        try:
            build(FeatureBank(fs, str(folder)), PEOPLE)
        except (Killed, BankError):
            yield step
            continue
        yield step
        assert step > 5
        return
    raise AssertionError("a build never got through")


def edit(folder: Path, **facts: Any) -> None:
    path = folder / "index" / PEOPLE / "index.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | facts))


def test_an_index_that_does_not_fit_is_refused_and_made_anew(folder: Path) -> None:
    bank = FeatureBank.open(folder)
    place = folder / "index" / PEOPLE
    for damage, message in (
        (lambda: edit(folder, dim=512), "got 512 values a row, expected 3"),
        (lambda: edit(folder, format_version=99), "format version 99"),
        (lambda: edit(folder, rows=7), r"\[7, 120\]"),
        (lambda: edit(folder, colour="red"), "does not parse"),
        (lambda: edit(folder, vectors_file="../../../secret"), r"a file named '\.\./\.\./\.\./secret'"),
        (lambda: edit(folder, rows_file="../../bank.json"), r"a file named '\.\./\.\./bank\.json'"),
        (lambda: (place / "index.json").write_text("{"), "does not parse"),
        (lambda: next(place.glob("*.faiss")).unlink(), "no files"),
        (lambda: next(place.glob("*.faiss")).write_bytes(b"abcd1234"), "not recognized"),
        (lambda: next(place.glob("*.parquet")).write_bytes(b"PAR1"), "Cannot read"),
    ):
        shutil.rmtree(folder / "index", ignore_errors=True)
        build(bank, PEOPLE, "flat")
        damage()
        with pytest.raises(BankError, match=message):
            search(bank, PEOPLE, QUERY)
    shutil.rmtree(place)
    assert build(bank, PEOPLE).action == "built"


def test_an_index_of_another_space_does_not_pass_for_this_one(folder: Path) -> None:
    bank = FeatureBank.open(folder)
    build(bank, PEOPLE)
    (folder / "index" / PEOPLE).rename(folder / "index" / "clip.test")
    with pytest.raises(SpaceIndexError, match=r"an index of space 'person\.test'"):
        search(bank, "clip.test", vector([1.0, 0, 0, 0]))


def test_unknown_kinds_and_metrics_are_refused(folder: Path) -> None:
    bank = FeatureBank.open(folder)
    with pytest.raises(ConfigError, match=r"'Nonsense9'.*flat, ivf, hnsw, pq"):
        build(bank, PEOPLE, "Nonsense9")
    with pytest.raises(SpaceIndexError, match="cosine, l2"):
        build(bank, PEOPLE, "flat", "manhattan")  # type: ignore[arg-type]
    empty = bank_of(folder.with_name("empty"), {})
    with pytest.raises(SpaceIndexError, match="Extract it first"):
        build(FeatureBank(empty.fs, empty.root), PEOPLE)


def test_factory_strings_grow_with_the_rows() -> None:
    assert factory_string("ivf", 512, 100_000) == "IVF1264,Flat"
    assert factory_string("ivf", 512, 30) == "IVF1,Flat"
    assert factory_string("pq", 2048, 1_000_000) == "IVF4000,PQ512x8"
    assert factory_string("pq", 7, 1_000_000) == "IVF4000,PQ1x8"
    assert factory_string("HNSW48_SQ8", 7, 10) == "HNSW48_SQ8"


@pytest.mark.parametrize("metric", ["cosine", "l2"])
def test_recall_is_that_of_a_count_by_hand(metric: Any) -> None:
    random = np.random.default_rng(0)
    values = random.normal(size=(300, 8)).astype(np.float16)
    flat = pa.array(values.reshape(-1), pa.float16())
    rows = pa.table(
        {
            "video_id": ["v"] * 300,
            "at_s": np.arange(300.0),
            "detection_id": pa.nulls(300, pa.int64()),
            "feature": pa.FixedSizeListArray.from_arrays(flat, 8),
        }
    )
    exact = values.astype(np.float32)
    if metric == "cosine":
        exact /= np.linalg.norm(exact, axis=1, keepdims=True)
    index = VectorIndex.make("PCA3,Flat", 8, metric)
    index.train(exact)
    index.fill([exact], 300)
    _, answers = index.search(exact[:50], 11)
    hits = []
    for query, answer in enumerate(answers):
        distances = np.linalg.norm(exact - exact[query], axis=1)
        distances[query] = np.inf
        hits.append(len(set(np.argsort(distances)[:10]) & (set(answer) - {query})) / 10)
    batches = [rows.slice(start, 64) for start in range(0, 300, 64)]
    measured = measured_recall(index, rows, metric, rows.slice(0, 50), batches, 10)
    assert measured == pytest.approx(np.mean(hits), abs=1e-6)
    assert 0.2 < measured < 0.8
