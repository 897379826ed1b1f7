"""Banks of Long-Term Feature Banks: into a bank, read there, and back to the same values."""

import argparse
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from extractors.errors import WeightsError
from longform.import_command import export_files, import_files
from longform.interchange.errors import InterchangeError
from longform.interchange.lfb import FORMATS, export_lfb, import_lfb
from longform.interchange.source_file import read_pickle
from longform.metrics.tables import AnnotationError
from pipeline.bank.errors import BankError
from pipeline.bank.inspect import inspect
from pipeline.bank.reader import FeatureBank
from pipeline.bank.verify import verify
from pipeline.bank.windows import WindowGrid, pad_windows

DIM = 6
NAMES = ["-5KQ66BBWC4", "P01_02", "zz--top"]


def vectors(seed: int, *shape: int) -> np.ndarray:
    """Features that float16 holds exactly."""
    return np.random.default_rng(seed).standard_normal((*shape, DIM)).astype(np.float16).astype(np.float32)


def bank_of(name: str) -> dict[Any, Any]:
    """A bank in the layout of each data set; the second video has least."""
    if name == "lfb-ava":
        return {
            0: {902: [*vectors(0, 2)], 904: [*vectors(1, 7)]},
            1: {1798: [*vectors(2, 1)]},
            2: {902: [*vectors(3, 3)]},
        }
    if name == "lfb-epic-noun":
        return {0: {30: vectors(0, 10), 90: vectors(1, 4)}, 1: {30: vectors(2, 1)}, 2: {60: vectors(3, 2)}}
    if name == "lfb-epic-verb":
        return {video: {30 * k: vectors(10 * i + k) for k in range(1, 4)} for i, video in enumerate(NAMES)}
    return {i: {12 * k - 1: vectors(10 * i + k) for k in range(1, 5)} for i in range(3)}


def write(path: Path, content: Any, protocol: int = 2) -> Path:
    path.write_bytes(pickle.dumps(content, protocol))
    return path


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    """A frame list; numbers go by first appearance, whatever its second column says."""
    lines = ["original_vido_id video_id frame_id path labels"]
    for name, frames in ((NAMES[0], (0, 1)), (NAMES[1], (0, 1)), (NAMES[0], (2, 3)), (NAMES[2], (0,))):
        lines += [f'{name} 7 {k} {name}/{name}_{k:06d}.jpg "1,2"' for k in frames]
    path = tmp_path / "frames.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def equal(ours: Any, theirs: Any) -> bool:
    if isinstance(theirs, dict):
        return ours.keys() == theirs.keys() and all(equal(ours[key], theirs[key]) for key in theirs)
    same = isinstance(ours, list) == isinstance(theirs, list)
    return same and np.array_equal(np.array(ours), np.array(theirs)) and np.array(ours).dtype == np.float32


@pytest.mark.parametrize("name", FORMATS)
def test_a_bank_goes_in_and_comes_back_exactly(name: str, frames: Path, tmp_path: Path) -> None:
    content = bank_of(name)
    lists = [frames] if FORMATS[name].by_number else []
    report = import_lfb([write(tmp_path / "train_lfb.pkl", content)], str(tmp_path / "bank"), name, frame_lists=lists)
    assert (report.videos, report.up_to_date) == (3, 0)
    checked = verify(tmp_path / "bank")
    assert checked.is_whole, checked.problems
    assert not checked.warnings
    facts = inspect(tmp_path / "bank")
    assert facts["videos"] == {"ok": 3, "failed": 0}
    assert facts["spaces"][FORMATS[name].space] == {"dim": DIM, "rows": sum(report.rows.values())}
    bank = FeatureBank.open(tmp_path / "bank")
    export_lfb(bank, name, tmp_path / "out" / "train_lfb.pkl", frame_list=lists[0] if lists else None)
    assert equal(read_pickle(tmp_path / "out" / "train_lfb.pkl"), content)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["train_lfb.pkl"]


