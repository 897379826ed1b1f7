"""One run on a bank at a time: who works on it, and a refusal that names them for whoever comes second.

A claim is a small file ``_locks/<work>.<id>.json`` that only its holder writes:

    1  write the own claim
    2  list the claims of work that cannot go on beside ours
    3  none: the bank is ours; one at work: withdraw, and be refused with its name;
       one that is at 1 to 3 as well: withdraw, and begin again after a random pause

Two can never both pass: of two claims one is written later, and the listing that follows it shows the other.
All this needs is that a listing shows what was written before it, as local disks, S3, GCS and Azure promise. There
is no rename, no conditional write, and no comparison of the clocks of two machines.

A holder rewrites its claim every 10 s. A claim of a process of this machine is dead when the process is; one of
another machine when its bytes do not change for 60 s of our own clock. A holder that slept for so long
finds its claim gone at the next beat, and is told by `on_lost`.
"""

import contextlib
import hashlib
import json
import os
import platform
import random
import re
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import psutil
from pyarrow import fs as pafs

from pipeline.bank import filesystem
from pipeline.bank.errors import BankBusyError, StorageError
from pipeline.bank.locks import FOLDER

RUN, COMPACT = "run", "compact"
BEAT_S = 10.0
LEASE_S = 60.0
_POLL_S = 1.0
_STARTING, _AT_WORK = "starting", "at work"
_COMMAND_CHARACTERS = 500
_IN_THIS_PROCESS: set[str] = set()


@dataclass(frozen=True, kw_only=True)
class Claim:
    """Who works on a bank. `machine` and `process` are the same for one life of one process only."""

    id: str
    work: str
    state: str
    beat: int
    host: str
    machine: str
    pid: int
    process: str
    started: str
    command: str

    def __str__(self) -> str:
        return f"{self.work} by process {self.pid} on {self.host}, begun {self.started}: {self.command}"

    @property
    def name(self) -> str:
        """Name of the file."""
        return f"{self.work}.{self.id}.json"


@contextmanager
def claim(
    fs: pafs.FileSystem,
    root: str,
    work: str,
    on_lost: Callable[[str], None] = lambda why: None,
    on_wait: Callable[[str], None] = lambda what: None,
) -> Iterator[None]:
    """Holds a bank for `RUN` or `COMPACT` while the context is open.

    Two of one kind exclude each other; a run and a compact do where there are no file locks (`locks`), that is
    on everything but local disks. `on_lost` is called, with a sentence, from a thread if another process
    took the bank over because this one did not give a sign for 60 s. `on_wait` says what is waited for.

    Raises BankBusyError with the name of the holder, at once or, if that is to be found out, after 60 s.
    """
    mine = _claim_of_this_process(work)
    _IN_THIS_PROCESS.add(mine.id)
    try:
        mine = _acquire(fs, root, mine, on_wait)
        stop = threading.Event()
        heart = threading.Thread(target=_beat_on, args=(fs, root, mine, stop, on_lost), daemon=True)
        heart.start()
        try:
            yield
        finally:
            stop.set()
            heart.join()
            with contextlib.suppress(StorageError):  # then it is dead when this process is
                _withdraw(fs, root, mine)
    finally:
        _IN_THIS_PROCESS.discard(mine.id)


def _acquire(fs: pafs.FileSystem, root: str, mine: Claim, on_wait: Callable[[str], None]) -> Claim:
    watched = _Watched()
    deadline = time.monotonic() + 2 * LEASE_S
    while True:
        _write(fs, root, mine)
        others = _excluding(fs, root, mine)
        if not others:
            mine = replace(mine, state=_AT_WORK)
            _write(fs, root, mine)
            return mine
        _withdraw(fs, root, mine)
        has_rivals = False
        for name, data in others.items():
            other = _parse(data)
            alive = watched.is_alive(name, data, other)
            if alive is False:
                _delete_with_temporaries(fs, root, name)
                continue
            if (alive and (other is None or other.state == _AT_WORK)) or time.monotonic() > deadline:
                raise _busy(root, other or name)
            if alive is None:
                on_wait(f"Finding out whether this one still lives (up to {LEASE_S:g} s): {other or name}")
            has_rivals = True
        if has_rivals:
            time.sleep(random.uniform(0.0, _POLL_S))


