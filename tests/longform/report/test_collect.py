"""What goes on the page: everything where there is room, an even selection and a note where there is not."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longform.report.collect import MOST_GAPS, lanes, listed_ids, summary, video_detail, video_facts
from longform.report.maps import space_map
from pipeline.bank.manifest import create_or_open
from pipeline.bank.reader import FeatureBank
from pipeline.bank.writer import BankWriter
from tests.longform.report.film_bank import CLIPS, PEOPLE, SECONDS

ROOM = {"shots": 100, "tracks": 100, "detections": 100}


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 9)), max_size=30))
def test_tracks_of_a_lane_do_not_overlap_and_lanes_are_few(spans: list[tuple[int, int]]) -> None:
    spans = sorted(spans)
    starts, ends = [float(start) for start, _ in spans], [float(start + length) for start, length in spans]
    given_lanes = lanes(starts, ends)
    for i in range(len(spans)):
        for j in range(i):
            assert given_lanes[i] != given_lanes[j] or ends[j] < starts[i]
    most_at_once = max((sum(s <= t <= e for s, e in zip(starts, ends, strict=True)) for t in starts), default=0)
    assert len(set(given_lanes)) == most_at_once


def facts(bank: FeatureBank, video_id: str) -> dict:
    return video_facts(bank, [video_id], 500)[0]


def test_a_video_is_there_with_all_its_rows(bank: Path) -> None:
    opened = FeatureBank.open(bank)
    detail = video_detail(opened, facts(opened, "film.mov"), ROOM)
    assert detail.notes == []
    assert (detail.shots.start_s, detail.shots.end_frame) == ([0, 2, 4, 6], [20, 40, 60, 80])
    assert detail.tracks.id == list(range(8))
    assert detail.tracks.lane == [0, 1] * 4
    assert len(detail.boxes.at_s) == 2 * SECONDS
    assert detail.boxes.box[1] == [0.6, 0.25, 0.8, 0.75]
    assert detail.boxes.track[-2:] == [6, 7]


def test_without_room_whole_frames_and_even_shots_stay(bank: Path) -> None:
    opened = FeatureBank.open(bank)
    detail = video_detail(opened, facts(opened, "film.mov"), {"shots": 2, "tracks": 3, "detections": 7})
    assert detail.shots.start_s == [0, 6]
    assert len(detail.tracks.id) == 3
    assert detail.boxes.frame == [0, 0, 40, 40, 70, 70]
    assert [note.split(":")[0] for note in detail.notes] == [
        "The page has room for 2 of 4 shots of this video",
        "The page has room for 3 of 8 tracks of this video",
        "The page has room for the boxes of 3 of 8 frames",
    ]


def test_a_video_without_shots_is_one_piece(bank: Path) -> None:
    opened = FeatureBank.open(bank)
    shots = video_detail(opened, facts(opened, "other-0000.mp4"), ROOM).shots
    assert (shots.start_s, shots.end_s, shots.end_frame, shots.found) == ([0], [SECONDS], [80], False)


def test_failed_and_damaged_videos_are_listed_first(bank: Path) -> None:
    opened = FeatureBank.open(bank)
    assert listed_ids(opened, 2) == ["broken.mp4", "other-0000.mp4"]
    assert listed_ids(opened, 1000) == opened.videos()["video_id"].to_pylist()


def test_long_messages_are_cut(bank: Path) -> None:
    (row,) = video_facts(FeatureBank.open(bank), ["broken.mp4"], 8)
    assert row["error_message"] == "no video …"


def test_gaps_are_in_the_facts_and_many_are_counted_only(tmp_path: Path) -> None:
    create_or_open(str(tmp_path))
    gaps = [{"start_s": float(i), "end_s": i + 0.5, "frames": 1} for i in range(MOST_GAPS + 7)]
    row = {"video_id": "v", "uri": "v", "status": "ok", "stages": [], "damage": "frames are lost", "gaps": gaps}
    BankWriter.open(str(tmp_path)).commit(row)
    (found,) = video_facts(FeatureBank.open(tmp_path), ["v"], 8)
    assert (found["gaps"], found["gaps_left_out"]) == (gaps[:MOST_GAPS], 7)


def test_the_summary_counts_the_whole_bank(bank: Path) -> None:
    found = summary(FeatureBank.open(bank), str(bank))
    assert found["videos"] == {"ok": 122, "failed": 1}
    assert found["damaged"] == 120
    assert found["tables"] == {"shots": 8, "detections": 32, "tracks": 16}
    assert [(space["name"], space["dim"], space["rows"]) for space in found["spaces"]] == [
        (CLIPS, 4, 16),
        (PEOPLE, 3, 32),
    ]


def test_a_map_samples_videos_in_proportion_and_evenly(bank: Path) -> None:
    opened = FeatureBank.open(bank)
    ids = ["film.mov", "other-0000.mp4", "gone.mp4"]
    shots = [video_detail(opened, facts(opened, video_id), ROOM).shots for video_id in ids]
    found = space_map(opened, CLIPS, ids, shots, 8)
    assert found is not None
    assert (found.rows, found.video) == (16, [0] * 4 + [2] * 4)
    assert found.at_s == [0, 2, 5, 7] * 2
    assert max(max(found.x), max(found.y)) == 10_000
    assert min(found.x) == min(found.y) == 0
    for point, similar in enumerate(found.similar):
        own = (found.video[point], int(found.at_s[point]) // 2)
        others = [(video, int(at_s) // 2) for video, at_s, _, _ in similar]
        assert own not in others
        assert len(set(others)) == len(others) == 6
    assert space_map(opened, CLIPS, ids[1:2], shots[1:2], 8) is None


@pytest.mark.parametrize("most", [1, 3, 16, 1000])
def test_a_map_never_has_more_points_than_rows(bank: Path, most: int) -> None:
    opened = FeatureBank.open(bank)
    shots = [video_detail(opened, facts(opened, "film.mov"), ROOM).shots]
    found = space_map(opened, PEOPLE, ["film.mov"], shots, most)
    assert found is not None
    assert len(found.x) == min(most, 16)
    assert {video for similar in found.similar for video, *_ in similar} <= {0}