def test_windows_of_an_imported_bank_are_those_of_the_original(frames: Path, tmp_path: Path) -> None:
    """AVA second 904, 60 s before and after: slot = step x 5 + k, steps from 874 to 933."""
    content = bank_of("lfb-ava")
    import_lfb([write(tmp_path / "t.pkl", content)], str(tmp_path / "bank"), "lfb-ava", frame_lists=[frames])
    bank = FeatureBank.open(tmp_path / "bank")
    window = bank.window("person.ava_lfb_i3d_nl_r50", NAMES[0], 904, before_s=30, after_s=30)
    assert window.boxes is None
    arrays = pad_windows([window], WindowGrid(steps=60, items_per_step=5))
    assert np.flatnonzero(arrays.mask[0].any(axis=1)).tolist() == [28, 30]
    np.testing.assert_array_equal(arrays.features[0, 28, :2], content[0][902])
    np.testing.assert_array_equal(arrays.features[0, 30], content[0][904][:5])
    with pytest.raises(BankError, match="without detections"):
        pad_windows([window], WindowGrid(steps=60, items_per_step=5, min_score=0.9))


def test_keys_become_seconds_of_the_data_set(frames: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "t.pkl", bank_of("lfb-charades"))
    import_lfb([path], str(tmp_path / "charades"), "lfb-charades", frame_lists=[frames])
    rows = FeatureBank.open(tmp_path / "charades").features("clip.lfb_i3d_nl_r50", "P01_02").to_pylist()
    assert [row["at_s"] for row in rows] == [11 / 24, 23 / 24, 35 / 24, 47 / 24]
    assert (rows[0]["start_s"], rows[0]["end_s"]) == (0.0, 11 / 24 + 64 / 24)
    path = write(tmp_path / "t.pkl", bank_of("lfb-ava"))
    import_lfb([path], str(tmp_path / "ava"), "lfb-ava", frame_lists=[frames], start_second=900)
    rows = FeatureBank.open(tmp_path / "ava").features("person.ava_lfb_i3d_nl_r50", NAMES[1]).to_pylist()
    assert [row["at_s"] for row in rows] == [898.0]


def test_importing_again_changes_nothing_and_another_file_replaces(frames: Path, tmp_path: Path) -> None:
    bank, path = str(tmp_path / "bank"), write(tmp_path / "t.pkl", bank_of("lfb-ava"))
    import_lfb([path], bank, "lfb-ava", frame_lists=[frames])
    before = {file: file.stat().st_mtime_ns for file in Path(bank).rglob("*") if file.is_file()}
    again = import_lfb([path], bank, "lfb-ava", frame_lists=[frames])
    assert (again.videos, again.up_to_date, sum(again.rows.values())) == (3, 3, 0)
    assert {file: file.stat().st_mtime_ns for file in Path(bank).rglob("*") if file.is_file()} == before
    changed = bank_of("lfb-ava") | {1: {1000: [*vectors(9, 4)]}}
    third = import_lfb([write(path, changed)], bank, "lfb-ava", frame_lists=[frames])
    assert (third.up_to_date, third.rows["features/person.ava_lfb_i3d_nl_r50"]) == (0, 16)
    assert verify(bank).is_whole
    assert FeatureBank.open(bank).features("person.ava_lfb_i3d_nl_r50", "P01_02")["at_s"].to_pylist() == [1000.0] * 4


def test_verbs_and_nouns_of_one_kitchen_share_a_bank(frames: Path, tmp_path: Path) -> None:
    bank = str(tmp_path / "bank")
    import_lfb([write(tmp_path / "v.pkl", bank_of("lfb-epic-verb"))], bank, "lfb-epic-verb")
    import_lfb([write(tmp_path / "n.pkl", bank_of("lfb-epic-noun"))], bank, "lfb-epic-noun", frame_lists=[frames])
    assert verify(bank).is_whole
    assert set(FeatureBank.open(bank).stage_fingerprints("P01_02")) == {"import-lfb-epic-verb", "import-lfb-epic-noun"}
    again = import_lfb([tmp_path / "v.pkl"], bank, "lfb-epic-verb")
    assert again.up_to_date == 3


