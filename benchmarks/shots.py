"""How well the shot detectors find the hand-labelled cuts of a folder of videos.

    python -m benchmarks.shots --videos ../shared/videos [--grid] [--json] [--width PX]

Reads `cuts.csv` (video, frame, kind, last_frame, video_stream; frame numbers in decode order) and every
video of the folder; videos without a label have no cut and count for false alarms. Only the first video
stream is read, by the pipeline's own decoder and at the pipeline's own picture size.

Two scores, both one-to-one and at +-2 frames:
* hard: hits and misses of hard cuts. A prediction inside a fade or dissolve is neither hit nor false alarm.
* all: a fade or dissolve counts too, and is hit by one prediction inside it; a second one is a false alarm.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from extractors.shots.config import (
    LUMA_ONLY,
    AdaptiveConfig,
    ContentConfig,
    DetectorConfig,
    HashConfig,
    HistogramConfig,
    ShotConfig,
    ThresholdConfig,
)
from extractors.shots.cuts import find_cuts
from extractors.shots.scoring import FrameScorer, score_names
from pipeline.video.decode import decode
from pipeline.video.frames import DecodeStats
from pipeline.video.geometry import PictureSpec
from pipeline.video.probe import probe
from pipeline.video.segments import plan_segments

TOLERANCE_FRAMES = 2
_NOT_VIDEO = {".csv", ".md", ".txt", ""}


@dataclass(frozen=True, kw_only=True)
class Transition:
    """A labelled change of shot: frames first..last, both inclusive; the same frame for a hard cut."""

    kind: str
    first: int
    last: int

    def contains(self, frame: int) -> bool:
        return self.first - TOLERANCE_FRAMES <= frame <= self.last + TOLERANCE_FRAMES


@dataclass(frozen=True, kw_only=True)
class Tally:
    """Counts of a comparison; they add up over videos."""

    hits: int = 0
    misses: int = 0
    false_alarms: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            hits=self.hits + other.hits,
            misses=self.misses + other.misses,
            false_alarms=self.false_alarms + other.false_alarms,
        )

    @property
    def f1(self) -> float | None:
        """None where there was nothing to find and nothing was found."""
        total = 2 * self.hits + self.misses + self.false_alarms
        return 2 * self.hits / total if total else None


def compare(cuts: Iterable[int], transitions: Iterable[Transition]) -> tuple[Tally, Tally]:
    """(hard, all) tallies of one video, see the module docstring."""
    free = sorted(cuts)
    hard = [t for t in transitions if t.kind == "hard"]
    gradual = [t for t in transitions if t.kind != "hard"]
    hard_hits = sum(_take_nearest(free, cut) for cut in hard)
    stray = [f for f in free if not any(g.contains(f) for g in gradual)]
    hard_tally = Tally(hits=hard_hits, misses=len(hard) - hard_hits, false_alarms=len(stray))
    gradual_hits = sum(_take_nearest(free, change) for change in gradual)
    hits = hard_hits + gradual_hits
    return hard_tally, Tally(hits=hits, misses=len(hard) + len(gradual) - hits, false_alarms=len(free))


def _take_nearest(free: list[int], change: Transition) -> bool:
    inside = [f for f in free if change.contains(f)]
    if inside:
        free.remove(min(inside, key=lambda f: abs(f - change.first)))
    return bool(inside)


@dataclass(frozen=True, kw_only=True)
class ScoredVideo:
    """The per-frame scores of one video, with times as `find_cuts` takes them."""

    stamps: list[tuple[int, int]]
    """(frame index, pts)."""
    time_base: Fraction
    rate: Fraction
    names: tuple[str, ...]
    scores: np.ndarray
    score_s: float

    def cuts(self, config: ShotConfig) -> list[int]:
        columns = [self.names.index(name) for name in score_names(config)]
        return find_cuts(config, self.stamps, self.scores[:, columns], time_base=self.time_base, rate=self.rate)


def score_video(path: Path, config: ShotConfig) -> ScoredVideo:
    """Decode and score a video as the pipeline does."""
    facts, index = probe(str(path))
    whole = plan_segments(str(path), facts.measured, index, math.inf)[0][0]
    scorer = FrameScorer(config, at_video_start=True)
    spec = PictureSpec(format="bgr24", width_px=config.width_px)
    stamps: list[tuple[int, int]] = []
    rows: list[np.ndarray] = []
    score_s = 0.0
    for frame in decode(facts, whole, DecodeStats()):
        picture = frame.picture(spec)
        start = time.perf_counter()
        row = scorer.score(picture)
        score_s += time.perf_counter() - start
        assert row is not None  # at_video_start
        rows.append(row)
        stamps.append((frame.index, frame.pts))
    return ScoredVideo(
        stamps=stamps,
        time_base=facts.measured.clock.time_base,
        rate=Fraction(facts.measured.fps).limit_denominator(100_000),
        names=score_names(config),
        scores=np.array(rows),
        score_s=score_s,
    )


def read_transitions(cuts_csv: Path) -> dict[str, list[Transition]]:
    """Labels of the first video stream of each video, by its path in the folder."""
    by_video: dict[str, list[Transition]] = {}
    with cuts_csv.open(newline="") as file:
        for row in csv.DictReader(file):
            if row["video_stream"] == "0":
                change = Transition(kind=row["kind"], first=int(row["frame"]), last=int(row["last_frame"]))
                by_video.setdefault(row["video"], []).append(change)
    return by_video


def grid(width_px: int) -> dict[str, ShotConfig]:
    """Every detector at PySceneDetect's settings, combinations, and the steps to the default."""
    fades = ThresholdConfig(fade_bias=1.0)
    soft = AdaptiveConfig(weights=(1.0, 1.0, 1.0, 0.5))
    faint = replace(soft, adaptive_threshold=20.0, min_content_val=6.0)
    strong = replace(soft, adaptive_threshold=2.0, min_content_val=40.0)
    detectors: dict[str, tuple[DetectorConfig, ...]] = {
        "content": (ContentConfig(),),
        "adaptive": (AdaptiveConfig(),),
        "threshold (bias 0)": (ThresholdConfig(),),
        "threshold (bias 1)": (fades,),
        "histogram": (HistogramConfig(),),
        "hash": (HashConfig(),),
        "adaptive, luma only": (AdaptiveConfig(weights=LUMA_ONLY),),
        "adaptive, edges 1": (AdaptiveConfig(weights=(1.0, 1.0, 1.0, 1.0)),),
        "adaptive, edges 0.5 (soft)": (soft,),
        "adaptive + fades": (AdaptiveConfig(), fades),
        "soft + fades": (soft, fades),
        "soft + faint": (soft, faint),
        "soft + faint + strong": (soft, faint, strong),
        "default (soft + faint + strong + fades)": ShotConfig().detectors,
    }
    for ratio, least in product((2.5, 3.0, 3.5, 4.0, 5.0), (12.0, 15.0, 18.0)):
        other = replace(soft, adaptive_threshold=ratio, min_content_val=least)
        detectors[f"default, soft ratio {ratio:g} content {least:g}"] = (other, faint, strong, fades)
    for ratio, least in product((8.0, 12.0, 20.0, 40.0), (4.0, 6.0, 8.0)):
        other = replace(soft, adaptive_threshold=ratio, min_content_val=least)
        detectors[f"default, faint ratio {ratio:g} content {least:g}"] = (soft, other, strong, fades)
    for ratio, least in product((1.5, 2.0), (30.0, 40.0, 50.0)):
        other = replace(soft, adaptive_threshold=ratio, min_content_val=least)
        detectors[f"default, strong ratio {ratio:g} content {least:g}"] = (soft, faint, other, fades)
    return {name: ShotConfig(detectors=d, width_px=width_px) for name, d in detectors.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description="Shot detection against hand-labelled cuts.")
    parser.add_argument("--videos", type=Path, required=True, help="folder with videos and cuts.csv")
    parser.add_argument("--width", type=int, default=ShotConfig().width_px, help="analysis width in px")
    parser.add_argument("--grid", action="store_true", help="compare detectors and settings")
    parser.add_argument("--json", action="store_true", help="print JSON in place of tables")
    options = parser.parse_args()

    configs = grid(options.width) if options.grid else {"default": ShotConfig(width_px=options.width)}
    start = time.perf_counter()
    videos = _score_folder(options.videos, _all_scores(configs.values()))
    wall_s = time.perf_counter() - start
    transitions = read_transitions(options.videos / "cuts.csv")
    results = [_evaluate(name, config, videos, transitions) for name, config in configs.items()]
    frames = sum(len(video.stamps) for video in videos.values())
    score_s = sum(video.score_s for video in videos.values())
    speed = {
        "width_px": options.width,
        "frames": frames,
        "score_fps": round(frames / score_s),
        "decode_scale_score_fps": round(frames / wall_s),
    }
    if options.json:
        print(json.dumps({"speed": speed, "results": results}))
    else:
        _print_tables(results, speed)


