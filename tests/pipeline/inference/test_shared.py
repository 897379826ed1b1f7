"""One inference process for the children of a run: answers, batches over children, and what a fault costs whom."""

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from extractors.runtime import Runtime
from pipeline.errors import ConfigError
from pipeline.inference.queues import queue_of
from pipeline.isolation import Answer, Limits, Slots
from tests.pipeline.inference.adding import CRASH, HANG, HOARD, LOSE_DEVICE, Adding

HERE = "tests.pipeline.inference.adding"
LIMITS = Limits(stall_s=120.0)


@pytest.fixture(scope="module")
def slots() -> Iterator[Slots]:
    made = Slots(2)
    yield made
    made.close()
    left = [each for each in psutil.Process().children() if "spawn_main" in " ".join(each.cmdline())]
    assert not left, left


def both(slots: Slots, function: str, *calls: tuple, limits: Limits = LIMITS) -> list[Answer]:
    """Calls in children side by side."""
    with ThreadPoolExecutor(len(calls)) as threads:
        futures = [threads.submit(slots.call, f"{HERE}:{function}", call, limits) for call in calls]
        return [future.result() for future in futures]


def add(slots: Slots, numbers: list[int], model: Adding, limits: Limits = LIMITS) -> Answer:
    return slots.call(f"{HERE}:add", (numbers, model), limits)


def test_answers_come_in_order_from_a_process_that_stays(slots: Slots) -> None:
    (first,) = both(slots, "add", (list(range(20)), Adding()))
    assert [(number, total) for number, total, *_ in first.result] == [(n, n + 1) for n in range(20)]
    servers = {server for *_, server in first.result}
    assert len(servers) == 1
    assert servers.isdisjoint({os.getpid(), first.pid})
    again, other = both(slots, "add", ([1, 2], Adding(seconds=0.2)), ([3], Adding(most=2, seconds=0.2)))
    assert {server for *_, server in again.result + other.result} == servers


def test_batches_fill_up_over_children_and_a_halved_one_is_counted_once(slots: Slots, tmp_path: Path) -> None:
    model, meeting = Adding(most=4, seconds=0.2), tmp_path / "meeting"
    calls = [(list(range(first, first + 40)), model, meeting, 2) for first in (0, 40)]
    answers = both(slots, "add_when_all_are_there", *calls)
    rows = [row for answer in answers for row in answer.result[0]]
    assert sorted(total for _, total, *_ in rows) == list(range(1, 81))
    batches = sum(1 / together for _, _, together, _ in rows)
    assert batches == pytest.approx(round(batches)), "whoever is in a batch of 4 hears so"
    assert 20 <= batches <= 30, "two children keep a batch of 4 full"
    assert sum(answer.result[1] for answer in answers) == round(batches), "this model counts one for each batch"


def test_one_child_has_two_batches_in_flight_and_gets_full_ones(slots: Slots) -> None:
    rows = add(slots, list(range(24)), Adding(most=4, seconds=0.2)).result
    assert sum(1 / together for _, _, together, _ in rows) <= 8, "24 clips are 6 batches, and a few at the start"


@pytest.mark.parametrize(
    ("fault", "error_class", "words"),
    [
        (CRASH, "Crashed", "SIGSEGV"),
        (LOSE_DEVICE, "RuntimeError", "illegal memory access"),
    ],
)
def test_only_the_child_whose_input_is_at_fault_fails(slots: Slots, fault: int, error_class: str, words: str) -> None:
    model = Adding(most=4, seconds=0.02)
    bad, good = both(slots, "add", ([1, 2, fault, 3], model), (list(range(50)), model))
    assert bad.error is not None
    assert (bad.error.error_class, bad.error.stage, bad.error.at_s) == (error_class, "clips", fault)
    assert words in bad.error.message
    assert [total for _, total, *_ in good.result] == list(range(1, 51))
    assert add(slots, [5], model).result[0][1] == 6, "and it goes on"


def check_limit(fault: int, limits: Limits, error_class: str, words: str) -> None:
    """The limits of the call that an inference process is started for are its own."""
    slots = Slots(1)
    try:
        error = add(slots, [1, fault], Adding(), limits).error
        assert error is not None
        assert (error.error_class, error.stage, error.at_s) == (error_class, "clips", fault)
        assert words in error.message
        assert add(slots, [5], Adding(), limits).result[0][1] == 6
    finally:
        slots.close()


def test_a_stuck_pass_is_ended() -> None:
    began, slots = time.monotonic(), Slots(1)
    add(slots, [1], Adding())
    slots.close()
    stall_s = max(5.0, round(4 * (time.monotonic() - began)))  # this machine starts processes in less
    check_limit(HANG, Limits(stall_s=stall_s), "Stalled", f"no progress for {stall_s:g} s")


def test_a_blow_up_is_seen() -> None:
    check_limit(HOARD, Limits(stall_s=120.0, max_rss_bytes=1 << 30), "MemoryLimit", "the limit is 1024 MiB")


def test_a_process_killed_from_outside_costs_nothing(slots: Slots) -> None:
    """SIGKILL in the middle of a batch, and between two."""
    (row,) = add(slots, [1], Adding()).result
    with ThreadPoolExecutor(1) as threads:
        working = threads.submit(add, slots, list(range(20)), Adding(seconds=0.1))
        time.sleep(0.5)
        os.kill(row[3], signal.SIGKILL)
        rows = working.result().result
    assert [total for _, total, *_ in rows] == list(range(1, 21))
    assert rows[-1][3] != row[3]
    os.kill(rows[-1][3], signal.SIGKILL)
    assert add(slots, [7], Adding()).result[0][1] == 8


def test_a_child_that_dies_or_gives_up_leaves_nothing_and_blocks_nobody(slots: Slots) -> None:
    model = Adding(most=2, seconds=0.3)
    (row,) = add(slots, [1], model).result
    server = psutil.Process(row[3])
    files = server.num_fds()
    for function, error_class in (("die_in_flight", "Crashed"), ("leave_in_flight", "ValueError")):
        broken, good = both(slots, function, ([1, 2, 3], model)) + both(slots, "add", ([1, 2], model))
        assert broken.error.error_class == error_class
        assert [total for _, total, *_ in good.result] == [2, 3]
    assert [again.result[0][3] for again in both(slots, "add", ([1], model), ([1], model))] == [row[3]] * 2
    end = time.monotonic() + 60
    while server.num_fds() > files + 1:  # what the dead child had sent is closed; another child is connected
        assert time.monotonic() < end
        time.sleep(0.05)


def test_each_device_has_a_process_of_its_own(slots: Slots) -> None:
    """Names of a device for cards that are not there."""
    calls = [([1], Adding(seconds=0.5), device) for device in ("cpu", "cpu:1")]
    servers = [answer.result[0][3] for answer in both(slots, "add", *calls)]
    assert len(set(servers)) == 2


def test_outside_of_a_run_it_is_refused() -> None:
    with pytest.raises(ConfigError, match="child processes of a run"):
        queue_of(Adding(), Runtime(shared=True))
