"""How a stage asks a network: requests in, answers in the same order, whoever runs the network."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from typing import Generic, TypeVar

from extractors.runtime import Runtime
from pipeline.inference.client import Asked, Client, client_of
from pipeline.inference.models import LoadedModel, Model, resident
from pipeline.inference.shared_arrays import Arrays
from pipeline.tallies import tally

Tag = TypeVar("Tag")

BATCHES_IN_FLIGHT = 2
"""Of one stage of a child: one that is at work, and one that fills up."""
MOST_IN_FLIGHT = 64
"""So many answers wait in a connection without blocking the process that gives them."""


class InferenceQueue(ABC, Generic[Tag]):
    """Requests of one stage to one model."""

    @abstractmethod
    def put(self, inputs: Arrays, tag: Tag) -> Iterator[tuple[Tag, Arrays]]:
        """Ask; and what has been answered meanwhile, by the tags it was asked with. Blocks when too much is open."""

    @abstractmethod
    def flush(self) -> Iterator[tuple[Tag, Arrays]]:
        """Wait for what is open."""


def queue_of(model: Model, runtime: Runtime) -> InferenceQueue:
    """A queue to the network of this process, or with `runtime.shared` to that of the device's inference process.

    Raises ConfigError where a process that is no child of a run asks for shared inference.
    """
    if not runtime.shared or not model.has_network:
        return OwnQueue(resident(model, replace(runtime, shared=False)), model.batch)
    device = str(runtime.torch_device)
    return SharedQueue(client_of(device), model, replace(runtime, device=device, shared=False))


def ask(queue: InferenceQueue, inputs: Arrays) -> Arrays:
    """The answer to one request, at once."""
    ((_, outputs),) = [*queue.put(inputs, None), *queue.flush()]
    return outputs


class OwnQueue(InferenceQueue[Tag]):
    """Runs the model in this process, whenever a batch is full."""

    def __init__(self, model: LoadedModel, batch: int) -> None:
        self._model, self._batch = model, batch
        self._open: list[tuple[Tag, Arrays]] = []

    def put(self, inputs: Arrays, tag: Tag) -> Iterator[tuple[Tag, Arrays]]:
        self._open.append((tag, inputs))
        if len(self._open) == self._batch:
            yield from self.flush()

    def flush(self) -> Iterator[tuple[Tag, Arrays]]:
        asked, self._open = self._open, []
        if asked:
            halved_before = self._model.halved
            answers = self._model.run([inputs for _, inputs in asked])
            tally("batches_halved", self._model.halved - halved_before)
            for (tag, _), answer in zip(asked, answers, strict=True):
                yield tag, answer


class SharedQueue(InferenceQueue[Tag]):
    """Has the model run in another process, while this one goes on."""

    def __init__(self, client: Client, model: Model, runtime: Runtime) -> None:
        self._client, self._model, self._runtime = client, model, runtime
        self._most = min(BATCHES_IN_FLIGHT * model.batch, MOST_IN_FLIGHT)
        self._open: deque[tuple[Tag, Asked]] = deque()

    def put(self, inputs: Arrays, tag: Tag) -> Iterator[tuple[Tag, Arrays]]:
        asked = Asked(self._model, self._runtime, inputs)
        self._open.append((tag, asked))
        self._client.ask(asked, more=len(self._open) < self._most)
        self._client.listen()
        while self._open and (len(self._open) == self._most or self._open[0][1].is_done):
            yield self._next()

    def flush(self) -> Iterator[tuple[Tag, Arrays]]:
        if self._open:
            self._client.announce_end()
        while self._open:
            yield self._next()

    def _next(self) -> tuple[Tag, Arrays]:
        tag, asked = self._open.popleft()
        return tag, self._client.wait_for(asked)
