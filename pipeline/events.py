"""What workers tell the driver of every step, for `--log` and `--trace`.

Where the workers are threads of the driver (the local runner), an event goes straight into the files. Elsewhere a
worker writes its events, every `FLUSH_S` and at the end of a bundle, as a small file below the bank:

    _runs/<run>.events/<time>.<id>.json      read, and deleted, by the driver every `COLLECT_S`

so the files are complete with any runner, and lines of other machines come a few seconds late.
"""

import json
import os
import platform
import threading
import time
import uuid
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import IO, Any, Protocol

from pipeline.bank.errors import StorageError
from pipeline.bank.filesystem import (
    delete_folder_quietly,
    delete_quietly,
    join,
    list_files,
    read_bytes,
    write_bytes_atomic,
)
from pipeline.bank.writer import BankWriter
from pipeline.errors import InputError
from pipeline.isolation import Answer
from pipeline.run_record import FOLDER, utc
from pipeline.settings import RunSettings
from pipeline.trace import TraceFile

FLUSH_S = 2.0
COLLECT_S = 2.0
LONGEST_TRACEBACK = 8000


@dataclass(frozen=True, kw_only=True)
class StepEvent:
    """One call of a step in a child process. Times in seconds, `began_s` since 1970."""

    run: str
    step: str
    """`probe`, `extract`, `finish <stage>` or `publish`."""
    video_id: str
    segment: int | None
    began_s: float
    seconds: float
    peak_mb: int
    stage_s: dict[str, float]
    spans: tuple[tuple[str, float, float], ...]
    """`(stage, start, seconds)`; only for a trace."""
    host: str
    worker: int
    """Process id of the worker, the parent of `process`."""
    process: int
    error: dict[str, Any] | None
    """`stage`, `at_s`, `class`, `message`, `traceback` of a failure."""


def step_event(settings: RunSettings, step: str, video_id: str, segment: int | None, answer: Answer) -> StepEvent:
    """The event of an answered call."""
    error = answer.error
    return StepEvent(
        run=settings.run_id,
        step=step,
        video_id=video_id,
        segment=segment,
        began_s=answer.began_s,
        seconds=round(answer.wall_s, 6),
        peak_mb=answer.peak_rss_bytes >> 20,
        stage_s={stage: round(seconds, 6) for stage, seconds in answer.times.stage_s.items()},
        spans=tuple((span.name, span.start_s, span.duration_s) for span in answer.times.spans),
        host=platform.node(),
        worker=os.getpid(),
        process=answer.pid,
        error=None if error is None else {
            "stage": error.stage,
            "at_s": error.at_s,
            "class": error.error_class,
            "message": error.message,
            "traceback": error.traceback[-LONGEST_TRACEBACK:],
        },
    )  # fmt: skip


class _Sink(Protocol):
    def add(self, event: StepEvent) -> None: ...


_sinks: dict[str, _Sink] = {}
_lock = threading.Lock()


def send(settings: RunSettings, event: StepEvent) -> None:
    """Give an event to the driver of its run."""
    with _lock:
        sink = _sinks.get(settings.run_id) or _sinks.setdefault(settings.run_id, _Outbox(settings))
    sink.add(event)


def flush(settings: RunSettings) -> None:
    """Send what this process has not sent yet."""
    with _lock:
        sink = _sinks.get(settings.run_id)
    if isinstance(sink, _Outbox):
        sink.flush()


class _Outbox:
    """The way to a driver in another process."""

    def __init__(self, settings: RunSettings) -> None:
        bank = BankWriter.open(settings.bank)
        self._fs, self._folder = bank.fs, _folder(bank, settings.run_id)
        self._waiting: list[StepEvent] = []
        self._flushed = time.monotonic()
        self._lock = threading.Lock()

    def add(self, event: StepEvent) -> None:
        with self._lock:
            self._waiting.append(event)
            is_due = time.monotonic() - self._flushed >= FLUSH_S
        if is_due:
            self.flush()

    def flush(self) -> None:
        with self._lock:
            events, self._waiting, self._flushed = self._waiting, [], time.monotonic()
        if events:
            name = f"{time.time():017.6f}.{uuid.uuid4().hex[:8]}.json"
            data = json.dumps([asdict(event) for event in events]).encode()
            write_bytes_atomic(self._fs, join(self._folder, name), data)


def _folder(bank: BankWriter, run_id: str) -> str:
    return join(bank.root, FOLDER, f"{run_id}.events")


class EventFiles:
    """The driver's side: writes `--log` and `--trace` while the context is open.

    Raises InputError if a file cannot be opened.
    """

    def __init__(self, settings: RunSettings, log: str | None, trace: str | None) -> None:
        self._settings = settings
        self._bank = BankWriter.open(settings.bank)
        self._log = None if log is None else _opened(log, "a", "--log")
        self._trace = None if trace is None else TraceFile(_opened(trace, "w", "--trace"))
        self._writing = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._collect_on, daemon=True)
        self._is_wanted = log is not None or trace is not None

    def __enter__(self) -> "EventFiles":
        if self._is_wanted:
            with _lock:
                _sinks[self._settings.run_id] = self
            self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        if not self._is_wanted:
            return
        self._stop.set()
        self._thread.join()
        with suppress(StorageError):  # then the run has met it too
            self._collect()
            delete_folder_quietly(self._bank.fs, _folder(self._bank, self._settings.run_id))
        with _lock:
            del _sinks[self._settings.run_id]
        if self._trace is not None:
            self._trace.close()
        if self._log is not None:
            self._log.close()

    def say(self, event: str, **facts: Any) -> None:
        """A line of the log that is not of a step."""
        self._write_line({"time": utc(time.time()), "run": self._settings.run_id, "event": event, **facts})

    def add(self, event: StepEvent) -> None:
        """Write an event down."""
        if self._trace is not None:
            with self._writing:
                self._trace.add(event)
        line = {"time": utc(event.began_s + event.seconds), "run": event.run}
        facts = asdict(event)
        del facts["run"], facts["began_s"], facts["spans"]
        self._write_line(line | {"event": "step done" if event.error is None else "step failed"} | facts)

    def _write_line(self, line: dict[str, Any]) -> None:
        if self._log is not None:
            with self._writing:
                self._log.write(json.dumps(line) + "\n")
                self._log.flush()

    def _collect_on(self) -> None:
        while not self._stop.wait(COLLECT_S):
            with suppress(StorageError):  # at the next turn, or at the end
                self._collect()

    def _collect(self) -> None:
        """Take in what workers of other processes have left in the bank."""
        for info in list_files(self._bank.fs, _folder(self._bank, self._settings.run_id)):
            if not info.base_name.startswith("_"):
                for facts in json.loads(read_bytes(self._bank.fs, info.path)):
                    self.add(StepEvent(**facts))
                delete_quietly(self._bank.fs, info.path)


def _opened(path: str, mode: str, option: str) -> IO[str]:
    try:
        return open(path, mode, encoding="utf-8")
    except OSError as error:
        raise InputError(f"Cannot write {option} {path!r}: {error.strerror or error}. Give another file.") from error
