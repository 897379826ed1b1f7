"""The whole job on generated videos: what the bank holds, resume, failures, splitting, workers."""

import json
import os
import shutil
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import pytest

from pipeline.bank.reader import FeatureBank
from pipeline.bank.verify import verify
from pipeline.config import ExtractConfig
from pipeline.errors import ConfigError, InputError, StrictStopError
from pipeline.extract import ExtractReport, extract
from pipeline.isolation import Limits
from pipeline.presets import build_config
from pipeline.sample.encode import Coding
from pipeline.sample.samples import make_clip
from tests.integration.banks import contents
from tests.integration.troublesome import TroubleConfig, TroubleStage

SHORT_GOP = Coding(gop=12, bframes=2)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three videos in two folders, two of them of the same name."""
    folder = tmp_path_factory.mktemp("corpus")
    for sub in ("a", "b"):
        (folder / sub).mkdir()
    make_clip(folder / "a/clip.mp4", seconds=6, shots=3, figures=1, size_hw=(360, 640), coding=SHORT_GOP)
    make_clip(folder / "b/clip.mp4", seconds=3, shots=2, size_hw=(180, 320), seed=4, coding=SHORT_GOP)
    make_clip(folder / "odd one.mkv", seconds=4, shots=2, fps=Fraction(30), seed=7, coding=Coding(gop=15))
    return folder


def run(videos: Path | list[str], bank: Path, *, workers: int = 2, strict: bool = False, **options) -> ExtractReport:
    inputs = [str(videos)] if isinstance(videos, Path) else videos
    config = options.pop("config", None) or build_config(**options)
    return extract(inputs, str(bank), config, workers=workers, strict=strict, quiet=True)


@pytest.fixture(scope="module")
def whole(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bank of an unsplit run with one worker."""
    bank = tmp_path_factory.mktemp("whole") / "bank"
    report = run(corpus, bank, workers=1, segment_s=1e9)
    assert (report.videos, report.ok, report.failed) == (3, 3, 0)
    return bank


def test_the_bank_holds_what_was_asked_for(whole: Path) -> None:
    bank = FeatureBank.open(whole)
    assert bank.videos()["video_id"].to_pylist() == ["a~clip.mp4", "b~clip.mp4", "odd%20one.mkv"]
    shots = bank.table("shots", "a~clip.mp4").to_pylist()
    assert [(shot["start_frame"], shot["end_frame"]) for shot in shots] == [(0, 50), (50, 100), (100, 150)]
    assert len(bank.table("detections", "a~clip.mp4")) >= 4
    assert len(bank.features("clip.slowfast_compact", "b~clip.mp4")) == 3
    assert len(bank.features("person.hsv_stripes")) == len(bank.table("detections"))
    window = bank.window("clip.slowfast_compact", "a~clip.mp4", 3.0, before_s=1.0, after_s=1.0)
    assert window.times_s.tolist() == [2.0, 3.0]
    assert window.features.shape == (2, bank.spaces["clip.slowfast_compact"].dim)


@pytest.mark.parametrize(("workers", "segment_s"), [(1, 1.0), (2, 1.0), (2, 1e9)])
def test_splitting_and_workers_change_nothing(
    corpus: Path, whole: Path, tmp_path: Path, workers: int, segment_s: float
) -> None:
    report = run(corpus, tmp_path / "bank", workers=workers, segment_s=segment_s)
    assert report.counters["segments"] == (3 if segment_s > 10 else pytest.approx(13, abs=2))
    assert contents(tmp_path / "bank") == contents(whole)


def test_every_frame_is_decoded_once(corpus: Path, tmp_path: Path) -> None:
    """Also when videos are split: only the halo is decoded twice. Each picture of each size is made once."""
    long = tmp_path / "long.mp4"
    make_clip(long, seconds=40, shots=8, figures=1, coding=Coding(gop=25))
    counters = run([str(long)], tmp_path / "bank", segment_s=10).counters
    assert counters["segments"] == 4
    assert counters["frames_in_video"] == 1000
    assert 1.0 <= counters["frames_decoded"] / counters["frames_in_video"] <= 1.10
    whole_run = run([str(long)], tmp_path / "bank2", segment_s=1e9).counters
    assert whole_run["frames_decoded"] == 1001  # the first picture is also decoded by probe
    # shots take every frame; clips 15 a second of 25, all but the half second after the last clip; people one a second
    assert whole_run["pictures_converted"] == 1000 + 593 + 40


