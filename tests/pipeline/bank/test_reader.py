"""Reading: windows against brute force, order, errors, and survival of replaced files."""

import pickle
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.bank import BankError, FeatureBank
from pipeline.bank.compact import compact
from pipeline.bank.errors import UnknownNameError
from pipeline.bank.inspect import inspect
from tests.pipeline.bank.helpers import (
    CLIPS,
    PEOPLE,
    Video,
    assert_whole,
    everything,
    feature,
    new_bank,
    ok_row,
    put,
    video,
)

QUARTERS = st.integers(0, 24).map(lambda k: k / 4)  # times meet window borders often


@st.composite
def videos(draw: Any) -> list[Video]:
    """A few videos with clip features at random times and people at random times."""
    out = []
    for name in ("b", "a", "_c"):
        times = sorted(draw(st.lists(QUARTERS, max_size=10)))
        clips = [feature(name, at_s, np.arange(4) + k) for k, at_s in enumerate(times)]
        seen = sorted(draw(st.lists(QUARTERS, max_size=8)))
        ids = draw(st.permutations(range(len(seen))))
        tracks = draw(st.lists(st.sampled_from([None, 0, 1]), min_size=len(seen), max_size=len(seen)))
        lag_s = draw(st.sampled_from([0.0, 0.5]))  # features may lie beside their detections in time
        people, detections = [], []
        for k, at_s in enumerate(seen):
            box = np.array([0, 0, 0.5, (ids[k] + 1) / 16], np.float32)
            people.append(feature(name, at_s + lag_s, np.arange(3) * k, ids[k], tracks[k]))
            detections.append(
                {"video_id": name, "at_s": at_s, "frame": k, "detection_id": ids[k], "box": box, "score": ids[k] / 8,
                 "class_id": 1, "label": "person", "track_id": tracks[k]}
            )  # fmt: skip
        rows = {"features/" + CLIPS: clips, "features/" + PEOPLE: people, "detections": detections}
        out.append(Video(name, rows))
    return out


def brute_force(content: Video, space: str, at_s: float, before_s: float, after_s: float) -> dict[str, Any]:
    rows = content.rows["features/" + space]
    inside = [row for row in rows if at_s - before_s <= row["at_s"] < at_s + after_s]
    inside.sort(key=lambda row: (row["at_s"], row["detection_id"] or 0))
    boxes = {row["detection_id"]: row["box"].tolist() for row in content.rows["detections"]}
    scores = {row["detection_id"]: row["score"] for row in content.rows["detections"]}
    has_boxes = any(row["detection_id"] is not None for row in rows)
    has_tracks = any(row["track_id"] is not None for row in rows)
    return {
        "times_s": [row["at_s"] for row in inside],
        "features": [row["feature"].tolist() for row in inside],
        "boxes": [boxes[row["detection_id"]] for row in inside] if has_boxes else None,
        "scores": [scores[row["detection_id"]] for row in inside] if has_boxes else None,
        "track_ids": [row["track_id"] for row in inside] if has_tracks else None,
    }


def same_but_for_ties(got: dict[str, Any], expected: dict[str, Any]) -> bool:
    """Clip rows at one time have no id that orders them; the file's order, which is time's, decides."""
    return all(got[key] == value for key, value in expected.items())


@contextmanager
def small_row_groups(rows: int, block_rows: int) -> Iterator[None]:
    """Row groups and blocks of the offset index so small that videos span several, or share one."""
    with (
        mock.patch("pipeline.bank.writer.default_row_group_rows", return_value=rows),
        mock.patch("pipeline.bank.merging.default_row_group_rows", return_value=rows),
        mock.patch("pipeline.bank.offsets._BLOCK_ROWS", block_rows),
    ):
        yield


@settings(max_examples=30, deadline=None)
@given(
    content=videos(),
    asks=st.lists(st.tuples(QUARTERS, QUARTERS, QUARTERS), min_size=3, max_size=8),
    group_rows=st.sampled_from([1, 3, 1000]),
    block_rows=st.sampled_from([1, 5, 1000]),
)
def test_windows_equal_brute_force_before_and_after_compact(
    content: list[Video], asks: list[tuple[float, float, float]], group_rows: int, block_rows: int
) -> None:
    with tempfile.TemporaryDirectory() as folder, small_row_groups(group_rows, block_rows):
        writer = new_bank(folder)
        for one in content:
            put(writer, one)
        old = FeatureBank.open(folder)
        for step in ("before", "after"):
            for bank in (FeatureBank.open(folder), old):
                for space in (CLIPS, PEOPLE):
                    for ask in asks:
                        check_windows(bank, content, space, ask, step)
            compact(folder)


