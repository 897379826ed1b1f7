"""What the inference process answers together, for whom it waits, and what it does with those that are gone."""

from collections.abc import Iterator
from multiprocessing import Pipe, reduction
from multiprocessing.connection import Connection

import numpy as np
import pytest

from extractors.runtime import Runtime
from pipeline.inference import server as module
from pipeline.inference.messages import Begun, Done, Failed, NewClient, Request, Waiting
from pipeline.inference.server import Server
from pipeline.inference.shared_arrays import SharedArrays
from tests.pipeline.inference.adding import RAISE, Adding

MODEL = Adding(most=4)


class Child:
    """The other end of a connection."""

    def __init__(self, control: Connection) -> None:
        self.connection, theirs = Pipe()
        with theirs:
            control.send(NewClient())
            reduction.send_handle(control, theirs.fileno(), None)

    def ask(
        self, number: int, *, model: Adding = MODEL, alone: bool = False, more: bool = False, width: int = 2
    ) -> None:
        inputs = SharedArrays.of({"numbers": np.full(width, number)})
        self.connection.send(Request(number, model, Runtime(), inputs.layout, alone, more))
        inputs.send(self.connection)

    def heard(self) -> list[tuple[str, object]]:
        """What was said up to now: (`begun`, numbers), (number, (sum, together)) or (number, class of the error)."""
        said: list[tuple] = []
        while self.connection.poll():
            message = self.connection.recv()
            if isinstance(message, Begun):
                said.append(("begun", message.numbers))
            elif isinstance(message, Failed):
                said.append((message.number, message.error_class))
            else:
                assert isinstance(message, Done)
                outputs = SharedArrays.received(self.connection, message.layout).open()
                said.append((message.number, (int(outputs["sum"][0]), int(outputs["together"][0]))))
        return said


@pytest.fixture
def control() -> Iterator[tuple[Connection, Connection]]:
    ours, theirs = Pipe()
    with ours, theirs:
        yield ours, theirs


@pytest.fixture
def server(control: tuple[Connection, Connection], monkeypatch: pytest.MonkeyPatch) -> Server:
    """With more patience than a loaded machine needs to hand over a message."""
    monkeypatch.setattr(module, "PATIENCE_S", 0.5)
    return Server(control[1])


@pytest.fixture
def children(control: tuple[Connection, Connection], server: Server) -> tuple[Child, Child]:
    return Child(control[0]), Child(control[0])


def test_a_batch_is_filled_from_all_children_in_their_order(server: Server, children: tuple[Child, Child]) -> None:
    one, other = children
    for number in (1, 2, 3):
        one.ask(number)
        other.ask(10 * number)
    server.step()
    server.step()
    said = one.heard() + other.heard()
    together = [answer[1] for number, answer in said if number != "begun"]
    assert sorted(together) == [2, 2, 4, 4, 4, 4]
    assert [number for number, _ in said if number != "begun"] == [1, 2, 3, 10, 20, 30]
    assert all(answer[0] == 2 * number for number, answer in said if number != "begun")


def test_it_waits_for_what_was_announced_and_never_for_one_that_waits(
    server: Server, children: tuple[Child, Child], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = children
    monkeypatch.setattr(module, "PATIENCE_S", 100.0)
    one.ask(1)
    server.step()
    assert one.heard() == [("begun", (1,)), (1, (2, 1))], "nobody has announced anything"
    one.ask(2, more=True)
    other.ask(3)
    other.ask(4)
    one.ask(5, more=True)
    server.step()
    assert len(one.heard()) == len(other.heard()) == 3, "a full batch does not wait either"
    one.ask(6, more=True)
    one.connection.send(Waiting())
    server.step()
    assert one.heard() == [("begun", (6,)), (6, (12, 1))]


def test_what_is_announced_and_does_not_come_is_not_waited_for_long(
    server: Server, children: tuple[Child, Child]
) -> None:
    one, _ = children
    one.ask(1, more=True)
    for _ in range(3):
        server.step()
    assert one.heard() == [("begun", (1,)), (1, (2, 1))]


def test_only_requests_of_one_model_and_shape_go_together_and_suspects_go_alone(
    server: Server, children: tuple[Child, Child]
) -> None:
    one, other = children
    one.ask(1)
    one.ask(2, alone=True)
    one.ask(3, width=3)
    other.ask(4, model=Adding(most=4, seconds=0.001))
    other.ask(5)
    for _ in range(4):
        server.step()
    answers = {number: answer[1] for number, answer in one.heard() + other.heard() if number != "begun"}
    assert answers == {1: 2, 5: 2, 2: 1, 3: 1, 4: 1}


def test_one_that_fails_is_found_and_its_neighbours_are_answered(server: Server, children: tuple[Child, Child]) -> None:
    one, other = children
    one.ask(1)
    other.ask(RAISE)
    one.ask(2)
    server.step()
    assert [each for each in one.heard() if each[0] != "begun"] == [(1, (2, 1)), (2, (4, 1))]
    assert other.heard()[-1] == (RAISE, "ValueError")


def test_a_child_that_is_gone_is_forgotten(server: Server, children: tuple[Child, Child]) -> None:
    one, other = children
    one.ask(1, model=Adding(most=1))
    other.ask(2, model=Adding(most=1))
    one.connection.close()
    server.step()
    server.step()
    assert other.heard() == [("begun", (2,)), (2, (4, 1))]


def test_it_ends_with_its_parent(server: Server, control: tuple[Connection, Connection]) -> None:
    control[0].close()
    with pytest.raises(EOFError):
        server.step()
