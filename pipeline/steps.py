"""The steps of a run, as functions that run in an isolated child: probe, extract a segment, finish, publish.

Each takes a job and the run's settings and returns a `Reply`. All of them may run again for the same job,
after a kill or on a runner that retries: what was done is found in the staging folder and not done twice, and
what is written has a name and a content that depend on the job only.

    _staging/<video_id>/<plan>/plan.json              written by probe: duration and number of segments
                              /000003.<stage>.<part>.parquet    parts of segment 3
                              /000003.done.json       written last: segment 3 is complete, and its counts
"""

import json
import math
import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, replace
from hashlib import sha256
from itertools import groupby
from operator import itemgetter

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.bank.datafile import DataFileReader
from pipeline.bank.filesystem import file_info, list_names, read_bytes, remote_errors, write_bytes_atomic
from pipeline.bank.schema import schema_of
from pipeline.bank.writer import BankWriter, DataFile, TableWriter
from pipeline.config import ExtractConfig
from pipeline.errors import DecodeError
from pipeline.isolation import beat
from pipeline.jobs import Failure, Reply, SegmentJob, VideoJob, VideoSource
from pipeline.rows import Unread, VideoRow, failed_row, is_current, kept_files, kept_stages, unread, video_row
from pipeline.settings import RunSettings
from pipeline.stages import FrameConsumer, Row, Rows, Stage, fingerprints
from pipeline.tallies import taken
from pipeline.timing import counted_as, switch
from pipeline.video.decode import decode
from pipeline.video.frames import DecodeStats
from pipeline.video.probe import probe
from pipeline.video.segments import Segment, plan_segments

REPORT_VERSION = 2
"""Of the `.done.json` files: raised with their form, so that no run goes on with reports it cannot read."""
ROWS_PER_WRITE = 256
ROWS_PER_READ = 512
ROWS_PER_GROUP = 2048


def probe_video(source: VideoSource, settings: RunSettings) -> Reply:
    """Facts, segments and fingerprints of a video; nothing more is done where the bank has it all."""
    config = settings.resident().config
    beat("probe")
    facts, index = probe(source.uri, config.video_limits)
    bank = BankWriter.open(settings.bank)
    row = bank.current_row(source.video_id)
    prints = fingerprints(config.stages, facts.measured.sha256, config.decoder)
    keys = {stage.name: stage.key for stage in config.stages}
    todo = tuple(name for name in keys if not is_current(row, facts.measured, keys[name], prints[name]))
    beat("split")
    reads_frames = any(config.stage(name).parts for name in todo)
    segment_s = config.segment_s if config.decoder != "decord" else math.inf
    segments: list[Segment] = []
    checked = 0
    if reads_frames:
        segments, checked = plan_segments(source.uri, facts.measured, index, segment_s, config.video_limits)
    basis = [REPORT_VERSION, todo, prints, [asdict(s) for s in segments]]
    plan = sha256(json.dumps(basis).encode()).hexdigest()[:12]
    job = VideoJob(
        source=source,
        facts=facts,
        fingerprints=prints,
        keys=keys,
        todo=todo,
        folder=f"{bank.staging(source.video_id)}/{plan}",
        num_segments=len(segments) or 1,
    )
    about = {
        "video_id": source.video_id,
        "duration_s": facts.measured.duration_s,
        "segments": job.num_segments,
    }
    write_bytes_atomic(bank.fs, f"{job.folder}/plan.json", json.dumps(about).encode())
    names = set(list_names(bank.fs, job.folder))
    missing = [segment for segment in segments if _done_name(segment.index) not in names]
    todo_segments: list[Segment | None] = [*(missing or segments[:1])] or [None]
    jobs = tuple(SegmentJob(video=job, segment=segment) for segment in todo_segments)
    counts = {
        "videos_probed": 1,
        "frames_in_video": sum(segment.num_frames for segment in missing),
        "frames_decoded": checked + 1,
    }
    return Reply(results=jobs, counts=counts if missing else {"videos_probed": 1})


def _done_name(segment: int) -> str:
    return f"{segment:06d}.done.json"


def extract_segment(job: SegmentJob, settings: RunSettings) -> Reply:
    """Decode a segment once, feed every stage that is to run, and stage the parts.

    Gives the video on to the next step from the segment that completes it.
    """
    settings = settings.resident()
    bank = BankWriter.open(settings.bank)
    counts: dict[str, int] = {}
    done = f"{job.video.folder}/{_done_name(job.segment.index if job.segment else 0)}"
    if file_info(bank.fs, done) is None:
        report = _run_segment(job.video, job.segment, settings.config, bank) if job.segment else {}
        write_bytes_atomic(bank.fs, done, json.dumps(report).encode())
        counts = {key: value for key, value in report.items() if isinstance(value, int)}
    names = list_names(bank.fs, job.video.folder)
    complete = sum(name.endswith(".done.json") for name in names) == job.video.num_segments
    return Reply(results=(job.video,) if complete else (), counts=counts | {"segments": 1})


