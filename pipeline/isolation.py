"""Run a function in a child process, so that a crash, a hang or a memory blow-up costs one call.

Beam plans and distributes; this is only the wall around native code. Each worker process keeps a few
children ("slots") that live from call to call, so models load once per child. What a child does between
calls to `Pulse.beat` is watched from outside: no beat for `stall_s`, more resident memory than
`max_rss_bytes`, or a dead process end the call with an error that says what happened and where.

Beam's own guard (`with_exception_handling(use_subprocess=True)`) gives the first of these properties. It was
measured against this one (docs/isolation.md): it forks a threaded process, leaves its children running when
the driver is killed, knows one time limit for an element whatever its length, has no memory limit, and
reports every crash as `BrokenProcessPool`.
"""

import atexit
import importlib
import itertools
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing import reduction, resource_tracker
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

import psutil

from extractors.placement import CHILD_NUMBER
from pipeline import timing
from pipeline.errors import ConfigError
from pipeline.timing import Times

if TYPE_CHECKING:
    from pipeline.inference.processes import InferenceProcesses

POLL_S = 0.1
LEAST_RSS_BYTES = 256 << 20
"""A child with Python, Arrow, OpenCV and libav, and a small video; torch and a network come on top."""
STOPPED = "Stopped"
"""Error class of a call that was not made."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What one call in a child may use. Raises ConfigError for a time that is none."""

    stall_s: float = 300.0
    """Longest time without a sign of progress."""
    max_rss_bytes: int = 4 << 30
    """Most resident memory of the child."""

    def __post_init__(self) -> None:
        if not self.stall_s > 0:
            raise ConfigError(f"--stall-s must be above 0: got {self.stall_s:g}.")

    @classmethod
    def shared(cls, memory_bytes: int | None, processes: int, *, stall_s: float) -> "Limits":
        """The share of one of `processes` children of `memory_bytes` for all; without, the default for each.

        Raises:
            ConfigError: a share is less than a child needs before it opens a video.
        """
        if memory_bytes is None:
            return cls(stall_s=stall_s)
        share = memory_bytes // processes
        if share < LEAST_RSS_BYTES:
            raise ConfigError(
                f"--memory-budget of {memory_bytes / 2**20:.0f} MiB for {processes} processes leaves each "
                f"{share / 2**20:.0f} MiB, expected at least {LEAST_RSS_BYTES >> 20}. Raise it or lower --workers."
            )
        return cls(stall_s=stall_s, max_rss_bytes=share)


