"""A run elsewhere ends when its workers give no sign, and its workers end when the driver is gone."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipeline import isolation
from pipeline.bank.filesystem import list_files, open_location
from pipeline.bank.manifest import create_or_open
from pipeline.config import ExtractConfig
from pipeline.errors import RunError
from pipeline.isolation import Limits, beat
from pipeline.run import RunOptions, _IsolatedStep
from pipeline.settings import RunSettings
from pipeline.watch import Patience, Reporter, Watch, end_all, report, stall_limit_s
from tests.pipeline.bank.s3 import CREDENTIALS, FaultyS3

STALL_S = 1.0
"""A quarter of it between two looks, and between two signs."""
HERE = "tests.pipeline.test_watch"


def settings(bank: Path | str, run_id: str) -> RunSettings:
    create_or_open(str(bank))
    limits = Limits(stall_s=STALL_S)
    return RunSettings(run_id=run_id, bank=str(bank), config=ExtractConfig(preset="test", stages=(), limits=limits))


def watch(settings: RunSettings, *, start_s: float = 60.0, stall_s: float = 60.0) -> Watch:
    return Watch(settings, Patience(start_s=start_s, stall_s=stall_s), "the worker pool host:1")


@pytest.fixture(autouse=True)
def no_children_stay() -> Iterator[None]:
    yield
    isolation.close_all()


def wait_until(done: Callable[[], bool], look: Callable[[], None] = lambda: None) -> None:
    end = time.monotonic() + 240  # a storage that does not answer is asked again for 90 s
    while not done():
        assert time.monotonic() < end
        look()
        time.sleep(0.02)


def test_no_worker_begins(tmp_path: Path) -> None:
    with watch(settings(tmp_path / "bank", "a"), start_s=0.3) as watching:
        began = time.monotonic()
        with pytest.raises(RunError, match=r"no worker gave a sign within 0\.3 s.*pool host:1.*longform .* on Python"):
            wait_until(lambda: False, watching.look)
        assert time.monotonic() - began > 0.3


def work_on(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        beat("test")
        time.sleep(0.01)


def begin_a_child() -> isolation.Slots:
    children = isolation.slots(1)
    assert children.call(f"{HERE}:work_on", (0.0,), Limits()).error is None
    return children


def test_a_worker_at_work_gives_signs_and_a_still_one_does_not(tmp_path: Path) -> None:
    run = settings(tmp_path / "bank", "b")
    limit_s = stall_limit_s(run)
    with watch(run, start_s=0.1, stall_s=limit_s) as watching, ThreadPoolExecutor(1) as thread:
        reporter = Reporter(run, workers=1)
        begin_a_child()
        answer = thread.submit(isolation.slots(1).call, f"{HERE}:work_on", (1.5 * limit_s,), Limits())
        wait_until(answer.done, watching.look)
        assert answer.result().error is None
        assert answer.result().wall_s > 1.5 * limit_s
        assert not reporter.is_over
        with pytest.raises(RunError, match=r"stands still: for 2 s, twice --stall-s.*process \d+"):
            wait_until(lambda: False, watching.look)


def test_a_worker_stops_when_the_driver_is_gone(tmp_path: Path) -> None:
    run = settings(tmp_path / "bank", "c")
    with watch(run):
        reporter = report(run, workers=1)
        assert report(run, workers=1) is reporter
        children = begin_a_child()
        end_all()
        wait_until(lambda: reporter.is_over)
        wait_until(lambda: children.call(f"{HERE}:work_on", (0.0,), Limits()).error is not None)
        assert children.call(f"{HERE}:work_on", (0.0,), Limits()).error.error_class == isolation.STOPPED
    step = _IsolatedStep("pipeline.steps:probe_video", RunOptions(settings=run, workers=1, is_local=False), ())
    step.setup()
    assert list(step.process("a job that is not begun")) == []
    assert not list((tmp_path / "bank/_runs").iterdir())


def test_signs_go_through_an_object_store(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    with FaultyS3().running() as server:
        killed, run = settings(server.uri("bank"), "killed"), settings(server.uri("bank"), "next")
        watch(killed).__enter__()
        left_over = Reporter(killed, workers=1)
        with watch(run) as watching:
            reporter = Reporter(run, workers=1)
            wait_until(lambda: left_over.is_over, watching.look)
            assert not reporter.is_over
        fs, root = open_location(server.uri("bank"))
        wait_until(lambda: reporter.is_over)
        wait_until(lambda: not list_files(fs, f"{root}/_runs", recursive=True))
    end_all()


def test_a_worker_that_does_not_see_the_bank_of_the_driver_says_so(tmp_path: Path) -> None:
    create_or_open(str(tmp_path / "elsewhere"))
    with watch(settings(tmp_path / "bank", "d")), pytest.raises(RunError, match="does not share"):
        Reporter(settings(tmp_path / "elsewhere", "d"), workers=1)


def test_a_run_ends_those_before_it(tmp_path: Path) -> None:
    """Their drivers were killed, or they could not tell all of their workers."""
    killed, next_run = settings(tmp_path / "bank", "e"), settings(tmp_path / "bank", "f")
    watch(killed).__enter__()
    reporter = Reporter(killed, workers=1)
    with watch(next_run):
        wait_until(lambda: reporter.is_over and not (tmp_path / "bank/_runs/e.signs").exists())
        assert [folder.name for folder in (tmp_path / "bank/_runs").iterdir()] == ["f.signs"]
    end_all()


def test_a_sign_that_comes_behind_the_end_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = settings(tmp_path / "bank", "h")
    with watch(run) as watching:
        reporter = Reporter(run, workers=1)
        sign = reporter._sign

        def end_and_sign(beats: int) -> None:
            watching.end()
            sign(beats)

        monkeypatch.setattr(reporter, "_sign", end_and_sign)
        isolation.slots(1).call(f"{HERE}:work_on", (0.0,), Limits())
        wait_until(lambda: reporter.is_over)
        wait_until(lambda: not list((tmp_path / "bank/_runs").iterdir()))


def test_a_worker_of_another_version_refuses(tmp_path: Path) -> None:
    run = settings(tmp_path / "bank", "g")
    options = RunOptions(settings=run, workers=1, is_local=False, versions="longform 0.0.1")
    with pytest.raises(RunError, match=r"has longform .* on Python .*, the driver longform 0\.0\.1: install the same"):
        _IsolatedStep("pipeline.steps:probe_video", options, ()).setup()