def _run_segment(video: VideoJob, segment: Segment, config: ExtractConfig, bank: BankWriter) -> dict:
    stages = [config.stage(name) for name in video.todo if config.stage(name).parts]
    stats = DecodeStats()
    taken()  # of a segment that failed
    with ExitStack() as stack:
        writers = {
            (stage.name, part): stack.enter_context(
                TableWriter(bank.fs, _part_path(video, segment.index, stage.name, part), schema, ROWS_PER_GROUP)
            )
            for stage in stages
            for part, schema in stage.parts.items()
        }
        buffers: dict[tuple[str, str], list[Row]] = {key: [] for key in writers}
        for key, row in _rows(video, segment, stages, config, stats):
            buffers[key].append(row)
            if len(buffers[key]) == ROWS_PER_WRITE:
                with counted_as("write"):
                    writers[key].write(buffers[key])
                buffers[key] = []
        switch("write")
        for key, rows in buffers.items():
            writers[key].write(rows)
    return taken() | {
        "frames_decoded": stats.frames_decoded,
        "pictures_converted": stats.pictures_converted,
        "frames_lost": stats.frames_lost,
        "holes": stats.holes,
        "error": stats.first_error,
        "error_at_s": stats.first_error_s,
    }


def _part_path(job: VideoJob, segment: int, stage: str, part: str) -> str:
    return f"{job.folder}/{segment:06d}.{stage}.{part.replace('/', '~')}.parquet"


def _rows(
    video: VideoJob, segment: Segment, stages: list[Stage], config: ExtractConfig, stats: DecodeStats
) -> Iterator[tuple[tuple[str, str], Row]]:
    """`((stage, part), row)` of all stages: those that read the file themselves, and then one decode for the others."""
    facts = video.facts
    for stage in stages:
        if not stage.reads_frames:
            beat(stage.name)
            for part, row in stage.read(facts.uri, facts.measured, segment, stats):
                beat(stage.name, row.get("at_s"))
                yield (stage.name, part), row
    if fed := [stage for stage in stages if stage.reads_frames]:
        yield from _rows_of_frames(video, segment, fed, config, stats)


def _rows_of_frames(
    video: VideoJob, segment: Segment, stages: list[Stage], config: ExtractConfig, stats: DecodeStats
) -> Iterator[tuple[tuple[str, str], Row]]:
    """`((stage, part), row)` of all stages over one decode of the segment."""
    facts = video.facts
    consumers: dict[str, FrameConsumer] = {}
    for stage in stages:
        beat(stage.name)
        consumers[stage.name] = stage.open(facts.measured, segment)
    beat("decode")
    shown = 0
    frames = decode(
        facts,
        segment,
        stats,
        backend=config.decoder,
        threads=config.decode_threads,
        limits=config.video_limits,
    )
    for frame in frames:
        inside = frame.pts < segment.end_pts
        shown += inside
        active = [name for name in consumers if inside or consumers[name].wants_more()]
        if not active:
            break
        for name in active:
            beat(name, frame.at_s)
            for part, row in consumers[name].feed(frame):
                yield (name, part), row
        beat("decode", frame.at_s)
    if shown == 0 and video.num_segments == 1:
        why = f": {stats.first_error}" if stats.first_error else ""
        raise DecodeError(f"{facts.uri!r}: none of {segment.num_frames} frames could be decoded{why}.")
    for name, consumer in consumers.items():
        beat(name)
        for part, row in consumer.finish():
            yield (name, part), row


def finish_stage(job: VideoJob, name: str, settings: RunSettings) -> Reply:
    """Run the video half of one stage and write its tables under their final names, not yet visible."""
    settings = settings.resident()
    if name not in job.todo:
        return Reply(results=(job,))
    bank, stage = BankWriter.open(settings.bank), settings.config.stage(name)
    beat(name)
    inputs = StagedInputs(bank, job, settings.config)
    try:
        files = _write_tables(bank, job, stage, stage.finish(job.facts.measured, inputs))
    except FileNotFoundError:
        if _is_published(bank, job):
            bank.clean_up(job.source.video_id)
            return Reply()
        raise
    return Reply(results=(replace(job, files=job.files + files),))


def _is_published(bank: BankWriter, job: VideoJob) -> bool:
    """Whether the bank holds the video already.

    Two segments that end at the same moment may both find it complete; the first to publish takes the
    staged parts away from the second, which may have staged notes of its own since.
    """
    row = bank.current_row(job.source.video_id)
    return (
        row is not None
        and row["status"] == "ok"
        and all(is_current(row, job.facts.measured, job.keys[name], job.fingerprints[name]) for name in job.keys)
    )


