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

from pipeline import events, isolation
from pipeline.bank.errors import StorageError
from pipeline.errors import ConfigError, RunError
from pipeline.jobs import Failure, Reply, SegmentJob, VideoJob, VideoSource
from pipeline.run_record import RunMetrics, Timing
from pipeline.settings import RunSettings, stop, was_stopped
from pipeline.steps import record_failure

_log = logging.getLogger(__name__)

BUNDLES_PER_WORKER = 8
"""Beam's local runner deals work out in equal bundles up front; with more bundles than workers, a worker
that is done early takes the next bundle instead of waiting for the slowest."""

COUNTS, TIMES = "longform", "longform.us"
"""Namespaces of Beam's metrics: counts, and distributions of microseconds by `<step>` and `<step>/<stage>`."""

STEP_LABELS = {
    "probe_video": "probe",
    "extract_segment": "extract",
    "finish_stage": "finish",
    "publish_video": "publish",
}
"""What the functions of `pipeline.steps` are called in logs, traces and tables; stages are named behind."""


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
        self._label = " ".join([STEP_LABELS[self._name], *args])

    def process(self, job: VideoSource | SegmentJob | VideoJob) -> Iterator[Any]:
        settings = self._options.settings
        if settings.strict and was_stopped(settings):
            return
        children = isolation.slots(self._options.workers)
        arguments = (job, *self._args, settings)
        answer = children.call(self._step, arguments, settings.config.limits, keeps_spans=settings.has_trace)
        if answer.error is not None and answer.error.error_class == isolation.STOPPED:
            return
        self._measure(answer)
        if settings.has_log or settings.has_trace:
            self._report(job, answer)
        if answer.error is None:
            count(answer.result)
            yield from answer.result.results
            return
        if answer.error.error_class == StorageError.__name__:
            break_off(answer.error.message, self._options)
            return
        if settings.strict:
            stop(settings)
        failure = _failure(job, answer.error)
        _log.info("%s: %s failed\n%s", failure.source.uri, self._name, answer.error.traceback)
        yield beam.pvalue.TaggedOutput("failed", failure)

    def finish_bundle(self) -> None:
        """Let the driver know of all of it, before the runner does."""
        events.flush(self._options.settings)

    def _measure(self, answer: isolation.Answer) -> None:
        Metrics.distribution(COUNTS, "worker_rss_mb").update(answer.peak_rss_bytes >> 20)
        Metrics.counter(COUNTS, f"ms.{self._name}").inc(round(1000 * answer.wall_s))
        Metrics.distribution(TIMES, self._label).update(round(1e6 * answer.wall_s))
        for stage, seconds in answer.times.stage_s.items():
            Metrics.distribution(TIMES, f"{self._label}/{stage}").update(round(1e6 * seconds))
        if answer.error is not None:
            Metrics.counter(COUNTS, f"failed_steps.{answer.error.error_class}").inc()

    def _report(self, job: VideoSource | SegmentJob | VideoJob, answer: isolation.Answer) -> None:
        segment = job.segment.index if isinstance(job, SegmentJob) and job.segment else None
        settings = self._options.settings
        events.send(settings, events.step_event(settings, self._label, _source(job).video_id, segment, answer))


def count(reply: Reply) -> None:
    """Add a child's counts to Beam's counters; those it set itself would die with its memory."""
    for name, value in reply.counts.items():
        Metrics.counter(COUNTS, name).inc(value)


def _source(job: VideoSource | SegmentJob | VideoJob) -> VideoSource:
    video = job.video if isinstance(job, SegmentJob) else job
    return video.source if isinstance(video, VideoJob) else video


def _failure(job: VideoSource | SegmentJob | VideoJob, error: isolation.CallError) -> Failure:
    video = job.video if isinstance(job, SegmentJob) else job
    return Failure(
        source=_source(job),
        stage=error.stage or "start",
        error_class=error.error_class,
        message=error.message,
        at_s=error.at_s,
        facts=video.facts if isinstance(video, VideoJob) else None,
    )


class _RecordFailure(beam.DoFn):
    """Writes the row of a failed video. Runs in the worker itself: it touches the bank only."""

    def __init__(self, options: RunOptions) -> None:
        self._options = options

    def process(self, failure: Failure) -> None:
        try:
            record_failure(failure, self._options.settings)
        except OSError as error:
            break_off(str(error), self._options)


def break_off(why: str, options: RunOptions) -> None:
    """End the run because the bank's storage failed: that is no fault of a video, and each would meet it.

    Raises StorageError where the workers are not of this process: their runner tries again, or gives up.
    """
    if not options.is_local:
        raise StorageError(why)
    isolation.slots(options.workers).close(why)


def run(videos: Sequence[VideoSource], options: RunOptions, beam_args: Sequence[str] = ()) -> RunMetrics:
    """Carry out the run and wait for its end.

    Args:
        beam_args: Beam's own options; without a `--runner` the local FnApiRunner is used.
    Returns:
        Beam's metrics.
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
    return metrics(result)


GO_ON = "What was finished is in the bank, and it is whole. Run the same command again to go on, or with --verbose."


def _root_message(error: BaseException) -> str:
    """The last line that says something; Beam wraps an error of a worker in tracebacks as text."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    last = lines[-1] if lines else type(error).__name__
    return re.sub(r" *\[while running .*\]$", ".", last).removeprefix("RuntimeError: ")


def _runner(beam_args: list[str], workers: int) -> tuple[Any, PipelineOptions]:
    """The runner and its options. The local one is named outright: Beam's default looks for a download."""
    options = PipelineOptions(beam_args)
    named = runner_name(beam_args)
    if "dask" in named.lower():
        raise ConfigError(
            "DaskRunner computes only the last branch of a graph (Beam 2.77), so a bank would stay empty. "
            "Use the local runner, FlinkRunner, SparkRunner, DataflowRunner or PortableRunner."
        )
    if named not in ("DirectRunner", "FnApiRunner"):
        return None, options
    from apache_beam.runners.portability.fn_api_runner import FnApiRunner

    local = [
        *beam_args,
        f"--direct_num_workers={workers * BUNDLES_PER_WORKER}",
        "--direct_running_mode=multi_threading",
    ]
    return FnApiRunner(), PipelineOptions(local)


def runner_name(beam_args: Sequence[str]) -> str:
    """The runner that these options name."""
    named = PipelineOptions(list(beam_args)).get_all_options(drop_default=True).get("runner")
    return named or "FnApiRunner"


def metrics(result: PipelineResult) -> RunMetrics:
    """The run's own counters, summed over all steps, with the most memory of a worker, and its times."""
    found = result.metrics().query()
    counters: dict[str, int] = {}
    for entry in found["counters"]:
        if entry.key.metric.namespace == COUNTS:
            name = entry.key.metric.name
            counters[name] = counters.get(name, 0) + (entry.committed or entry.attempted or 0)
    steps: dict[str, Timing] = {}
    stages: dict[str, dict[str, Timing]] = {}
    for entry in found["distributions"]:
        value, namespace, name = entry.committed or entry.attempted, entry.key.metric.namespace, entry.key.metric.name
        if value is None or not value.count:
            continue
        if namespace == COUNTS:
            counters[f"max.{name}"] = max(counters.get(f"max.{name}", 0), value.max)
        elif namespace == TIMES:
            step, _, stage = name.partition("/")
            timing = Timing(value.count, value.sum / 1e6, value.min / 1e6, value.max / 1e6)
            known = stages.setdefault(step, {}) if stage else steps
            key = stage or step
            known[key] = known[key] + timing if key in known else timing
    return RunMetrics(counters=counters, steps=steps, stages=stages)
