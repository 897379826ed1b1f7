"""`extract --repair`: from what `verify` finds in a bank to the videos that must be extracted again.

    put_back_shared_files   bank.json and the compacted rows, from their second copies
    plan_repair             whose results are damaged, and where these videos are
    mark                    each gets a `videos` row with status failed and without the damaged files

From there on it is a run like any other, over these videos only. A kill at any point loses nothing: the
rows say that the videos are not done.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pyarrow import fs as pafs

from pipeline.bank import filesystem
from pipeline.bank.errors import BankError, NotABankError, StorageError
from pipeline.bank.manifest import NAME, read_manifest
from pipeline.bank.seal import SealState
from pipeline.bank.snapshot import compacted_rows_path, read_rows_file
from pipeline.bank.spare import put_back
from pipeline.bank.vectors import FOLDER as COPIES
from pipeline.bank.verify import NEEDS_NO_VIDEO, Problem, verify
from pipeline.bank.writer import BankWriter, DataFile
from pipeline.config import ExtractConfig
from pipeline.errors import ConfigError, InputError
from pipeline.inputs import video_at
from pipeline.jobs import VideoSource
from pipeline.printing import some
from pipeline.rows import printable

ERROR_STAGE, ERROR_CLASS = "verify", "DamagedError"


@dataclass(frozen=True, kw_only=True)
class Damage:
    """What is damaged of a video that this run can make again."""

    source: VideoSource
    row: dict[str, Any] | None
    """Its videos row; None if that is what is damaged."""
    paths: frozenset[str]
    """Data files that cannot be used."""
    message: str


@dataclass(frozen=True, kw_only=True)
class RepairPlan:
    """What `extract --repair` is to do."""

    damages: tuple[Damage, ...]
    left: tuple[Problem, ...]
    """Problems that need other stages, or videos that were not given."""


def put_back_shared_files(bank: str, *, may_lose_rows: bool) -> bool:
    """Replace an unreadable bank.json or file of compacted rows by its second copy.

    Args:
        may_lose_rows: delete compacted rows of which there is no copy; their videos are then unknown to the bank.
    Returns:
        Whether rows were lost so.
    Raises:
        NotABankError: there is no bank.json that can be read, and no copy.
        InputError: rows would be lost.
    """
    fs, root = filesystem.open_location(bank)
    manifest, rows = filesystem.join(root, NAME), compacted_rows_path(root)
    if not _is_readable(fs, root) and not put_back(fs, root, manifest):
        read_manifest(fs, root)
        raise NotABankError(
            f"Cannot repair {manifest!r}: got bytes that do not match the checksum in it, and no second copy. Look at "
            'the file; if it is right as it is, delete its "seal" line.'
        )
    try:
        read_rows_file(fs, rows)
        return False
    except StorageError:
        raise
    except BankError as error:
        if put_back(fs, root, rows):
            return False
        if not may_lose_rows:
            raise InputError(f"{error} There is no second copy of this file: give all videos as INPUT.") from error
        filesystem.delete_quietly(fs, rows)
        return True


def _is_readable(fs: pafs.FileSystem, root: str) -> bool:
    try:
        return read_manifest(fs, root).seal_state is not SealState.BROKEN
    except NotABankError:
        return False


def plan_repair(bank: str, config: ExtractConfig, given: Sequence[VideoSource] | None) -> RepairPlan:
    """Check the whole bank, and say which videos are to be extracted again.

    Args:
        given: where videos are now; without, they are looked for where the bank says they were.
    Raises:
        ConfigError: all that is damaged was made by stages that `config` does not have.
        InputError: the bank does not say where a video is, or it is not there any more.
    """
    writer, report = BankWriter.open(bank), verify(bank)
    _delete_bad_copies(writer, report.problems)
    places = None if given is None else {video.video_id: video for video in given}
    grouped = _by_video(report.problems)
    damages, missing, foreign = [], [], set()
    left = [problem for problem in report.problems if not problem.video_id or problem.kind == "unregistered_space"]
    for video_id, problems in grouped.items():
        row = _readable_row(writer, video_id)
        damaged = _damaged_files(row, problems)
        ours = frozenset(file.path for file in damaged if file.stage in _keys(config))
        if row is not None and (not ours or (places is not None and video_id not in places)):
            left += problems
            foreign |= {file.stage for file in damaged} - _keys(config)
        elif (source := _source(video_id, row, places)) is None:
            missing.append(video_id)
        else:
            message = f"{problems[0].path}: {problems[0].message}"
            damages.append(Damage(source=source, row=row, paths=ours, message=message))
    if missing:
        raise InputError(
            f"Cannot repair {some(sorted(missing))}: the bank does not say where they are, or they are not there any "
            "more. "
            "Give their files or folders as INPUT; then only these are repaired."
        )
    if foreign and not damages:
        raise ConfigError(
            f"What is damaged was made by {some(sorted(foreign))}, and preset {config.preset!r} makes "
            f"{some(sorted(_keys(config)))}. "
            f"Give --preset and the other options of the run that made it; {NAME} lists all runs."
        )
    return RepairPlan(damages=tuple(damages), left=tuple(left))


def _by_video(problems: Iterable[Problem]) -> dict[str, list[Problem]]:
    """Problems that only an extraction mends, by video."""
    grouped: dict[str, list[Problem]] = defaultdict(list)
    for problem in problems:
        if problem.video_id and problem.kind not in NEEDS_NO_VIDEO:
            grouped[problem.video_id].append(problem)
    return grouped


def mark(writer: BankWriter, config: ExtractConfig, damages: Iterable[Damage]) -> None:
    """Write down, in the row of each video, that what this run makes of it is to be made again."""
    for damage in damages:
        video_id = damage.source.video_id
        if damage.row is None:
            writer.forget_row(video_id)
        old = damage.row or writer.current_row(video_id) or {}
        files = [DataFile(**entry) for entry in old.get("files", ()) if entry["path"] not in damage.paths]
        row = {name: value for name, value in old.items() if name not in ("files", "revision")} | {
            "video_id": video_id,
            "uri": old.get("uri", printable(damage.source.uri)),
            "status": "failed",
            "error_stage": ERROR_STAGE,
            "error_class": ERROR_CLASS,
            "error_message": f"{damage.message}. It is to be extracted again: run `longform extract` on it",
            "stages": [entry for entry in old.get("stages", ()) if entry["stage"] not in _keys(config)],
        }
        writer.commit(row, files)


def remaining(bank: str, plan: RepairPlan) -> list[Problem]:
    """What is still wrong after the run."""
    repaired = [damage.source.video_id for damage in plan.damages]
    return sorted({*plan.left, *verify(bank, video_ids=repaired).problems})


def _keys(config: ExtractConfig) -> set[str]:
    return {stage.key for stage in config.stages}


def _readable_row(writer: BankWriter, video_id: str) -> dict[str, Any] | None:
    try:
        return writer.current_row(video_id)
    except StorageError:
        raise
    except BankError:
        return None


def _damaged_files(row: dict[str, Any] | None, problems: Iterable[Problem]) -> list[DataFile]:
    """Files of a row that problems speak of, by their path or by their table."""
    named = {problem.path for problem in problems}
    files = [DataFile(**entry) for entry in (row["files"] if row else ())]
    return [file for file in files if file.path in named or file.table in named]


def _source(video_id: str, row: dict[str, Any] | None, places: dict[str, VideoSource] | None) -> VideoSource | None:
    if places is not None:
        return places.get(video_id)
    found = video_at(row["uri"], video_id) if row else None
    return found if found is not None and found.bytes else None


def _delete_bad_copies(writer: BankWriter, problems: Iterable[Problem]) -> None:
    """Copies that windows are read from are made anew by the next compact."""
    for problem in problems:
        if problem.kind == "wrong_copy":
            entries = (writer.current_row(problem.video_id) or {"files": []})["files"]
            for digest in {entry["sha256"] for entry in entries if entry["path"] == problem.path}:
                filesystem.delete_quietly(writer.fs, filesystem.join(writer.root, COPIES, f"{digest}.npy"))
