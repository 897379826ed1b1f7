"""A run killed with SIGKILL at random moments and resumed each time ends in the bank of an undisturbed run."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from pipeline.bank.reader import FeatureBank
from pipeline.bank.verify import verify
from pipeline.sample.encode import Coding
from pipeline.sample.samples import make_clip
from tests.integration.banks import contents

KILLS = 20
SEED = 20_261_121


def command(videos: Path, bank: Path) -> list[str]:
    options = ["--bank", str(bank), "--preset", "hoghof", "--workers", "2", "--segment-s", "2", "--quiet"]
    return [sys.executable, "-m", "pipeline.cli", "extract", str(videos), *options]


def test_twenty_kills(tmp_path: Path) -> None:
    videos, bank = tmp_path / "videos", tmp_path / "bank"
    videos.mkdir()
    for i in range(6):
        make_clip(videos / f"{i}.mp4", seconds=5 + i, figures=1, seed=i, coding=Coding(gop=25, bframes=2))
    (videos / "bad.mp4").write_bytes(b"this is no video")
    assert subprocess.run(command(videos, tmp_path / "undisturbed"), check=False, capture_output=True).returncode == 1

    moments = random.Random(SEED)
    began = time.monotonic()
    subprocess.run(command(videos, tmp_path / "timing"), check=False, capture_output=True)
    length = time.monotonic() - began
    counts: set[int] = set()
    killed = 0
    while killed < KILLS or not counts & set(range(1, 6)):
        assert killed < 3 * KILLS, "some kill must fall between the first and the last video"
        if killed % 5 == 0:
            shutil.rmtree(bank, ignore_errors=True)  # else all is done after a few kills and nothing is disturbed
        run = subprocess.Popen(command(videos, bank), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               start_new_session=True)  # fmt: skip
        try:
            run.wait(timeout=moments.uniform(0.15, 0.95) * length)
            length *= 0.9  # the machine may be more or less busy than it was
        except subprocess.TimeoutExpired:
            os.kill(run.pid, signal.SIGKILL)
            run.wait()
            length *= 1.05
        killed += 1
        if (bank / "bank.json").exists():
            report = verify(bank)
            assert report.is_whole, (killed, report.problems)
            rows = FeatureBank.open(bank).videos().to_pylist()
            counts.add(sum(row["status"] == "ok" for row in rows))
            for row in rows:
                if row["status"] == "ok":
                    assert len(FeatureBank.open(bank).table("shots", row["video_id"])) == 2

    last = subprocess.run(command(videos, bank), check=False, capture_output=True, text=True)
    assert last.returncode == 1
    assert "Traceback" not in last.stderr
    assert contents(bank) == contents(tmp_path / "undisturbed")
    assert not verify(bank).warnings, "nothing is left over of what the killed runs had begun"
