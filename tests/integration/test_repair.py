"""`extract --repair`: whatever was damaged in a bank, exactly those videos are extracted again and it is whole."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline import repair as repair_module
from pipeline.bank.compact import compact
from pipeline.bank.compare import compare
from pipeline.bank.errors import NotABankError
from pipeline.bank.reader import FeatureBank
from pipeline.bank.verify import verify
from pipeline.config import ExtractConfig
from pipeline.errors import ConfigError, InputError
from pipeline.extract import ExtractReport, extract
from pipeline.presets import build_config
from pipeline.sample.encode import Coding
from pipeline.sample.samples import make_clip

NAMES = ("a.mp4", "b.mp4", "c.mp4")


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    for seed, name in enumerate(NAMES):
        make_clip(folder / name, seconds=2, shots=2, size_hw=(120, 160), seed=seed, coding=Coding(gop=12))
    return folder


def shots() -> ExtractConfig:
    return build_config(only=["shots"])


def clips() -> ExtractConfig:
    return build_config(only=["clips"])


def run(inputs: Path | None, bank: Path, config: ExtractConfig | None = None, repair: bool = True) -> ExtractReport:
    words = [] if inputs is None else [str(inputs)]
    return extract(words, str(bank), config or shots(), workers=1, quiet=True, repair=repair)


@pytest.fixture(scope="module")
def good(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bank of two runs with different stages."""
    bank = tmp_path_factory.mktemp("good") / "bank"
    run(videos, bank, repair=False)
    run(videos, bank, clips(), repair=False)
    return bank


@pytest.fixture
def bank(good: Path, tmp_path: Path) -> Path:
    shutil.copytree(good, tmp_path / "bank")
    return tmp_path / "bank"


def flip(path: Path, place: int = 60) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 4
    path.write_bytes(data)


def of(bank: Path, table: str, name: str) -> Path:
    return next((bank / table).glob(f"{name}.*"))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize("damage", [flip, cut, Path.unlink])
def test_exactly_the_damaged_videos_are_extracted_again(good: Path, bank: Path, damage: Callable[[Path], None]) -> None:
    damage(of(bank, "shots", "a.mp4"))
    damage(of(bank, "shots", "c.mp4"))
    untouched = of(bank, "shots", "b.mp4").stat().st_mtime_ns
    assert verify(bank).videos_to_extract == ["a.mp4", "c.mp4"]
    report = run(None, bank)
    assert (report.videos, report.ok, report.failed, report.still_damaged) == (2, 2, 0, [])
    assert report.counters["videos_ok"] == 2
    assert of(bank, "shots", "b.mp4").stat().st_mtime_ns == untouched
    assert verify(bank).is_whole
    assert verify(bank).warnings == []
    assert compare(good, bank).is_same
    again = run(None, bank)
    assert (again.videos, again.counters) == (0, {})


def test_a_bit_in_a_compacted_file_costs_the_videos_in_it(good: Path, bank: Path) -> None:
    compact(bank)
    flip(of(bank, "shots", "@compacted"))
    report = run(None, bank)
    assert (report.videos, report.still_damaged) == (3, [])
    assert compare(good, bank).is_same
    compact(bank)
    assert compare(good, bank).is_same


def test_an_unreadable_row_needs_the_place_of_its_video(good: Path, bank: Path, videos: Path) -> None:
    flip(bank / "videos" / "b.mp4.parquet")
    with pytest.raises(InputError, match=r"b\.mp4: the bank does not say where.*as INPUT"):
        run(None, bank)
    with pytest.raises(InputError, match=r"b\.mp4"):
        run(videos / "a.mp4", bank)
    report = run(videos, bank)
    assert (report.videos, report.ok, report.still_damaged) == (1, 1, [])
    assert compare(bank, good).differences[0].video_id == "b.mp4", "its other stages are not of this preset"
    run(videos, bank, clips(), repair=False)
    assert compare(good, bank).is_same


