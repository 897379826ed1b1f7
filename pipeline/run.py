"""The whole run as a Beam graph. Read this first.

    videos -> Probe -> Split -> Reshuffle -> Extract (decode once: shots, people, clips) -> parts in staging
           -> Finish shots -> Finish people -> Finish clips -> Finish tracks -> Publish -> the `videos` row
    whatever fails on the way -> Record failures -> a `videos` row with the reason

Frames are born and die inside Extract. What travels is small: jobs, places of files, counts. After Extract a
video goes on from the segment that completed it, without a barrier, so videos are published while others are
still being decoded. Beam plans, distributes and counts; that nothing is lost or doubled rests on the bank's
commit protocol, not on what a runner retries.
"""

import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.runner import PipelineResult

from pipeline import isolation
from pipeline.bank.errors import StorageError
from pipeline.errors import ConfigError, RunError
from pipeline.jobs import Failure, Reply, SegmentJob, VideoJob, VideoSource
from pipeline.settings import RunSettings, stop, was_stopped
from pipeline.steps import record_failure

_log = logging.getLogger(__name__)

BUNDLES_PER_WORKER = 8
"""Beam's local runner deals work out in equal bundles up front; with more bundles than workers, a worker
that is done early takes the next bundle instead of waiting for the slowest."""


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How a run is carried out; nothing here changes what it computes."""

    settings: RunSettings
    workers: int
    is_local: bool = True
    """The workers are threads of this process."""


def build(pipeline: beam.Pipeline, videos: Sequence[VideoSource], options: RunOptions) -> None:
    """Add the run to `pipeline`."""
    stages = options.settings.config.stages
    probed = (
        pipeline
        | "Videos" >> beam.Create(videos, reshuffle=False)
        | "Spread videos" >> beam.Reshuffle()
        | "Probe" >> Isolated("pipeline.steps:probe_video", options)
    )
    extracted = (
        probed.done
        | "Spread segments" >> beam.Reshuffle()
        | "Extract" >> Isolated("pipeline.steps:extract_segment", options)
    )
    failures, whole = [probed.failed, extracted.failed], extracted.done
    for stage in stages:
        finished = whole | f"Finish {stage.name}" >> Isolated("pipeline.steps:finish_stage", options, stage.name)
        failures.append(finished.failed)
        whole = finished.done
    published = whole | "Publish" >> Isolated("pipeline.steps:publish_video", options)
    failures.append(published.failed)
    for i, failed in enumerate(failures):
        failed | f"Record failures {i}" >> beam.ParDo(_RecordFailure(options))


@dataclass(frozen=True)
class _Split:
    done: beam.PCollection
    failed: beam.PCollection


class Isolated(beam.PTransform):
    """Apply a step to each job in an isolated child; failures leave by a branch of their own."""

    def __init__(self, step: str, options: RunOptions, *args: Any) -> None:
        super().__init__()
        self._dofn = _IsolatedStep(step, options, args)

    def expand(self, jobs: beam.PCollection) -> Any:
        outputs = jobs | beam.ParDo(self._dofn).with_outputs("failed", main="done")
        return _Split(outputs.done, outputs.failed)


class _IsolatedStep(beam.DoFn):
    """Runs one step for each job in a child of this worker, and counts what the child reports."""

    def __init__(self, step: str, options: RunOptions, args: tuple) -> None:
        self._step, self._options, self._args = step, options, args
        self._name = step.split(":")[1]

    def process(self, job: VideoSource | SegmentJob | VideoJob) -> Iterator[Any]:
        settings = self._options.settings
        if settings.strict and was_stopped(settings):
            return
        children = isolation.slots(self._options.workers)
        answer = children.call(self._step, (job, *self._args, settings), settings.config.limits)
        Metrics.distribution("longform", "worker_rss_mb").update(answer.peak_rss_bytes >> 20)
        Metrics.counter("longform", f"ms.{self._name}").inc(round(1000 * answer.wall_s))
        if answer.error is None:
            count(answer.result)
            yield from answer.result.results
            return
        if answer.error.error_class == isolation.STOPPED:
            return
        if answer.error.error_class == StorageError.__name__:
            break_off(answer.error.message, self._options)
            return
        if settings.strict:
            stop(settings)
        failure = _failure(job, answer.error)
        _log.info("%s: %s failed\n%s", failure.source.uri, self._name, answer.error.traceback)
        yield beam.pvalue.TaggedOutput("failed", failure)


def count(reply: Reply) -> None:
    """Add a child's counts to Beam's counters; those it set itself would die with its memory."""
    for name, value in reply.counts.items():
        Metrics.counter("longform", name).inc(value)


def _failure(job: VideoSource | SegmentJob | VideoJob, error: isolation.CallError) -> Failure:
    video = job.video if isinstance(job, SegmentJob) else job
    source, facts = (video.source, video.facts) if isinstance(video, VideoJob) else (video, None)
    return Failure(
        source=source,
        stage=error.stage or "start",
        error_class=error.error_class,
        message=error.message,
        at_s=error.at_s,
        facts=facts,
    )


class _RecordFailure(beam.DoFn):
    """Writes the row of a failed video. Runs in the worker itself: it touches the bank only."""

    def __init__(self, options: RunOptions) -> None:
        self._options = options

    def process(self, failure: Failure) -> None:
        try:
            count(record_failure(failure, self._options.settings))
        except OSError as error:
            break_off(str(error), self._options)


def break_off(why: str, options: RunOptions) -> None:
    """End the run because the bank's storage failed: that is no fault of a video, and each would meet it.

    Raises StorageError where the workers are not of this process: their runner tries again, or gives up.
    """
    if not options.is_local:
        raise StorageError(why)
    isolation.slots(options.workers).close(why)


def run(videos: Sequence[VideoSource], options: RunOptions, beam_args: Sequence[str] = ()) -> dict[str, int]:
    """Carry out the run and wait for its end.

    Args:
        beam_args: Beam's own options; without a `--runner` the local FnApiRunner is used.
    Returns:
        Beam's counters by name: `frames_decoded`, `frames_in_video`, `videos_ok`, `videos_failed`, ...
    Raises:
        RunError: the runner gave up, for example because the bank cannot be written.
    """
    runner, pipeline_options = _runner(list(beam_args), options.workers)
    options = replace(options, is_local=runner is not None)
    pipeline = beam.Pipeline(runner=runner, options=pipeline_options)
    build(pipeline, videos, options)
    try:
        result = pipeline.run()
        result.wait_until_finish()
    except Exception as error:
        raise RunError(f"The run broke off: {_root_message(error)} {GO_ON}") from error
    why_closed = isolation.slots(options.workers).why_closed
    isolation.close_all()
    if why_closed:
        raise RunError(f"The run broke off: {why_closed.rstrip('.')}. {GO_ON}")
    return counters(result)


GO_ON = "What was finished is in the bank, and it is whole. Run the same command again to go on, or with --verbose."


def _root_message(error: BaseException) -> str:
    """The last line that says something; Beam wraps an error of a worker in tracebacks as text."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    last = lines[-1] if lines else type(error).__name__
    return re.sub(r" *\[while running .*\]$", ".", last).removeprefix("RuntimeError: ")


