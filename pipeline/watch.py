"""Whether a run on other machines still gets on: signs of its workers in the bank, watched by the driver.

A runner may wait for ever for a worker that is gone, as Beam's local job service does, and none of Beam's interfaces
tells a long video from a dead machine. So the driver and the workers of a run speak through the bank:

    _runs/<run>.signs/driver                       the run goes on as long as this file is there
                     /<host>.<process>.<id>.json   one for each worker process, written anew while it gets on

A worker that gets on beats (`isolation.Pulse`), and its sign changes at most every `SIGN_S`. The driver gives a run up
that shows no change for twice `--stall-s`: a child that stands still is ended after `--stall-s`, which is a change. A
worker that finds `driver` missing ends its children and begins nothing more: so a run that was given up, stopped or
killed does not work on beside the next one, which takes away what is left of those before it.

No clocks of two machines are compared, and a queue for machines has a limit of its own (`Patience.start_s`).
"""

import json
import os
import platform
import sys
import threading
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass

import pipeline
from pipeline import isolation
from pipeline.bank.errors import StorageError
from pipeline.bank.filesystem import (
    delete_folder_quietly,
    delete_quietly,
    exists,
    join,
    list_files,
    list_names,
    write_bytes_atomic,
)
from pipeline.bank.writer import BankWriter
from pipeline.errors import RunError
from pipeline.run_record import FOLDER
from pipeline.settings import RunSettings

SIGN_S = 10.0
SUFFIX = ".signs"
DRIVER = "driver"
START_S = 3600.0
"""Longest wait for the first worker of a cluster, which may have to queue for machines and fetch images."""
_LEAVE_S = 5.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Patience:
    """How long a driver waits for signs of its workers, in seconds."""

    start_s: float
    """For the first sign of any of them."""
    stall_s: float
    """For the next one."""


def stall_limit_s(settings: RunSettings) -> float:
    """The longest time without a sign of a healthy run: its children are ended after half of it."""
    return 2 * settings.config.limits.stall_s


def versions() -> str:
    """What the driver and the workers of a run must have in common."""
    return f"longform {pipeline.__version__} on Python {sys.version_info.major}.{sys.version_info.minor}"


class Reporter:
    """The worker's side: gives signs while the children of this process get on, until the run is over.

    Raises RunError if the bank shows no such run from here, StorageError if no sign can be written.
    """

    def __init__(self, settings: RunSettings, workers: int) -> None:
        self._settings, self._children = settings, isolation.slots(workers)
        bank = BankWriter.open(settings.bank)
        self._fs, self._folder = bank.fs, _folder(bank, settings.run_id)
        self._name = f"{platform.node()}.{os.getpid()}.{uuid.uuid4().hex[:8]}.json"
        self.is_over = not self._driver_is_there()
        if self.is_over:
            raise RunError(
                f"Worker process {os.getpid()} on {platform.node()} finds no run {settings.run_id} in bank "
                f"{settings.bank!r}: the run is over, or the bank is a folder that this machine does not share with "
                "the driver. Give a --bank that all machines see under one name."
            )
        self._sign(0)
        threading.Thread(target=self._report_on, daemon=True).start()

    def _driver_is_there(self) -> bool:
        return exists(self._fs, join(self._folder, DRIVER))

    def _report_on(self) -> None:
        beats = 0
        while not self.is_over:
            time.sleep(_period_s(self._settings))
            with suppress(StorageError):  # at the next turn; the steps meet it too, and say so
                if self._children.beats != beats and self._driver_is_there():
                    beats = self._children.beats
                    self._sign(beats)
                if not self._driver_is_there():
                    self.is_over = True
                    isolation.retire(self._children)
                    delete_folder_quietly(self._fs, self._folder)  # the sign may have come behind the driver's end

    def _sign(self, beats: int) -> None:
        write_bytes_atomic(self._fs, join(self._folder, self._name), json.dumps({"beats": beats}).encode())


