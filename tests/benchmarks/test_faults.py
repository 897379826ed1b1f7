"""The fault benchmark sees harm where there is some, and its stored table is the one in the manual."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.faults import table
from benchmarks.faults.__main__ import FAULTS, read, store, stored
from benchmarks.faults.bank_check import check_complete, check_present, left_over
from benchmarks.faults.clock_jumps import HOOK
from benchmarks.faults.lab import MOST_LATE, REPOSITORY, Extraction, Lab, Subject
from benchmarks.faults.outcome import Outcome
from pipeline.bank.naming import file_stem
from pipeline.bank.writer import BankWriter
from tests.pipeline.bank.helpers import Video, new_bank, put, video

STORED = REPOSITORY / "benchmarks/results/faults.json"
PAGE = REPOSITORY / "docs/reliability.md"


def outcome() -> Outcome:
    return Outcome(fault="a fault", timed="nothing")


@pytest.fixture
def subject(tmp_path: Path) -> Subject:
    """A bank of two videos that stands for an undisturbed run."""
    writer = new_bank(tmp_path / "undisturbed")
    for name in ("a", "b"):
        put(writer, video(name))
    return Subject(videos=tmp_path, options=(), environment={}, bank=tmp_path / "undisturbed", wall_s=0.0)


def test_the_table_in_the_manual_is_the_stored_one() -> None:
    assert table.markdown(read(STORED)) in PAGE.read_text()


def test_the_stored_run_is_a_whole_and_good_one() -> None:
    facts = json.loads(STORED.read_text())
    assert not facts["quick"]
    assert facts["faults"].keys() == FAULTS.keys()
    assert all(found.is_good for found in read(STORED))
    assert {name for name in FAULTS if f"`{name}`" not in PAGE.read_text()} == set()
    assert "/tmp/" not in STORED.read_text()


def test_the_same_bank_is_no_harm(tmp_path: Path, subject: Subject) -> None:
    writer = new_bank(tmp_path / "bank")
    for name in ("b", "a"):
        put(writer, video(name))
    found = outcome()
    check_complete(tmp_path / "bank", subject, found, "then")
    assert found == outcome()


def test_a_missing_video_and_other_rows_are_lost(tmp_path: Path, subject: Subject) -> None:
    put(new_bank(tmp_path / "bank"), video("a", seed=1))
    found = outcome()
    check_present(tmp_path / "bank", subject, found, "then")
    assert [harm.split(",")[0] for harm in found.lost] == ["then: a"]
    check_complete(tmp_path / "bank", subject, found, "then")
    assert "then: b is not in the bank" in found.lost
    assert not found.duplicated


def test_more_rows_than_there_should_be_are_duplicated(tmp_path: Path, subject: Subject) -> None:
    fewer = {name: rows[:-1] if name == "detections" else rows for name, rows in video("a").rows.items()}
    for bank, content in (("less", Video("a", fewer)), ("more", video("a"))):
        put(new_bank(tmp_path / bank), content)
    found = outcome()
    smaller = Subject(videos=tmp_path, options=(), environment={}, bank=tmp_path / "less", wall_s=0.0)
    check_complete(tmp_path / "more", smaller, found, "then")
    assert found.duplicated
    assert not found.lost
    found = outcome()
    check_complete(tmp_path / "less", Subject(**vars(smaller) | {"bank": tmp_path / "more"}), found, "then")
    assert found.lost
    assert not found.duplicated


@pytest.mark.parametrize(
    "name",
    ["videos/_a.parquet.0123456789abcdef.tmp", "_locks/run.1.json", "_runs/x.signs/driver", "_staging/a/x", "shots/x"],
)
def test_what_a_run_leaves_behind_is_seen(subject: Subject, name: str) -> None:
    assert left_over(subject.bank) == []
    path = subject.bank / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{}")
    assert left_over(subject.bank)


def test_damage_of_the_bank_is_lost(subject: Subject) -> None:
    next((subject.bank / "shots").glob("a.*")).unlink()
    found = outcome()
    check_present(subject.bank, subject, found, "then")
    assert ["missing_file" in harm for harm in found.lost] == [True]


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[Extraction]:
    """A command that does not end, with a process of its own that does not either."""
    code = "import subprocess, sys, time; subprocess.Popen(['sleep', '60']); time.sleep(60)"
    run = Extraction(tmp_path, [sys.executable, "-c", code], os.environ)
    while not run.others():
        time.sleep(0.05)
    yield run
    run.kill()
    for process in run.others():
        process.kill()


def test_a_hang_is_counted_and_ended_and_what_outlives_the_run_too(
    tmp_path: Path, sleeper: Extraction, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.faults.lab.FAREWELL_S", 0.5)
    found = outcome()
    assert not Lab(tmp_path, 0, True).ends(sleeper, 0.5, found)
    assert (len(found.hangs), len(found.left_over)) == (1, 1)
    until = time.monotonic() + 60
    while sleeper.others():
        assert time.monotonic() < until, "it is killed, and does not die"
        time.sleep(0.05)
    assert not found.is_good


def test_a_fault_that_never_struck_is_not_good() -> None:
    found = outcome()
    assert not found.is_good
    found.strike("somewhere", 1.26)
    found.strike("somewhere", 0.5)
    assert found.is_good
    assert (found.times, found.longest_s) == (2, 1.3)
    for harm in ("lost", "duplicated", "left_over", "hangs"):
        assert not Outcome(**vars(found) | {harm: ["something"]}).is_good


def test_the_table() -> None:
    found = Outcome(
        fault="a|b", timed="the run", struck={"here": 3}, videos=7, lost=["x"], longest_s=2.0, user_sees="y"
    )
    impossible = Outcome(fault="c", timed="", impossible="no disk")
    rows = table.markdown([found, impossible]).splitlines()
    assert rows[2] == r"| a\|b | 3 | 7 | 1 | 0 | 0 | 0 | 2 | y |"
    assert rows[3] == "| c | 0 | - | - | - | - | - | - | not injected here: no disk |"
    assert "lost: x" in table.details([found])


def test_a_run_that_was_stopped_goes_on_with_what_is_stored(tmp_path: Path) -> None:
    path, lab = tmp_path / "faults.json", Lab(tmp_path, 7, False)
    first, second = ([Outcome(fault=name, timed="it", struck={"here": 1})] for name in ("one", "two"))
    assert stored(path, 7, False) == {}
    store(path, lab, "two-drivers", second, 1.0)
    store(path, lab, "driver-killed", first, 1.0)
    assert stored(path, 7, False) == {"driver-killed": first, "two-drivers": second}
    assert read(path) == [*first, *second], "in the order of the table"
    for seed, quick in ((8, False), (7, True)):
        with pytest.raises(SystemExit, match="is of seed 7"):
            stored(path, seed, quick)


def test_the_clock_jumps_for_all_but_grpc(tmp_path: Path) -> None:
    code = """
