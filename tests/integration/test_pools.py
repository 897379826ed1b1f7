"""Two worker pools make the bank of the local runner; one that dies, or cannot work, ends the run in bounded time."""

import json
import subprocess
import sys
import sysconfig
import time
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from pipeline.bank.compare import compare
from pipeline.bank.verify import verify
from pipeline.run_record import BROKE_OFF, read_run
from pipeline.sample.encode import Coding
from pipeline.sample.samples import make_clip
from tests.integration.services import PATIENCE_S, POOL, PYTHON_FOLDER, free_port, kill, started, wait_for, wait_until
from tests.integration.test_extract import longform

WORDS = ["--workers", "1", "--segment-s", "2", "--preset", "hoghof", "--quiet"]


@dataclass
class Cluster:
    pools: list[subprocess.Popen]
    jobs: subprocess.Popen
    options: list[str]


@contextmanager
def two_pools(folder: Path, python_folder: Path = PYTHON_FOLDER) -> Iterator[Cluster]:
    first, second, jobs, front = (free_port() for _ in range(4))
    addresses = [f"localhost:{port}" for port in (first, second)]
    with (
        started(POOL, f"--service_port={first}", log=folder / "first.log", python_folder=python_folder) as one,
        started(POOL, f"--service_port={second}", log=folder / "second.log", python_folder=python_folder) as other,
        started(
            "pipeline.pools", "--port", str(jobs), "--pool-port", str(front), *addresses, log=folder / "jobs.log"
        ) as service,
    ):
        for port in (first, second, jobs, front):
            wait_for(port)
        where = [f"--job_endpoint=localhost:{jobs}", f"--environment_config=localhost:{front}"]
        yield Cluster([one, other], service, ["--", "--runner=PortableRunner", "--environment_type=EXTERNAL", *where])


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    for i in range(3):
        make_clip(folder / f"{i}.mp4", seconds=4, figures=1, size_hw=(180, 320), seed=i, coding=Coding(gop=12))
    return folder


@pytest.fixture(scope="module")
def whole(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bank of the local runner."""
    bank = tmp_path_factory.mktemp("whole") / "bank"
    assert longform("extract", str(videos), "--bank", str(bank), *WORDS).returncode == 0
    return bank


def test_two_pools_share_the_work_and_make_the_same_bank(videos: Path, whole: Path, tmp_path: Path) -> None:
    bank, log = tmp_path / "bank", tmp_path / "log.jsonl"
    words = ["extract", str(videos), "--bank", str(bank), "--log", str(log), *WORDS]
    with two_pools(tmp_path) as cluster:
        done = longform(*words, *cluster.options)
        assert done.returncode == 0, done.stdout + done.stderr
    assert compare(bank, whole).is_same
    assert not verify(bank).warnings
    assert [path.suffix for path in (bank / "_runs").iterdir()] == [".json"], "the signs are taken away"
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    workers = [line["worker"] for line in lines if line.get("step") == "extract"]
    assert [workers.count(worker) for worker in set(workers)] == [3, 3]
    for name in ("first.log", "second.log"):
        assert (tmp_path / name).read_text().count("Starting worker") == 1


@contextmanager
def begun(words: list[str], bank: Path) -> Iterator[subprocess.Popen]:
    """A run that has finished its first segment."""
    run = subprocess.Popen([sys.executable, "-m", "pipeline.cli", *words], stderr=subprocess.PIPE, text=True)
    try:
        wait_until(lambda: list(bank.glob("_staging/*/*/*.done.json")), "a segment is done")
        yield run
    finally:
        run.kill()


def test_a_pool_killed_in_the_middle(videos: Path, whole: Path, tmp_path: Path) -> None:
    bank = tmp_path / "bank"
    words = ["extract", str(videos), "--bank", str(bank), *WORDS]
    with two_pools(tmp_path) as cluster:
        with begun([*words, "--stall-s", "6", *cluster.options], bank) as run:
            kill(cluster.pools[0])
            killed = time.monotonic()
            _, said = run.communicate(timeout=PATIENCE_S)
        assert run.returncode == 1
        assert time.monotonic() - killed < 90
        assert "stands still: for 12 s, twice --stall-s" in said
        assert "Run the same command again" in said
        assert "Traceback" not in said
        assert read_run(bank, "last").state == BROKE_OFF
        assert verify(bank).is_whole
        assert not at_work(cluster.pools[1]), "no worker goes on without its driver"

        again = longform(*words, *cluster.options)  # the pool that is left does it
        assert again.returncode == 0, again.stdout + again.stderr
    assert compare(bank, whole).is_same
    assert not verify(bank).warnings


def test_the_job_service_killed_in_the_middle(videos: Path, tmp_path: Path) -> None:
    bank = tmp_path / "bank"
    words = ["extract", str(videos), "--bank", str(bank), *WORDS]
    with two_pools(tmp_path) as cluster, begun([*words, *cluster.options], bank) as run:
        kill(cluster.jobs)
        _, said = run.communicate(timeout=PATIENCE_S)
    assert run.returncode == 1
    assert "The run broke off: the job service or the worker pool does not answer any more" in said
    assert "Traceback" not in said
    assert verify(bank).is_whole


def at_work(pool: subprocess.Popen) -> list[psutil.Process]:
    """Children of the pool's workers, which alone read videos. They have the time of a sign to leave."""
    for _ in range(600):
        workers = psutil.Process(pool.pid).children()
        children = [child for worker in workers for child in worker.children() if reads_videos(child)]
        if not children:
            break
        time.sleep(0.1)
    return children


def test_a_pool_whose_python_has_no_longform(videos: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "bare", symlinks=True)
    places = {"base": str(tmp_path / "bare"), "platbase": str(tmp_path / "bare")}
    packages = Path(sysconfig.get_path("purelib", vars=places))
    (packages / "beam.pth").write_text(sysconfig.get_path("purelib"))  # links to sources, as of longform, stay behind
    with two_pools(tmp_path, tmp_path / "bare/bin") as cluster:
        run = longform("extract", str(videos), "--bank", str(tmp_path / "bank"), *WORDS, *cluster.options)
    assert run.returncode == 1
    assert "No module named 'pipeline'" in run.stderr
    assert "The Python that the workers run has no longform" in run.stderr
    assert "Traceback" not in run.stderr


def test_a_pool_that_cannot_start_its_python(videos: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken/python"
    broken.parent.mkdir()
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    with two_pools(tmp_path, broken.parent) as cluster:
        words = [*WORDS, "--stall-s", "120", *cluster.options, "--start_s=4"]
        began = time.monotonic()
        run = longform("extract", str(videos), "--bank", str(tmp_path / "bank"), *words)
    assert time.monotonic() - began < 120
    assert run.returncode == 1
    assert "no worker gave a sign within 4 s" in run.stderr
    assert "--start_s" in run.stderr
    assert "Traceback" not in run.stderr


def reads_videos(process: psutil.Process) -> bool:
    try:
        return "spawn_main" in str(process.cmdline())
    except psutil.NoSuchProcess:  # or a zombie
        return False
