"""No room: a file system that is full at some moment of a run, and a limit on the size of files."""

import ctypes
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from benchmarks.faults.bank_check import check_present, run_again
from benchmarks.faults.lab import HOGHOF, Extraction, Lab, Subject
from benchmarks.faults.outcome import Outcome

_REMOUNT, _DETACH = 32, 2
_ROOM_BYTES = 64 << 20
_PAGE_BYTES = 4096
_SAID = "no space left"


class CannotMountError(Exception):
    """This user may not mount file systems here."""


class SmallDisk:
    """A file system in memory whose size can be changed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._libc = ctypes.CDLL(None, use_errno=True)

    def resize(self, size: int) -> None:
        """Give it so many bytes. Raises CannotMountError."""
        self._mount(_REMOUNT, size)

    @property
    def used_bytes(self) -> int:
        """Bytes that are taken."""
        space = os.statvfs(self.folder)
        return (space.f_blocks - space.f_bfree) * space.f_frsize

    @contextmanager
    def mounted(self) -> Iterator["SmallDisk"]:
        """The file system, until the context is left. Raises CannotMountError."""
        self._mount(0, _ROOM_BYTES)
        try:
            yield self
        finally:
            self._libc.umount2(bytes(self.folder), _DETACH)

    def _mount(self, flags: int, size: int) -> None:
        target, options = bytes(self.folder), f"size={size}".encode()
        if not hasattr(self._libc, "mount") or self._libc.mount(b"tmpfs", target, b"tmpfs", flags, options) != 0:
            raise CannotMountError(f"mounting a file system is refused ({os.strerror(ctypes.get_errno())}); be root")


def fill_disks(lab: Lab) -> list[Outcome]:
    """The bank's file system is too small by a random part of what the bank needs; then it gets room."""
    outcome = Outcome(fault="disk full", timed="the whole run until it has given up")
    subject, sizes = lab.subject("hoghof", HOGHOF), lab.random("disk")
    try:
        with SmallDisk(lab.new_folder("disk")).mounted() as disk:
            needed = _needed_bytes(subject.bank)
            for i in lab.rounds(outcome, 5, 1):
                bank = disk.folder / f"bank{i}"
                disk.resize(max(_PAGE_BYTES, disk.used_bytes) + int(needed * sizes.uniform(0.1, 0.95)))
                _run_without_room(lab, subject, bank, lab.start(subject, bank), outcome)
                disk.resize(_ROOM_BYTES)
                run_again(lab, outcome, subject, bank)
    except CannotMountError as error:
        outcome.impossible = str(error)
    return [outcome]


def _needed_bytes(bank: Path) -> int:
    """What a finished bank takes, in whole pages; on its way it takes more."""
    sizes = [path.stat().st_size for path in bank.rglob("*") if path.is_file()]
    return sum(-(-size // _PAGE_BYTES) * _PAGE_BYTES for size in sizes)


def limit_files(lab: Lab) -> list[Outcome]:
    """No process of a run may write a file beyond a random size (RLIMIT_FSIZE), as with a quota; then they may."""
    outcome = Outcome(fault="limit on the size of files", timed="the whole run until it has given up")
    subject, sizes = lab.subject("hoghof", HOGHOF), lab.random("file size")
    largest = max(path.stat().st_size for path in subject.bank.rglob("*.parquet"))
    for _ in lab.rounds(outcome, 5, 1):
        bank = lab.new_folder("file-size") / "bank"
        run = lab.start(subject, bank)
        limit = sizes.randrange(500, largest)
        psutil.Process(run.pid).rlimit(psutil.RLIMIT_FSIZE, (limit, limit))
        _run_without_room(lab, subject, bank, run, outcome)
        run_again(lab, outcome, subject, bank)
    return [outcome]


def _run_without_room(lab: Lab, subject: Subject, bank: Path, run: Extraction, outcome: Outcome) -> None:
    """A run that must give up by itself, blame no video, and leave what it had done."""
    if not lab.ends(run, subject.deadline_s, outcome):
        return
    if run.exit_status == 0:
        outcome.too_late += 1
        return
    outcome.videos += subject.count
    outcome.strike(_how_far(bank, run), time.monotonic() - run.began)
    if _SAID not in run.said or "Traceback" in run.said:
        outcome.lost.append(f"the run ended with {run.exit_status} and does not say why: {run.said[-500:]}")
    outcome.user_sees = lab.quote(run.said, f"The run broke off.*{_SAID}")
    if (bank / "bank.json").exists():
        check_present(bank, subject, outcome, "after the run without room")


def _how_far(bank: Path, run: Extraction) -> str:
    if run.exit_status == 2:
        return "before the first step"
    return "before the first video" if not list((bank / "videos").glob("*.parquet")) else "between videos"