def _runner(beam_args: list[str], workers: int) -> tuple[Any, PipelineOptions]:
    """The runner and its options. The local one is named outright: Beam's default looks for a download."""
    options = PipelineOptions(beam_args)
    named = options.get_all_options(drop_default=True).get("runner")
    if named and "dask" in named.lower():
        raise ConfigError(
            "DaskRunner computes only the last branch of a graph (Beam 2.77), so a bank would stay empty. "
            "Use the local runner, FlinkRunner, SparkRunner, DataflowRunner or PortableRunner."
        )
    if named and named not in ("DirectRunner", "FnApiRunner"):
        return None, options
    from apache_beam.runners.portability.fn_api_runner import FnApiRunner

    local = [
        *beam_args,
        f"--direct_num_workers={workers * BUNDLES_PER_WORKER}",
        "--direct_running_mode=multi_threading",
    ]
    return FnApiRunner(), PipelineOptions(local)


def counters(result: PipelineResult) -> dict[str, int]:
    """The run's own counters, summed over all steps, and the largest value of each distribution as `max.<name>`."""
    totals: dict[str, int] = {}
    for counter in result.metrics().query()["counters"]:
        if counter.key.metric.namespace == "longform":
            name = counter.key.metric.name
            totals[name] = totals.get(name, 0) + (counter.committed or counter.attempted or 0)
    for entry in result.metrics().query()["distributions"]:
        value = entry.committed or entry.attempted
        if entry.key.metric.namespace == "longform" and value is not None:
            name = f"max.{entry.key.metric.name}"
            totals[name] = max(totals.get(name, 0), value.max)
    return totals
