"""Bits flip, files are cut, vanish or appear in a finished bank: `verify` must find each, `--repair` make it whole."""

import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.faults.bank_check import check_complete
from benchmarks.faults.lab import HOGHOF, Lab, Subject
from benchmarks.faults.outcome import Outcome
from pipeline.bank.errors import BankError
from pipeline.bank.verify import verify

SINGLE, MERGED = "single files", "merged files"
"""Forms of a bank: as runs leave it, and behind `compact`."""
UNCHECKED = ("_locks", "_runs", "_spare")
"""Folders that hold none of the content: claims, records of runs, and second copies."""
SPARABLE = "_vectors"
"""Files here may be deleted, and those of no name that a row gives are not read."""


def damage_banks(lab: Lab) -> list[Outcome]:
    """Each damage by itself is looked for in banks of single and of merged files; then several at once are repaired."""
    found = Outcome(fault="bit rot, one damage at a time: does verify find it", timed="one verify")
    mended = Outcome(fault="bit rot, several damages at once: does --repair mend them", timed="one repair")
    subject, draws = lab.subject("hoghof", HOGHOF), lab.random("bit rot")
    banks = {SINGLE: _copy(lab, subject.bank), MERGED: _compact(lab, subject, _copy(lab, subject.bank))}
    for form, bank in banks.items():
        for _ in range(lab.times(150, 15)):
            _look_for_one(bank, draws, form, found)
            found.videos += subject.count
        for _ in range(lab.times(2, 1 if form == MERGED else 0)):
            _repair_several(lab, subject, _copy(lab, bank), draws, form, mended)
    return [found, mended]


def _copy(lab: Lab, bank: Path) -> Path:
    return Path(shutil.copytree(bank, lab.new_folder("rot") / "bank"))


def _compact(lab: Lab, subject: Subject, bank: Path) -> Path:
    command = [sys.executable, "-m", "pipeline.cli", "compact", str(bank)]
    subprocess.run(command, env=lab.environment({}), check=True, capture_output=True, timeout=subject.deadline_s)
    return bank


def _files(bank: Path) -> list[Path]:
    """What the content of a bank is made of."""
    paths = (path for path in bank.rglob("*") if path.is_file())
    return sorted(path for path in paths if path.relative_to(bank).parts[0] not in UNCHECKED)


def _flip(path: Path, draws: random.Random) -> None:
    data = bytearray(path.read_bytes())
    data[draws.randrange(len(data))] ^= 1 << draws.randrange(8)
    path.write_bytes(data)


def _cut(path: Path, draws: random.Random) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: draws.randrange(len(data))])


def _delete(path: Path, draws: random.Random) -> None:
    path.unlink()


def _add(path: Path, draws: random.Random) -> None:
    """A file beside another one, as from another bank."""
    shutil.copy(path, path.with_name(f"x{path.name}"))


DAMAGES: dict[str, Callable[[Path, random.Random], None]] = {
    "bit flipped": _flip, "file cut": _cut, "file deleted": _delete, "file added": _add,
}  # fmt: skip
HARMLESS = ("file deleted", "file added")
"""Of copies of features, in `SPARABLE`."""
MENDABLE = ("bit flipped", "file cut", "file deleted")


def _look_for_one(bank: Path, draws: random.Random, form: str, outcome: Outcome) -> None:
    kind = draws.choice(list(DAMAGES))
    path = draws.choice([path for path in _files(bank) if kind not in HARMLESS or path.parent.name != SPARABLE])
    with _put_back(bank, path):
        DAMAGES[kind](path, draws)
        began = time.monotonic()
        is_found = _is_found(bank)
        outcome.strike(f"{kind} ({form})", time.monotonic() - began)
    if not is_found:
        outcome.lost.append(f"{kind}, {form}: verify does not see it in {path.relative_to(bank)}")
    outcome.user_sees = "a problem with file and video, or a warning of a file that no row names"


@contextmanager
def _put_back(bank: Path, path: Path) -> Iterator[None]:
    """Leaves the bank as it was."""
    content, before = path.read_bytes(), set(bank.rglob("*"))
    try:
        yield
    finally:
        path.write_bytes(content)
        for new in set(bank.rglob("*")) - before:
            new.unlink()


def _is_found(bank: Path) -> bool:
    try:
        report = verify(bank)
    except BankError:
        return True
    return bool(report.problems or report.warnings)


def _repair_several(lab: Lab, subject: Subject, bank: Path, draws: random.Random, form: str, outcome: Outcome) -> None:
    """`extract --repair`, then `extract`, as rows that are gone are known to nobody but the list of videos; `compact`.

    Merged files that no row names any more wait for the next `compact`, so it belongs to mending them.
    """
    for path in draws.sample(_files(bank), draws.randint(2, 5)):
        kind = draws.choice(MENDABLE)
        DAMAGES[kind](path, draws)
        outcome.strike(f"{kind} ({form})")
    outcome.videos += subject.count
    for extra in (["--repair"], []):
        run = lab.start(subject, bank, extra)
        if not lab.ends(run, subject.deadline_s, outcome):
            return
        if run.exit_status != 0:
            outcome.lost.append(f"{form}: extract {' '.join(extra)} ended with {run.exit_status}: {run.said[-500:]}")
        if extra:
            outcome.longest_s = max(outcome.longest_s or 0.0, round(time.monotonic() - run.began, 1))
            outcome.user_sees = lab.quote(run.said, r"\d+ videos: .*?;")
    if form == MERGED:
        _compact(lab, subject, bank)
    check_complete(bank, subject, outcome, f"repaired, {form}")