def test_a_second_run_does_nothing_and_a_changed_stage_runs_alone(corpus: Path, whole: Path, tmp_path: Path) -> None:
    bank = tmp_path / "bank"
    shutil.copytree(whole, bank)
    again = run(corpus, bank)
    assert (again.up_to_date, again.counters) == (3, {})
    before = contents(bank)
    changed = run(corpus, bank, settings=["clips.hop_s=0.5"])
    assert {name for name in changed.counters if name.startswith("rows.")} == {"rows.features/clip.slowfast_compact"}
    assert changed.counters["pictures_converted"] < 350
    after = contents(bank)
    assert {name: after[name] == before[name] for name in ("shots", "detections", "tracks", "person.hsv_stripes")} == {
        "shots": True, "detections": True, "tracks": True, "person.hsv_stripes": True,
    }  # fmt: skip
    assert len(after["clip.slowfast_compact"]) > len(before["clip.slowfast_compact"])


def test_a_changed_tracker_decodes_nothing(corpus: Path, whole: Path, tmp_path: Path) -> None:
    bank = tmp_path / "bank"
    shutil.copytree(whole, bank)
    report = run(corpus, bank, settings=["tracks.max_gap_s=0.5"])
    assert "frames_decoded" not in report.counters
    assert report.counters["rows.detections"] == len(contents(whole)["detections"])
    fresh = run(corpus, tmp_path / "fresh", settings=["tracks.max_gap_s=0.5"])
    assert fresh.ok == 3
    assert contents(bank) == contents(tmp_path / "fresh")


def test_changed_and_added_and_touched_videos(corpus: Path, tmp_path: Path) -> None:
    videos, bank = tmp_path / "videos", tmp_path / "bank"
    shutil.copytree(corpus, videos)
    run(videos, bank, only=["shots"])
    os.utime(videos / "a/clip.mp4")
    shutil.copy(videos / "b/clip.mp4", videos / "odd one.mkv")
    shutil.copy(videos / "b/clip.mp4", videos / "new.mp4")
    report = run(videos, bank, only=["shots"])
    assert (report.videos, report.up_to_date) == (4, 1)
    assert report.counters["rows.shots"] == 2 + 2, "the touched video has the same content and is not done again"
    assert run(videos, bank, only=["shots"]).up_to_date == 4
    assert verify(bank).is_whole


def test_a_video_whose_name_is_no_text_is_up_to_date_too(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    shutil.copy(corpus / "b/clip.mp4", os.fsencode(tmp_path / "videos") + b"/\xff.mp4")
    assert run(tmp_path / "videos", tmp_path / "bank", only=["shots"]).ok == 1
    assert run(tmp_path / "videos", tmp_path / "bank", only=["shots"]).up_to_date == 1


def test_trouble_costs_the_file_that_makes_it(tmp_path: Path) -> None:
    """A crash, a hang, a memory blow-up and an exception in a stage, with two workers: one row each."""
    videos = tmp_path / "videos"
    videos.mkdir()
    trouble = {11: "crash", 12: "hang", 13: "eat", 14: "raise"}
    for frames in range(10, 20):
        make_clip(videos / f"{frames}.mp4", seconds=frames / 25, size_hw=(64, 64), shots=1, seed=frames)
    shots = build_config(only=["shots"]).stages
    began = time.monotonic()
    run([str(videos / "10.mp4")], tmp_path / "timing", only=["shots"])
    stall_s = max(3.0, round(2 * (time.monotonic() - began)))  # children of this machine start in less
    config = ExtractConfig(
        preset="test",
        stages=(*shots, TroubleStage(TroubleConfig(by_num_frames=tuple(trouble.items())))),
        limits=Limits(stall_s=stall_s, max_rss_bytes=1 << 30),
    )
    report = run(videos, tmp_path / "bank", config=config)
    assert (report.ok, report.failed) == (6, 4)
    errors = {failure["video_id"]: (failure["stage"], failure["error"].split(":")[0]) for failure in report.failures}
    assert errors == {
        "11.mp4": ("trouble", "Crashed"),
        "12.mp4": ("trouble", "Stalled"),
        "13.mp4": ("trouble", "MemoryLimit"),
        "14.mp4": ("trouble", "ValueError"),
    }
    assert len(FeatureBank.open(tmp_path / "bank").table("shots")) == 6
    assert verify(tmp_path / "bank").is_whole
    cured = run(videos, tmp_path / "bank", only=["shots"])
    assert (cured.ok, cured.failed) == (10, 0)


def test_strict_stops_at_the_first_failure(tmp_path: Path) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"not a video")
    with pytest.raises(StrictStopError, match=r"bad\.mp4.*cannot be opened as a video"):
        run([str(tmp_path / "bad.mp4")], tmp_path / "bank", strict=True)