@dataclass(frozen=True, kw_only=True, slots=True)
class CallError:
    """Why a call in a child failed."""

    error_class: str
    message: str
    stage: str | None
    at_s: float | None
    traceback: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What a call in a child gave: a result, or an error; and what it took."""

    result: Any = None
    error: CallError | None = None
    peak_rss_bytes: int = 0
    """Most resident memory of the child seen during the call."""
    began_s: float = 0.0
    """When the call began, in seconds since 1970."""
    wall_s: float = 0.0
    times: Times = field(default_factory=Times)
    """Where these went; nothing where the child did not live to say it."""
    pid: int = 0
    """Process id of the child."""


class Pulse:
    """The child's side of the watch: a beat counter, the stage at work and its place in the video.

    It lives in shared memory, so a beat costs no message, and the last one is readable after a crash.
    """

    def __init__(self, context: Any) -> None:
        self._beats = context.RawValue("Q", 0)
        self._stage = context.RawArray("c", 64)
        self._at_s = context.RawValue("d", float("nan"))

    def beat(self, stage: str, at_s: float | None = None) -> None:
        """Say that `stage` goes on, at `at_s` seconds of the video."""
        self._stage.value = stage.encode()[:63]
        self._at_s.value = float("nan") if at_s is None else at_s
        self._beats.value += 1

    @property
    def count(self) -> int:
        """Beats so far."""
        return self._beats.value

    @property
    def place(self) -> tuple[str | None, float | None]:
        """The stage of the last beat, and its second of the video."""
        at_s = self._at_s.value
        return self._stage.value.decode(errors="replace") or None, None if at_s != at_s else at_s


_pulse: Pulse | None = None
_pipe: Connection | None = None


def beat(stage: str, at_s: float | None = None) -> None:
    """Sign of progress from code that may run in a child; the time from here on is counted for `stage`."""
    timing.switch(stage)
    if _pulse is not None:
        _pulse.beat(stage, at_s)


def place() -> tuple[str | None, float | None]:
    """Stage and second of the last beat in this process."""
    return _pulse.place if _pulse is not None else (None, None)


def parent_pipe() -> Connection:
    """In a child, its pipe to the parent. Messages that are no answer to a call reach `Child.on_request` there."""
    if _pipe is None:
        raise ConfigError("Shared inference is for the child processes of a run: use Runtime(shared=False) elsewhere.")
    return _pipe


def received_connection(pipe: Connection) -> Connection:
    """A connection that the other end of `pipe` gives. Raises OSError, EOFError where that end is gone."""
    return Connection(reduction.recv_handle(pipe))


CHILD_ENVIRONMENT = {
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "MALLOC_ARENA_MAX": "1",
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
    "OPENCV_FOR_THREADS_NUM": "1",
}
"""Where the user says nothing else: allocators that give memory back (a worker had 46 % more after 3 hours of video
than after 3 minutes with Arrow's own pool and has 8 % more so), and one thread for OpenCV and torch, since the
children are the parallelism. The threads of an inference process sleep while they wait for each other: awake they took
seven times the processor time of the work on a machine that was busy."""


@contextmanager
def _child_environment(threads: int) -> Iterator[None]:
    wanted = CHILD_ENVIRONMENT | {"OMP_NUM_THREADS": str(threads)}
    new = {name: value for name, value in wanted.items() if name not in os.environ}
    os.environ.update(new)
    try:
        yield
    finally:
        for name in new:
            del os.environ[name]


@contextmanager
def _deaf_to_stop_signals() -> Iterator[None]:
    """What is started here never gets SIGINT or SIGTERM: a terminal sends them to all processes of a run.

    The parent decides; children that heard them too would look like crashes of their videos.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # starting it with the first child would unblock the signals
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


OnRequest = Callable[["Child", Any, Limits], None]
"""What a parent does when a child asks it for something in the middle of a call."""


class Child:
    """One child process, ready for calls. Its number tells it which of several devices to use."""

    def __init__(self, number: int = 0, *, threads: int = 1, on_request: OnRequest | None = None) -> None:
        self.number, self.on_request = number, on_request
        self.has_begun = threading.Event()
        """Set when the first call is on its way to the child; what is given to it comes behind that."""
        context = multiprocessing.get_context("spawn")
        self._pulse = Pulse(context)
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(theirs, self._pulse, os.getpid(), number), name="longform-child", daemon=True
        )
        with _child_environment(threads), _deaf_to_stop_signals():
            self._process.start()
        theirs.close()
        self._peak_rss = 0
        self._ending = threading.RLock()

    def call(self, target: str, args: tuple, limits: Limits, *, keeps_spans: bool = False) -> Answer:
        """The answer of `target` ("module:function"), with spans for a trace if asked for.

        After an error raised by the function the child stays; after any other it is gone (`alive`).
        """
        began_s, began, self._peak_rss = time.time(), time.monotonic(), 0
        self._pulse.beat(timing.BETWEEN)
        times = Times()
        try:
            self._pipe.send((target, args, keeps_spans))
            self.has_begun.set()
            result, error, times = self._watch(limits)
        except (EOFError, OSError):
            result, error = None, self._post_mortem()
        wall_s = time.monotonic() - began
        return Answer(
            result=result,
            error=error,
            peak_rss_bytes=self._peak_rss,
            began_s=began_s,
            wall_s=wall_s,
            times=_with_hand_over(times, wall_s),
            pid=self._process.pid or 0,
        )

    def give(self, message: Any, descriptor: int) -> None:
        """Hand an open file to the child while it is at work. Raises OSError where the child is gone."""
        self._pipe.send(message)
        reduction.send_handle(self._pipe, descriptor, None)

    def _watch(self, limits: Limits) -> tuple[Any, CallError | None, Times]:
        """Wait for the answer; kill the child and say why when it breaks a limit."""
        try:
            process = psutil.Process(self._process.pid)
            beats, since = self._pulse.count, time.monotonic()
            while True:
                answered = self._pipe.poll(POLL_S)
                rss = process.memory_info().rss
                self._peak_rss = max(self._peak_rss, rss)
                if answered:
                    message = self._pipe.recv()
                    if isinstance(message, tuple):
                        return message
                    assert self.on_request is not None
                    self.on_request(self, message, limits)
                    since = time.monotonic()
                    continue
                if self._pulse.count != beats:
                    beats, since = self._pulse.count, time.monotonic()
                elif time.monotonic() - since > limits.stall_s:
                    message = f"no progress for {limits.stall_s:g} s; the process was ended"
                    return None, self._kill("Stalled", message), Times()
                if rss > limits.max_rss_bytes:
                    return None, self._kill("MemoryLimit", _too_much(rss, limits.max_rss_bytes)), Times()
        except psutil.Error:
            return None, self._post_mortem(), Times()

    def _kill(self, error_class: str, message: str) -> CallError:
        self.end()
        stage, at_s = self._pulse.place
        return CallError(error_class=error_class, message=message, stage=stage, at_s=at_s)

    def _post_mortem(self) -> CallError:
        with self._ending:
            self._process.join(5)
            code = self._process.exitcode
        stage, at_s = self._pulse.place
        if code is not None and code < 0:
            name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
            message = f"the process died of {name}"
        else:
            message = f"the process ended by itself with exit code {code}"
        self.end()
        return CallError(error_class="Crashed", message=message, stage=stage, at_s=at_s)

    @property
    def beats(self) -> int:
        """Beats of this child so far."""
        return self._pulse.count

    @property
    def alive(self) -> bool:
        """Whether further calls can be made."""
        return self._process.is_alive()

    def end(self) -> None:
        """End the process now. A signal handler may do so beside the caller, so the pipe is left to its owner."""
        with self._ending:
            self._process.kill()
            self._process.join()


