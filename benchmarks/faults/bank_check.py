"""What is wrong with a bank after a fault, by the bank of an undisturbed run."""

from collections.abc import Collection, Mapping
from pathlib import Path

from benchmarks.faults.lab import Extraction, Lab, Subject
from benchmarks.faults.outcome import Outcome
from pipeline.bank import filesystem
from pipeline.bank.compare import compare
from pipeline.bank.locks import FOLDER as LOCKS
from pipeline.bank.naming import file_stem
from pipeline.bank.reader import FeatureBank
from pipeline.bank.schema import FEATURES, TABLES
from pipeline.bank.staging import FOLDER as STAGING
from pipeline.bank.verify import verify
from pipeline.bank.writer import BankWriter
from pipeline.run_record import FOLDER as RUNS

_NO_HARM = frozenset({"no_checksum"})


def check_complete(bank: str | Path, subject: Subject, outcome: Outcome, run: str) -> None:
    """The bank must be the undisturbed one, whole, with nothing beside it that the next run would not take away.

    A run begins with cleaning up behind the videos that are done.
    """
    if not check_present(bank, subject, outcome, run):
        return
    held, expected = (set(FeatureBank.open(path).snapshot.index) for path in (bank, subject.bank))
    outcome.lost += [f"{run}: {video_id} is not in the bank" for video_id in sorted(expected - held)]
    writer = BankWriter.open(str(bank))
    for video_id in ok_videos(bank):
        writer.clean_up(video_id)
    outcome.left_over += [f"{run}: {what}" for what in left_over(bank)]


def check_present(
    bank: str | Path, subject: Subject, outcome: Outcome, run: str, ids: Collection[str] | None = None
) -> bool:
    """What the bank holds as ok, or of that the videos `ids`, must be whole and as in the undisturbed one.

    Returns whether it is whole; what is damaged is not compared.
    """
    if problems := verify(bank).problems:
        outcome.lost += [f"{run}: {each.kind} {each.path}: {each.message}" for each in problems]
        return False
    held = ok_videos(bank) if ids is None else set(ids)
    differing = {each.video_id: each for each in compare(subject.bank, bank).differences if each.video_id in held}
    ours, theirs = (rows_by_video(path) if differing else {} for path in (subject.bank, bank))
    for video_id, difference in sorted(differing.items()):
        harm = f"{run}: {video_id}, {difference.table}: {difference.message}"
        has_more = any(count > ours.get(key, 0) for key, count in theirs.items() if key[1] == video_id)
        (outcome.duplicated if has_more else outcome.lost).append(harm)
    return True


def ok_videos(bank: str | Path) -> set[str]:
    """Ids of the videos that the bank holds as done."""
    return {row["video_id"] for row in FeatureBank.open(bank).videos().to_pylist() if row["status"] == "ok"}


def failures(bank: str | Path) -> dict[str, str]:
    """By id of each failed video its stage, class and message."""
    return {
        row["video_id"]: f"{row['error_stage']}: {row['error_class']}: {row['error_message']}"
        for row in FeatureBank.open(bank).videos().to_pylist()
        if row["status"] == "failed"
    }


def rows_by_video(bank: str | Path) -> dict[tuple[str, str], int]:
    """Number of rows by table or space, and video."""
    opened = FeatureBank.open(bank)
    tables = {name: opened.table(name) for name in TABLES}
    tables |= {FEATURES + name: opened.features(name) for name in opened.spaces}
    return {
        (name, entry["values"]): entry["counts"]
        for name, table in tables.items()
        for entry in table["video_id"].value_counts().to_pylist()
    }


def left_over(bank: str | Path) -> list[str]:
    """Whatever is in the folder of a bank that no run is at work on, and is neither its content nor its history.

    What is staged of a failed video waits for the run that tries it again.
    """
    waiting = {f"{STAGING}/{file_stem(video_id)}" for video_id in failures(bank)}
    warnings = [each for each in verify(bank).warnings if each.kind not in _NO_HARM and each.path not in waiting]
    found = [f"{each.kind} {each.path}" for each in warnings]
    fs, root = filesystem.open_location(bank)
    for info in filesystem.list_files(fs, root, recursive=True):
        name = info.path.removeprefix(f"{root}/")
        is_claim = name.startswith(f"{LOCKS}/") and name.endswith(".json")
        is_of_a_run = name.startswith(f"{RUNS}/") and "/" in name.removeprefix(f"{RUNS}/")
        if is_claim or is_of_a_run or filesystem.is_temporary(info.base_name):
            found.append(name)
    return found


def run_again(
    lab: Lab, outcome: Outcome, subject: Subject, bank: str | Path, environment: Mapping[str, str] | None = None
) -> Extraction:
    """The same command again, as the user is told to; after it the bank must be the undisturbed one."""
    run = lab.start(subject, bank, environment=environment)
    if lab.ends(run, subject.deadline_s, outcome):
        if run.exit_status != 0:
            outcome.lost.append(f"the run after the fault ended with {run.exit_status}: {run.said[-500:]}")
        check_complete(bank, subject, outcome, "after the next run")
    return run