def test_what_cannot_start_says_why(tmp_path: Path, corpus: Path) -> None:
    with pytest.raises(InputError, match="No file or folder at"):
        run([str(tmp_path / "none.mp4")], tmp_path / "bank")
    with pytest.raises(InputError, match="Two videos have the id"):
        run([str(corpus / "a/clip.mp4"), str(corpus / "b/clip.mp4")], tmp_path / "bank")
    with pytest.raises(ConfigError, match="no field 'hop'"):
        build_config(settings=["clips.hop=1"])
    with pytest.raises(ConfigError, match="DaskRunner"):
        extract([str(corpus)], str(tmp_path / "bank"), build_config(only=["shots"]), beam_args=["--runner=DaskRunner"])


def test_given_ids(corpus: Path, tmp_path: Path) -> None:
    listing = tmp_path / "list.csv"
    listing.write_text(f"video_id,uri\n-5KQ66BBWC4,{corpus / 'a/clip.mp4'}\n_x,{corpus / 'b/clip.mp4'}\n")
    report = run([str(listing)], tmp_path / "bank", only=["shots"])
    assert report.ok == 2
    assert FeatureBank.open(tmp_path / "bank").videos()["video_id"].to_pylist() == ["-5KQ66BBWC4", "_x"]


def longform(*words: str, **options) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "pipeline.cli", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, **options)


def test_command_line(corpus: Path, tmp_path: Path) -> None:
    bank = str(tmp_path / "bank")
    (tmp_path / "empty.mp4").touch()
    done = longform("extract", str(corpus), str(tmp_path / "empty.mp4"), "--bank", bank, "--quiet")
    assert done.returncode == 1, done.stderr
    assert "empty.mp4" in done.stdout
    assert "is empty (0 bytes)" in done.stdout
    assert done.stderr == ""
    facts = json.loads(longform("inspect", bank, "--json").stdout)
    assert facts["videos"] == {"ok": 3, "failed": 1}
    assert facts["failures"][0]["stage"] == "probe"
    assert longform("verify", bank).returncode == 0
    window = longform("window", bank, "--space", "clip.slowfast_compact", "--video", "b~clip.mp4",
                      "--at", "1", "--after", "2", "--json")  # fmt: skip
    assert json.loads(window.stdout)["times_s"] == [1.0, 2.0]
    before = json.loads(longform("inspect", bank, "--json").stdout)
    assert longform("compact", bank).returncode == 0
    after = json.loads(longform("inspect", bank, "--json").stdout)
    assert after["tables"] == before["tables"]
    assert after["files"] < before["files"]
    wrong = longform("window", bank, "--space", "clip.hoghov", "--video", "x", "--at", "1")
    assert wrong.returncode == 2
    assert "clip.slowfast_compact" in wrong.stderr
    assert "Traceback" not in wrong.stderr


def test_an_outside_stage_joins_through_its_entry_point(corpus: Path, tmp_path: Path) -> None:
    package = tmp_path / "site"
    (package / "outside-1.0.dist-info").mkdir(parents=True)
    (package / "outside-1.0.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: outside\nVersion: 1.0\n")
    (package / "outside-1.0.dist-info/entry_points.txt").write_text("[longform.stages]\nbright = outside:Bright\n")
    shutil.copy(Path(__file__).parent / "outside_stage.py", package / "outside.py")
    environment = os.environ | {"PYTHONPATH": str(package)}
    bank = str(tmp_path / "bank")
    done = longform("extract", str(corpus), "--bank", bank, "--only", "bright", "--stage", "bright", "--quiet",
                    "--segment-s", "1", env=environment)  # fmt: skip
    assert done.returncode == 0, done.stderr
    means = FeatureBank.open(bank).features("frame.brightness", "b~clip.mp4")
    assert len(means) == 3
    unknown = longform("extract", str(corpus), "--bank", bank, "--stage", "dark", env=environment)
    assert unknown.returncode == 2
    assert "registered: bright" in unknown.stderr


@pytest.mark.skipif(
    not Path("/dev/shm").is_dir() or os.geteuid() != 0, reason="needs root and Linux to mount a small disk"
)
def test_a_full_disk_stops_the_run_and_the_next_one_goes_on(corpus: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=88k", "tmpfs", str(disk)], check=False)
    if mounted.returncode:
        pytest.skip("this machine does not let tests mount a small disk")
    try:
        full = longform("extract", str(corpus), "--bank", str(disk / "bank"), "--quiet")
        assert full.returncode != 0
        assert "No space left on device" in full.stdout + full.stderr
        assert "Traceback" not in full.stderr
        assert verify(disk / "bank").is_whole
        subprocess.run(["mount", "-o", "remount,size=20m", str(disk)], check=True)
        assert longform("extract", str(corpus), "--bank", str(disk / "bank"), "--quiet").returncode == 0
        assert verify(disk / "bank").videos == 3
    finally:
        subprocess.run(["umount", str(disk)], check=True)