def _all_scores(configs: Iterable[ShotConfig]) -> ShotConfig:
    """One configuration that computes every score any of the others needs."""
    configs = list(configs)
    detectors = tuple(dict.fromkeys(d for config in configs for d in config.detectors))
    return replace(configs[0], detectors=detectors)


def _score_folder(folder: Path, config: ShotConfig) -> dict[str, ScoredVideo]:
    paths = [p for p in sorted(folder.rglob("*")) if p.is_file() and p.suffix not in _NOT_VIDEO]
    return {p.relative_to(folder).as_posix(): score_video(p, config) for p in paths}


def _evaluate(
    name: str,
    config: ShotConfig,
    videos: dict[str, ScoredVideo],
    transitions: dict[str, list[Transition]],
) -> dict[str, Any]:
    hard, every = Tally(), Tally()
    clips = []
    for video_name, video in videos.items():
        changes = transitions.get(video_name, [])
        cuts = video.cuts(config)
        tallies = compare(cuts, changes)
        hard, every = hard + tallies[0], every + tallies[1]
        if cuts or changes:
            clips.append({"video": video_name, "cuts": cuts, **_report(*tallies)})
    return {"name": name, "num_videos": len(videos), **_report(hard, every), "clips": clips}


def _report(hard: Tally, every: Tally) -> dict[str, Any]:
    return {"hard": {**asdict(hard), "f1": hard.f1}, "all": {**asdict(every), "f1": every.f1}}


