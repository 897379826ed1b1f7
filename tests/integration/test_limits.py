"""A run over hostile files, and the memory of its workers: within the budget, whatever the picture and the length."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from pipeline.bank.reader import FeatureBank
from pipeline.bank.verify import verify
from pipeline.cli import parser
from pipeline.errors import ConfigError
from pipeline.extract import ExtractReport, extract
from pipeline.isolation import Limits
from pipeline.presets import build_config
from pipeline.sample.encode import Coding, encode
from pipeline.sample.samples import make_clip
from tests.pipeline.video.hostile import MAKERS

BUDGET = 3 << 29
WORKERS = 2
SHARE_MB = (BUDGET // WORKERS) >> 20


def run(videos: Path, bank: Path, *, budget: int = BUDGET, only: tuple[str, ...] = ()) -> ExtractReport:
    limits = Limits.shared(budget, WORKERS, stall_s=120.0)
    return extract([str(videos)], str(bank), build_config(only=only, limits=limits), workers=WORKERS, quiet=True)


def test_hostile_files_cost_themselves(tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    for name, (make, _) in MAKERS.items():
        make(videos / name)
    (videos / "other").unlink()
    make_clip(videos / "good.mp4", seconds=1, size_hw=(48, 64), shots=1)
    (videos / "loop").symlink_to(videos)
    report = run(videos, tmp_path / "bank", only=("shots",))
    assert (report.ok, report.failed) == (1, len(MAKERS) - 1)  # a playlist is no video by its name
    assert [Path(path).name for path in report.ignored] == ["hls.m3u8"]
    for failure in report.failures:
        assert MAKERS[failure["video_id"]][1] in failure["error"]
    assert len(FeatureBank.open(tmp_path / "bank").table("shots", "good.mp4")) == 1
    assert verify(tmp_path / "bank").is_whole


def eight_k(count: int) -> Iterator[np.ndarray]:
    ramp = np.linspace(0, 200, 7680, dtype=np.uint8)
    for index in range(count):
        yield np.broadcast_to((ramp + 10 * index)[None, :, None], (4320, 7680, 3))


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one video of 7680 x 4320."""
    folder = tmp_path_factory.mktemp("large")
    encode(eight_k(6), folder / "large.mp4", coding=Coding(options={"preset": "ultrafast", "tune": "zerolatency"}))
    return folder


def test_8k_fits_into_the_share_of_a_worker(large: Path, tmp_path: Path) -> None:
    report = run(large, tmp_path / "bank")
    assert (report.ok, report.failed) == (1, 0), report.failures
    assert report.counters["max.worker_rss_mb"] <= SHARE_MB


def test_ten_hours_at_a_frame_every_ten_seconds_fit(tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    grey = (np.full((48, 64, 3), index % 200, np.uint8) for index in range(3600))
    encode(grey, videos / "slow.mkv", fps=Fraction(1, 10), coding=Coding(codec="mpeg4", gop=12))
    report = run(videos, tmp_path / "bank", only=("shots",))
    assert (report.ok, report.hours) == (1, 10.0)
    assert report.counters["max.worker_rss_mb"] <= SHARE_MB


def test_a_share_must_hold_a_child() -> None:
    with pytest.raises(ConfigError, match=r"1024 MiB for 8 processes leaves each 128 MiB, expected at least 256"):
        Limits.shared(1 << 30, 8, stall_s=1.0)
    assert Limits.shared(1 << 30, 4, stall_s=1.0).max_rss_bytes == 256 << 20
    assert Limits.shared(None, 8, stall_s=1.0) == Limits(stall_s=1.0)


@pytest.mark.parametrize(("words", "size"), [("16G", 16 << 30), ("800m", 800 << 20), ("1.5T", 3 << 39)])
def test_sizes_of_the_budget(words: str, size: int) -> None:
    options = parser().parse_args(["extract", "videos", "--bank", "bank", "--memory-budget", words])
    assert options.memory_budget == size


@pytest.mark.parametrize("words", ["16", "G", "0G", "-1G", "1e3G", "many"])
def test_what_is_no_size(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args(["extract", "videos", "--bank", "bank", f"--memory-budget={words}"])
    assert "must be a number with M, G or T" in capsys.readouterr().err
