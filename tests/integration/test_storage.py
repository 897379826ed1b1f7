"""A bank on object storage: the whole job against a local S3 server, which answers badly at times."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.bank.compare import compare
from pipeline.bank.filesystem import ATTEMPTS_VARIABLE
from pipeline.bank.reader import FeatureBank
from pipeline.bank.verify import verify
from pipeline.sample.encode import Coding
from pipeline.sample.samples import make_clip
from tests.integration.test_extract import longform
from tests.pipeline.bank.s3 import CREDENTIALS, FaultyS3, some


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyS3]:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    with FaultyS3().running() as server:
        yield server


def test_extract_resume_and_compact_on_s3(s3: FaultyS3, tmp_path: Path) -> None:
    make_clip(tmp_path / "clip.mp4", seconds=4, shots=2, coding=Coding(gop=12))
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    bank = s3.uri("some/bank")
    environment = os.environ | CREDENTIALS
    words = ["extract", str(tmp_path), "--bank", bank, "--segment-s", "1", "--workers", "2", "--quiet"]
    done = longform(*words, env=environment)
    assert done.returncode == 1, done.stderr
    assert "2 videos: 1 ok, 1 failed" in done.stdout
    assert verify(bank).is_whole
    assert len(FeatureBank.open(bank).table("shots", "clip.mp4")) == 2
    again = longform(*words, env=environment)
    assert "1 were up to date" in again.stdout
    before = FeatureBank.open(bank).features("clip.slowfast_compact").to_pylist()
    assert longform("compact", bank, env=environment).returncode == 0
    assert FeatureBank.open(bank).features("clip.slowfast_compact").to_pylist() == before
    assert verify(bank).is_whole


def test_an_outage_ends_the_run_and_blames_no_video(s3: FaultyS3, tmp_path: Path) -> None:
    """First faults that pass, which the bank does not show; then uploads of results fail for good, rows would pass."""
    videos = tmp_path / "videos"
    videos.mkdir()
    for seed, name in enumerate(("a.mp4", "b.mp4")):
        make_clip(videos / name, seconds=2, shots=2, size_hw=(120, 160), seed=seed, coding=Coding(gop=12))
    environment = os.environ | CREDENTIALS | {ATTEMPTS_VARIABLE: "4"}
    words = ["--only", "shots", "--workers", "1", "--quiet"]
    local, remote = str(tmp_path / "bank"), s3.uri("bank")
    assert longform("extract", str(videos), "--bank", local, *words, env=environment).returncode == 0
    s3.fault = some(["503", "drop", "500"], every=23)
    done = longform("extract", str(videos / "a.mp4"), "--bank", remote, *words, env=environment)
    said = [line for line in done.stderr.splitlines() if "s3fs.cc" not in line]  # Arrow's own, of a retry
    assert (done.returncode, said) == (0, [])
    assert s3.faults >= 3
    s3.fault = lambda method, path: "503" if method == "POST" and "frame_scores" in path else None
    done = longform("extract", str(videos), "--bank", remote, *words, env=environment)
    assert done.returncode == 1
    assert "The run broke off" in done.stderr
    assert "AWS Error" in done.stderr
    assert "Traceback" not in done.stderr
    s3.fault = lambda method, path: None
    assert verify(remote).is_whole
    assert [row["video_id"] for row in FeatureBank.open(remote).videos().to_pylist()] == ["a.mp4"]
    assert longform("extract", str(videos), "--bank", remote, *words, env=environment).returncode == 0
    assert compare(local, remote).is_same
