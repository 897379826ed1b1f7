"""`extract`: the main job. Finds the videos, leaves out what the bank already holds, runs the rest."""

import importlib.metadata
import platform
import sys
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace

from pipeline import isolation
from pipeline.bank.claims import RUN, claim
from pipeline.bank.errors import StorageError
from pipeline.bank.filesystem import exists, open_location
from pipeline.bank.manifest import create_or_open, open_manifest
from pipeline.bank.reader import FeatureBank
from pipeline.bank.writer import BankWriter
from pipeline.config import ExtractConfig
from pipeline.errors import ConfigError, InputError, PipelineError, StrictStopError
from pipeline.events import EventFiles
from pipeline.inputs import Inputs, find_videos
from pipeline.jobs import VideoSource
from pipeline.printing import some
from pipeline.progress import ProgressReport
from pipeline.repair import mark, plan_repair, put_back_shared_files, remaining
from pipeline.retry import plan_retry
from pipeline.rows import VideoRow, committed_fingerprints, printable
from pipeline.run_record import RunMetrics, RunRecord, begun, new_run_id
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
    run: str | None
    """Name of the run, for `longform inspect --run`; None if there was nothing to do."""
    metrics: RunMetrics
    """What the run counted and timed."""
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

    @property
    def counters(self) -> dict[str, int]:
        """The run's counters by name."""
        return self.metrics.counters


def extract(
    inputs: Sequence[str],
    bank: str,
    config: ExtractConfig,
    *,
    workers: int = 1,
    strict: bool = False,
    quiet: bool = False,
    repair: bool = False,
    retry: Sequence[str] = (),
    log: str | None = None,
    trace: str | None = None,
    beam_args: Sequence[str] = (),
) -> ExtractReport:
    """Make the bank at `bank` hold every video that `inputs` name, with every stage of `config`.

    Args:
        inputs: files, folders, patterns, or lists with the columns `video_id,uri`.
        workers: child processes at work at once (local runner), or per worker process (other runners).
        strict: stop at the first failure, and count damage as failure.
        repair: instead, extract again exactly the videos of which `verify` finds something damaged; they are
            looked for where the bank says they were, or among `inputs` where there are any.
        retry: instead, extract again the failed videos of these kinds (`all`, `stage=decode`, `class=Crashed`);
            they are looked for as with `repair`.
        log: file to which a line of JSON is added for every step of every video.
        trace: file to write a Chrome trace to, with the time of every step and stage by worker process.
        beam_args: options for Beam, such as `--runner=FlinkRunner`.
    Raises:
        InputError, ConfigError, BankError: nothing was started. BankBusyError names the run that has the bank.
        StrictStopError: with `strict`, at the first failure.
    """
    if repair and retry:
        raise ConfigError("A repair and a retry are two runs: give one of them.")
    if not inputs and not repair and not retry:
        raise InputError("No INPUT was given: name the videos to extract. Only repair and retry find them in the bank.")
    given = find_videos(inputs) if inputs else Inputs(videos=(), ignored=())
    if retry or (repair and not exists(*open_location(bank))):
        open_manifest(bank)  # a claim would make the folder
    work = _Work(
        bank=str(bank),
        config=config,
        workers=workers,
        strict=strict,
        quiet=quiet,
        log=log,
        trace=trace,
        beam_args=beam_args,
    )
    with claim(*open_location(bank), RUN, on_lost=work.break_off, on_wait=work.say):
        if repair:
            return work.repair(given)
        return work.retry(given, retry) if retry else work.extract(given)