def _with_hand_over(times: Times, wall_s: float) -> Times:
    """`times` with what passed before and after the child's own clock."""
    if not times.stage_s:
        return times
    outside_s = max(0.0, wall_s - sum(times.stage_s.values()))
    stage_s = times.stage_s | {timing.BETWEEN: times.stage_s.get(timing.BETWEEN, 0.0) + outside_s}
    return replace(times, stage_s=stage_s)


def _too_much(rss: int, limit: int) -> str:
    return (
        f"{rss / 2**20:.0f} MiB in use, the limit is {limit / 2**20:.0f} MiB; the process was ended. "
        "Raise --memory-budget, or give fewer --workers more of it each"
    )


class Slots:
    """At most `count` children of this process at work at once; callers queue for the next free one."""

    def __init__(self, count: int) -> None:
        self._count, self._free = count, threading.Semaphore(count)
        self._lock = threading.RLock()
        self._idle: list[Child] = []
        self._busy: set[Child] = set()
        self._inference: InferenceProcesses | None = None
        self._closed = False
        self.why_closed = ""

    def call(self, target: str, args: tuple, limits: Limits, *, keeps_spans: bool = False) -> Answer:
        """As `Child.call`, on whichever child is free."""
        with self._free:
            with self._lock:
                if self._closed:
                    return self._stopped()
                self._idle = [child for child in self._idle if child.alive]
                child = self._idle.pop() if self._idle else Child(self._free_number(), on_request=self._connect)
                self._busy.add(child)
            try:
                answer = child.call(target, args, limits, keeps_spans=keeps_spans)
            finally:
                with self._lock:
                    self._busy.discard(child)
                    if child.alive and not self._closed:
                        self._idle.append(child)
            return self._stopped() if self._closed and answer.error else answer

    @property
    def beats(self) -> int:
        """Beats of the children there are; another number means that one of them got on, or ended."""
        with self._lock:
            return sum(child.beats for child in (*self._idle, *self._busy))

    def _free_number(self) -> int:
        taken = {child.number for child in (*self._idle, *self._busy)}
        return next(number for number in itertools.count() if number not in taken)

    def _connect(self, child: Child, request: Any, limits: Limits) -> None:
        """Connect a child to an inference process."""
        from pipeline.inference.processes import InferenceProcesses

        with self._lock:
            if self._inference is None:
                self._inference = InferenceProcesses(self._count)
                if self._closed:
                    self._inference.close()
        self._inference.connect(child, request, limits)

    def _stopped(self) -> Answer:
        return Answer(error=CallError(error_class=STOPPED, message=self.why_closed, stage=None, at_s=None))

    def close(self, why: str = "the run was stopped") -> None:
        """End all children; calls made from now on fail as `STOPPED`."""
        with self._lock:
            self._closed, self.why_closed = True, self.why_closed or why
            children = [*self._idle, *self._busy]
            self._idle.clear()
            inference = self._inference
        for child in children:
            child.end()
        if inference is not None:
            inference.close()


