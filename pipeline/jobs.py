"""What travels between the transforms of a run. All of it is small: facts, places and counts, never frames."""

from dataclasses import dataclass, field

from pipeline.bank.writer import DataFile
from pipeline.video.probe import VideoFacts
from pipeline.video.segments import Segment


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoSource:
    """A video to process, as the input list gives it."""

    video_id: str
    uri: str
    bytes: int
    mtime_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoJob:
    """A probed video and what is to be done to it."""

    source: VideoSource
    facts: VideoFacts
    fingerprints: dict[str, str]
    """Of every stage of the run."""
    keys: dict[str, str]
    """Under what the bank files the results of every stage of the run."""
    todo: tuple[str, ...]
    """Stages whose results the bank does not hold yet."""
    folder: str
    """Staging folder of this plan, on the bank's filesystem."""
    num_segments: int
    files: tuple[DataFile, ...] = ()
    """Data files written for it so far."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SegmentJob:
    """One segment of a video; None where no stage has to read frames."""

    video: VideoJob
    segment: Segment | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """Why a video could not be processed."""

    source: VideoSource
    stage: str
    error_class: str
    message: str
    at_s: float | None = None
    facts: VideoFacts | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """What a step in a child gives back: results to pass on, and counts for Beam's counters."""

    results: tuple = ()
    counts: dict[str, int] = field(default_factory=dict)