def test_rows_of_another_stage_are_not_doubled(frames: Path, tmp_path: Path) -> None:
    bank = str(tmp_path / "bank")
    import_lfb([write(tmp_path / "v.pkl", bank_of("lfb-epic-verb"))], bank, "lfb-epic-verb")
    with pytest.raises(InterchangeError, match=r"clip\.lfb_i3d_nl_r50 from stage 'import-lfb-epic-verb'"):
        import_lfb([write(tmp_path / "c.pkl", bank_of("lfb-charades"))], bank, "lfb-charades", frame_lists=[frames])


def test_the_bank_says_where_features_came_from(frames: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "t.pkl", bank_of("lfb-ava"))
    import_lfb([path], str(tmp_path / "bank"), "lfb-ava", frame_lists=[frames])
    bank = FeatureBank.open(tmp_path / "bank")
    row = bank.videos().to_pylist()[0]
    run = json.loads((tmp_path / "bank" / "bank.json").read_text())["runs"][0]["config"]
    assert row["uri"] == str(path)
    assert run["files"] == [{"name": "t.pkl", "sha256": row["source_sha256"]}]
    assert run["import"]["format"] == "lfb-ava"
    assert row["duration_s"] is None, "nothing is known of the video"


def test_a_bank_that_does_not_fit_its_frame_list_is_refused(frames: Path, tmp_path: Path) -> None:
    content = bank_of("lfb-ava")
    del content[1]
    with pytest.raises(InterchangeError, match=r"has 2 videos, its frame list 3: 1 of the list are missing \(P01_02\)"):
        import_lfb([write(tmp_path / "t.pkl", content)], str(tmp_path / "b"), "lfb-ava", frame_lists=[frames])
    more = write(tmp_path / "m.pkl", bank_of("lfb-ava") | {3: {}})
    with pytest.raises(InterchangeError, match=r"1 are unknown \(3\)"):
        import_lfb([more], str(tmp_path / "b"), "lfb-ava", frame_lists=[frames])
    with pytest.raises(InterchangeError, match="one --frame-list for each file"):
        import_lfb([tmp_path / "t.pkl"], str(tmp_path / "b"), "lfb-ava")
    verbs = write(tmp_path / "v.pkl", bank_of("lfb-epic-verb"))
    with pytest.raises(InterchangeError, match="calls its videos by number"):
        import_lfb([verbs], str(tmp_path / "b"), "lfb-charades", frame_lists=[frames])
    frames.write_text("video frame\n")
    with pytest.raises(AnnotationError, match="line 1"):
        import_lfb([verbs], str(tmp_path / "b"), "lfb-charades", frame_lists=[frames])


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ({902: [[1.0, np.nan]]}, "NaN"),
        ({902: [[1.0, 1e6]]}, "65504"),
        ({902: [[1.0, 2.0], [1.0]]}, r"key 902: a feature of shape \(1,\); expected \(2,\)"),
        ({902: [3.0]}, "shape"),
        ({902: ["text"]}, "a str; expected a row of numbers"),
        ({"902": [[1.0]]}, "key '902'"),
    ],
)
def test_features_that_are_none_are_refused(features: Any, message: str, tmp_path: Path, frames: Path) -> None:
    path = write(tmp_path / "t.pkl", {0: features, 1: {}, 2: {}})
    with pytest.raises(InterchangeError, match=message):
        import_lfb([path], str(tmp_path / "bank"), "lfb-ava", frame_lists=[frames])


