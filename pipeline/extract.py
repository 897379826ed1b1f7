"""`extract`: the main job. Finds the videos, leaves out what the bank already holds, runs the rest."""

import importlib.metadata
import platform
import sys
import time
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace

from pipeline import isolation
from pipeline.bank.claims import RUN, claim
from pipeline.bank.filesystem import open_location
from pipeline.bank.manifest import create_or_open
from pipeline.bank.reader import FeatureBank
from pipeline.bank.writer import BankWriter
from pipeline.config import ExtractConfig
from pipeline.errors import InputError, PipelineError, StrictStopError
from pipeline.inputs import Inputs, find_videos
from pipeline.jobs import VideoSource
from pipeline.progress import ProgressReport
from pipeline.repair import mark, plan_repair, put_back_shared_files, remaining
from pipeline.rows import committed_fingerprints
from pipeline.settings import RunSettings, forget_stop
from pipeline.stages import fingerprints

RECORDED_PACKAGES = (
    "apache-beam", "av", "longform-video", "numpy", "opencv-python-headless", "pyarrow", "scenedetect-headless",
    "scipy", "torch",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ExtractReport:
    """What a run did. `failures` and `damaged` name every video of this input that is not whole."""

    videos: int
    """Videos in the input."""
    up_to_date: int
    """Of these, videos that the bank held already."""
    ok: int
    failed: int
    missing: int
    """Videos the bank has no row for: those a strict run did not begin."""
    hours: float
    """Hours of video that this run processed."""
    wall_s: float
    counters: dict[str, int]
    failures: list[dict] = field(default_factory=list)
    damaged: list[dict] = field(default_factory=list)
    ignored: tuple[str, ...] = ()
    """Files of the given folders that are no videos."""
    still_damaged: list[dict] = field(default_factory=list)
    """Of a repair: what is wrong with the bank after it, as `longform verify` says it."""

    @property
    def speed(self) -> float:
        """Seconds of video processed per second."""
        return 3600 * self.hours / self.wall_s if self.wall_s > 0 else 0.0


def extract(
    inputs: Sequence[str],
    bank: str,
    config: ExtractConfig,
    *,
    workers: int = 1,
    strict: bool = False,
    quiet: bool = False,
    repair: bool = False,
    beam_args: Sequence[str] = (),
) -> ExtractReport:
    """Make the bank at `bank` hold every video that `inputs` name, with every stage of `config`.

    Args:
        inputs: files, folders, patterns, or lists with the columns `video_id,uri`.
        workers: child processes at work at once (local runner), or per worker process (other runners).
        strict: stop at the first failure, and count damage as failure.
        repair: instead, extract again exactly the videos of which `verify` finds something damaged; they are
            looked for where the bank says they were, or among `inputs` where there are any.
        beam_args: options for Beam, such as `--runner=FlinkRunner`.
    Raises:
        InputError, ConfigError, BankError: nothing was started. BankBusyError names the run that has the bank.
        StrictStopError: with `strict`, at the first failure.
    """
    if not inputs and not repair:
        raise InputError("No INPUT was given: name the videos to extract. Only a repair finds them in the bank.")
    given = find_videos(inputs) if inputs else Inputs(videos=(), ignored=())
    work = _Work(bank=str(bank), config=config, workers=workers, strict=strict, quiet=quiet, beam_args=beam_args)
    with claim(*open_location(bank), RUN, on_lost=work.break_off, on_wait=work.say):
        return work.repair(given) if repair else work.extract(given)


@dataclass(frozen=True, kw_only=True)
class _Work:
    """One call of `extract`, with the bank in its hands."""

    bank: str
    config: ExtractConfig
    workers: int
    strict: bool
    quiet: bool
    beam_args: Sequence[str]
    began: float = field(default_factory=time.monotonic)

    def extract(self, given: Inputs) -> ExtractReport:
        """What is missing of the given videos."""
        writer = prepare_bank(self.bank, self.config)
        todo = [video for video in given.videos if not _is_up_to_date(writer, video, self.config)]
        for video_id in {video.video_id for video in given.videos} - {video.video_id for video in todo}:
            writer.clean_up(video_id)
        return self._checked(self._run(writer, given, todo))

    def repair(self, given: Inputs) -> ExtractReport:
        """What is damaged of the given videos, or of all."""
        has_lost_rows = put_back_shared_files(self.bank, may_lose_rows=bool(given.videos))
        writer = prepare_bank(self.bank, self.config)
        plan = plan_repair(self.bank, self.config, given.videos or None)
        mark(writer, self.config, plan.damages)
        todo = [damage.source for damage in plan.damages]
        if has_lost_rows:
            todo += [video for video in given.videos if writer.current_row(video.video_id) is None]
        report = self._run(writer, Inputs(videos=tuple(todo), ignored=()), todo)
        left = [asdict(problem) for problem in remaining(self.bank, plan)]
        return self._checked(replace(report, still_damaged=left))

    def _run(self, writer: BankWriter, given: Inputs, todo: Sequence[VideoSource]) -> ExtractReport:
        counters: dict[str, int] = {}
        if todo:
            from pipeline.run import RunOptions, run

            settings = RunSettings(run_id=uuid.uuid4().hex, bank=self.bank, config=self.config, strict=self.strict)
            options = RunOptions(settings=settings, workers=self.workers)
            with ProgressReport(writer, [video.video_id for video in todo], quiet=self.quiet):
                counters = run(todo, options, self.beam_args)
            forget_stop(settings)
        return _report(given, todo, self.bank, counters, time.monotonic() - self.began)

    def _checked(self, report: ExtractReport) -> ExtractReport:
        if self.strict and report.failures:
            raise StrictStopError(
                f"Stopped at a failure: {report.failures[0]['error']} {report.ok} of {report.videos} videos are done."
            )
        if report.missing:
            raise PipelineError(f"{report.missing} videos have no row in the bank after the run. Run again.")
        return report

    def break_off(self, why: str) -> None:
        """End the run, from any thread."""
        isolation.slots(self.workers).close(why)

    def say(self, what: str) -> None:
        """Tell the user what is waited for."""
        if not self.quiet:
            print(what, file=sys.stderr, flush=True)


def prepare_bank(bank: str, config: ExtractConfig) -> BankWriter:
    """Create or open the bank, and note the run and its spaces in `bank.json`."""
    manifest = create_or_open(bank)
    cards = {space: card for stage in config.stages for space, card in stage.feature_cards().items()}
    for stage in config.stages:
        for space, dim in stage.spaces.items():
            manifest.register_space(space, dim, stage.settings() | {"card": cards.get(space)})
    versions = {name: _version(name) for name in RECORDED_PACKAGES} | {"python": platform.python_version()}
    weights = {name: digest for stage in config.stages for name, digest in stage.weights.items()}
    manifest.record_run(config.describe(), weights, versions)
    return BankWriter.open(bank)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _is_up_to_date(bank: BankWriter, video: VideoSource, config: ExtractConfig) -> bool:
    """Whether the bank holds all of this video, going by the file's size and time and by the fingerprints."""
    row = bank.current_row(video.video_id)
    if row is None or row["status"] != "ok" or row["source_sha256"] is None:
        return False
    same_file = (row["uri"], row["source_bytes"], row["source_mtime_s"]) == (
        video.uri,
        video.bytes,
        video.mtime_s,
    )
    prints = fingerprints(config.stages, row["source_sha256"], config.decoder)
    wanted = {stage.key: prints[stage.name] for stage in config.stages}
    return same_file and wanted.items() <= committed_fingerprints(row).items()


def _report(
    found: Inputs, todo: Iterable[VideoSource], bank: str, counters: dict[str, int], wall_s: float
) -> ExtractReport:
    ids = {video.video_id for video in found.videos}
    rows = [row for row in FeatureBank.open(bank).videos().to_pylist() if row["video_id"] in ids]
    failures = [
        {
            "video_id": row["video_id"],
            "uri": row["uri"],
            "stage": row["error_stage"],
            "error": f"{row['error_class']}: {row['error_message']}",
        }
        for row in rows
        if row["status"] == "failed"
    ]
    todo = list(todo)
    return ExtractReport(
        videos=len(ids),
        up_to_date=len(ids) - len(todo),
        missing=len(ids) - len(rows),
        ok=len(rows) - len(failures),
        failed=len(failures),
        hours=counters.get("milliseconds_of_video", 0) / 3.6e6,
        wall_s=wall_s,
        counters=counters,
        failures=failures,
        damaged=[{"video_id": row["video_id"], "damage": row["damage"]} for row in rows if row["damage"]],
        ignored=found.ignored,
    )