_slots: dict[int, Slots] = {}
_slots_lock = threading.RLock()  # a signal handler may need it where the main thread holds it


def slots(count: int) -> Slots:
    """The slots of this process, made on first use."""
    with _slots_lock:
        if count not in _slots:
            _slots[count] = Slots(count)
        return _slots[count]


def retire(children: Slots) -> None:
    """End these children, and have the next run of this process make its own."""
    with _slots_lock:
        for count in [count for count, known in _slots.items() if known is children]:
            del _slots[count]
    children.close()


@atexit.register
def close_all(*, for_good: bool = False) -> None:
    """End all children of this process. With `for_good` no call can start new ones."""
    with _slots_lock:
        for each in _slots.values():
            each.close()
        if not for_good:
            _slots.clear()


def _serve(pipe: Connection, pulse: Pulse, parent: int, number: int) -> None:
    """The child: answer calls until the parent hangs up or dies."""
    os.environ[CHILD_NUMBER] = str(number)
    global _pulse, _pipe
    _pulse, _pipe = pulse, pipe
    threading.Thread(target=_leave_with, args=(parent,), daemon=True).start()
    functions: dict[str, Callable] = {}
    while True:
        try:
            target, args, keeps_spans = pipe.recv()
        except (EOFError, OSError):
            return
        timing.start(keeps_spans=keeps_spans)
        result, error = _answer(functions, target, args)
        pipe.send((result, error, timing.stop()))


def _answer(functions: dict[str, Callable], target: str, args: tuple) -> tuple[Any, CallError | None]:
    try:
        if target not in functions:
            module, name = target.split(":")
            functions[target] = getattr(importlib.import_module(module), name)
        return functions[target](*args), None
    except Exception as error:  # noqa: BLE001  whatever a stage raises becomes the failure of one call
        stage, at_s = place()
        return None, CallError(
            error_class=getattr(error, "error_class", type(error).__name__),
            message=str(error) or type(error).__name__,
            stage=getattr(error, "stage", None) or stage,
            at_s=getattr(error, "at_s", at_s),
            traceback="".join(traceback.format_exception(error)),
        )


def _leave_with(parent: int) -> None:
    """A parent that was killed cannot end its children; they notice and go."""
    while os.getppid() == parent:
        time.sleep(0.2)
    sys.stderr.flush()
    os._exit(1)
