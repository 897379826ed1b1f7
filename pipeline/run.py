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
import platform
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.runners.runner import PipelineResult

from pipeline import events, isolation
from pipeline.bank.errors import StorageError
from pipeline.errors import ConfigError, PipelineError, RunError
from pipeline.jobs import Failure, Reply, SegmentJob, VideoJob, VideoSource
from pipeline.run_record import RunMetrics, Timing
from pipeline.runners import Place, place
from pipeline.settings import RunSettings, stop, was_stopped
from pipeline.steps import record_failure
from pipeline.watch import Patience, Reporter, Watch, report, stall_limit_s, versions

T = TypeVar("T")
_log = logging.getLogger(__name__)

POLL_S = 1.0
CANCEL_S = 10.0

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
    versions: str = field(default_factory=versions)
    """Of the driver."""


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
        self._reporter: Reporter | None = None

    def setup(self) -> None:
        """Begin to give signs to a driver elsewhere."""
        if self._options.is_local:
            return
        if versions() != self._options.versions:
            theirs, ours = self._options.versions, versions()
            raise RunError(f"A worker on {platform.node()} has {ours}, the driver {theirs}: install the same.")
        self._reporter = report(self._options.settings, self._options.workers)

    def process(self, job: VideoSource | SegmentJob | VideoJob) -> Iterator[Any]:
        settings = self._options.settings
        if self._reporter is not None and self._reporter.is_over:
            return
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
    where = place(beam_args, options.workers)
    options = replace(options, is_local=where.runner is not None)
    pipeline = _pipeline(where)
    build(pipeline, videos, options)
    try:
        result = _carried_out_here(pipeline) if options.is_local else _carried_out_elsewhere(pipeline, where, options)
    except PipelineError as error:
        raise RunError(f"{error} {GO_ON}") from error
    except Exception as error:
        raise RunError(f"The run broke off: {_root_message(error)} {GO_ON}") from error
    finally:
        why_closed = isolation.slots(options.workers).why_closed
        isolation.close_all()
    if why_closed:
        raise RunError(f"The run broke off: {why_closed.rstrip('.')}. {GO_ON}")
    return metrics(result)


GO_ON = "What was finished is in the bank, and it is whole. Run the same command again to go on, or with --verbose."


def _pipeline(where: Place) -> beam.Pipeline:
    try:
        return beam.Pipeline(runner=where.runner, options=where.options)
    except (ValueError, ImportError) as error:
        raise ConfigError(f"Beam cannot take the options behind the --: {error}") from error


def _carried_out_here(pipeline: beam.Pipeline) -> PipelineResult:
    result = pipeline.run()
    result.wait_until_finish()
    return result


def _carried_out_elsewhere(pipeline: beam.Pipeline, where: Place, options: RunOptions) -> PipelineResult:
    """The result of a run whose workers give signs, and which is cancelled when they do not."""
    threading.excepthook = _show_of_thread
    stall_s = stall_limit_s(options.settings)
    patience = Patience(start_s=where.start_s or stall_s, stall_s=stall_s)
    with Watch(options.settings, patience, where.look_at) as watch:
        result = pipeline.run()
        waiting = in_background(result.wait_until_finish)
        try:
            while not wait([waiting], POLL_S).done:
                watch.look()
                if why_closed := isolation.slots(options.workers).why_closed:
                    raise RunError(f"The run broke off: {why_closed.rstrip('.')}.")
        except PipelineError:
            watch.end()
            wait([in_background(result.cancel)], CANCEL_S)
            raise
        waiting.result()
    return result


def _show_of_thread(what: threading.ExceptHookArgs) -> None:
    """As Python's own hook, but for the reader of Beam's messages: the run itself ends by the same error."""
    if what.thread is not None and what.thread.name == "wait_until_finish_read":
        _log.info("Beam can no longer read the messages of the job: %s", what.exc_value)
    else:
        threading.__excepthook__(what)


def in_background(call: Callable[[], T]) -> "Future[T]":
    """What `call` gives or raises, from a thread that does not keep the process."""
    future: Future[T] = Future()

    def work() -> None:
        try:
            future.set_result(call())
        except BaseException as error:  # noqa: BLE001  it is raised where the result is asked for
            future.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    return future


def _root_message(error: BaseException) -> str:
    """The last line that says something; Beam wraps an error of a worker in tracebacks as text."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip(" <>")]
    details = [line.removeprefix("details = ") for line in lines if line.startswith("details = ")]
    if details:
        why = details[-1].strip('"')
        return f"the job service or the worker pool does not answer any more: {why}."
    last = (lines or [type(error).__name__])[-1]
    message = re.sub(r" *\[while running .*\]$", ".", last).removeprefix("RuntimeError: ")
    if "No module named 'pipeline'" in message:
        return f"{message} The Python that the workers run has no longform: install {versions()} there."
    return message


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
