"""`plan`: what a corpus will cost, from really extracting excerpts of some of its videos.

Time is start-up once, a cost per video and a cost per second of video, which the workers share; bytes are a size per
video and a size per second. What a video costs whatever its length is the difference between a run on one copy of a
one-second excerpt and a run on several. Excerpts are drawn with a chance that grows with the length of their video, so
their mean cost is that of the corpus, and their spread says how far to trust it.
"""

import csv
import math
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scipy import stats

from pipeline.bank.inspect import inspect
from pipeline.config import ExtractConfig
from pipeline.errors import ConfigError, PipelineError, ProbeError
from pipeline.extract import extract
from pipeline.inputs import find_videos
from pipeline.video.excerpt import copy_excerpt
from pipeline.video.limits import VideoLimits
from pipeline.video.probe import read_header
from pipeline.video.source import local_path

SHORTEST_S = 1.0
"""Least length of the excerpt that shows what a run and a video cost before anything is looked at."""

COPIES = 5
"""Of that excerpt, in the run that tells the cost of a video from the cost of a run."""

WHOLE_UP_TO_S = 60.0
"""Videos up to this length whose packets cannot be copied are extracted whole."""

CONFIDENCE = 0.9
LEAST_SAMPLES = 2
"""One excerpt says nothing of the spread."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A value with the interval that holds it with a chance of 90 %, if the sample stands for the corpus."""

    value: float
    low: float
    high: float

    def times(self, factor: float, plus: float = 0.0) -> "Estimate":
        """Scaled and shifted."""
        return Estimate(value=self.value * factor + plus, low=self.low * factor + plus, high=self.high * factor + plus)


@dataclass(frozen=True, kw_only=True)
class Excerpt:
    """What the seconds of one excerpt cost one worker, without start-up and what a video of any length costs."""

    video_id: str
    start_s: float
    seconds: float
    wall_s: float
    bytes: int


@dataclass(frozen=True, kw_only=True)
class _Cost:
    wall_s: float
    bytes: int


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The estimate for a corpus, and what it was measured on."""

    videos: int
    video_hours: float
    """By the headers; videos without a duration are taken to be as long as the others."""
    unreadable: dict[str, str]
    """Videos that do not open, with the reason; they will fail and are in no figure."""
    no_duration: int
    workers: int
    hours: Estimate
    gpu_hours: Estimate | None
    """Hours during which the device is held; None on a CPU."""
    bytes: Estimate
    start_up_s: float
    video_s: float
    """Seconds of one worker for a video, whatever its length."""
    cost_s: Estimate
    """Seconds of one worker for a second of video."""
    sample: tuple[Excerpt, ...]
    not_sampled: dict[str, str]
    """Videos that were drawn and could not be extracted, with the reason."""


def plan(
    inputs: Sequence[str],
    config: ExtractConfig,
    *,
    workers: int,
    on_gpu: bool,
    samples: int = 5,
    sample_s: float = 20.0,
    seed: int = 0,
) -> Plan:
    """Estimate the cost of `extract` on `inputs`, which are read like its own.

    Args:
        workers: of the run to plan; excerpts are measured with one, and workers are taken to share the work evenly.
        samples: excerpts to extract, at least two.
        sample_s: seconds of each.
    Raises:
        InputError: no video. ConfigError: fewer than two samples, or of no length. PipelineError: fewer than two could
            be extracted.
    """
    if samples < LEAST_SAMPLES:
        raise ConfigError(f"--samples must be at least {LEAST_SAMPLES}: got {samples}.")
    if not 0 < sample_s < math.inf:
        raise ConfigError(f"--sample-s must be a number of seconds above 0: got {sample_s:g}.")
    uris = {video.video_id: video.uri for video in find_videos(inputs).videos}
    known, unreadable, no_duration = _durations(uris, config.video_limits)
    if not known:
        raise PipelineError(f"None of {len(uris)} videos can be opened with a duration. longform probe VIDEO says why.")
    mean_s = statistics.fmean(known.values())
    total_s = sum(known.values()) + mean_s * len(no_duration)
    measured = _Measured(uris, known, config, sample_s, random.Random(seed))
    measured.take(samples)
    cost = _estimate([excerpt.wall_s / excerpt.seconds for excerpt in measured.sample])
    size = _estimate([excerpt.bytes / excerpt.seconds for excerpt in measured.sample])
    count = len(uris) - len(unreadable)
    fixed_s = measured.start_up_s + count * measured.per_video.wall_s / workers
    hours = cost.times(total_s / workers / 3600, plus=fixed_s / 3600)
    return Plan(
        videos=len(uris),
        video_hours=total_s / 3600,
        unreadable=unreadable,
        no_duration=len(no_duration),
        workers=workers,
        hours=hours,
        gpu_hours=hours if on_gpu else None,
        bytes=size.times(total_s, plus=count * measured.per_video.bytes),
        start_up_s=measured.start_up_s,
        video_s=measured.per_video.wall_s,
        cost_s=cost,
        sample=tuple(measured.sample),
        not_sampled=measured.refused,
    )


def _durations(uris: dict[str, str], limits: VideoLimits) -> tuple[dict[str, float], dict[str, str], list[str]]:
    """Seconds of each video by its header; why others do not open; those that do not say."""
    known: dict[str, float] = {}
    unreadable: dict[str, str] = {}
    silent: list[str] = []
    for video_id, uri in uris.items():
        try:
            duration = read_header(uri, limits).duration_s
        except (ProbeError, OSError) as error:
            unreadable[video_id] = str(error)
            continue
        if duration is not None and 0 < duration < math.inf:
            known[video_id] = duration
        else:
            silent.append(video_id)
    return known, unreadable, silent


def _estimate(values: list[float]) -> Estimate:
    """Mean and its interval by Student's t."""
    mean = statistics.fmean(values)
    quantile = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1))
    half = quantile * statistics.stdev(values) / math.sqrt(len(values))
    return Estimate(value=mean, low=max(0.0, mean - half), high=mean + half)


