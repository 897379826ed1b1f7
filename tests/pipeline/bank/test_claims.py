"""One run on a bank at a time, on any filesystem, whatever becomes of the process that has it."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pyarrow import fs as pafs

from pipeline.bank import claims
from pipeline.bank.claims import COMPACT, RUN, claim
from pipeline.bank.errors import BankBusyError
from tests.pipeline.bank.helpers import dying

LOCAL = pafs.LocalFileSystem()


def remote() -> pafs.FileSystem:
    """A filesystem that has no locks."""
    return dying(None)[0]


@pytest.fixture
def short_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "BEAT_S", 0.1)
    monkeypatch.setattr(claims, "LEASE_S", 0.8)
    monkeypatch.setattr(claims, "_POLL_S", 0.05)


def claim_files(root: Path) -> list[Path]:
    return sorted(root.glob("_locks/*.json"))


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_the_second_is_refused_with_the_name_of_the_first(tmp_path: Path) -> None:
    with claim(LOCAL, str(tmp_path), RUN):
        [file] = claim_files(tmp_path)
        edit(file, host="lab7", pid=os.getpid(), started="2026-11-21 10:00:00 +0100", command="longform extract x")
        with (
            pytest.raises(
                BankBusyError, match=f"run by process {os.getpid()} on lab7, begun 2026.*: longform extract x"
            ),
            claim(LOCAL, str(tmp_path), RUN),
        ):
            pass
        assert claim_files(tmp_path) == [file]
    assert claim_files(tmp_path) == []
    with claim(LOCAL, str(tmp_path), RUN):
        pass


@pytest.mark.parametrize("works", [(RUN, COMPACT), (COMPACT, RUN)])
def test_compact_beside_a_run_only_where_there_are_locks(tmp_path: Path, works: tuple[str, str]) -> None:
    with claim(LOCAL, str(tmp_path), works[0]), claim(LOCAL, str(tmp_path), works[1]):
        assert len(claim_files(tmp_path)) == 2
    with (
        claim(remote(), str(tmp_path), works[0]),
        pytest.raises(BankBusyError, match=works[0]),
        claim(remote(), str(tmp_path), works[1]),
    ):
        pass


def hold_for_ever(root: str, has_it: Any) -> None:
    with claim(LOCAL, root, RUN):
        has_it.set()
        time.sleep(600)


def test_a_killed_holder_of_this_machine_is_noticed_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    has_it = context.Event()
    holder = context.Process(target=hold_for_ever, args=(str(tmp_path), has_it))
    holder.start()
    assert has_it.wait(120)
    with pytest.raises(BankBusyError, match=f"process {holder.pid} "), claim(LOCAL, str(tmp_path), RUN):
        pass
    assert holder.pid is not None
    os.kill(holder.pid, signal.SIGKILL)
    _wait_until(lambda: claims._process(holder.pid or 0) is None)  # a zombie until it is joined
    began = time.monotonic()
    with claim(LOCAL, str(tmp_path), RUN):
        assert time.monotonic() - began < claims.LEASE_S / 2
        assert len(claim_files(tmp_path)) == 1
    holder.join()


def _wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_process_id_that_was_given_again_is_another_process(tmp_path: Path) -> None:
    with claim(LOCAL, str(tmp_path), RUN):
        [file] = claim_files(tmp_path)
        copy = file.with_name("run.0123456789abcdef.json")
        copy.write_bytes(file.read_bytes())
    edit(copy, id="0123456789abcdef", process="1")
    half_written = file.with_name(f"_{copy.name}.0123456789abcdef.tmp")
    half_written.write_text("{")
    with claim(LOCAL, str(tmp_path), RUN):
        assert not copy.exists()
        assert not half_written.exists()


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """A claim of a process of another machine that has the process id of this one."""
    with claim(LOCAL, str(tmp_path), RUN):
        [file] = claim_files(tmp_path)
        path = file.with_name("run.fedcba9876543210.json")
        path.write_bytes(file.read_bytes())
    edit(path, id="fedcba9876543210", machine="elsewhere", host="elsewhere")
    return path


def test_a_silent_holder_elsewhere_is_given_up_after_the_lease(
    tmp_path: Path, foreign: Path, short_lease: None
) -> None:
    began, waited = time.monotonic(), []
    with claim(LOCAL, str(tmp_path), RUN, on_wait=waited.append):
        assert not foreign.exists()
    assert 0.8 <= time.monotonic() - began < 60
    assert "on elsewhere" in waited[0]


def test_a_holder_elsewhere_that_gives_signs_is_respected(
    tmp_path: Path, foreign: Path, short_lease: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "LEASE_S", 60.0)
    stop = threading.Event()

    def beat() -> None:
        count = 0
        while not stop.wait(0.1):
            count += 1
            temporary = foreign.with_name("_beat.tmp")
            temporary.write_text(json.dumps({**json.loads(foreign.read_text()), "beat": count}))
            temporary.replace(foreign)

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        with pytest.raises(BankBusyError, match="on elsewhere"), claim(LOCAL, str(tmp_path), RUN):
            pass
    finally:
        stop.set()
        thread.join()


def test_a_holder_whose_claim_was_taken_is_told(tmp_path: Path, short_lease: None) -> None:
    told = threading.Event()
    with claim(LOCAL, str(tmp_path), RUN, on_lost=lambda why: told.set()):
        beats = {json.loads(claim_files(tmp_path)[0].read_text())["beat"]}
        _wait_until(lambda: beats != {json.loads(claim_files(tmp_path)[0].read_text())["beat"]})
        assert not told.is_set()
        claim_files(tmp_path)[0].unlink()
        assert told.wait(60)


def test_of_many_that_begin_at_once_one_has_it_at_a_time(tmp_path: Path, short_lease: None) -> None:
    """On a filesystem without locks and with slow listings; whoever is refused tries again."""
    inside, most, turns = [0], [0], []
    guard = threading.Lock()

    def work(number: int) -> None:
        while True:
            try:
                with claim(remote(), str(tmp_path), RUN):
                    with guard:
                        inside[0] += 1
                        most[0] = max(most[0], inside[0])
                    time.sleep(0.02)
                    with guard:
                        inside[0] -= 1
                    turns.append(number)
                    return
            except BankBusyError:
                time.sleep(0.02)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(turns) == list(range(6))
    assert most == [1]


@pytest.fixture
def argv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["longform", "extract", "s3://key:secret@bucket/x", "--bank", "b"])


def test_no_secret_is_written_down(tmp_path: Path, argv: None) -> None:
    with claim(LOCAL, str(tmp_path), RUN):
        content = claim_files(tmp_path)[0].read_text()
    assert "secret" not in content
    assert "longform extract s3://...@bucket/x --bank b" in content


def test_an_unreadable_claim_counts_until_the_lease_is_over(tmp_path: Path, short_lease: None) -> None:
    (tmp_path / "_locks").mkdir()
    (tmp_path / "_locks" / "run.0000000000000000.json").write_text("{")
    began = time.monotonic()
    with claim(LOCAL, str(tmp_path), RUN):
        assert time.monotonic() - began >= 0.8


def test_a_second_extract_is_refused_before_it_changes_anything(tmp_path: Path) -> None:
    (tmp_path / "x.mp4").write_bytes(b"no video")
    bank = tmp_path / "bank"
    with claim(LOCAL, str(bank), RUN):
        words = ["extract", str(tmp_path / "x.mp4"), "--bank", str(bank), "--only", "shots"]
        done = subprocess.run(
            [sys.executable, "-m", "pipeline.cli", *words], check=False, capture_output=True, text=True
        )
    assert done.returncode == 2
    assert f"run by process {os.getpid()}" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (bank / "bank.json").exists()