def test_float32_is_kept_to_a_half(tmp_path: Path) -> None:
    """The loss at rest: at most 2^-11 of a value in the range of float16's normal numbers."""
    exact = np.abs(np.random.default_rng(0).standard_normal((64, 32))).astype(np.float32)
    content = {"P01_01": {30 * (k + 1): row for k, row in enumerate(exact)}}
    import_lfb([write(tmp_path / "v.pkl", content)], str(tmp_path / "bank"), "lfb-epic-verb")
    export_lfb(FeatureBank.open(tmp_path / "bank"), "lfb-epic-verb", tmp_path / "v2.pkl")
    back = np.stack([*read_pickle(tmp_path / "v2.pkl")["P01_01"].values()])
    normal = exact > 2**-14
    assert 0 < np.max(np.abs(back - exact)[normal] / exact[normal]) <= 2**-11


def test_frames_without_objects_leave_no_row(frames: Path, tmp_path: Path) -> None:
    content = {0: {30: [], 60: vectors(0, 2)}, 1: {30: []}, 2: {}}
    path = write(tmp_path / "n.pkl", content)
    import_lfb([path], str(tmp_path / "bank"), "lfb-epic-noun", frame_lists=[frames])
    bank = FeatureBank.open(tmp_path / "bank")
    assert verify(tmp_path / "bank").is_whole
    export_lfb(bank, "lfb-epic-noun", tmp_path / "o.pkl", frame_list=frames)
    assert equal(read_pickle(tmp_path / "o.pkl"), {0: {60: content[0][60]}, 1: {}, 2: {}})


def test_export_refuses_what_the_original_could_not_read(frames: Path, tmp_path: Path) -> None:
    import_lfb([write(tmp_path / "v.pkl", {"P01_02": {45: vectors(0)}})], str(tmp_path / "bank"), "lfb-epic-verb")
    bank = FeatureBank.open(tmp_path / "bank")
    with pytest.raises(InterchangeError, match=r"2 of 3 videos of .* are not in .*: -5KQ66BBWC4, zz--top"):
        export_lfb(bank, "lfb-epic-verb", tmp_path / "o.pkl", frame_list=frames)
    with pytest.raises(InterchangeError, match="give --frame-list"):
        export_lfb(bank, "lfb-charades", tmp_path / "o.pkl")
    frames.write_text('original_vido_id video_id frame_id path labels\nP01_02 0 0 a.jpg ""\n')
    with pytest.raises(InterchangeError, match=r"1\.5.* s, which is no frame at 1/s"):
        export_lfb(bank, "lfb-ava", tmp_path / "o.pkl", frame_list=frames, space="clip.lfb_i3d_nl_r50")
    assert not (tmp_path / "o.pkl").exists()


def test_a_hostile_pickle_is_refused_and_the_bank_stays_empty(frames: Path, tmp_path: Path) -> None:
    path = tmp_path / "t.pkl"
    path.write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(WeightsError, match=r"os\.system"):
        import_lfb([path], str(tmp_path / "bank"), "lfb-ava", frame_lists=[frames])
    assert FeatureBank.open(tmp_path / "bank").videos().num_rows == 0


def test_the_commands(frames: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "val_lfb.pkl", bank_of("lfb-ava"))
    common = {"format": "lfb-ava", "bank": str(tmp_path / "bank"), "frame_list": [str(frames)], "space": None,
              "start_second": 0, "json": True}  # fmt: skip
    assert import_files(argparse.Namespace(files=[str(path)], **common)) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == {"features/person.ava_lfb_i3d_nl_r50": 13}
    export = argparse.Namespace(output=str(tmp_path / "out"), split="val", task=[], **common)
    assert export_files(export) == 0
    assert json.loads(capsys.readouterr().out)["features"] == 13
    assert (tmp_path / "out" / "val_lfb.pkl").is_file()
    common["json"] = False
    assert import_files(argparse.Namespace(files=[str(path)], **common)) == 0
    assert "3 videos, 3 were up to date" in capsys.readouterr().out
