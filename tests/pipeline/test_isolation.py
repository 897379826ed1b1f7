"""A call in a child that crashes, hangs, eats memory or raises costs that call, and says what happened."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from extractors.placement import share
from pipeline.errors import ConfigError
from pipeline.isolation import STOPPED, Limits, Slots, beat

HERE = "tests.pipeline.test_isolation"


def double(number: int) -> int:
    return 2 * number


def pid() -> int:
    return os.getpid()


def number_beside_others(meeting: Path, others: int) -> int:
    """The number of this child, when so many are at work at once."""
    (meeting / str(os.getpid())).touch()
    while len(list(meeting.iterdir())) < others:
        time.sleep(0.01)
    return share(100)


def crash() -> None:
    beat("clips", 12.5)
    ctypes.string_at(0)


def leave() -> None:
    os._exit(7)


def hang() -> None:
    beat("people", 3.0)
    time.sleep(1000)


def work_slowly(seconds: float) -> str:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        beat("shots")
        time.sleep(0.05)
    return "done"


def eat_memory() -> int:
    hoard = []
    while True:
        hoard.append(b"x" * (32 << 20))
        time.sleep(0.01)


def fail() -> None:
    beat("shots", 1.0)
    raise ValueError("no good")


@pytest.fixture
def slots():
    made = Slots(1)
    yield made
    made.close()


def test_results_and_one_lasting_child(slots: Slots) -> None:
    assert slots.call(f"{HERE}:double", (21,), Limits()).result == 42
    first = slots.call(f"{HERE}:pid", (), Limits()).result
    assert first != os.getpid()
    assert slots.call(f"{HERE}:pid", (), Limits()).result == first


@pytest.mark.parametrize(
    ("function", "limits", "error_class", "words", "place"),
    [
        ("crash", Limits(), "Crashed", "SIGSEGV", ("clips", 12.5)),
        ("leave", Limits(), "Crashed", "exit code 7", ("start", None)),
        ("hang", Limits(stall_s=3.0), "Stalled", "no progress for 3 s", ("people", 3.0)),
        ("eat_memory", Limits(max_rss_bytes=400 << 20), "MemoryLimit", "the limit is 400 MiB", ("start", None)),
    ],
)
def test_a_broken_call_names_its_reason_and_the_next_one_works(
    slots: Slots, function: str, limits: Limits, error_class: str, words: str, place: tuple
) -> None:
    slots.call(f"{HERE}:double", (1,), Limits())
    answer = slots.call(f"{HERE}:{function}", (), limits)
    assert answer.result is None
    error = answer.error
    assert error.error_class == error_class
    assert words in error.message
    assert (error.stage, error.at_s) == place
    assert slots.call(f"{HERE}:double", (4,), Limits()).result == 8


def test_children_side_by_side_have_numbers_and_a_new_one_takes_that_of_a_dead_one(tmp_path: Path) -> None:
    made = Slots(3)
    try:
        for meeting in (tmp_path / "first", tmp_path / "second"):
            meeting.mkdir()
            with ThreadPoolExecutor(3) as threads:
                calls = [
                    threads.submit(made.call, f"{HERE}:number_beside_others", (meeting, 3), Limits(stall_s=100))
                    for _ in range(3)
                ]
            assert sorted(call.result().result for call in calls) == [0, 1, 2]
            made.call(f"{HERE}:leave", (), Limits())
    finally:
        made.close()


def test_an_exception_keeps_the_child(slots: Slots) -> None:
    before = slots.call(f"{HERE}:pid", (), Limits()).result
    error = slots.call(f"{HERE}:fail", (), Limits()).error
    assert (error.error_class, error.message, error.stage, error.at_s) == ("ValueError", "no good", "shots", 1.0)
    assert "in fail" in error.traceback
    assert slots.call(f"{HERE}:pid", (), Limits()).result == before


@pytest.mark.parametrize("stall_s", [0.0, -1.0, float("nan")])
def test_a_limit_that_every_call_or_none_would_break_is_refused(stall_s: float) -> None:
    with pytest.raises(ConfigError, match=f"--stall-s must be above 0: got {stall_s:g}"):
        Limits(stall_s=stall_s)


def test_slow_work_that_shows_progress_is_left_alone(slots: Slots) -> None:
    slots.call(f"{HERE}:double", (1,), Limits())  # the start of a child counts too
    assert slots.call(f"{HERE}:work_slowly", (7.0,), Limits(stall_s=3.0)).result == "done"


def test_children_leave_when_their_parent_is_killed() -> None:
    code = f"""
import sys, threading, time
from pipeline.isolation import Limits, slots
if __name__ == "__main__":
    children = slots(2)
    print(children.call("{HERE}:pid", (), Limits()).result, flush=True)
    threading.Thread(target=children.call, args=("{HERE}:work_slowly", (600.0,), Limits()), daemon=True).start()
    time.sleep(600)
"""
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    child = psutil.Process(int(parent.stdout.readline()))
    assert child.is_running()
    parent.kill()
    parent.wait()
    child.wait(timeout=60)


def test_closed_slots_refuse(slots: Slots) -> None:
    slots.call(f"{HERE}:pid", (), Limits())
    slots.close()
    error = slots.call(f"{HERE}:pid", (), Limits()).error
    assert error.error_class == STOPPED


def send_itself(number: int) -> str:
    os.kill(os.getpid(), number)
    return "still here"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_of_the_whole_terminal_is_left_to_the_parent(slots: Slots, number: int) -> None:
    assert slots.call(f"{HERE}:send_itself", (number,), Limits()).result == "still here"