def check_windows(
    bank: FeatureBank, content: list[Video], space: str, ask: tuple[float, float, float], step: str
) -> None:
    at_s, before_s, after_s = ask
    batch = bank.windows(space, [(one.video_id, at_s) for one in content], before_s, after_s)
    for one, of_batch in zip(content, batch, strict=True):
        window = bank.window(space, one.video_id, *ask)
        assert same_but_for_ties(window.to_json(), brute_force(one, space, *ask)), step
        assert of_batch.to_json() == window.to_json()
        assert (window.start_s, window.end_s) == (at_s - before_s, at_s + after_s)
        assert window.features.dtype == np.float32


def test_shapes_of_an_empty_window(tmp_path: Path) -> None:
    put(new_bank(tmp_path), video("v"))
    window = FeatureBank.open(tmp_path).window(PEOPLE, "v", 100.0, 1, 1)
    assert window.features.shape == (0, 3)
    assert window.boxes is not None
    assert window.boxes.shape == (0, 4)
    assert window.times.dtype == np.float64
    assert FeatureBank.open(tmp_path).window(CLIPS, "v", 1.0).to_json()["features"] == []


def test_tables_are_sorted_and_project(tmp_path: Path) -> None:
    writer = new_bank(tmp_path)
    for name in ("b", "c", "a"):
        put(writer, video(name))
    put(writer, video("b", seed=9), "e" * 16)
    bank = FeatureBank.open(tmp_path)
    found = bank.features(PEOPLE).select(["video_id", "at_s", "detection_id"]).to_pylist()
    keys = [tuple(row.values()) for row in found]
    assert keys == sorted(keys)
    assert len(keys) == 36
    assert bank.table("detections", columns=["score"]).column_names == ["score"]
    assert bank.table("detections", "a", columns=["label", "at_s"]).column_names == ["label", "at_s"]
    assert bank.table("shots", "a").num_rows == 2
    assert bank.spaces[CLIPS].rows == 18
    assert bank.spaces[CLIPS].dim == 4
    assert bank.spaces[CLIPS].provenance == {"model": "test"}
    assert bank.videos()["video_id"].to_pylist() == ["a", "b", "c"]


def test_results_carry_units(tmp_path: Path) -> None:
    put(new_bank(tmp_path), video("a"))
    for _ in range(2):
        bank = FeatureBank.open(tmp_path)
        for table in (bank.videos(), bank.table("shots"), bank.features(CLIPS, columns=["at_s"])):
            assert all(field.metadata[b"unit"] for field in table.schema)
        compact(tmp_path)


def test_an_item_without_a_detection_has_no_box(tmp_path: Path) -> None:
    content = video("v")
    rows = content.rows["features/" + PEOPLE]
    rows[0] = {**rows[0], "detection_id": None, "track_id": None}
    put(new_bank(tmp_path), content)
    window = FeatureBank.open(tmp_path).window(PEOPLE, "v", 0.0, 0, 0.5)
    assert window.detection_ids is not None
    assert window.detection_ids.tolist() == [1, -1]
    boxes = window.to_json()["boxes"]
    assert boxes[1] is None
    assert len(boxes[0]) == 4


def test_rows_of_two_stages_in_one_table_come_together(tmp_path: Path) -> None:
    writer = new_bank(tmp_path)
    rows = video("v").rows["detections"]
    files = [
        writer.write_final("detections", "v", "people", "1" * 16, [rows[0::2]]),
        writer.write_final("detections", "v", "objects", "2" * 16, [rows[1::2]]),
        writer.write_final("tracks", "v", "tracks", "1" * 16, [video("v").rows["tracks"]]),
        writer.write_final("shots", "v", "shots", "1" * 16, [video("v").rows["shots"]]),
    ]
    writer.commit(ok_row("v", "1" * 16), [file for file in files if file])
    for _ in range(2):
        ids = FeatureBank.open(tmp_path).table("detections")["detection_id"].to_pylist()
        assert ids == [row["detection_id"] for row in rows]
        assert_whole(tmp_path, warnings=[])
        put(writer, video("w"))
        compact(tmp_path)
        writer.commit({**ok_row("w", "9" * 16), "status": "ok"}, [])


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda b: b.window("clip.tst", "clip.mp4", 0), r"No space 'clip\.tst'.*'clip\.test'"),
        (lambda b: b.window(CLIPS, "clip.mp", 0), r"No video 'clip\.mp'.*'clip\.mp4'"),
        (lambda b: b.table("shot"), "No table 'shot'.*'shots'"),
        (lambda b: b.table("shots", columns=["start"]), "No column of shots 'start'.*'start_s'"),
        (lambda b: b.features("../x"), "No space"),
        (lambda b: b.stage_fingerprints("zzz"), "No video 'zzz'.*such as"),
    ],
)
def test_unknown_names_list_near_ones(tmp_path: Path, ask: Any, message: str) -> None:
    put(new_bank(tmp_path), video("clip.mp4"))
    with pytest.raises(UnknownNameError, match=message):
        ask(FeatureBank.open(tmp_path))


