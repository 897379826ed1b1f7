"""The inference process of a device: one copy of each network, and batches over the clips of all children.

It takes the oldest request and whatever may go with it. Where that is less than a batch and some child has announced
more, it waits for `PATIENCE_S` since that request came; it never waits for a child that waits for it.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait

import torch

from extractors.out_of_memory import is_out_of_memory
from pipeline.inference.messages import Begun, Done, Failed, NewClient, Request, Waiting
from pipeline.inference.models import resident
from pipeline.inference.shared_arrays import Arrays, SharedArrays
from pipeline.isolation import beat, parent_pipe, received_connection

PATIENCE_S = 0.005
IDLE_BEAT_S = 1.0
STAGE = "inference"


def serve() -> None:
    """Answer the children that the parent connects, until the parent hangs up."""
    server = Server(parent_pipe())
    with suppress(EOFError):
        while True:
            server.step()


@dataclass(frozen=True, eq=False, slots=True)
class _Queued:
    client: Connection
    request: Request
    inputs: SharedArrays
    since: float = field(default_factory=time.monotonic)


class Server:
    """The queue of an inference process. `control` is the pipe to its parent."""

    def __init__(self, control: Connection) -> None:
        self._control = control
        self._announced: dict[Connection, bool] = {}
        """Clients, and whether one has said that it goes on sending."""
        self._queue: list[_Queued] = []

    def step(self) -> None:
        """Hear what there is to hear, and answer one batch. Raises EOFError when the parent is gone."""
        beat(STAGE)
        batch, patience_s = self._batch()
        timeout_s = 0.0 if batch else patience_s
        while ready := wait([self._control, *self._announced], timeout_s):
            for connection in ready:
                assert isinstance(connection, Connection)
                self._hear(connection)
            timeout_s = 0.0
        batch, _ = self._batch()
        if batch:
            self._run(batch)

    def _hear(self, connection: Connection) -> None:
        if connection is self._control:
            message = connection.recv()
            assert isinstance(message, NewClient)
            self._announced[received_connection(connection)] = False
            return
        try:
            message = connection.recv()
            if isinstance(message, Waiting):
                self._announced[connection] = False
            elif isinstance(message, Request):
                inputs = SharedArrays.received(connection, message.layout)
                self._announced[connection] = message.more
                self._queue.append(_Queued(connection, message, inputs))
        except (EOFError, OSError):
            self._leave_out(connection)

    def _leave_out(self, client: Connection) -> None:
        """Forget a child that is gone, and what it asked."""
        self._announced.pop(client, None)
        self._queue = [queued for queued in self._queue if queued.client is not client]

    def _batch(self) -> tuple[list[_Queued], float]:
        """What to answer now; where it is nothing, also how many seconds to wait for more."""
        if not self._queue:
            return [], IDLE_BEAT_S
        first = self._queue[0]
        if first.request.is_alone:
            return [first], 0.0
        group, most = first.request.group, first.request.model.batch
        mates = [each for each in self._queue if not each.request.is_alone and each.request.group == group][:most]
        patience_s = first.since + PATIENCE_S - time.monotonic()
        if len(mates) < most and patience_s > 0 and any(self._announced.values()):
            return [], patience_s
        return mates, 0.0

    def _run(self, batch: Sequence[_Queued]) -> None:
        """Answer requests of one group. Where one of several fails, each is tried by itself."""
        beat(STAGE)
        self._queue = [queued for queued in self._queue if queued not in batch]
        for client in {queued.client for queued in batch}:
            self._say(client, Begun(tuple(queued.request.number for queued in batch if queued.client is client)))
        try:
            first = batch[0].request
            model = resident(first.model, first.runtime)
            halved_before = model.halved
            answers = model.run([queued.inputs.open() for queued in batch])
            halved = model.halved - halved_before
        except Exception as error:
            if _device_is_lost(error):
                raise
            if len(batch) > 1:
                for queued in batch:
                    self._run([queued])
            else:
                text = "".join(traceback.format_exception(error))
                failed = Failed(batch[0].request.number, type(error).__name__, str(error), text)
                self._say(batch[0].client, failed)
            return
        for queued, answer in zip(batch, answers, strict=True):
            self._answer(queued, answer, halved)
            halved = 0

    def _answer(self, queued: _Queued, answer: Arrays, halved: int) -> None:
        outputs = SharedArrays.of(answer)
        self._say(queued.client, Done(queued.request.number, outputs.layout, halved), outputs)

    def _say(self, client: Connection, message: Begun | Done | Failed, arrays: SharedArrays | None = None) -> None:
        if client not in self._announced:
            return
        try:
            client.send(message)
            if arrays is not None:
                arrays.send(client)
        except OSError:
            self._leave_out(client)


def _device_is_lost(error: Exception) -> bool:
    """Whether the process can use its device no more: after most errors of CUDA every further call fails."""
    kinds = getattr(torch, "AcceleratorError", ())
    return not is_out_of_memory(error) and (isinstance(error, kinds) or "CUDA error" in str(error))