class _Measured:
    """Excerpts drawn from a corpus and extracted one by one."""

    def __init__(
        self,
        uris: dict[str, str],
        durations: dict[str, float],
        config: ExtractConfig,
        sample_s: float,
        rng: random.Random,
    ) -> None:
        self._uris, self._durations, self._config, self._rng = uris, durations, config, rng
        self._sample_s = sample_s
        self.sample: list[Excerpt] = []
        self.refused: dict[str, str] = {}
        self.start_up_s = 0.0
        self.per_video = _Cost(wall_s=0.0, bytes=0)

    def take(self, count: int) -> None:
        """Measure what runs and videos cost in themselves, then `count` excerpts; a video that fails is drawn once."""
        self._set_base()
        while len(self.sample) < count and (left := self._left()):
            drawn = self._rng.choices(left, weights=[self._durations[video_id] for video_id in left])[0]
            start_s = self._rng.uniform(0.0, max(0.0, self._durations[drawn] - self._sample_s))
            try:
                self.sample.append(self._measure(drawn, start_s))
            except PipelineError as error:
                self.refused[drawn] = str(error)
        if len(self.sample) < LEAST_SAMPLES:
            raise PipelineError(
                f"{len(self.sample)} excerpts could be extracted, {LEAST_SAMPLES} are needed. "
                f"{next(iter(self.refused.values()))}"
            )

    def _set_base(self) -> None:
        for video_id in self._rng.sample(sorted(self._durations), len(self._durations)):
            with tempfile.TemporaryDirectory(prefix="longform-plan-") as folder:
                try:
                    path, _, _ = self._excerpt(video_id, Path(folder), 0.0, SHORTEST_S)
                    one, several = (self._extract(path, copies) for copies in (1, COPIES))
                except PipelineError as error:
                    self.refused[video_id] = str(error)
                    continue
            wall_s, size = (several.wall_s - one.wall_s) / (COPIES - 1), (several.bytes - one.bytes) / (COPIES - 1)
            self.per_video = _Cost(wall_s=max(0.0, wall_s), bytes=max(0, round(size)))
            self.start_up_s = max(0.0, one.wall_s - self.per_video.wall_s)
            return
        raise PipelineError(f"No excerpt could be extracted. {next(iter(self.refused.values()))}")

    def _left(self) -> list[str]:
        return [video_id for video_id in self._durations if video_id not in self.refused]

    def _measure(self, video_id: str, start_s: float) -> Excerpt:
        with tempfile.TemporaryDirectory(prefix="longform-plan-") as folder:
            path, start_s, seconds = self._excerpt(video_id, Path(folder), start_s, self._sample_s)
            cost = self._extract(path, 1)
        return Excerpt(
            video_id=video_id,
            start_s=start_s,
            seconds=seconds,
            wall_s=max(0.0, cost.wall_s - self.start_up_s - self.per_video.wall_s),
            bytes=max(0, cost.bytes - self.per_video.bytes),
        )

    def _extract(self, path: Path, copies: int) -> _Cost:
        """A run on several copies of a video, with one worker into a bank of its own."""
        with tempfile.TemporaryDirectory(prefix="longform-plan-") as folder:
            listed = Path(folder, "videos.csv")
            with listed.open("w", newline="", encoding="utf-8") as file:
                rows = csv.writer(file)
                rows.writerow(("video_id", "uri"))
                rows.writerows((str(copy), str(path)) for copy in range(copies))
            began = time.monotonic()
            report = extract([str(listed)], f"{folder}/bank", self._config, workers=1, quiet=True)
            wall_s = time.monotonic() - began
            if report.failures:
                raise PipelineError(report.failures[0]["error"])
            return _Cost(wall_s=wall_s, bytes=inspect(f"{folder}/bank")["bytes"])

    def _excerpt(self, video_id: str, folder: Path, start_s: float, seconds: float) -> tuple[Path, float, float]:
        """A file with the excerpt, where it begins, and its length; else the whole video if it is short."""
        uri, path, limits = self._uris[video_id], folder / "excerpt.mkv", self._config.video_limits
        reasons = []
        for begin in (start_s, 0.0):
            try:
                return path, begin, copy_excerpt(uri, path, start_s=begin, seconds=seconds, limits=limits)
            except ProbeError as error:
                reasons.append(error)
        whole = local_path(uri)
        if whole is None or self._durations[video_id] > WHOLE_UP_TO_S:
            raise reasons[-1]
        return whole, 0.0, self._durations[video_id]
