"""A child's side of shared inference: requests in flight, and what becomes of them when the process behind dies.

A process that dies is replaced by the parent. Requests it was at work on are tried once more, each alone; one that is
alone when the process dies again has killed it, and fails. All others are sent again.
"""

from __future__ import annotations

import itertools
from multiprocessing.connection import Connection
from typing import Any
from weakref import WeakValueDictionary

from extractors.runtime import Runtime
from pipeline import timing
from pipeline.errors import PipelineError
from pipeline.inference.messages import Begun, Connect, Connected, Done, Failed, Request, Waiting
from pipeline.inference.models import Model
from pipeline.inference.shared_arrays import Arrays, SharedArrays
from pipeline.isolation import POLL_S, CallError, beat, parent_pipe, place, received_connection
from pipeline.tallies import tally

MOST_SENDINGS = 10
"""Of one request: a process that dies before it comes to any, as it starts, is not started for ever."""


class InferenceError(PipelineError):
    """A request failed, or the process died of it. `error_class`, `stage` and `at_s` are those of the video's row."""

    def __init__(self, message: str, *, error_class: str, stage: str | None, at_s: float | None) -> None:
        super().__init__(message)
        self.error_class, self.stage, self.at_s = error_class, stage, at_s


class Asked:
    """A request in flight."""

    def __init__(self, model: Model, runtime: Runtime, inputs: Arrays) -> None:
        self.model, self.runtime = model, runtime
        self.inputs: SharedArrays | None = SharedArrays.of(inputs)
        """Until it is answered: it may have to be sent again."""
        self.stage, self.at_s = place()
        self.sendings = 0
        self.has_begun = self.is_alone = False
        self._outputs: Arrays = {}
        self._failure: tuple[str, str, Exception | None] | None = None

    @property
    def is_done(self) -> bool:
        """Whether there is an answer, or will never be one."""
        return self.inputs is None

    def answer(self, outputs: Arrays) -> None:
        """It was answered."""
        self.inputs, self._outputs = None, outputs

    def fail(self, error_class: str, message: str, cause: Exception | None = None) -> None:
        """It will not be answered."""
        self.inputs, self._failure = None, (error_class, message, cause)

    def result(self) -> Arrays:
        """The outputs, once `is_done`. Raises InferenceError."""
        if self._failure is not None:
            error_class, message, cause = self._failure
            raise InferenceError(message, error_class=error_class, stage=self.stage, at_s=self.at_s) from cause
        return self._outputs


class Client:
    """The connection of this child to the inference process of a device."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._numbers = itertools.count()
        self._asked: WeakValueDictionary[int, Asked] = WeakValueDictionary()
        """By number. What a stage that has failed leaves in flight is forgotten with it."""
        self._process: int | None = None
        self._connection = self._connect()

    def ask(self, asked: Asked, *, more: bool) -> None:
        """Send a request; `more` says that another will follow before any is waited for."""
        number = next(self._numbers)
        self._asked[number] = asked
        try:
            self._send(number, asked, more=more)
        except OSError:
            self._start_over()

    def listen(self) -> None:
        """Take note of what has been answered."""
        self._hear(0.0)

    def wait_for(self, asked: Asked) -> Arrays:
        """The outputs. Raises InferenceError."""
        while not asked.is_done:
            self._hear(POLL_S)
            stage, at_s = place()
            beat(stage or timing.BETWEEN, at_s)  # the parent watches the process that this child waits for
        return asked.result()

    def announce_end(self) -> None:
        """Say that nothing more will come before all is answered."""
        try:
            self._connection.send(Waiting())
        except OSError:
            self._start_over()

    def _send(self, number: int, asked: Asked, *, more: bool = False) -> None:
        assert asked.inputs is not None
        asked.sendings += 1
        request = Request(number, asked.model, asked.runtime, asked.inputs.layout, asked.is_alone, more)
        self._connection.send(request)
        asked.inputs.send(self._connection)

    def _hear(self, timeout_s: float) -> None:
        try:
            while self._connection.poll(timeout_s):
                self._take(self._connection.recv())
                timeout_s = 0.0
        except (EOFError, OSError):
            self._start_over()

    def _take(self, message: Any) -> None:
        if isinstance(message, Begun):
            for number in message.numbers:
                if number in self._asked:
                    self._asked[number].has_begun = True
            return
        if isinstance(message, Done):
            outputs = SharedArrays.received(self._connection, message.layout).open()
            tally("batches_halved", message.halved)
            if (asked := self._asked.pop(message.number, None)) is not None:
                asked.answer({name: array.copy() for name, array in outputs.items()})
        elif isinstance(message, Failed) and (asked := self._asked.pop(message.number, None)) is not None:
            cause = RuntimeError(f"In the inference process:\n{message.traceback}")
            asked.fail(message.error_class, message.message or message.error_class, cause)

    def _start_over(self) -> None:
        """The process is gone: send what was in flight to the one that takes its place."""
        while True:
            self._hear_last_words()
            self._connection.close()
            self._connection = self._connect()
            try:
                for number, asked in list(self._asked.items()):
                    self._send(number, asked)
                return
            except OSError:
                continue

    def _hear_last_words(self) -> None:
        try:
            while True:
                self._take(self._connection.recv())
        except (EOFError, OSError):
            return

    def _connect(self) -> Connection:
        pipe = parent_pipe()
        pipe.send(Connect(self._device, lost=self._process))
        connected = pipe.recv()
        assert isinstance(connected, Connected)
        connection = received_connection(pipe)
        self._process = connected.number
        if connected.end is not None:
            self._after(connected.end)
        return connection

    def _after(self, end: CallError) -> None:
        """Decide what the end of a process means for what it left."""
        for number, asked in list(self._asked.items()):
            if asked.has_begun and asked.is_alone:
                asked.fail(end.error_class, f"{end.message} (the inference process of {self._device})")
            elif asked.sendings == MOST_SENDINGS:
                times = f"the inference process of {self._device} ended {MOST_SENDINGS} times before it answered this"
                asked.fail(end.error_class, f"{end.message} ({times})")
            elif asked.has_begun:
                asked.is_alone, asked.has_begun = True, False
            if asked.is_done:
                del self._asked[number]


_clients: dict[str, Client] = {}


def client_of(device: str) -> Client:
    """The connection of this process to the inference process of `device`, made on first use."""
    if device not in _clients:
        _clients[device] = Client(device)
    return _clients[device]
