"""LVU's released features: into a bank, what is found there, and back to the same files."""

import argparse
import io
import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from extractors.errors import WeightsError
from longform.import_command import export_files, import_files
from longform.interchange.errors import InterchangeError
from longform.interchange.lvu import SPACE, import_lvu
from longform.interchange.lvu_export import export_lvu
from longform.interchange.source_file import read_object_npz, read_pickle
from pipeline.bank.inspect import inspect
from pipeline.bank.manifest import create_or_open
from pipeline.bank.reader import FeatureBank
from pipeline.bank.verify import verify
from pipeline.bank.writer import BankWriter

DIM = 8
LEFT, RIGHT, EDGE = "0.100,0.200,0.300,0.900", "0.500,0.125,0.750,1.000", "-0.000,0.000,0.007,0.333"

Features = dict[str, dict[int, dict[str, np.ndarray]]]
Meta = dict[str, dict[int, dict[str, list[int]]]]


def vector(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(DIM).astype(np.float16).astype(np.float32)


def corpus() -> tuple[Features, Meta]:
    """Three videos with ids as YouTube gives them; boxes within a second are not in order of place."""
    meta: Meta = {
        "-0mJ7q9iXgM": {0: {RIGHT: [0, 4], LEFT: [0, 2]}, 1: {LEFT: [0, 2]}, 5: {EDGE: [3, 7]}, 6: {EDGE: [3, 7]}},
        "--aBcD_eF12": {2: {LEFT: [1, 0]}},
        "_zZ9": {0: {LEFT: [0, 0]}, 9: {LEFT: [2, 0]}},
    }
    features = {
        video: {
            second: {key: vector(100 * second + place) for place, key in enumerate(boxes)}
            for second, boxes in seconds.items()
        }
        for video, seconds in meta.items()
    }
    return features, meta


def write(folder: Path, features: Features, metas: dict[str, Meta]) -> Path:
    (folder / "features").mkdir(parents=True, exist_ok=True)
    (folder / "instance_meta").mkdir(exist_ok=True)
    for video, seconds in features.items():
        np.savez(folder / "features" / f"{video}.npz", a=seconds)
    for task, meta in metas.items():
        (folder / "instance_meta" / f"instance_meta_{task}.pkl").write_bytes(pickle.dumps(meta))
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    features, meta = corpus()
    return write(tmp_path / "data", features, {"scene": meta, "genre": {"_zZ9": meta["_zZ9"]}})


def test_a_bank_of_lvu_is_whole_and_says_what_was_in_the_files(data: Path, tmp_path: Path) -> None:
    report = import_lvu([data], str(tmp_path / "bank"))
    assert (report.videos, report.rows["detections"], report.rows[f"features/{SPACE}"]) == (3, 8, 8)
    assert not any(report.missing.values())
    assert not report.notes
    checked = verify(tmp_path / "bank")
    assert checked.is_whole, checked.problems
    assert inspect(tmp_path / "bank")["spaces"] == {SPACE: {"dim": DIM, "rows": 8}}
    bank = FeatureBank.open(tmp_path / "bank")
    rows = bank.table("detections", "-0mJ7q9iXgM").to_pylist()
    assert [(row["at_s"], row["track_id"], row["shot_index"]) for row in rows] == [
        (0.0, 4, 0), (0.0, 2, 0), (1.0, 2, 0), (5.0, 7, 3), (6.0, 7, 3)
    ]  # fmt: skip
    np.testing.assert_allclose(rows[0]["box"], [0.5, 0.125, 0.75, 1.0])
    tracks = bank.table("tracks", "-0mJ7q9iXgM").to_pylist()
    assert [(row["track_id"], row["start_s"], row["end_s"], row["num_detections"]) for row in tracks] == [
        (2, 0.0, 1.0, 2), (4, 0.0, 0.0, 1), (7, 5.0, 6.0, 2)
    ]  # fmt: skip
    assert [row["shot_index"] for row in bank.table("tracks", "_zZ9").to_pylist()] == [None], "it is in two shots"


def test_shots_without_boxes_lie_between_those_with(data: Path, tmp_path: Path) -> None:
    import_lvu([data], str(tmp_path / "bank"))
    bank = FeatureBank.open(tmp_path / "bank")
    shots = bank.table("shots", "-0mJ7q9iXgM").to_pylist()
    assert [(row["shot_index"], row["start_s"], row["end_s"]) for row in shots] == [
        (0, 0.0, 1.667), (1, 1.667, 3.333), (2, 3.333, 5.0), (3, 5.0, 7.0)
    ]  # fmt: skip
    assert [row["start_s"] for row in bank.table("shots", "--aBcD_eF12").to_pylist()] == [0.0, 2.0]


def test_windows_of_an_imported_bank(data: Path, tmp_path: Path) -> None:
    import_lvu([data], str(tmp_path / "bank"))
    window = FeatureBank.open(tmp_path / "bank").window(SPACE, "-0mJ7q9iXgM", 1, before_s=1, after_s=1)
    features, _ = corpus()
    first = features["-0mJ7q9iXgM"][0]
    np.testing.assert_array_equal(window.features[:2], [first[RIGHT], first[LEFT]])
    assert window.track_ids is not None
    assert window.track_ids.tolist() == [4, 2, 2]
    assert window.boxes is not None
    np.testing.assert_allclose(window.boxes[1], [0.1, 0.2, 0.3, 0.9])


def test_a_round_trip_gives_the_files_back(data: Path, tmp_path: Path) -> None:
    """Values, keys and the order of boxes, on which the order of tokens depends."""
    import_lvu([data], str(tmp_path / "bank"))
    report = export_lvu(FeatureBank.open(tmp_path / "bank"), tmp_path / "out", tasks=("scene",))
    assert (report["videos"], report["boxes"], report["merged"]) == (3, 8, 0)
    features, meta = corpus()
    assert read_pickle(tmp_path / "out" / "instance_meta" / "instance_meta_scene.pkl") == meta
    assert sorted(path.stem for path in (tmp_path / "out" / "features").iterdir()) == sorted(features)
    for video, seconds in features.items():
        path = tmp_path / "out" / "features" / f"{video}.npz"
        theirs = np.load(path, allow_pickle=True)["a"].item()  # as the released code opens it
        for read in (theirs, read_object_npz(path, "a")):
            assert [(second, [*boxes]) for second, boxes in read.items()] == [
                (second, [*boxes]) for second, boxes in seconds.items()
            ]
            for second, boxes in seconds.items():
                for key, feature in boxes.items():
                    np.testing.assert_array_equal(read[second][key], feature)
                    assert read[second][key].dtype == np.float32


def test_an_export_names_nothing_that_an_older_numpy_lacks(data: Path, tmp_path: Path) -> None:
    import_lvu([data], str(tmp_path / "bank"))
    export_lvu(FeatureBank.open(tmp_path / "bank"), tmp_path / "out")
    with zipfile.ZipFile(tmp_path / "out" / "features" / "_zZ9.npz") as archive:
        assert b"numpy._core" not in archive.read("a.npy")


def test_importing_again_changes_nothing_and_one_changed_video_is_replaced(data: Path, tmp_path: Path) -> None:
    bank = str(tmp_path / "bank")
    import_lvu([data], bank)
    assert import_lvu([data], bank).up_to_date == 3
    features, meta = corpus()
    meta["--aBcD_eF12"][2][LEFT] = [1, 5]
    write(data, features, {"scene": meta})
    changed = import_lvu([data], bank)
    assert (changed.up_to_date, changed.rows["detections"]) == (2, 1)
    assert FeatureBank.open(bank).table("tracks", "--aBcD_eF12")["track_id"].to_pylist() == [5]
    assert verify(bank).is_whole


def test_what_has_no_counterpart_is_named(data: Path, tmp_path: Path) -> None:
    (data / "features" / "_zZ9.npz").unlink()
    np.savez(data / "features" / "alone.npz", a={0: {LEFT: vector(0)}})
    report = import_lvu([data], str(tmp_path / "bank"))
    assert report.missing == {
        "features of videos in instance_meta": ["_zZ9"],
        "instance_meta of videos with features": ["alone"],
    }
    assert report.videos == 2
    with pytest.raises(InterchangeError, match="No video has both"):
        import_lvu([data / "features"], str(tmp_path / "other"))


def test_boxes_of_one_file_only_are_told(data: Path, tmp_path: Path) -> None:
    features, meta = corpus()
    del features["_zZ9"][9][LEFT]
    features["_zZ9"][9][EDGE] = vector(3)
    write(data, features, {})
    report = import_lvu([data], str(tmp_path / "bank"))
    assert report.notes == ["_zZ9: 1 boxes without feature; left out, since they have no shot and track: 1"]
    assert verify(tmp_path / "bank").is_whole
    export_lvu(FeatureBank.open(tmp_path / "bank"), tmp_path / "out")
    back = read_object_npz(tmp_path / "out" / "features" / "_zZ9.npz", "a")
    assert {second: [*boxes] for second, boxes in back.items()} == {0: [LEFT]}
    assert read_pickle(tmp_path / "out" / "instance_meta" / "instance_meta_all.pkl") == meta


def test_tasks_that_disagree_are_refused(data: Path, tmp_path: Path) -> None:
    write(data, corpus()[0], {"genre": {"_zZ9": {0: {LEFT: [0, 1]}}}})
    with pytest.raises(InterchangeError, match=r"disagree about video '_zZ9'"):
        import_lvu([data], str(tmp_path / "bank"))


@pytest.mark.parametrize(
    ("meta", "message"),
    [
        ({0: {"0.1,0.2,0.3": [0, 0]}}, "second 0: got the box '0.1,0.2,0.3'"),
        ({0: {"0.1,0.2,0.3,1.2": [0, 0]}}, "fractions of the frame"),
        ({0: {LEFT: [0, -1]}}, r"got \[0, -1\]"),
        ({0: {LEFT: [0]}}, r"got \[0\]"),
        ({"0": {LEFT: [0, 0]}}, "got the second '0'"),
        ({0: [LEFT]}, "dict of boxes"),
        ({0: {LEFT: [2, 0]}, 1: {LEFT: [1, 0]}}, "shot 1 has a box at 1 s and shot 2 one at 0 s"),
    ],
)
def test_a_file_that_says_the_impossible_is_named(meta: Any, message: str, tmp_path: Path) -> None:
    data = write(tmp_path / "data", {"video": {0: {LEFT: vector(0)}}}, {"scene": {"video": meta}})
    with pytest.raises(InterchangeError, match=message):
        import_lvu([data], str(tmp_path / "bank"))


def test_a_hostile_feature_file_is_refused(data: Path, tmp_path: Path) -> None:
    body = io.BytesIO()
    np.lib.format.write_array_header_1_0(body, {"descr": "|O", "fortran_order": False, "shape": ()})
    body.write(b"cos\nsystem\n(S'true'\ntR.")
    with zipfile.ZipFile(data / "features" / "_zZ9.npz", "w") as archive:
        archive.writestr("a.npy", body.getvalue())
    with pytest.raises(WeightsError, match=r"_zZ9\.npz \(a\.npy\) asks to import os\.system"):
        import_lvu([data], str(tmp_path / "bank"))
    assert verify(tmp_path / "bank").is_whole, "the videos before it are in the bank, whole"


def test_an_extracted_bank_is_exported(tmp_path: Path) -> None:
    """Objects stay out; a person in no track is a track of its own; boxes equal to three decimals are one."""
    manifest = create_or_open(str(tmp_path / "bank"))
    manifest.register_space("person.ava_slowfast_16x8_r101_nl", 2304)
    writer = BankWriter(manifest.fs, manifest.root, manifest)
    names = ("detection_id", "at_s", "box", "label", "track_id")
    found = [
        (0, 0.0, [0.1, 0.2, 0.3, 0.9], "person", 4),
        (1, 0.0, [0.1000001, 0.2, 0.3, 0.9], "person", 5),
        (500, 0.0, [0.4, 0.2, 0.5, 0.9], "cup", 6),
        (1000, 1.0, [0.5, 0.2, 0.6, 0.9], "person", None),
    ]
    same = {"video_id": "v", "frame": 0, "score": 0.9, "class_id": 0, "shot_index": 0}
    detections = [dict(zip(names, values, strict=True)) | same for values in found]
    features = [
        {"video_id": "v", "at_s": row["at_s"], "start_s": row["at_s"], "end_s": row["at_s"],
         "detection_id": row["detection_id"], "feature": np.full(2304, row["at_s"])}
        for row in detections
        if row["label"] == "person"
    ]  # fmt: skip
    tracks = [{"video_id": "v", "track_id": i, "class_id": 0, "label": "x", "start_s": 0.0, "end_s": 0.0,
               "num_detections": 1} for i in (4, 5, 6)]  # fmt: skip
    shots = [{"video_id": "v", "shot_index": 0, "start_s": 0.0, "end_s": 2.0, "start_frame": 0, "end_frame": 60}]
    tables = {"shots": shots, "detections": detections, "tracks": tracks,
              "features/person.ava_slowfast_16x8_r101_nl": features}  # fmt: skip
    files = [writer.write_final(name, "v", "made", "f" * 64, [rows]) for name, rows in tables.items()]
    row = {"video_id": "v", "uri": "v.mp4", "status": "ok", "stages": [{"stage": "made", "fingerprint": "f" * 64}]}
    writer.commit(row, [file for file in files if file is not None])
    report = export_lvu(FeatureBank.open(tmp_path / "bank"), tmp_path / "out", tasks=("scene", "year"))
    assert (report["boxes"], report["merged"]) == (2, 1)
    meta = read_pickle(tmp_path / "out" / "instance_meta" / "instance_meta_year.pkl")
    assert meta == {"v": {0: {LEFT: [0, 4]}, 1: {"0.500,0.200,0.600,0.900": [0, 7]}}}


def test_the_commands(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = {"format": "lvu", "bank": str(tmp_path / "bank"), "space": None, "frame_list": [], "start_second": 0}
    (data / "features" / "_zZ9.npz").unlink()
    assert import_files(argparse.Namespace(files=[str(data)], json=False, **common)) == 0
    assert "missing features of videos in instance_meta: 1 (_zZ9)" in capsys.readouterr().out
    export = argparse.Namespace(output=str(tmp_path / "out"), split="train", task=["year"], json=True, **common)
    assert export_files(export) == 0
    assert json.loads(capsys.readouterr().out)["videos"] == 2
    assert (tmp_path / "out" / "instance_meta" / "instance_meta_year.pkl").is_file()
    with pytest.raises(InterchangeError, match="--frame-list has no meaning for lvu"):
        import_files(argparse.Namespace(files=[str(data)], json=True, **(common | {"frame_list": ["x"]})))