_reporters: dict[str, Reporter] = {}
_lock = threading.Lock()


def report(settings: RunSettings, workers: int) -> Reporter:
    """The reporter of this process for a run, started on first use."""
    with _lock:
        if settings.run_id not in _reporters:
            _reporters[settings.run_id] = Reporter(settings, workers)
        return _reporters[settings.run_id]


class Watch:
    """The driver's side: says when a run stands still. The run is over when the context closes."""

    def __init__(self, settings: RunSettings, patience: Patience, look_at: str) -> None:
        self._settings, self._patience, self._look_at = settings, patience, look_at
        self._bank = BankWriter.open(settings.bank)
        self._signs: dict[str, tuple[int | None, int]] = {}
        self._changed = self._looked = time.monotonic()

    def __enter__(self) -> "Watch":
        for name in list_names(self._bank.fs, join(self._bank.root, FOLDER)):
            if name.endswith(SUFFIX):
                delete_folder_quietly(self._bank.fs, join(self._bank.root, FOLDER, name))
        write_bytes_atomic(self._bank.fs, join(self._folder, DRIVER), b"")
        self._changed = time.monotonic()
        with _lock:
            _watches.add(self)
        return self

    def __exit__(self, *error: object) -> None:
        with _lock:
            _watches.discard(self)
        self.end()

    def end(self) -> None:
        """Tell the workers that the run is over."""
        with suppress(StorageError):  # the next run does it
            self._delete_signs()

    def _delete_signs(self) -> None:
        delete_quietly(self._bank.fs, join(self._folder, DRIVER))
        delete_folder_quietly(self._bank.fs, self._folder)

    def look(self) -> None:
        """Raises RunError if the workers have given no sign for too long. Looks into the bank now and then."""
        now = time.monotonic()
        if now - self._looked < _period_s(self._settings):
            return
        self._looked = now
        with suppress(StorageError):  # the workers meet it too; a storage that stays away is no sign
            signs = self._read_signs()
            if signs != self._signs:
                self._signs, self._changed = signs, time.monotonic()
        limit_s = self._patience.stall_s if self._signs else self._patience.start_s
        if time.monotonic() - self._changed > limit_s:
            raise RunError(self._why(limit_s))

    def _read_signs(self) -> dict[str, tuple[int | None, int]]:
        """Change time and size of the file of each worker."""
        infos = list_files(self._bank.fs, self._folder)
        return {info.base_name: (info.mtime_ns, info.size) for info in infos if info.base_name.endswith(".json")}

    def _why(self, limit_s: float) -> str:
        if not self._signs:
            return (
                f"The run did not begin: no worker gave a sign within {limit_s:g} s. Look whether {self._look_at} can "
                f"start its Python, and whether that has {versions()}. Where jobs queue for longer, raise --start_s "
                "behind the --."
            )
        known = sorted(name.rsplit(".", 2)[0].replace(".", " process ") for name in self._signs)
        return (
            f"The run stands still: for {limit_s:g} s, twice --stall-s, none of its worker processes got on "
            f"({', '.join(known)}). At least one was lost, and the runner did not replace it. Look at {self._look_at}, "
            "and start again what has died."
        )

    @property
    def _folder(self) -> str:
        return _folder(self._bank, self._settings.run_id)


_watches: set[Watch] = set()


def end_all() -> None:
    """Tell the workers of all runs of this process that they are over, within a few seconds, for it leaves."""
    with _lock:
        threads = [threading.Thread(target=watch.end, daemon=True) for watch in _watches]
    for thread in threads:
        thread.start()
    leave = time.monotonic() + _LEAVE_S
    for thread in threads:
        thread.join(max(0.0, leave - time.monotonic()))


def _folder(bank: BankWriter, run_id: str) -> str:
    return join(bank.root, FOLDER, f"{run_id}{SUFFIX}")


def _period_s(settings: RunSettings) -> float:
    return min(SIGN_S, settings.config.limits.stall_s / 4)
