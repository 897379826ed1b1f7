"""Similarity: an index finds what comparing every row finds, under every filter."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longform.query import search as searching
from longform.query.filters import Filters
from longform.query.index import SpaceIndexError, build
from longform.query.search import Answer, moment, search, track, vector, vector_file
from pipeline.bank import BankError, FeatureBank
from pipeline.bank.errors import UnknownNameError
from tests.longform.query.banks import CLIPS, PEOPLE, bank_of, nearest_by_hand, put, rows_by_hand, video

QUERY = np.array([0.3, -0.8, 0.5])


def found(answer: Answer) -> list[tuple[str, float, int | None]]:
    return [(hit.video_id, hit.at_s, hit.detection_id) for hit in answer.hits]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four videos with 320 rows of people; two classes of detections of several scores."""
    folder = tmp_path_factory.mktemp("search") / "bank"
    writer = bank_of(folder, {})
    random = np.random.default_rng(5)
    for seed, name in enumerate("abcd"):
        content = video(name, seconds=40, seed=seed)
        for row in content.rows["detections"]:
            row["score"] = float(random.integers(1, 9)) / 8
            row["class_id"], row["label"] = (1, "person") if random.uniform() < 0.7 else (17, "horse")
        put(writer, content, duration_s=40.0)
    return folder


@pytest.fixture
def bank(folder: Path) -> FeatureBank:
    return FeatureBank.open(folder)


def test_without_an_index_every_row_is_compared_and_the_answer_says_so(bank: FeatureBank) -> None:
    answer = search(bank, PEOPLE, vector(QUERY), 5)
    assert found(answer) == nearest_by_hand(rows_by_hand(bank, PEOPLE), QUERY, 5)
    assert answer.notes == ("compared with all 320 rows (cosine); there is no index",)
    scores = [hit.score for hit in answer.hits]
    assert scores == sorted(scores, reverse=True)


def test_many_rows_without_an_index_are_refused_unless_asked_for(
    bank: FeatureBank, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "EXACT_ROWS", 100)
    with pytest.raises(SpaceIndexError, match="longform index"):
        search(bank, PEOPLE, vector(QUERY))
    assert len(search(bank, PEOPLE, vector(QUERY), 7, exact=True).hits) == 7


def passes(row: dict[str, Any], detections: list[dict[str, Any]], filters: Filters) -> bool:
    """The filters as their documentation words them."""
    if filters.video_ids and row["video_id"] not in filters.video_ids:
        return False
    if not filters.start_s <= row["at_s"] < filters.end_s:
        return False
    if not filters.labels and filters.min_score == -np.inf:
        return True
    return any(
        each["video_id"] == row["video_id"]
        and each["score"] >= filters.min_score
        and (not filters.labels or each["label"] in filters.labels or str(each["class_id"]) in filters.labels)
        and (
            row["start_s"] <= each["at_s"] < row["end_s"]
            if row["detection_id"] is None
            else each["detection_id"] == row["detection_id"]
        )
        for each in detections
    )


filters_of_a_user = st.builds(
    Filters,
    video_ids=st.sampled_from([(), ("a",), ("b", "d")]),
    start_s=st.sampled_from([-np.inf, 3.0, 20.5]),
    end_s=st.sampled_from([np.inf, 21.0, 39.0]),
    labels=st.sampled_from([(), ("horse",), ("17",), ("person", "horse")]),
    min_score=st.sampled_from([-np.inf, 0.5, 0.875]),
)


@settings(max_examples=25, deadline=None)
@given(filters=filters_of_a_user, kind=st.sampled_from(["exact", "hnsw", "ivf", "flat"]), people=st.booleans())
def test_filtered_answers_equal_a_scan_by_hand(folder: Path, filters: Filters, kind: str, people: bool) -> None:
    bank, space = FeatureBank.open(folder), PEOPLE if people else CLIPS
    query = QUERY if people else np.array([0.3, -0.8, 0.5, 0.1])
    if kind != "exact":
        build(bank, space, kind)
    detections = bank.table("detections").to_pylist()
    rows = [row for row in rows_by_hand(bank, space) if passes(row, detections, filters)]
    answer = search(bank, space, vector(query), 5, filters, exact=kind == "exact")
    assert found(answer) == nearest_by_hand(rows, query, 5)


def test_an_index_that_cannot_filter_says_so_and_answers_from_the_rows(bank: FeatureBank) -> None:
    build(bank, PEOPLE, "PCA2,Flat")
    answer = search(bank, PEOPLE, vector(QUERY), 5, Filters(video_ids=("a",)))
    rows = [row for row in rows_by_hand(bank, PEOPLE) if row["video_id"] == "a"]
    assert found(answer) == nearest_by_hand(rows, QUERY, 5)
    assert any("cannot filter" in note for note in answer.notes)