def test_bad_times_are_refused(tmp_path: Path) -> None:
    put(new_bank(tmp_path), video("v"))
    bank = FeatureBank.open(tmp_path)
    for times in ((float("nan"), 0, 0), (0, -1, 0), (0, 0, float("inf"))):
        with pytest.raises(BankError, match="expected finite seconds"):
            bank.window(CLIPS, "v", *times)


def test_a_reader_follows_replaced_and_compacted_files(tmp_path: Path) -> None:
    writer = new_bank(tmp_path)
    for name in ("a", "b"):
        put(writer, video(name, seed=1), "a" * 16)
    bank = FeatureBank.open(tmp_path)
    put(writer, video("a", seed=2), "b" * 16)
    assert everything(bank) == everything(FeatureBank.open(tmp_path))
    late = FeatureBank.open(tmp_path)
    compact(tmp_path)
    assert everything(late) == everything(FeatureBank.open(tmp_path))
    assert "c" not in bank.videos()["video_id"].to_pylist()
    put(writer, video("c"))
    bank.refresh()
    assert "c" in bank.videos()["video_id"].to_pylist()


def test_windows_come_in_the_order_asked_for_and_of_one_state(tmp_path: Path) -> None:
    writer = new_bank(tmp_path)
    for name in ("a", "b"):
        put(writer, video(name, seed=1), "a" * 16)
    bank = FeatureBank.open(tmp_path)
    moments = [("b", 3.0), ("a", 4.0), ("b", 1.0), ("b", 3.0)]
    found = bank.windows(CLIPS, moments, before_s=2.0)
    assert [(w.video_id, w.end_s) for w in found] == moments
    assert bank.windows(CLIPS, []) == []
    for name in ("a", "b"):
        put(writer, video(name, seed=2), "b" * 16)
    late = FeatureBank.open(tmp_path)
    for name in ("a", "b"):
        put(writer, video(name, seed=3), "c" * 16)
    present = FeatureBank.open(tmp_path).windows(CLIPS, moments, before_s=2.0)
    assert [w.to_json() for w in late.windows(CLIPS, moments, before_s=2.0)] == [w.to_json() for w in present]
    with pytest.raises(UnknownNameError, match="No video 'c'"):
        bank.windows(CLIPS, [("a", 1.0), ("c", 1.0)])


def test_a_lost_file_is_an_error_that_names_verify(tmp_path: Path) -> None:
    put(new_bank(tmp_path), video("v"))
    bank = FeatureBank.open(tmp_path)
    for path in (tmp_path / "features" / CLIPS).iterdir():
        path.unlink()
    with pytest.raises(BankError, match="longform verify"):
        bank.window(CLIPS, "v", 1.0, 1, 1)
    with pytest.raises(BankError, match="longform verify"):
        bank.features(CLIPS)


def test_a_bank_survives_pickling(tmp_path: Path) -> None:
    put(new_bank(tmp_path), video("v"))
    bank = FeatureBank.open(tmp_path)
    assert everything(pickle.loads(pickle.dumps(bank))) == everything(bank)  # noqa: S301


def test_an_empty_bank_answers(tmp_path: Path) -> None:
    new_bank(tmp_path)
    bank = FeatureBank.open(tmp_path)
    assert bank.videos().num_rows == bank.table("shots").num_rows == bank.features(CLIPS).num_rows == 0
    assert bank.features(CLIPS, columns=["feature"]).column_names == ["feature"]
    with pytest.raises(UnknownNameError, match="there are none"):
        bank.window(CLIPS, "v", 0)
    compact(tmp_path)
    assert_whole(tmp_path, warnings=[])


def test_inspect_counts_from_the_videos_rows(tmp_path: Path) -> None:
    writer = new_bank(tmp_path)
    put(writer, video("a"))
    files = [writer.write_final("shots", "b", "shots", "1" * 16, [video("b").rows["shots"]])]
    writer.commit(ok_row("b", "1" * 16, damage="cut short at 3 s"), [file for file in files if file])
    row = {"video_id": "c", "uri": "u", "status": "failed", "error_stage": "probe", "error_class": "E",
           "error_message": "m", "stages": []}  # fmt: skip
    writer.commit(row)
    found = inspect(tmp_path)
    assert found["videos"] == {"ok": 2, "failed": 1}
    assert found["tables"] == {"shots": 4, "detections": 12, "tracks": 2}
    assert found["spaces"] == {CLIPS: {"dim": 4, "rows": 6}, PEOPLE: {"dim": 3, "rows": 12}}
    assert found["failures"] == [{"video_id": "c", "stage": "probe", "error": "E: m"}]
    assert found["damaged"] == [{"video_id": "b", "damage": "cut short at 3 s", "gaps": None}]
    assert found["bytes"] == sum(p.stat().st_size for t in ("shots", "detections", "tracks", "features")
                                 for p in (tmp_path / t).rglob("*.parquet"))  # fmt: skip
    assert found["hours"] == pytest.approx(12 / 3600)
