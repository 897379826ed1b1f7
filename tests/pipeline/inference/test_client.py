"""What becomes of requests in flight when the process behind them dies, with processes that follow a script."""

import threading
from collections.abc import Callable, Iterator
from multiprocessing import Pipe, reduction
from multiprocessing.connection import Connection

import numpy as np
import pytest

from extractors.runtime import Runtime
from pipeline.inference import client as module
from pipeline.inference.client import MOST_SENDINGS, Asked, Client, InferenceError
from pipeline.inference.messages import Begun, Connect, Connected, Done, Request
from pipeline.inference.shared_arrays import SharedArrays
from pipeline.isolation import CallError
from tests.pipeline.inference.adding import Adding

Script = Callable[[Connection], None]


class Parent:
    """Has one script after another play the inference process, the last one again and again."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self.scripts: list[Script] = []
        self._started = 0

    def serve(self) -> None:
        try:
            while True:
                request = self._pipe.recv()
                assert isinstance(request, Connect)
                assert request.lost == (self._started or None)
                number = self._started = self._started + 1
                end = CallError(error_class="Crashed", message=f"end of {number - 1}", stage="inference", at_s=None)
                ours, theirs = Pipe()
                with theirs:
                    self._pipe.send(Connected(number, end if number > 1 else None))
                    reduction.send_handle(self._pipe, theirs.fileno(), None)
                with ours:
                    (self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0])(ours)
        except (EOFError, OSError):
            return


@pytest.fixture
def parent(monkeypatch: pytest.MonkeyPatch) -> Iterator[Parent]:
    ours, theirs = Pipe()
    made = Parent(theirs)
    monkeypatch.setattr(module, "parent_pipe", lambda: ours)
    threading.Thread(target=made.serve, daemon=True).start()
    yield made
    ours.close()


def received(connection: Connection) -> tuple[Request, int]:
    """A request, and the first of its numbers."""
    request = connection.recv()
    inputs = SharedArrays.received(connection, request.layout).open()
    return request, int(inputs["numbers"][0])


def answer(connection: Connection, request: Request, value: int) -> None:
    outputs = SharedArrays.of({"sum": np.array([value])})
    connection.send(Done(request.number, outputs.layout, 0))
    outputs.send(connection)


def asked(number: int) -> Asked:
    return Asked(Adding(), Runtime(), {"numbers": np.array([number])})


def begin(connection: Connection, *requests: Request) -> None:
    connection.send(Begun(tuple(request.number for request in requests)))


def test_of_three_together_the_one_that_kills_fails_and_two_are_answered(parent: Parent) -> None:
    seen: list[tuple[int, bool]] = []

    def received_all(connection: Connection, count: int) -> list[tuple[Request, int]]:
        requests = [received(connection) for _ in range(count)]
        seen.extend((value, request.is_alone) for request, value in requests)
        return requests

    def dies_of_a_batch(connection: Connection) -> None:
        begin(connection, *(request for request, _ in received_all(connection, 3)))

    def dies_of_the_second(connection: Connection) -> None:
        (first, value), (second, _), _ = received_all(connection, 3)
        begin(connection, first)
        answer(connection, first, value)
        begin(connection, second)

    def lives(connection: Connection) -> None:
        ((third, value),) = received_all(connection, 1)
        begin(connection, third)
        answer(connection, third, value)

    parent.scripts = [dies_of_a_batch, dies_of_the_second, lives]
    client = Client("cpu")
    flying = [asked(number) for number in (1, 2, 3)]
    for each in flying:
        client.ask(each, more=True)
    assert client.wait_for(flying[0])["sum"] == 1
    with pytest.raises(InferenceError, match="end of 2") as caught:
        client.wait_for(flying[1])
    assert caught.value.error_class == "Crashed"
    assert client.wait_for(flying[2])["sum"] == 3
    assert seen == [(1, False), (2, False), (3, False), (1, True), (2, True), (3, True), (3, True)]


def test_one_that_was_not_begun_is_sent_again_as_it_was(parent: Parent) -> None:
    seen: list[bool] = []

    def dies(connection: Connection) -> None:
        seen.append(received(connection)[0].is_alone)

    def lives(connection: Connection) -> None:
        request, value = received(connection)
        seen.append(request.is_alone)
        answer(connection, request, value + 1)
        connection.poll(None)

    parent.scripts = [dies, dies, lives]
    client, one = Client("cpu"), asked(1)
    client.ask(one, more=False)
    assert client.wait_for(one)["sum"] == 2
    assert seen == [False] * 3


def test_last_words_count(parent: Parent) -> None:
    """Answered, and then dead: nothing is asked twice."""

    seen: list[int] = []

    def answers_and_dies(connection: Connection) -> None:
        request, value = received(connection)
        seen.append(value)
        begin(connection, request)
        answer(connection, request, value)

    parent.scripts = [answers_and_dies]
    client = Client("cpu")
    for number in (1, 2, 3):
        one = asked(number)
        client.ask(one, more=False)
        assert client.wait_for(one)["sum"] == number
    assert seen == [1, 2, 3]


def test_a_process_that_never_gets_to_work_is_given_up(parent: Parent) -> None:
    parent.scripts = [lambda _: None]
    client, one = Client("cpu"), asked(1)
    client.ask(one, more=False)
    with pytest.raises(InferenceError, match=rf"of cpu ended {MOST_SENDINGS} times before it answered this"):
        client.wait_for(one)


def test_what_nobody_waits_for_is_not_sent_again(parent: Parent) -> None:
    seen: list[int] = []

    def dies_after_two(connection: Connection) -> None:
        seen.extend(received(connection)[1] for _ in range(2))

    def lives(connection: Connection) -> None:
        request, value = received(connection)
        seen.append(value)
        answer(connection, request, value)
        connection.poll(None)

    parent.scripts = [dies_after_two, lives]
    client, left, kept = Client("cpu"), asked(1), asked(2)
    client.ask(left, more=True)
    del left
    client.ask(kept, more=False)
    assert client.wait_for(kept)["sum"] == 2
    assert seen == [1, 2, 2]