class _Watched:
    """Whether claims are alive, by what was seen of them so far."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[bytes, float]] = {}

    def is_alive(self, name: str, data: bytes, other: Claim | None) -> bool | None:
        """None: not known yet."""
        if other is not None and other.machine == _machine():
            return _lives_here(other)
        digest, now = hashlib.sha256(data).digest(), time.monotonic()
        before, since = self._seen.setdefault(name, (digest, now))
        if digest != before:
            return True
        return False if now - since > LEASE_S else None


def _lives_here(other: Claim) -> bool:
    if other.pid == os.getpid() and other.process == _process(other.pid):
        return other.id in _IN_THIS_PROCESS
    return _process(other.pid) == other.process


def _busy(root: str, holder: Claim | str) -> BankBusyError:
    return BankBusyError(
        f"Bank {root!r} is in use: {holder}. Wait until that is done, or stop it. One that was "
        f"killed is noticed at once on its own machine, within {LEASE_S:g} s from another."
    )


def _excluding(fs: pafs.FileSystem, root: str, mine: Claim) -> dict[str, bytes]:
    """Bytes of every other claim that cannot be beside ours, by name."""
    found = {}
    for name in filesystem.list_names(fs, filesystem.join(root, FOLDER)):
        work = name.split(".")[0]
        is_claim = work in (RUN, COMPACT) and name.endswith(".json")
        if is_claim and name != mine.name and (work == mine.work or not filesystem.is_local(fs)):
            with contextlib.suppress(FileNotFoundError):
                found[name] = filesystem.read_bytes(fs, _path(root, name))
    return found


def _beat_on(
    fs: pafs.FileSystem, root: str, mine: Claim, stop: threading.Event, on_lost: Callable[[str], None]
) -> None:
    while not stop.wait(BEAT_S):
        mine = replace(mine, beat=mine.beat + 1)
        try:
            if filesystem.exists(fs, _path(root, mine.name)):
                _write(fs, root, mine)
                continue
        except OSError:  # what works on the bank meets it too, and says so
            continue
        on_lost(f"the bank was taken over by another run, because this one gave no sign for {LEASE_S:g} s")
        return


def _write(fs: pafs.FileSystem, root: str, mine: Claim) -> None:
    filesystem.write_bytes_atomic(fs, _path(root, mine.name), json.dumps(asdict(mine), indent=1).encode())


def _withdraw(fs: pafs.FileSystem, root: str, mine: Claim) -> None:
    filesystem.delete_quietly(fs, _path(root, mine.name))


def _delete_with_temporaries(fs: pafs.FileSystem, root: str, dead: str) -> None:
    for name in filesystem.list_names(fs, filesystem.join(root, FOLDER)):
        if name == dead or (filesystem.is_temporary(name) and name.startswith(f"_{dead}.")):
            filesystem.delete_quietly(fs, _path(root, name))


def _path(root: str, name: str) -> str:
    return filesystem.join(root, FOLDER, name)


def _parse(data: bytes) -> Claim | None:
    try:
        return Claim(**json.loads(data))
    except (ValueError, TypeError):
        return None


def _claim_of_this_process(work: str) -> Claim:
    return Claim(
        id=uuid.uuid4().hex[:16],
        work=work,
        state=_STARTING,
        beat=0,
        host=platform.node(),
        machine=_machine(),
        pid=os.getpid(),
        process=_process(os.getpid()) or "",
        started=time.strftime("%Y-%m-%d %H:%M:%S %z"),
        command=_without_secrets(" ".join(sys.argv))[:_COMMAND_CHARACTERS],
    )


def _without_secrets(command: str) -> str:
    """Without the user and password that a uri may hold."""
    return re.sub(r"://[^/@\s]+@", "://...@", command)


def _machine() -> str:
    """Same for two processes only if they see each other's process ids: host, boot and namespace."""
    parts = [platform.node()]
    for read in (lambda: Path("/proc/sys/kernel/random/boot_id").read_text().strip(), _pid_namespace):
        with contextlib.suppress(OSError):
            parts.append(read())
    return "/".join(parts)


def _pid_namespace() -> str:
    return os.readlink("/proc/self/ns/pid")


def _process(pid: int) -> str | None:
    """A mark of the life of a process (ids are given again); None if it is dead."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None if os.path.exists("/proc/self/stat") else _process_elsewhere(pid)
    state, *rest = text.rpartition(")")[2].split()
    return None if state in "ZX" else rest[18]  # start in clock ticks since boot, which no clock change moves


def _process_elsewhere(pid: int) -> str | None:
    """As `_process` where there is no /proc."""
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else f"{process.create_time():.0f}"
    except psutil.Error:
        return None
