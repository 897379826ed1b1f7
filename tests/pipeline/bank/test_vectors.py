"""Copies of features that windows are read from: made, used, replaced, and never needed."""

import logging
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest

from pipeline.bank import FeatureBank
from pipeline.bank.compact import compact
from pipeline.bank.datafile import DataFileReader
from pipeline.bank.vectors import FOLDER, to_float32
from pipeline.bank.verify import verify
from tests.pipeline.bank.helpers import CLIPS, PEOPLE, assert_whole, dying, everything, new_bank, put, video


@pytest.fixture
def bank_path(tmp_path: Path) -> Path:
    writer = new_bank(tmp_path)
    for seed, name in enumerate(("a", "b", "c")):
        put(writer, video(name, seed=seed))
    compact(tmp_path)
    return tmp_path


def copies(path: Path) -> list[Path]:
    return sorted((path / FOLDER).iterdir())


def copy_of(path: Path, space: str) -> Path:
    (file,) = {file.sha256 for _, file in FeatureBank.open(path).snapshot.entries(f"features/{space}")}
    return path / FOLDER / f"{file}.npy"


def test_float32_values_are_those_of_numpy() -> None:
    halves = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    assert np.array_equal(to_float32(halves), halves.astype(np.float32), equal_nan=True)
    assert to_float32(halves).dtype == np.float32


def test_compact_leaves_one_copy_a_feature_file_that_holds_its_features(bank_path: Path) -> None:
    bank = FeatureBank.open(bank_path)
    assert copies(bank_path) == sorted(copy_of(bank_path, space) for space in (CLIPS, PEOPLE))
    for space in (CLIPS, PEOPLE):
        stored = np.stack(bank.features(space)["feature"].to_pylist()).astype(np.float16)
        assert np.array_equal(np.load(copy_of(bank_path, space)), stored)
    report = compact(bank_path)
    assert report.copies_bytes == sum(path.stat().st_size for path in copies(bank_path))
    assert_whole(bank_path, warnings=[])


def test_windows_come_from_the_copy_and_decode_no_features(bank_path: Path) -> None:
    bank = FeatureBank.open(bank_path)
    read = DataFileReader.read_groups
    columns: set[str] = set()

    def spy(self: Any, file: Any, groups: Any, names: Any) -> Any:
        columns.update(names)
        return read(self, file, groups, names)

    with mock.patch.object(DataFileReader, "read_groups", spy):
        assert len(bank.window(CLIPS, "b", 2.0, 2.0, 2.0).features) == 4
        assert columns == {"video_id", "at_s", "detection_id", "track_id"}
        copy_of(bank_path, CLIPS).unlink()
        assert len(FeatureBank.open(bank_path).window(CLIPS, "b", 2.0, 2.0, 2.0).features) == 4
        assert "feature" in columns


def test_answers_are_the_same_without_copies_and_compact_makes_them_again(bank_path: Path) -> None:
    answers = everything(FeatureBank.open(bank_path))
    before = {path: path.read_bytes() for path in copies(bank_path)}
    for path in before:
        path.unlink()
    assert everything(FeatureBank.open(bank_path)) == answers
    compact(bank_path)
    assert {path: path.read_bytes() for path in copies(bank_path)} == before


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-2], lambda data: b"", lambda data: data.replace(b"<f2", b"<i2")]
)
def test_a_damaged_copy_is_named_not_used_and_replaced(
    bank_path: Path, damage: Any, caplog: pytest.LogCaptureFixture
) -> None:
    answers = everything(FeatureBank.open(bank_path))
    path = copy_of(bank_path, CLIPS)
    good = path.read_bytes()
    path.write_bytes(damage(good))
    with caplog.at_level(logging.WARNING):
        assert everything(FeatureBank.open(bank_path)) == answers
    assert path.name in caplog.text
    assert "longform compact" in caplog.text
    assert {problem.kind for problem in verify(bank_path).problems} == {"wrong_copy"}
    compact(bank_path)
    assert path.read_bytes() == good


def test_verify_finds_other_values_in_a_copy(bank_path: Path) -> None:
    path = copy_of(bank_path, PEOPLE)
    values = np.load(path)
    values[-1, -1] += 1
    np.save(path, values)
    problems = verify(bank_path).problems
    assert {problem.kind for problem in problems} == {"wrong_copy"}
    assert {problem.video_id for problem in problems} == {"a", "b", "c"}
    assert verify(bank_path, quick=True).problems == []


def test_copies_of_replaced_files_and_what_a_kill_left_go_with_the_next_compact(bank_path: Path) -> None:
    old = copies(bank_path)
    (bank_path / FOLDER / "_x.npy.0123456789abcdef.tmp").write_bytes(b"half")
    reader = FeatureBank.open(bank_path)
    before = reader.window(PEOPLE, "b", 3.0, 2.0, 2.0).to_json()
    put(new_bank(bank_path), video("d"))
    compact(bank_path)
    assert len(copies(bank_path)) == 2
    assert not set(old) & set(copies(bank_path))
    assert reader.window(PEOPLE, "b", 3.0, 2.0, 2.0).to_json() == before  # mapped before the file went
    assert reader.window(PEOPLE, "c", 3.0, 2.0, 2.0).times_s.tolist() == before["times_s"]


def test_banks_on_other_filesystems_are_read_without_copies(bank_path: Path) -> None:
    answers = everything(FeatureBank.open(bank_path))
    remote, _ = dying(None)
    for path in copies(bank_path):
        path.write_bytes(b"not looked at")
    assert everything(FeatureBank(remote, str(bank_path))) == answers
