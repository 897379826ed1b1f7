"""The same bank from the portable runner with an external worker pool; a stop by Ctrl-C; memory that stays flat."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest

from pipeline.bank.reader import FeatureBank
from pipeline.bank.verify import verify
from pipeline.extract import extract
from pipeline.presets import build_config
from pipeline.sample.encode import Coding
from pipeline.sample.remux import loop_video
from pipeline.sample.samples import make_clip
from tests.integration.banks import contents
from tests.integration.services import POOL, environment, free_port, started, wait_for, wait_until
from tests.integration.test_extract import longform

ENVIRONMENT = environment()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[list[str]]:
    """A job service and a worker pool on this machine; the options that send a run there."""
    jobs, pool = free_port(), free_port()
    log = tmp_path / "cluster.log"
    with (
        started("apache_beam.runners.portability.local_job_service_main", "--port", str(jobs), log=log),
        started(POOL, f"--service_port={pool}", log=log),
    ):
        wait_for(jobs)
        wait_for(pool)
        where = [f"--job_endpoint=localhost:{jobs}", f"--environment_config=localhost:{pool}"]
        yield ["--", "--runner=PortableRunner", "--environment_type=EXTERNAL", *where]


def test_the_portable_runner_makes_the_same_bank(cluster: list[str], tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    make_clip(videos / "long.mp4", seconds=8, shots=3, figures=1, size_hw=(360, 640), coding=Coding(gop=12, bframes=2))
    make_clip(videos / "short.mkv", seconds=2, seed=3)
    (videos / "bad.mp4").write_bytes(b"no video")
    local, portable = tmp_path / "local", tmp_path / "portable"
    options = ["--segment-s", "2", "--workers", "2", "--quiet"]
    assert longform("extract", str(videos), "--bank", str(local), *options).returncode == 1
    done = longform("extract", str(videos), "--bank", str(portable), *options, *cluster, env=ENVIRONMENT)
    assert done.returncode == 1, done.stderr
    assert "3 videos: 2 ok, 1 failed" in done.stdout
    assert "frames decoded for 250 frames of video" in done.stdout, "Beam's counters come back from the workers"
    assert contents(portable) == contents(local)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_leaves_a_good_bank_and_says_how_to_go_on(tmp_path: Path, number: int) -> None:
    make_clip(tmp_path / "long.mp4", seconds=20, size_hw=(360, 640), figures=1)
    loop_video(tmp_path / "long.mp4", tmp_path / "longer.mp4", times=30)
    bank = tmp_path / "bank"
    words = ["extract", str(tmp_path / "longer.mp4"), "--bank", str(bank), "--segment-s", "10"]
    run = subprocess.Popen(
        [sys.executable, "-m", "pipeline.cli", *words], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    wait_until(lambda: list(bank.glob("_staging/*/*/*.done.json")), "a segment is done")
    os.killpg(run.pid, number)  # as a terminal does: to the whole group
    _, said = run.communicate(timeout=60)
    assert run.returncode == 128 + number
    assert "Run the same command again to go on." in said
    assert "Traceback" not in said
    assert verify(bank).is_whole
    assert FeatureBank.open(bank).videos().num_rows == 0
    assert list(bank.glob("_staging/*/*/*.done.json")), "finished segments are kept for the next run"


def peak_mb(folder: Path, minutes: int) -> int:
    """Peak memory of the worker on a video of so many minutes, unsplit, with all stages of preset hoghof."""
    video, bank = folder / f"{minutes}.mp4", folder / f"bank{minutes}"
    loop_video(folder / "clip.mp4", video, min_seconds=60 * minutes)
    shutil.rmtree(bank, ignore_errors=True)
    config = build_config("hoghof", segment_s=1e9, settings=["people.rate_hz=0.05"])
    report = extract([str(video)], str(bank), config, workers=1, quiet=True)
    assert report.ok == 1
    assert report.counters["rows.features/clip.hoghof"] >= 60 * minutes
    return report.counters["max.worker_rss_mb"]


def test_memory_does_not_grow_with_the_length_of_a_video(tmp_path: Path) -> None:
    """3 hours against 3 minutes. Two frames a second, so that it fits in a test.

    `python -m benchmarks.pipeline --part memory` does it at full size.
    """
    make_clip(tmp_path / "clip.mp4", seconds=60, fps=Fraction(2), size_hw=(360, 640), shots=6, coding=Coding(gop=20))
    short, long = peak_mb(tmp_path, 3), peak_mb(tmp_path, 180)
    if long > 1.10 * short:  # the allocator varies by some MB from run to run; growth with length would stay
        short, long = peak_mb(tmp_path, 3), peak_mb(tmp_path, 180)
    assert long <= 1.10 * short, (short, long)
    assert long < 1000