def _write_tables(
    bank: BankWriter, job: VideoJob, stage: Stage, results: Iterable[tuple[str, Rows]]
) -> tuple[DataFile, ...]:
    """Write each table as its rows come; a stage gives its tables one after another."""
    video_id, fingerprint = job.source.video_id, job.fingerprints[stage.name]

    def with_id(batches: Iterable[tuple[str, Rows]]) -> Iterator[list[Row] | pa.Table]:
        for _, rows in batches:
            beat(stage.name)
            if isinstance(rows, pa.RecordBatch):
                table = pa.Table.from_batches([rows])
                named = table.add_column(0, "video_id", pa.repeat(video_id, len(rows)))
            else:
                named = [{"video_id": video_id, **row} for row in rows]
            switch("write")
            yield named
            switch(stage.name)

    files = [
        bank.write_final(table, video_id, stage.key, fingerprint, with_id(batches))
        for table, batches in groupby(results, key=itemgetter(0))
    ]
    return tuple(file for file in files if file is not None)


class StagedInputs:
    """`FinishInputs` over the staged parts, or over what the bank holds of a stage that did not run again."""

    def __init__(self, bank: BankWriter, job: VideoJob, config: ExtractConfig) -> None:
        self._bank, self._job, self._config = bank, job, config

    def part(self, stage: str, name: str) -> Iterator[pa.RecordBatch]:
        schema = self._config.stage(stage).parts[name]
        if stage not in self._job.todo:
            yield from self._held(name).select(schema.names).cast(schema).to_batches(max_chunksize=ROWS_PER_READ)
            return
        for index in range(self._job.num_segments):
            path = _part_path(self._job, index, stage, name)
            with remote_errors(self._bank.fs, path), self._bank.fs.open_input_file(path) as source:
                yield from pq.ParquetFile(source).iter_batches(batch_size=ROWS_PER_READ)

    def table(self, name: str) -> pa.Table:
        written = [file for file in self._job.files if file.table == name]
        return self._read(name, written) if written else self._held(name)

    def _held(self, name: str) -> pa.Table:
        """What the bank holds of a table of this video, also where this job is about to replace it."""
        for attempts_left in (2, 1, 0):
            row = self._bank.current_row(self._job.source.video_id)
            files = [DataFile(**entry) for entry in (row["files"] if row else []) if entry["table"] == name]
            try:
                return self._read(name, files)
            except FileNotFoundError:  # `compact` has just merged the file: the row names another one now
                if not attempts_left:
                    raise
        raise AssertionError("not reached")

    def _read(self, name: str, files: list[DataFile]) -> pa.Table:
        reader = DataFileReader(self._bank.fs, self._bank.root)
        tables = [reader.read(file, [self._job.source.video_id]) for file in files]
        return pa.concat_tables([*tables, self._schema(name).empty_table()])

    def _schema(self, name: str) -> pa.Schema:
        dims = {f"features/{space}": dim for stage in self._config.stages for space, dim in stage.spaces.items()}
        return schema_of(name, dims.get(name))


def publish_video(job: VideoJob, settings: RunSettings) -> Reply:
    """Write the `videos` row: from here on the bank holds this video."""
    settings = settings.resident()
    bank = BankWriter.open(settings.bank)
    beat("publish")
    row = bank.current_row(job.source.video_id)
    try:
        reports = [json.loads(read_bytes(bank.fs, path)) for path in _reports(job)]
    except FileNotFoundError:
        if _is_published(bank, job):
            bank.clean_up(job.source.video_id)
            return Reply()
        raise
    found = unread(job.facts, reports) if reports[0] else _unread_before(row)
    if found.damage and settings.strict:
        raise DecodeError(f"{job.source.uri!r} is damaged: {found.damage}.")
    kept = kept_files(row, job)
    new = video_row(job, found, kept_stages(row, job))
    if not bank.commit(new, [*kept, *job.files]):
        return Reply()
    counts = {"videos_ok": 1, "milliseconds_of_video": round(1000 * job.facts.measured.duration_s)}
    counts |= {f"rows.{file.table}": file.rows for file in job.files}
    return Reply(counts=counts)


def _unread_before(row: VideoRow | None) -> Unread:
    """Of a video of which no frame was read this time."""
    old = row or {}
    return Unread(damage=old.get("damage"), gaps=old.get("gaps"))


def _reports(job: VideoJob) -> list[str]:
    return [f"{job.folder}/{_done_name(index)}" for index in range(job.num_segments)]


_recorded: dict[tuple[str, str], float] = {}
_recording = threading.Lock()


def record_failure(failure: Failure, settings: RunSettings) -> None:
    """Write the `videos` row of a video that failed; results it had before and its staged parts stay.

    Of several segments that fail, the earliest gives the reason, whichever fails first.
    """
    bank = BankWriter.open(settings.bank)
    key, at_s = (settings.run_id, failure.source.video_id), failure.at_s or 0.0
    with _recording:
        if at_s < _recorded.get(key, math.inf):
            row = bank.current_row(failure.source.video_id)
            bank.commit(failed_row(failure, row), kept_files(row, None), keep_staging=True)
            _recorded[key] = at_s