def _print_tables(results: list[dict[str, Any]], speed: dict[str, int]) -> None:
    if len(results) == 1:
        _print_table("video", "video", results[0]["clips"])
        print(f"(no cut labelled, none found in the other {results[0]['num_videos'] - len(results[0]['clips'])})\n")
    _print_table("configuration", "name", sorted(results, key=lambda r: -r["hard"]["f1"]))
    print(
        f"\n{speed['frames']} frames at width {speed['width_px']}: {speed['score_fps']} frames/s scored, "
        f"{speed['decode_scale_score_fps']} frames/s with decoding and scaling"
    )


def _print_table(title: str, key: str, rows: list[dict[str, Any]]) -> None:
    width = max(len(title), *(len(row[key]) for row in rows))
    print(f"{title:{width}}  {'hard cuts':>22}  {'all transitions':>22}")
    print(f"{'':{width}}  {'hit miss false   F1':>22}  {'hit miss false   F1':>22}")
    for row in rows:
        print(f"{row[key]:{width}}", *(_tally_text(row[score]) for score in ("hard", "all")), sep="  ")


def _tally_text(tally: dict[str, Any]) -> str:
    f1 = "    -" if tally["f1"] is None else f"{tally['f1']:.3f}"
    return f"{tally['hits']:>6} {tally['misses']:>4} {tally['false_alarms']:>5} {f1}"


if __name__ == "__main__":
    main()
