"""An index that is good is used; one that is stale, damaged or of another metric is not, and the page says so."""

import shutil
from pathlib import Path

import pytest

from longform.query.index import build
from longform.report.collect import video_detail, video_facts
from longform.report.maps import SpaceMap, space_map
from pipeline.bank.reader import FeatureBank
from pipeline.bank.writer import BankWriter
from tests.longform.report.film_bank import CLIPS

IDS = ["film.mov", "gone.mp4"]


@pytest.fixture
def own_bank(bank: Path, tmp_path: Path) -> Path:
    shutil.copytree(bank, tmp_path / "bank")
    return tmp_path / "bank"


def mapped(path: Path, ids: list[str] = IDS, most: int = 1000) -> SpaceMap:
    bank = FeatureBank.open(path)
    room = {"shots": 100, "tracks": 100, "detections": 100}
    shots = [video_detail(bank, facts, room).shots for facts in video_facts(bank, ids, 100)]
    found = space_map(bank, CLIPS, ids, shots, most)
    assert found is not None
    return found


def test_the_index_finds_what_comparing_all_finds(own_bank: Path) -> None:
    exact = mapped(own_bank)
    assert exact.similar_how.endswith("this space has no index")
    build(FeatureBank.open(own_bank), CLIPS, kind="flat")
    found = mapped(own_bank)
    assert found.similar_how == "through the index (Flat) over 16 rows"
    for ours, theirs in zip(found.similar, exact.similar, strict=True):
        assert [entry[:3] for entry in ours] == [entry[:3] for entry in theirs]
        assert [entry[3] for entry in ours] == pytest.approx([entry[3] for entry in theirs], abs=2e-3)


def test_the_index_also_finds_moments_that_were_not_sampled(own_bank: Path) -> None:
    build(FeatureBank.open(own_bank), CLIPS, kind="flat")
    found = mapped(own_bank, most=4)
    assert {at_s for similar in found.similar for _, at_s, _, _ in similar} - set(found.at_s)


def test_hits_in_videos_that_are_not_on_the_page_are_left_out(own_bank: Path) -> None:
    build(FeatureBank.open(own_bank), CLIPS, kind="flat")
    found = mapped(own_bank, ids=["gone.mp4"])
    assert {entry[0] for similar in found.similar for entry in similar} == {0}
    assert all(len(similar) == 3 for similar in found.similar)


def test_an_index_of_another_metric_is_not_used(own_bank: Path) -> None:
    build(FeatureBank.open(own_bank), CLIPS, kind="flat", metric="l2")
    assert "its index was not used, it compares by l2" in mapped(own_bank).similar_how


def test_a_stale_index_is_not_used(own_bank: Path) -> None:
    build(FeatureBank.open(own_bank), CLIPS, kind="flat")
    BankWriter.open(str(own_bank)).commit({"video_id": "gone.mp4", "uri": "gone.mp4", "status": "ok", "stages": []}, [])
    how = mapped(own_bank, ids=["film.mov"]).similar_how
    assert "exact cosine" in how
    assert "its index was not used, videos since: 1 gone (gone.mp4)" in how


def test_a_damaged_index_is_not_used(own_bank: Path) -> None:
    build(FeatureBank.open(own_bank), CLIPS, kind="flat")
    for path in (own_bank / "index" / CLIPS).rglob("*.json"):
        path.write_text("{")
    assert "no index was used (" in mapped(own_bank).similar_how