@dataclass(frozen=True, kw_only=True)
class _Work:
    """One call of `extract`, with the bank in its hands."""

    bank: str
    config: ExtractConfig
    workers: int
    strict: bool
    quiet: bool
    log: str | None
    trace: str | None
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

    def retry(self, given: Inputs, kinds: Sequence[str]) -> ExtractReport:
        """Failed videos of these kinds, among the given ones or all."""
        plan = plan_retry(self.bank, kinds, given.videos)
        if plan.gone:
            self.say(f"Not there any more, and left as they are: {some(plan.gone)}. Give their files as INPUT.")
        writer = prepare_bank(self.bank, self.config)
        return self._checked(self._run(writer, Inputs(videos=plan.videos, ignored=given.ignored), plan.todo))

    def _run(self, writer: BankWriter, given: Inputs, todo: Sequence[VideoSource]) -> ExtractReport:
        ids = {video.video_id for video in given.videos}
        record, rows = self._carry_out(writer, todo, ids) if todo else (None, _rows_of(self.bank, ids))
        failures = [row for row in rows if row["status"] == "failed"]
        return ExtractReport(
            videos=len(ids),
            up_to_date=len(ids) - len(todo),
            missing=len(ids) - len(rows),
            ok=len(rows) - len(failures),
            failed=len(failures),
            hours=record.video_s / 3600 if record else 0.0,
            wall_s=time.monotonic() - self.began,
            run=record.run if record else None,
            metrics=record.metrics if record else RunMetrics(),
            failures=[_failure(row) for row in failures],
            damaged=[{name: row[name] for name in ("video_id", "damage", "gaps")} for row in rows if row["damage"]],
            ignored=given.ignored,
        )

    def _carry_out(
        self, writer: BankWriter, todo: Sequence[VideoSource], video_ids: Collection[str]
    ) -> tuple[RunRecord, list[VideoRow]]:
        """Run, and keep the record of it in the bank; with the rows of `video_ids` at its end, `todo` among them."""
        from pipeline.run import RunOptions, run
        from pipeline.runners import runner_name

        ids = [video.video_id for video in todo]
        settings = RunSettings(
            run_id=new_run_id(),
            bank=self.bank,
            config=self.config,
            strict=self.strict,
            has_log=self.log is not None,
            has_trace=self.trace is not None,
        )
        record = begun(
            settings.run_id,
            preset=self.config.preset,
            runner=runner_name(self.beam_args),
            workers=self.workers,
            to_do=len(todo),
        )
        with EventFiles(settings, self.log, self.trace) as files:
            record.save(writer.fs, writer.root)
            files.say(
                "run started", preset=record.preset, runner=record.runner, workers=record.workers, videos=len(ids)
            )
            try:
                with ProgressReport(writer, ids, quiet=self.quiet):
                    metrics = run(todo, RunOptions(settings=settings, workers=self.workers), self.beam_args)
            except Exception as error:
                files.say("run broke off", error=str(error))
                with suppress(StorageError):  # the first error is the one to report
                    record.broken_off(error, time.monotonic() - self.began).save(writer.fs, writer.root)
                raise
            rows = _rows_of(self.bank, video_ids)
            done = set(ids)
            worked_on = [row for row in rows if row["video_id"] in done]
            record = record.at_end(worked_on, metrics, time.monotonic() - self.began)
            files.say("run done", seconds=record.wall_s, **record.videos)
        record.save(writer.fs, writer.root)
        forget_stop(settings)
        return record, rows

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
        printable(video.uri),
        video.bytes,
        video.mtime_s,
    )
    prints = fingerprints(config.stages, row["source_sha256"], config.decoder)
    wanted = {stage.key: prints[stage.name] for stage in config.stages}
    return same_file and wanted.items() <= committed_fingerprints(row).items()


def _rows_of(bank: str, video_ids: Collection[str]) -> list[VideoRow]:
    """What the bank says of these videos now."""
    wanted = set(video_ids)
    return [row for row in FeatureBank.open(bank).videos().to_pylist() if row["video_id"] in wanted]


def _failure(row: VideoRow) -> dict:
    return {
        "video_id": row["video_id"],
        "uri": row["uri"],
        "stage": row["error_stage"],
        "error": f"{row['error_class']}: {row['error_message']}",
    }