def test_shared_files_are_put_back_from_their_copies(good: Path, bank: Path) -> None:
    compact(bank)
    for name in ("bank.json", "videos/@compacted.parquet"):
        for damage in (flip, Path.unlink) if name == "bank.json" else (flip,):
            damage(bank / name)
            report = run(None, bank)
            assert (report.videos, report.still_damaged) == (0, [])
            assert compare(good, bank).is_same


def test_compacted_rows_without_a_copy_are_extracted_again(good: Path, bank: Path, videos: Path) -> None:
    compact(bank)
    flip(bank / "videos" / "@compacted.parquet")
    shutil.rmtree(bank / "_spare", ignore_errors=True)
    with pytest.raises(InputError, match="give all videos as INPUT"):
        run(None, bank)
    assert run(videos, bank).counters["videos_ok"] == 3
    run(videos, bank, clips(), repair=False)
    assert compare(good, bank).is_same
    flip(bank / "bank.json", 40)
    shutil.rmtree(bank / "_spare", ignore_errors=True)
    with pytest.raises(NotABankError):
        run(None, bank)


def test_damage_of_other_stages_is_named_and_kept_for_them(good: Path, bank: Path) -> None:
    table = next(file["table"] for file in rows(bank)["a.mp4"]["files"] if file["table"] != "shots")
    flip(of(bank, table, "a.mp4"))
    with pytest.raises(ConfigError, match=r"was made by clips:.*, and preset 'builtin' makes shots.*bank\.json"):
        run(None, bank)
    flip(of(bank, "shots", "a.mp4"))
    flip(of(bank, "shots", "b.mp4"))
    report = run(None, bank)
    assert report.videos == 2
    assert {problem["video_id"] for problem in report.still_damaged} == {"a.mp4"}
    assert verify(bank).videos_to_extract == ["a.mp4"]
    assert run(None, bank, clips()).still_damaged == []
    assert compare(good, bank).is_same


def rows(bank: Path) -> dict[str, Any]:
    return {row["video_id"]: row for row in FeatureBank.open(bank).videos().to_pylist()}


def test_a_repair_that_is_stopped_is_not_forgotten(
    good: Path, bank: Path, videos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flip(of(bank, "shots", "a.mp4"))

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("pipeline.run.run", stopped)
        with pytest.raises(KeyboardInterrupt):
            run(None, bank)
    assert verify(bank).is_whole
    row = rows(bank)["a.mp4"]
    assert (row["status"], row["error_stage"], row["error_class"]) == ("failed", "verify", repair_module.ERROR_CLASS)
    assert "got sha256" in row["error_message"]
    report = run(videos, bank, repair=False)
    assert (report.ok, report.up_to_date) == (3, 2)
    assert compare(good, bank).is_same


def test_a_video_that_is_gone_is_asked_for(good: Path, bank: Path, videos: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(videos, moved)
    run(moved, bank, repair=False)
    flip(of(bank, "shots", "a.mp4"))
    shutil.rmtree(moved)
    with pytest.raises(InputError, match=r"a\.mp4.*not there any more"):
        run(None, bank)
    assert run(videos / "a.mp4", bank).still_damaged == []
    assert compare(good, bank).is_same


def test_a_missing_file_of_one_stage_does_not_stop_another(bank: Path, videos: Path) -> None:
    of(bank, "shots", "a.mp4").unlink()
    changed = build_config(only=["clips"], settings=["clips.hop_s=0.5"])
    report = run(videos, bank, changed, repair=False)
    assert (report.ok, report.failed) == (3, 0)
    assert verify(bank).videos_to_extract == ["a.mp4"]


def test_nothing_is_made_where_there_is_no_bank_to_repair(tmp_path: Path) -> None:
    with pytest.raises(NotABankError):
        run(None, tmp_path / "nowhere")
    assert not list(tmp_path.iterdir())