def test_distances_are_scores_below_zero(bank: FeatureBank) -> None:
    build(bank, CLIPS, "hnsw", "l2")
    row = rows_by_hand(bank, CLIPS)[7]
    aside = vector(np.asarray(row["feature"], float) + np.array([0.25, 0, 0, 0]))
    best = search(bank, CLIPS, aside, 1).hits[0]
    assert (best.video_id, best.at_s) == (row["video_id"], row["at_s"])
    assert best.score == pytest.approx(-0.25, abs=1e-3)
    exact = search(bank, CLIPS, aside, 1, exact=True)
    assert exact.hits[0].score == pytest.approx(best.score, abs=1e-5)


def test_a_moment_finds_itself_first_then_its_own_surroundings_can_be_left_out(bank: FeatureBank) -> None:
    itself = search(bank, CLIPS, moment(bank, CLIPS, "b", 12.3), 3, exact=True).hits[0]
    assert (itself.video_id, itself.at_s, itself.start_s, itself.end_s) == ("b", 12.0, 11.5, 12.5)
    others = search(bank, CLIPS, moment(bank, CLIPS, "b", 12.3), 160, exclude_near_s=2.0, exact=True).hits
    assert len(others) == 160 - 5
    assert not [hit for hit in others if hit.video_id == "b" and 10 <= hit.at_s <= 14]


def test_every_person_of_a_moment_is_looked_for_or_the_one_named(bank: FeatureBank) -> None:
    rows = {row["detection_id"]: row for row in rows_by_hand(bank, PEOPLE) if row["video_id"] == "c"}
    both = search(bank, PEOPLE, moment(bank, PEOPLE, "c", 5.0), 2, exact=True).hits
    assert {hit.detection_id for hit in both} == {10, 11}
    named = next(row for row in rows.values() if row["track_id"] is not None and row["at_s"] == 6.0)
    one = search(bank, PEOPLE, moment(bank, PEOPLE, "c", 6.0, named["track_id"]), 1, exact=True).hits[0]
    assert one.detection_id == named["detection_id"]
    assert one.track_id == named["track_id"]


def test_a_track_is_the_mean_of_its_rows(bank: FeatureBank) -> None:
    rows = [row for row in rows_by_hand(bank, PEOPLE) if row["video_id"] == "a" and row["track_id"] == 1]
    mean = np.mean([np.asarray(row["feature"], float) for row in rows], axis=0)
    answer = search(bank, PEOPLE, track(bank, PEOPLE, "a", 1), 4, exact=True)
    assert found(answer) == nearest_by_hand(rows_by_hand(bank, PEOPLE), mean, 4)


def test_a_vector_file_is_a_query_and_never_unpickled(bank: FeatureBank, tmp_path: Path) -> None:
    np.save(tmp_path / "good.npy", QUERY)
    assert found(search(bank, PEOPLE, vector_file(tmp_path / "good.npy"), 3, exact=True)) == nearest_by_hand(
        rows_by_hand(bank, PEOPLE), QUERY, 3
    )
    np.save(tmp_path / "objects.npy", np.array([{"a": 1}], object), allow_pickle=True)
    (tmp_path / "text.npy").write_text("no array")
    for name in ("objects.npy", "text.npy", "absent.npy"):
        with pytest.raises(BankError, match=name):
            vector_file(tmp_path / name)


@pytest.mark.parametrize(
    "values", [[], [[[1.0]]], [np.nan, 1, 2], [np.inf, 1, 2], [0.0, 0, 0], ["a", "b", "c"], [[1.0, 2], [0, 0]]]
)
def test_what_is_no_direction_is_refused(values: Any) -> None:
    with pytest.raises(BankError, match="Cannot search"):
        vector(values)


def test_what_the_bank_does_not_have_is_named(bank: FeatureBank, tmp_path: Path) -> None:
    for refused in (
        lambda: search(bank, "../../etc", vector(QUERY)),
        lambda: build(bank, "../../etc"),
        lambda: moment(bank, PEOPLE, "nobody", 1.0),
        lambda: track(bank, PEOPLE, "a", 99),
        lambda: moment(bank, PEOPLE, "a", 1.0, 99),
        lambda: search(bank, PEOPLE, vector(QUERY), 3, Filters(video_ids=("nobody",))),
        lambda: search(bank, PEOPLE, vector(QUERY), 3, Filters(labels=("unicorn",))),
    ):
        with pytest.raises(UnknownNameError):
            refused()
    for at_s in (-1.0, 41.0, np.nan):
        with pytest.raises(BankError, match="seconds from 0 to 40"):
            moment(bank, PEOPLE, "a", at_s)
    with pytest.raises(BankError, match="got 4 values, expected 3"):
        search(bank, PEOPLE, vector([1.0, 2, 3, 4]))
    with pytest.raises(BankError, match="at least 1"):
        search(bank, PEOPLE, vector(QUERY), 0)
