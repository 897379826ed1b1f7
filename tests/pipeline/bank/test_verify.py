"""verify finds every kind of damage, and names the file and the video."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.bank.compact import compact
from pipeline.bank.errors import NotABankError, StorageError
from pipeline.bank.verify import _sha256, verify
from tests.pipeline.bank.helpers import CLIPS, PEOPLE, Video, assert_whole, dying, new_bank, publish, put, video


def kinds(path: Path, quick: bool = False) -> set[tuple[str, str]]:
    return {(problem.kind, problem.video_id) for problem in verify(path, quick).problems}


def data_file(root: Path, table: str) -> Path:
    return next((root / table).glob("*.parquet"))


@pytest.mark.parametrize("compacted", [False, True])
def test_a_whole_bank_is_whole(tmp_path: Path, compacted: bool) -> None:
    writer = new_bank(tmp_path)
    for name in ("a", "b"):
        put(writer, video(name))
    if compacted:
        compact(tmp_path)
    report = verify(tmp_path)
    assert report.is_whole
    assert (report.videos, report.files, report.warnings) == (2, 5 if compacted else 10, [])
    assert report.rows == 2 * (2 + 12 + 2 + 6 + 12)
    assert verify(tmp_path, quick=True).is_whole


def test_a_flipped_bit_is_found_but_not_by_quick(tmp_path: Path) -> None:
    put(new_bank(tmp_path), video("v"))
    path = data_file(tmp_path, "features/" + CLIPS)
    data = bytearray(path.read_bytes())
    data[40] ^= 1
    path.write_bytes(data)
    assert kinds(tmp_path) == {("wrong_sha256", "v")}
    assert kinds(tmp_path, quick=True) == set()


def test_missing_and_cut_files_are_found_for_all_their_videos(tmp_path: Path) -> None:
    writer = new_bank(tmp_path)
    for name in ("a", "b"):
        put(writer, video(name))
    compact(tmp_path)
    data_file(tmp_path, "shots").unlink()
    cut = data_file(tmp_path, "tracks")
    cut.write_bytes(cut.read_bytes()[:-3])
    for quick in (False, True):
        assert kinds(tmp_path, quick) == {
            ("missing_file", "a"), ("missing_file", "b"), ("wrong_size", "a"), ("wrong_size", "b")
        }  # fmt: skip


def test_an_unreadable_row_is_found_and_the_others_are_checked(tmp_path: Path) -> None:
    writer = new_bank(tmp_path)
    for name in ("a", "b"):
        put(writer, video(name))
    (tmp_path / "videos" / "a.parquet").write_bytes(b"PAR1")
    data_file(tmp_path, "shots")
    next((tmp_path / "shots").glob("b.*")).unlink()
    assert {kind for kind, _ in kinds(tmp_path)} == {"unreadable_row", "missing_file"}


def change(rows: list[dict[str, Any]], index: int, **values: Any) -> None:
    rows[index] = {**rows[index], **values}


BAD_ROWS: list[tuple[str, str, Any]] = [
    ("bad_box", "detections", lambda rows: change(rows, 0, box=[0.0, 0.0, 1.5, 1.0])),
    ("bad_box", "detections", lambda rows: change(rows, 0, box=[0.5, 0.0, 0.1, 1.0])),
    ("duplicate_detection_id", "detections", lambda rows: change(rows, 1, detection_id=0)),
    ("unknown_track", "detections", lambda rows: change(rows, 0, track_id=77)),
    ("unknown_shot", "detections", lambda rows: change(rows, 0, shot_index=77)),
    ("unknown_detection", "features/" + PEOPLE, lambda rows: change(rows, 0, detection_id=77)),
    ("unknown_track", "features/" + PEOPLE, lambda rows: change(rows, 0, track_id=77)),
    ("duplicate_track_id", "tracks", lambda rows: change(rows, 1, track_id=0)),
    ("bad_shots", "shots", lambda rows: change(rows, 0, start_frame=1)),
    ("bad_shots", "shots", lambda rows: change(rows, 1, start_frame=80)),
    ("bad_shots", "shots", lambda rows: change(rows, 1, shot_index=2)),
    ("bad_shots", "shots", lambda rows: change(rows, 1, start_s=3.5)),
    ("bad_shots", "shots", lambda rows: change(rows, 1, end_frame=75)),
    ("bad_time", "shots", lambda rows: change(rows, 1, end_s=1.0)),
]


@pytest.mark.parametrize(("kind", "table", "spoil"), BAD_ROWS)
def test_rows_that_make_no_sense_are_found(tmp_path: Path, kind: str, table: str, spoil: Any) -> None:
    content = video("v")
    spoil(content.rows[table])
    writer = new_bank(tmp_path)
    put(writer, content)
    put(writer, video("good"))
    assert (kind, "v") in kinds(tmp_path)
    assert {video_id for _, video_id in kinds(tmp_path)} == {"v"}
    compact(tmp_path)
    assert (kind, "v") in kinds(tmp_path)


def rewrite(root: Path, table: str, edit: Any) -> None:
    """Change a data file, and the videos row to match its new size and digest."""
    import hashlib

    path = data_file(root, table)
    changed = edit(pq.read_table(path))
    pq.write_table(changed, path)
    data = path.read_bytes()
    row_path = root / "videos" / "v.parquet"
    row = pq.read_table(row_path).to_pylist()[0]
    for entry in row["files"]:
        if entry["table"] == table:
            entry.update(bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    pq.write_table(pa.Table.from_pylist([row], pq.read_schema(row_path)), row_path)


def with_infinity(table: pa.Table) -> pa.Table:
    values = np.full(table.num_rows * 4, np.inf, np.float16)
    kind = table.schema.field("feature").type
    place = table.schema.get_field_index("feature")
    return table.set_column(place, table.schema.field("feature"), pa.FixedSizeListArray.from_arrays(values, type=kind))


@pytest.mark.parametrize(
    ("kind", "edit"),
    [
        ("wrong_rows", lambda table: table.slice(1)),
        ("wrong_schema", lambda table: table.drop_columns(["track_id"])),
        ("unsorted", lambda table: table.take([1, 0, 2, 3, 4, 5])),
        ("bad_feature", with_infinity),
        ("wrong_rows", lambda table: table.set_column(0, table.schema.field(0), pa.array(["w"] * 6))),
    ],
)
def test_files_that_other_programs_wrote_are_checked(tmp_path: Path, kind: str, edit: Any) -> None:
    put(new_bank(tmp_path), video("v"))
    rewrite(tmp_path, "features/" + CLIPS, edit)
    assert kinds(tmp_path) == {(kind, "v")}


def test_a_space_that_bank_json_does_not_know_is_found(tmp_path: Path) -> None:
    put(new_bank(tmp_path), video("v"))
    content = json.loads((tmp_path / "bank.json").read_text())
    del content["spaces"][CLIPS]
    (tmp_path / "bank.json").write_text(json.dumps(content))
    assert kinds(tmp_path) == {("unregistered_space", "v"), ("wrong_sha256", "")}


def test_leftovers_are_warnings(tmp_path: Path) -> None:
    writer = new_bank(tmp_path)
    put(writer, video("v"))
    publish(writer, Video("w", {"shots": video("w").rows["shots"]}), "a" * 16)
    foreign = {"videos/notes.txt", "shots/copy of v.parquet", "features/clip.test/x.npy", "results"}
    for name in foreign:
        (tmp_path / name).write_text("x")
    (tmp_path / "index").mkdir()
    assert_whole(tmp_path, warnings=["foreign_file", "unfinished_work", "unreferenced_file"])
    found = [warning.path for warning in verify(tmp_path).warnings if warning.kind == "foreign_file"]
    assert sorted(found) == sorted(foreign)
    compact(tmp_path, discard_unfinished=True)
    assert_whole(tmp_path, warnings=["foreign_file"])
    assert all((tmp_path / name).exists() for name in foreign), "what is not ours is not deleted"


@pytest.mark.parametrize("compacted", [False, True])
def test_a_row_file_under_the_name_of_another_video_is_a_problem(tmp_path: Path, compacted: bool) -> None:
    """Readers list it: a copy of an old row could even win over the true one."""
    writer = new_bank(tmp_path)
    for name in ("_v", "w"):
        put(writer, video(name))
    if compacted:
        compact(tmp_path)
    assert_whole(tmp_path, warnings=[])
    source = tmp_path / "videos" / ("@compacted.parquet" if compacted else "@_v.parquet")
    (tmp_path / "videos/copy.parquet").write_bytes(source.read_bytes())
    [problem] = verify(tmp_path).problems
    assert (problem.kind, problem.path, problem.video_id) == ("misplaced_row", "videos/copy.parquet", "")
    assert f"got {2 if compacted else 1} rows, of ['_v'], expected one, of ['copy']" in problem.message


@pytest.mark.parametrize("compacted", [False, True])
def test_one_flipped_bit_in_any_file_is_found_and_its_videos_named(tmp_path: Path, compacted: bool) -> None:
    writer = new_bank(tmp_path)
    for name in ("a", "b"):
        put(writer, video(name, seed=ord(name)))
    if compacted:
        compact(tmp_path)
    rng = np.random.default_rng(7)
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path.parent.name not in ("_locks", "_spare")]
    assert len(files) == (2 + 5 + 2 if compacted else 1 + 12)  # compacted: copies of two spaces too
    for path in files:
        data = bytearray(path.read_bytes())
        place = int(rng.integers(len(data)))
        if path.name == "bank.json":
            place = data.index(b"model")  # so that it can still be read
        path.write_bytes(bytes([*data[:place], data[place] ^ 1 << int(rng.integers(5)), *data[place + 1 :]]))
        report = verify(tmp_path)
        assert not report.is_whole, path
        if path.parent.name == "_vectors" or path.name in ("bank.json", "@compacted.parquet"):
            assert report.videos_to_extract == []
        else:
            assert report.videos_to_extract == (["a", "b"] if compacted else [path.name[0]])
        path.write_bytes(data)
    assert_whole(tmp_path, warnings=[])


def test_some_videos_can_be_checked_alone(tmp_path: Path) -> None:
    writer = new_bank(tmp_path)
    for name in ("a", "b"):
        put(writer, video(name))
        next((tmp_path / "shots").glob(f"{name}.*")).unlink()
    assert [problem.video_id for problem in verify(tmp_path, video_ids=["b"]).problems] == ["b"]
    assert verify(tmp_path).videos_to_extract == ["a", "b"]


def test_an_outage_of_the_storage_is_no_damage(tmp_path: Path) -> None:
    put(new_bank(tmp_path), video("v"))
    fs, handler = dying(None)

    def answers_no_more(path: str) -> Any:
        raise OSError("AWS Error NETWORK_CONNECTION")

    handler.open_input_stream = answers_no_more  # type: ignore[method-assign]
    with pytest.raises(StorageError, match=r"shots.*NETWORK_CONNECTION.*can be reached"):
        _sha256(fs, str(next((tmp_path / "shots").iterdir())))


def test_no_bank_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NotABankError):
        verify(tmp_path)
