"""The parent's side of shared inference: starts the process of a device, watches it, replaces it, connects children."""

from __future__ import annotations

import itertools
import threading
from multiprocessing import Pipe

from pipeline.inference.messages import Connect, Connected, NewClient
from pipeline.isolation import POLL_S, CallError, Child, Limits

END_S = 10.0
"""Within this a process whose connections broke is gone, or is ended."""


class InferenceProcess:
    """The process of one device: a child whose one call lasts until the end."""

    def __init__(self, number: int, threads: int, limits: Limits) -> None:
        self.number = number
        self.end_of_it: CallError | None = None
        """Why it is no more."""
        self._child = Child(threads=threads)
        self._watching = threading.Thread(target=self._watch, args=(limits,), daemon=True)
        self._watching.start()

    def _watch(self, limits: Limits) -> None:
        answer = self._child.call("pipeline.inference.server:serve", (), limits)
        self._child.end()
        self.end_of_it = answer.error

    @property
    def alive(self) -> bool:
        """Whether children can be connected."""
        return self._watching.is_alive()

    def connect(self, descriptor: int) -> None:
        """Give it the connection of a child. Raises OSError where it is no more."""
        while self.alive and not self._child.has_begun.wait(POLL_S):
            pass
        self._child.give(NewClient(), descriptor)

    def end(self, within_s: float = 0.0) -> None:
        """See to it that it is gone, `within_s` seconds of its own accord."""
        self._watching.join(within_s)
        self._child.end()
        self._watching.join()


class InferenceProcesses:
    """The inference processes of a worker process, by device."""

    def __init__(self, workers: int) -> None:
        """`workers` children share them; each has as many threads for its networks."""
        self._workers = workers
        self._numbers = itertools.count()
        self._lock = threading.RLock()  # a signal handler may need it where the main thread holds it
        self._processes: dict[str, InferenceProcess] = {}
        self._ends: dict[int, CallError | None] = {}
        self._closed = False

    def connect(self, child: Child, request: Connect, limits: Limits) -> None:
        """Connect `child` to the process of a device, which is started where there is none.

        A child that lost a process gets one that is not that one, and hears how that one ended.
        """
        while True:
            ours, theirs = Pipe()
            with ours, theirs, self._lock:
                if self._closed:
                    return  # and the child is being ended
                process = self._process(request, limits)
                try:
                    process.connect(theirs.fileno())
                except OSError:
                    self._bury(request.device, process)
                    continue
                end = None if request.lost is None else self._ends.get(request.lost)
                child.give(Connected(process.number, end), ours.fileno())
                return

    def _process(self, request: Connect, limits: Limits) -> InferenceProcess:
        process = self._processes.get(request.device)
        if process is not None and (process.number == request.lost or not process.alive):
            self._bury(request.device, process)
            process = None
        if process is None:
            process = InferenceProcess(next(self._numbers), self._workers, limits)
            self._processes[request.device] = process
        return process

    def _bury(self, device: str, process: InferenceProcess) -> None:
        process.end(END_S)
        self._ends[process.number] = process.end_of_it
        del self._processes[device]

    def close(self) -> None:
        """End them all; none is started from now on."""
        with self._lock:
            self._closed = True
            for process in self._processes.values():
                process.end()
            self._processes.clear()
