"""A full disk ends a run with a clear error; what was committed stays, and the next run completes the bank."""

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.bank.compare import compare
from pipeline.bank.reader import FeatureBank
from pipeline.bank.verify import verify
from pipeline.sample.encode import Coding
from pipeline.sample.samples import make_clip

VIDEOS = 3
WORDS = ["--only", "clips", "--set", "clips.hop_s=0.05", "--workers", "1", "--quiet"]


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    for i in range(VIDEOS):
        make_clip(folder / f"{i}.mp4", seconds=2, shots=1, size_hw=(120, 160), seed=i, coding=Coding(gop=12))
    return folder


@pytest.fixture(scope="module")
def whole(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bank of a run that had room."""
    bank = tmp_path_factory.mktemp("whole") / "bank"
    assert extract(videos, bank).returncode == 0
    return bank


def extract(videos: Path, bank: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "pipeline.cli", "extract", str(videos), "--bank", str(bank), *WORDS]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own in memory; its size is set by `resize`."""
    libc = ctypes.CDLL(None, use_errno=True)
    folder = tmp_path / "disk"
    folder.mkdir()
    if not hasattr(libc, "mount") or libc.mount(b"tmpfs", bytes(folder), b"tmpfs", 0, b"size=16m") != 0:
        pytest.skip(f"mounting a file system is not allowed here: {os.strerror(ctypes.get_errno())}")
    try:
        yield folder
    finally:
        libc.umount2(bytes(folder), 2)


def resize(disk: Path, size: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    remount = 32
    assert libc.mount(b"tmpfs", bytes(disk), b"tmpfs", remount, f"size={size}".encode()) == 0, os.strerror(
        ctypes.get_errno()
    )


def test_a_disk_that_is_full_for_a_while(videos: Path, whole: Path, small_disk: Path) -> None:
    bank = small_disk / "bank"
    assert extract(videos / "0.mp4", bank).returncode == 0
    space = os.statvfs(small_disk)
    resize(small_disk, (space.f_blocks - space.f_bfree) * space.f_frsize + (16 << 10))
    done = extract(videos, bank)
    assert done.returncode == 1
    assert "The run broke off" in done.stderr
    assert "no space left" in done.stderr
    assert "Run the same command again" in done.stderr
    assert "Traceback" not in done.stderr
    report = verify(bank)
    assert report.is_whole
    rows = FeatureBank.open(bank).videos().to_pylist()
    assert {row["status"] for row in rows} == {"ok"}, "a full disk is the failure of no video"
    assert [row["video_id"] for row in rows][:1] == ["0.mp4"]
    assert len(rows) < VIDEOS
    resize(small_disk, 16 << 20)
    again = extract(videos, bank)
    assert again.returncode == 0, again.stderr
    assert f"{len(rows)} were up to date" in again.stdout
    assert compare(bank, whole).is_same
    assert verify(bank).warnings == []


def test_a_full_disk_from_the_start(videos: Path, small_disk: Path) -> None:
    filler = small_disk / "filler"
    resize(small_disk, 1 << 16)
    with pytest.raises(OSError, match="No space"):
        filler.write_bytes(bytes(1 << 20))
    done = extract(videos, small_disk / "bank")
    assert done.returncode == 2
    assert "no space left" in done.stderr
    assert "Traceback" not in done.stderr
    filler.unlink()
    shutil.rmtree(small_disk / "bank", ignore_errors=True)
    resize(small_disk, 16 << 20)
    assert extract(videos, small_disk / "bank").returncode == 0
