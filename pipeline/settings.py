"""What all steps of a run share, and the mark that tells its workers to begin nothing more."""

from dataclasses import dataclass

from pipeline.bank.filesystem import delete_quietly, file_info, write_bytes_atomic
from pipeline.bank.writer import BankWriter
from pipeline.config import ExtractConfig


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """What all steps of a run share. A child keeps the first copy it gets, with the models its stages load."""

    run_id: str
    bank: str
    config: ExtractConfig
    strict: bool = False
    """Any failure stops the run, and a damaged video is a failure."""
    has_log: bool = False
    """Workers report every step to the driver."""
    has_trace: bool = False
    """The same, with spans of time."""

    def resident(self) -> "RunSettings":
        """The copy of this process."""
        return _resident.setdefault(self.run_id, self)


_resident: dict[str, RunSettings] = {}


def stop(settings: RunSettings) -> None:
    """Tell all workers of a run, wherever they are, to begin nothing more."""
    bank = BankWriter.open(settings.bank)
    write_bytes_atomic(bank.fs, _stop_mark(bank, settings), b"")


def was_stopped(settings: RunSettings) -> bool:
    """Whether `stop` was called for this run."""
    bank = BankWriter.open(settings.bank)
    return file_info(bank.fs, _stop_mark(bank, settings)) is not None


def _stop_mark(bank: BankWriter, settings: RunSettings) -> str:
    return f"{bank.root}/_staging/_stopped.{settings.run_id}"


def forget_stop(settings: RunSettings) -> None:
    """Take the mark of `stop` away, when the run has ended."""
    bank = BankWriter.open(settings.bank)
    delete_quietly(bank.fs, _stop_mark(bank, settings))
