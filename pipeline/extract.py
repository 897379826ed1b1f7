"""`extract`: the main job. Finds the videos, leaves out what the bank already holds, runs the rest."""

import importlib.metadata
import platform
import time
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from pipeline.bank.manifest import create_or_open
from pipeline.bank.reader import FeatureBank
from pipeline.bank.writer import BankWriter
from pipeline.config import ExtractConfig
from pipeline.errors import PipelineError, StrictStopError
from pipeline.inputs import Inputs, find_videos
from pipeline.jobs import VideoSource
from pipeline.progress import ProgressReport
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
    beam_args: Sequence[str] = (),
) -> ExtractReport:
    """Make the bank at `bank` hold every video that `inputs` name, with every stage of `config`.

    Args:
        inputs: files, folders, patterns, or lists with the columns `video_id,uri`.
        workers: child processes at work at once (local runner), or per worker process (other runners).
        strict: stop at the first failure, and count damage as failure.
        beam_args: options for Beam, such as `--runner=FlinkRunner`.
    Raises:
        InputError, ConfigError, BankError: nothing was started.
        StrictStopError: with `strict`, at the first failure.
    """
    began = time.monotonic()
    found = find_videos(inputs)
    writer = prepare_bank(bank, config)
    todo = [video for video in found.videos if not _is_up_to_date(writer, video, config)]
    for video_id in {video.video_id for video in found.videos} - {video.video_id for video in todo}:
        writer.clean_up(video_id)
    counters: dict[str, int] = {}
    if todo:
        from pipeline.run import RunOptions, run

        settings = RunSettings(run_id=uuid.uuid4().hex, bank=str(bank), config=config, strict=strict)
        options = RunOptions(settings=settings, workers=workers)
        with ProgressReport(writer, [video.video_id for video in todo], quiet=quiet):
            counters = run(todo, options, beam_args)
        forget_stop(settings)
    report = _report(found, todo, str(bank), counters, time.monotonic() - began)
    if strict and report.failures:
        raise StrictStopError(
            f"Stopped at a failure: {report.failures[0]['error']} {report.ok} of {report.videos} videos are done."
        )
    if report.missing:
        raise PipelineError(f"{report.missing} videos have no row in the bank after the run. Run again.")
    return report


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
