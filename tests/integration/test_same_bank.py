"""`longform verify --against`: one worker, two, and other segments make the same bank; another setting does not."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from pipeline.cli import main
from pipeline.extract import extract
from pipeline.presets import build_config
from pipeline.sample.encode import Coding
from pipeline.sample.samples import make_clip


def make_bank(
    folder: Path, name: str, *, workers: int = 1, segment_s: float = 1e9, settings: Sequence[str] = ()
) -> Path:
    config = build_config("hoghof", segment_s=segment_s, settings=settings)
    report = extract([str(folder / "videos")], str(folder / name), config, workers=workers, quiet=True)
    assert (report.ok, report.failed) == (2, 0)
    return folder / name


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two videos, and their bank from one worker that cuts nothing."""
    folder = tmp_path_factory.mktemp("same")
    (folder / "videos").mkdir()
    coding = Coding(gop=10, bframes=2)
    make_clip(folder / "videos/a.mp4", seconds=4, shots=2, figures=1, size_hw=(360, 640), coding=coding)
    make_clip(folder / "videos/b.mkv", seconds=2, shots=2, seed=4, coding=coding)
    make_bank(folder, "whole")
    return folder


def verified(folder: Path, other: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict]:
    capsys.readouterr()
    status = main(["verify", str(folder / "whole"), "--against", str(other), "--json"])
    return status, json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(("workers", "segment_s"), [(1, 0.8), (2, 1e9), (2, 0.8)])
def test_workers_and_segments_make_the_same_bank(
    folder: Path, workers: int, segment_s: float, capsys: pytest.CaptureFixture[str]
) -> None:
    bank = make_bank(folder, f"{workers}-{segment_s}", workers=workers, segment_s=segment_s)
    status, report = verified(folder, bank, capsys)
    assert status == 0, report
    assert report["rows"] > 15


def test_another_setting_makes_another_bank(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bank = make_bank(folder, "other", settings=["clips.hop_s=0.5"])
    status, report = verified(folder, bank, capsys)
    assert status == 1
    assert {difference["table"] for difference in report["differences"]} == {"features/clip.hoghof", "videos"}
