"""The queries of docs/sql.md run as they stand, and mean what the page says."""

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from pipeline.bank import FeatureBank
from pipeline.bank.sql import query
from tests.longform.query.banks import bank_of, put
from tests.pipeline.bank.helpers import Video, feature

PAGE = Path(__file__).parents[3] / "docs" / "sql.md"
QUERIES = dict(re.findall(r"\n([^\n]*?)[:.] ?[^\n]*\n(?:[^\n]+\n)*\n```sql\n(.*?)```", PAGE.read_text(), re.DOTALL))
CLIPS = "clip.slowfast_compact"


def film(video_id: str, turn: float) -> Video:
    """Two minutes: a cut every 30 s, then every 10 s; tracks 0 (0-50 s), 1 (20-40 s, moves) and 2 (100-110 s)."""
    cuts = [0.0, 30, 60, 70, 80, 90, 100, 110, 120]
    content = Video(video_id)
    content.rows["shots"] = [
        {"video_id": video_id, "shot_index": i, "start_s": a, "end_s": b, "start_frame": int(a), "end_frame": int(b)}
        for i, (a, b) in enumerate(pairwise(cuts))
    ]
    spans = {0: (0.0, 50.0), 1: (20.0, 40.0), 2: (100.0, 110.0)}
    content.rows["tracks"] = [
        {"video_id": video_id, "track_id": track, "class_id": 1, "label": "person", "shot_index": None, "start_s": a,
         "end_s": b, "num_detections": int((b - a) / 10)}
        for track, (a, b) in spans.items()
    ]  # fmt: skip
    seen = [(at_s, track) for at_s in range(0, 120, 10) for track, (a, b) in spans.items() if a <= at_s < b]
    content.rows["detections"] = [
        {"video_id": video_id, "at_s": float(at_s), "frame": at_s, "detection_id": i, "track_id": track, "class_id": 1,
         "box": [0.1 * track, 0.2, 0.3 + 0.1 * track, 0.6] if at_s < 30 else [0.5, 0.5, 0.6, 0.6], "score": 0.9,
         "label": "person"}
        for i, (at_s, track) in enumerate(seen)
    ]  # fmt: skip
    content.rows["features/" + CLIPS] = [
        feature(video_id, float(at_s), [1.0, at_s / 120 + turn, 0.0 if at_s < 60 else 3.0])
        for at_s in range(0, 120, 10)
    ]
    return content


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> FeatureBank:
    folder = tmp_path_factory.mktemp("page") / "bank"
    writer = bank_of(folder, {}, {CLIPS: 3})
    put(writer, film("a", 0.0), duration_s=120.0)
    put(writer, film("b", 0.01), duration_s=120.0)
    put(writer, Video("empty"), duration_s=9.0)
    writer.commit({"video_id": "bad", "uri": "bad", "status": "failed", "stages": [], "error_stage": "probe",
                   "error_class": "ProbeError", "error_message": "no video"})  # fmt: skip
    return FeatureBank.open(folder)


def rows_of(bank: FeatureBank, heading: str) -> list[dict[str, Any]]:
    (sql,) = [sql for name, sql in QUERIES.items() if name.startswith(heading)]
    return query(bank, sql).to_pylist()


def test_the_page_has_ten_queries_and_all_find_something(bank: FeatureBank) -> None:
    assert len(QUERIES) == 10
    assert PAGE.read_text().count("```sql") == 10
    for heading in QUERIES:
        assert rows_of(bank, heading), heading


def test_they_mean_what_the_page_says(bank: FeatureBank) -> None:
    together = rows_of(bank, "Who is on screen together")
    assert [(row["video_id"], row["first"], row["second"], row["together_s"]) for row in together] == [
        ("a", 0, 1, 20.0),
        ("b", 0, 1, 20.0),
    ]
    per_minute = [row["shots"] for row in rows_of(bank, "Shots per minute") if row["video_id"] == "a"]
    assert per_minute == [2, 6]
    busiest = rows_of(bank, "The busiest moments")[0]
    assert (busiest["at_s"], busiest["people"]) == (20.0, 2)
    twins = rows_of(bank, "Duplicates across videos")
    assert all((row["video_id"], row["other_video"]) == ("a", "b") and row["cosine"] > 0.98 for row in twins)
    rates = {row["video_id"]: (row["shots"], row["mean_s"], row["median_s"]) for row in rows_of(bank, "Cutting rate")}
    assert rates["a"] == (8, 15.0, 10.0)
    shares = {row["video_id"]: (row["seen_s"], row["share"]) for row in rows_of(bank, "Share of each video")}
    assert shares == {"a": (60.0, 0.5), "b": (60.0, 0.5)}
    assert rows_of(bank, "Close-ups")[0]["share_of_picture"] == pytest.approx(0.3 * 0.4)
    change = rows_of(bank, "Where the picture changes most")[0]
    assert change["at_s"] == 60.0
    fastest = rows_of(bank, "How people move")[0]
    assert fastest["track_id"] == 1
    assert fastest["speed"] == pytest.approx(((0.55 - 0.25) ** 2 + (0.55 - 0.4) ** 2) ** 0.5 / 10, rel=1e-5)
    lacks = {row["video_id"]: row["reason"] for row in rows_of(bank, "What the bank lacks")}
    assert lacks == {"bad": "no video", "empty": "nobody found"}
