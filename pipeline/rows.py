"""The `videos` row: what it says of a video that worked, of one that failed, and what it keeps of before."""

from dataclasses import dataclass
from typing import Any

from pipeline.bank.schema import FEATURES
from pipeline.bank.writer import DataFile
from pipeline.jobs import Failure, VideoJob
from pipeline.video.frames import Hole
from pipeline.video.probe import MeasuredFacts, VideoFacts

VideoRow = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Unread:
    """What of a video that is kept could not be read; None and None of a whole one."""

    damage: str | None
    """A sentence."""
    gaps: list[dict] | None
    """Spans of time without pictures, as column `gaps` has them."""


def printable(text: str) -> str:
    """`text` as valid UTF-8: bytes of a file name that are none are shown as `\\xff`."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def committed_fingerprints(row: VideoRow | None) -> dict[str, str]:
    """Fingerprint of what the bank holds of a video, by the key of the stage."""
    return {entry["stage"]: entry["fingerprint"] for entry in row["stages"]} if row else {}


def is_current(row: VideoRow | None, measured: MeasuredFacts, key: str, fingerprint: str) -> bool:
    """Whether the bank holds this result of the stage with that key, for this content of the video."""
    same_source = row is not None and row["source_sha256"] == measured.sha256
    return same_source and committed_fingerprints(row).get(key) == fingerprint


def _replaced(row: VideoRow | None, job: VideoJob | None) -> set[str]:
    """Keys of the old results that a finished job replaces: of stages it ran, or all when the file has changed."""
    if row is None or job is None:
        return set()
    if row["source_sha256"] != job.facts.measured.sha256:
        return set(committed_fingerprints(row))
    return {job.keys[name] for name in job.todo}


def kept_files(row: VideoRow | None, job: VideoJob | None) -> list[DataFile]:
    """Data files of the old row that stay valid beside what `job` wrote (all of them without a job).

    A space has the rows of one stage: those of another, such as an import, give way to what `job` wrote.
    """
    replaced = _replaced(row, job)
    spaces = {file.table for file in job.files if file.table.startswith(FEATURES)} if job else set()
    files = [DataFile(**entry) for entry in (row["files"] if row else [])]
    return [file for file in files if file.stage not in replaced and file.table not in spaces]


def kept_stages(row: VideoRow | None, job: VideoJob) -> dict[str, str]:
    """Fingerprints the new row lists: those that stay, and those of this run."""
    replaced = _replaced(row, job)
    stays = {stage: print for stage, print in committed_fingerprints(row).items() if stage not in replaced}
    return stays | {job.keys[name]: fingerprint for name, fingerprint in job.fingerprints.items()}


def video_row(job: VideoJob, unread: Unread, stages: dict[str, str]) -> VideoRow:
    """The row of a video whose stages are all done."""
    return {
        **_source(job.source.video_id, job.source.uri, job.source.mtime_s),
        **_facts(job.facts),
        "status": "ok",
        "damage": unread.damage,
        "gaps": unread.gaps,
        "stages": [{"stage": name, "fingerprint": stages[name]} for name in sorted(stages)],
    }


def failed_row(failure: Failure, old: VideoRow | None) -> VideoRow:
    """The row of a video that failed. What the bank held of it before stays listed."""
    return {
        **_source(failure.source.video_id, failure.source.uri, failure.source.mtime_s),
        **(_facts(failure.facts) if failure.facts else {"source_bytes": failure.source.bytes}),
        "status": "failed",
        "error_stage": failure.stage,
        "error_class": failure.error_class,
        "error_at_s": failure.at_s,
        "error_message": printable(failure.message),
        "stages": old["stages"] if old else [],
    } | ({"source_sha256": old["source_sha256"]} if old and old["stages"] else {})


def _source(video_id: str, uri: str, mtime_s: float) -> VideoRow:
    return {"video_id": video_id, "uri": printable(uri), "source_mtime_s": mtime_s}


def _facts(facts: VideoFacts) -> VideoRow:
    measured, geometry = facts.measured, facts.measured.geometry
    height, width = geometry.display_hw
    return {
        "duration_s": measured.duration_s,
        "width": width,
        "height": height,
        "num_frames": measured.num_frames,
        "fps": measured.fps,
        "container": facts.header.container,
        "codec": facts.header.codec,
        "pixel_format": measured.pixel_format,
        "rotation_deg": geometry.rotation_deg,
        "pixel_aspect": float(geometry.pixel_aspect),
        "is_vfr": measured.is_vfr,
        "start_pts": measured.clock.start_pts,
        "time_base_num": measured.clock.time_base.numerator,
        "time_base_den": measured.clock.time_base.denominator,
        "source_bytes": measured.bytes,
        "source_sha256": measured.sha256,
    }


def unread(facts: VideoFacts, reports: list[dict]) -> Unread:
    """What of a video could not be read, from the reports of its segments."""
    return Unread(damage=_damage(facts, reports), gaps=_gaps(facts, reports) or None)


def _damage(facts: VideoFacts, reports: list[dict]) -> str | None:
    lost = sum(report["frames_lost"] for report in reports)
    errors = [(report["error_at_s"], report["error"]) for report in reports if report["error"]]
    sentences = []
    if lost:
        sentences.append(f"{lost} of {facts.measured.num_frames} frames could not be decoded")
    if missing_s := _cut_off_s(facts):
        sentences.append(f"the file ends {missing_s:.1f} s before the end its header gives")
    if errors:
        at_s, message = errors[0]
        sentences.append(f"first error{f' at {at_s:.3f} s' if at_s is not None else ''}: {message}")
    return "; ".join(sentences) or None


def _cut_off_s(facts: VideoFacts) -> float:
    """Seconds that the header promises behind the last frame, where they are more than a matter of rounding."""
    missing_s = (facts.header.duration_s or 0.0) - facts.measured.duration_s
    return missing_s if missing_s > max(1.0, 0.02 * facts.measured.duration_s) else 0.0


def _gaps(facts: VideoFacts, reports: list[dict]) -> list[dict]:
    """Holes of all segments; one that goes on in the next segment is one gap, as in an unsplit run."""
    joined: list[Hole] = []
    for hole in sorted(Hole(*values) for report in reports for values in report["holes"]):
        if joined and hole.start_pts <= joined[-1].end_pts:
            last = joined.pop()
            hole = Hole(last.start_pts, max(last.end_pts, hole.end_pts), last.frames + hole.frames)
        joined.append(hole)
    seconds, duration_s = facts.measured.clock.seconds, facts.measured.duration_s
    gaps: list[dict] = [
        {"start_s": seconds(hole.start_pts), "end_s": seconds(hole.end_pts), "frames": hole.frames} for hole in joined
    ]
    if missing_s := _cut_off_s(facts):
        gaps.append({"start_s": duration_s, "end_s": duration_s + missing_s, "frames": None})
    return gaps