import time, types, sys
seen = [round(time.time() - float(sys.argv[1])), round(time.time_ns() / 1e9 - float(sys.argv[1]))]
seen += [time.gmtime().tm_year, int(time.strftime("%Y"))]
grpc = types.ModuleType("grpc._server")
exec("import time\\ndef now(): return time.time()", grpc.__dict__)
print(*seen, round(grpc.now() - float(sys.argv[1])))
"""
    jump_s, seen = 3 * 366 * 86400.0, tmp_path / "seen"
    facts = {"jumps": [[time.monotonic(), 5.0], [time.monotonic(), jump_s]], "seen": str(seen)}
    environment = os.environ | {"PYTHONPATH": str(HOOK), "LONGFORM_FAULT_CLOCK": json.dumps(facts)}
    now = time.time()
    command = [sys.executable, "-c", code, str(now)]
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    *moved, year, formatted, grpc_s = map(int, said.split())
    assert moved == pytest.approx([jump_s, jump_s], abs=10)
    assert year == formatted == time.gmtime(now + jump_s).tm_year
    assert abs(grpc_s) <= 10
    assert seen.read_text().startswith("1 ")


def test_what_is_staged_of_a_failed_video_is_not_left_over(subject: Subject) -> None:
    failed = {"error_stage": "decode", "error_class": "DecodeError", "error_message": "no frames"}
    writer = BankWriter.open(str(subject.bank))
    for name in ("_c", "a"):
        path = subject.bank / "_staging" / file_stem(name) / "x"
        path.parent.mkdir(parents=True)
        path.write_text("{}")
    writer.commit({"video_id": "_c", "uri": "c", "status": "failed", "stages": [], **failed}, [], keep_staging=True)
    assert left_over(subject.bank) == ["unfinished_work _staging/a"]


def test_a_fault_that_comes_too_late_is_made_again(tmp_path: Path) -> None:
    lab, late_twice, always_late = Lab(tmp_path, 0, quick=True), outcome(), outcome()
    made = []
    for i in lab.rounds(late_twice, full=9, quick=2):
        made.append(i)
        if i not in (0, 2):
            late_twice.strike("here")
    assert made == [0, 1, 2, 3]
    assert len(list(lab.rounds(always_late, full=9, quick=2))) == MOST_LATE
