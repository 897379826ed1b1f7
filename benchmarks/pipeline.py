"""What a run costs beyond its decoder and extractors, what memory it needs, and what a second worker brings.

    python -m benchmarks.pipeline [--part overhead|memory|workers|all] [--json FILE] [--videos DIR]

Runs `longform extract` with the preset `hoghof` as users do, in a process of its own, on generated videos
that are looped to the length wanted; `--videos` adds real clips to the part `overhead`.

overhead  A run with one worker, not split, beside bare loops over the same video in one process: PyAV decoding
          and nothing else; the conversions; each extractor called on pictures made beforehand. Overhead is the
          time of the run over the sum of these, less 1: with start-up, without it, and in processor time of
          all processes, which says the same on a machine that others use too. Start-up is a run on one frame.
memory    Peak resident memory of a worker and of the driver as a video grows, in segments and not split. The
          clip has 640x360 at 5 frames/s, so that an hour takes a minute; `--full` takes 25 frames/s, `--hours 3`
          adds a 3-hour video.
workers   Time of two workers beside that of one, on a long video in segments of 30 s and on many short ones.

Repeated runs are interleaved. Times are medians, and an overhead is the median of those of each round, since
the load of a shared machine changes from round to round.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np
import psutil
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from rich.console import Console
from rich.table import Table

from extractors.clips.hoghof import HogHof, HogHofConfig
from extractors.detectors.hog import HogPersonDetector
from extractors.shots.config import ShotConfig
from extractors.shots.cuts import find_cuts
from extractors.shots.scoring import FrameScorer
from extractors.tracking.appearance import hsv_stripes
from extractors.tracking.linker import Linker
from pipeline.features.people import PeopleConfig
from pipeline.sample.film import shoot
from pipeline.sample.remux import loop_video
from pipeline.sample.samples import street_film
from pipeline.video.geometry import Geometry, PictureSpec
from pipeline.video.probe import MeasuredFacts, probe

REAL_CLIPS = ("v_GGSY1Qvo990.mp4", "one-by-one-person-detection.mp4", "juggle.mp4", "slides_talk.mp4")
CHUNK_FRAMES = 25
UNSPLIT_S = 1e9
SEGMENT_S = 120.0
PEAK_POLL_S = 0.05
SHORT_CLIPS = 12

Results = dict[str, Any]


# --- a run of `longform extract` -------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run of the command in a process of its own."""

    wall_s: float
    """From the start of the process to its end."""
    cpu_s: float
    """Processor time of the driver and its workers."""
    driver_mb: float
    """Most resident memory of the driver."""
    report: Results
    """`ExtractReport` as the command prints it."""

    @property
    def counters(self) -> dict[str, int]:
        """Beam's counters of the run."""
        return self.report["counters"]


def extract(source: Path, *, workers: int = 1, segment_s: float = UNSPLIT_S) -> Run:
    """Make a new bank from `source`, and throw it away."""
    with tempfile.TemporaryDirectory() as folder, open(Path(folder) / "report.json", "w+") as output:
        command = [sys.executable, "-m", "pipeline.cli", "extract", str(source), "--bank", f"{folder}/bank"]
        command += ["--preset", "hoghof", "--workers", str(workers), "--segment-s", str(segment_s), "--quiet", "--json"]
        cpu_before, began = _cpu_of_children(), time.perf_counter()
        driver = subprocess.Popen(command, stdout=output)
        peak = _watch(driver)
        wall_s = time.perf_counter() - began
        if driver.returncode:
            raise SystemExit(f"benchmarks.pipeline: `{' '.join(command)}` ended with {driver.returncode}.")
        output.seek(0)
        cpu_s = _cpu_of_children() - cpu_before
        return Run(wall_s=wall_s, cpu_s=cpu_s, driver_mb=peak / 2**20, report=json.load(output))


def _watch(driver: subprocess.Popen) -> int:
    """Wait for the end of a process; its most resident memory in bytes."""
    process, peak = psutil.Process(driver.pid), 0
    while True:
        try:
            driver.wait(PEAK_POLL_S)
            return peak
        except subprocess.TimeoutExpired:
            peak = max(peak, process.memory_info().rss)


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


# --- the bare loops --------------------------------------------------------------------------------------------


@dataclass
class Stopwatch:
    """Wall and processor seconds by name."""

    wall_s: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    cpu_s: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.wall_s[name] += time.perf_counter() - wall
        self.cpu_s[name] += time.process_time() - cpu


@dataclass(frozen=True, kw_only=True)
class Sampled:
    """Frames that the stages of the preset look at, by index."""

    people: frozenset[int]
    clip_starts: frozenset[int]
    clips: frozenset[int]

    @classmethod
    def of(cls, measured: MeasuredFacts, pts: list[int]) -> Sampled:
        """As the stages decide it, by timestamps."""

        def on_grid(rate: float) -> frozenset[int]:
            grid = Fraction(rate).limit_denominator(1000)
            before = [None, *pts]
            pairs = enumerate(zip(pts, before, strict=False))
            return frozenset(i for i, (now, last) in pairs if measured.clock.starts_grid_step(now, last, grid))

        hoghof = HogHofConfig()
        starts = on_grid(1 / hoghof.hop_s)
        return cls(people=on_grid(PeopleConfig().rate_hz), clip_starts=starts, clips=starts | on_grid(hoghof.sample_hz))


def bare(path: Path) -> Results:
    """Seconds of bare decoding, of the conversions, and of each extractor called directly."""
    facts, index = probe(str(path))
    watch, measured = Stopwatch(), facts.measured
    sampled = Sampled.of(measured, index.pts.tolist())
    with watch("decode"):
        frames = sum(1 for _ in _frames(path))
    if frames != measured.num_frames:
        raise SystemExit(f"benchmarks.pipeline: {path} has {measured.num_frames} frames, PyAV gives {frames}.")
    shots, people, clips = _BareShots(), _BarePeople(), _BareClips(sampled.clip_starts)
    make = {name: _converter(measured.geometry, part.spec)
            for name, part in (("shots", shots), ("people", people), ("clips", clips))}  # fmt: skip
    decoder, first = _frames(path), 0
    while chunk := list(islice(decoder, CHUNK_FRAMES)):
        numbered = list(enumerate(chunk, start=first))
        with watch("convert"):
            for_shots = [make["shots"](frame) for _, frame in numbered]
            for_people = [(i, make["people"](frame)) for i, frame in numbered if i in sampled.people]
            for_clips = [(i, make["clips"](frame)) for i, frame in numbered if i in sampled.clips]
        with watch("shots"):
            shots.look(for_shots)
        with watch("people"):
            people.look(for_people)
        with watch("clips"):
            clips.look([(measured.clock.seconds(int(index.pts[i])), i, picture) for i, picture in for_clips])
        first += len(chunk)
    with watch("shots"):
        cuts = shots.cuts(measured, index.pts.tolist())
    with watch("tracks"):
        people.link(measured, index.pts.tolist(), cuts)
    return {"frames": frames, "wall_s": dict(watch.wall_s), "cpu_s": dict(watch.cpu_s)}


def _frames(path: Path) -> Iterator[VideoFrame]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        stream.thread_type = "NONE"
        yield from container.decode(stream)


def _converter(geometry: Geometry, spec: PictureSpec) -> Callable[[VideoFrame], np.ndarray]:
    height, width = geometry.scaled_hw(spec)
    shrinks = (height, width) != geometry.stored_hw
    how = Interpolation.AREA if shrinks else Interpolation.BILINEAR
    scaler = VideoReformatter()

    def convert(frame: VideoFrame) -> np.ndarray:
        scaled = scaler.reformat(
            frame, width=width, height=height, format=spec.format, interpolation=how, threads=1
        )  # fmt: skip
        return geometry.upright(scaled.to_ndarray())

    return convert


class _BareShots:
    def __init__(self) -> None:
        self._config = ShotConfig()
        self.spec = PictureSpec(format="bgr24", width_px=self._config.width_px)
        self._scorer = FrameScorer(self._config, at_video_start=True)
        self._scores: list[np.ndarray] = []

    def look(self, pictures: list[np.ndarray]) -> None:
        self._scores += [scores for picture in pictures if (scores := self._scorer.score(picture)) is not None]

    def cuts(self, measured: MeasuredFacts, pts: list[int]) -> list[int]:
        rate = Fraction(measured.fps).limit_denominator(100_000)
        base = measured.clock.time_base
        return find_cuts(self._config, enumerate(pts), self._scores, time_base=base, rate=rate)


class _BarePeople:
    def __init__(self) -> None:
        config = PeopleConfig().hog
        self.spec = PictureSpec(format="rgb24", short_side_px=config.short_side_px)
        self._detector = HogPersonDetector(config)
        self._found: list[tuple] = []

    def look(self, pictures: list[tuple[int, np.ndarray]]) -> None:
        for i, picture in pictures:
            people = self._detector.detect(picture)
            self._found.append((i, people, hsv_stripes(picture, people.boxes)))

    def link(self, measured: MeasuredFacts, pts: list[int], cuts: list[int]) -> None:
        height, width = measured.geometry.display_hw
        linker = Linker(frame_aspect=width / height)
        for i, people, looks in self._found:
            at_s = measured.clock.seconds(pts[i])
            shot = bisect_right(cuts, i)
            linker.step(at_s, shot, people.boxes, people.classes, looks, scores=people.scores)


class _BareClips:
    """Clips that do not overlap, as in the preset."""

    def __init__(self, starts: frozenset[int]) -> None:
        self._config = HogHofConfig()
        self.spec = PictureSpec(format="gray", short_side_px=self._config.short_side_px)
        self._starts, self._hoghof = starts, HogHof(self._config)
        self._cells: list[tuple[float, np.ndarray]] = []
        self._began_s = 0.0
        self._last: tuple[np.ndarray, float]

    def look(self, pictures: list[tuple[float, int, np.ndarray]]) -> None:
        for at_s, i, gray in pictures:
            if i in self._starts:
                if self._cells:
                    self._hoghof.describe(self._cells)
                self._began_s, self._cells = at_s, [(0.0, self._hoghof.cells(None, gray))]
            else:
                cells = self._hoghof.cells(self._last[0], gray, at_s - self._last[1])
                self._cells.append((at_s - self._began_s, cells))
            self._last = (gray, at_s)


# --- the parts -------------------------------------------------------------------------------------------------


def overhead(name: str, video: Path, one_frame: Path, rounds: int) -> Results:
    """The run against the bare loops, in turns."""
    rounds_of = []
    for _ in range(rounds):
        loop = _bare_in_a_process(video)
        rounds_of.append((extract(video), extract(one_frame), loop))
    walls = [(run.wall_s, start.wall_s, sum(loop["wall_s"].values())) for run, start, loop in rounds_of]
    cpus = [(run.cpu_s, start.cpu_s, sum(loop["cpu_s"].values())) for run, start, loop in rounds_of]
    parts = {part: _median(loop["wall_s"][part] for _, _, loop in rounds_of) for part in rounds_of[0][2]["wall_s"]}
    first, _, loop = rounds_of[0]
    names = [key for key in first.counters if key.startswith("ms.")]
    steps = {key[3:]: _median(run.counters[key] / 1000 for run, _, _ in rounds_of) for key in names}
    video_s = 3600 * first.report["hours"]
    return {
        "video": name, "video_s": video_s, "frames": loop["frames"], "rounds": rounds, "bare": parts, "steps_s": steps,
        **{f"{what}_s": _median(wall[i] for wall in walls) for i, what in enumerate(("wall", "startup", "bare"))},
        **{f"{what}_cpu_s": _median(cpu[i] for cpu in cpus) for i, what in enumerate(("run", "startup", "bare"))},
        "overhead": _median(run / loop - 1 for run, _, loop in walls),
        "overhead_without_startup": _median((run - start) / loop - 1 for run, start, loop in walls),
        "overhead_cpu": _median(run / loop - 1 for run, _, loop in cpus),
        "overhead_cpu_without_startup": _median((run - start) / loop - 1 for run, start, loop in cpus),
        "real_time_factor": video_s / _median(wall[0] for wall in walls),
        "frames_decoded": first.counters["frames_decoded"], "frames_in_video": first.counters["frames_in_video"],
    }  # fmt: skip


def _bare_in_a_process(video: Path) -> Results:
    command = [sys.executable, "-m", "benchmarks.pipeline", "--bare", str(video)]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)


def _median(values: Iterator[float]) -> float:
    return statistics.median(values)


def memory(clip: Path, folder: Path, lengths_min: list[float]) -> list[Results]:
    """Peak memory for videos of each length, cut in segments as by default and not cut."""
    results = []
    for minutes in lengths_min:
        video = folder / f"{minutes:g}min.mp4"
        loop_video(clip, video, min_seconds=60 * minutes)
        row: Results = {"minutes": minutes}
        for way, segment_s in (("split", SEGMENT_S), ("unsplit", UNSPLIT_S)):
            run = extract(video, segment_s=segment_s)
            row[way] = {"worker_mb": run.counters["max.worker_rss_mb"], "driver_mb": round(run.driver_mb)}
            row["video_s"] = 3600 * run.report["hours"]
        results.append(row)
        video.unlink()
    return results


def speedup(name: str, source: Path, one_frame: Path, rounds: int) -> Results:
    """Time of one worker over that of two, in turns."""
    runs: dict[int, list[Run]] = {1: [], 2: []}
    starts: dict[int, list[Run]] = {1: [], 2: []}
    for _ in range(rounds):
        for workers in (1, 2):
            runs[workers].append(extract(source, workers=workers, segment_s=30))
            starts[workers].append(extract(one_frame, workers=workers))
    wall = {workers: _median(run.wall_s for run in runs[workers]) for workers in runs}
    work = {workers: wall[workers] - _median(run.wall_s for run in starts[workers]) for workers in runs}
    counters = runs[2][0].counters
    return {
        "input": name, "videos": runs[2][0].report["videos"], "segments": counters["segments"],
        "wall_s": wall, "speedup": wall[1] / wall[2], "speedup_without_startup": work[1] / work[2],
        "frames_decoded_ratio": counters["frames_decoded"] / counters["frames_in_video"],
    }  # fmt: skip


# --- videos ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Videos:
    """The generated videos, in a folder that goes away."""

    folder: Path

    def street(self, fps: int = 25) -> Path:
        """Forty seconds of people in seven places, 640x360."""
        path = self.folder / f"street{fps}.mp4"
        if not path.exists():
            shoot(replace(street_film(seconds=40.0), fps=Fraction(fps)), path)
        return path

    def one_frame(self) -> Path:
        """The shortest video there is."""
        path = self.folder / "one_frame.mp4"
        if not path.exists():
            film = street_film(seconds=1.0)
            shoot(replace(film, fps=Fraction(1)), path)
        return path

    def looped(self, clip: Path, minutes: float) -> Path:
        """`clip` again and again."""
        path = self.folder / f"long_{clip.stem}.mp4"
        loop_video(clip, path, min_seconds=60 * minutes)
        return path

    def many(self) -> Path:
        """A folder of short videos."""
        folder = self.folder / "many"
        folder.mkdir()
        for number in range(SHORT_CLIPS):
            loop_video(self.street(), folder / f"{number:02}.mp4", times=1)
        return folder


# --- the program -----------------------------------------------------------------------------------------------


def measure_overhead(videos: Videos, options: argparse.Namespace) -> list[Results]:
    """The generated video, and real clips where their folder was given."""
    clips = [videos.street()]
    if options.videos:
        clips += [options.videos / name for name in REAL_CLIPS if (options.videos / name).exists()]
    results = []
    for clip in clips:
        video = videos.looped(clip, options.minutes)
        results.append(overhead(clip.stem, video, videos.one_frame(), options.rounds))
        video.unlink()
    return results


def measure_memory(videos: Videos, options: argparse.Namespace) -> list[Results]:
    """1 to 30 minutes, and the hours asked for."""
    lengths = [1, 3, 10, 30, *([60 * options.hours] if options.hours else [])]
    return memory(videos.street(25 if options.full else 5), videos.folder, lengths)


def measure_workers(videos: Videos, options: argparse.Namespace) -> list[Results]:
    """One long video, and many short ones."""
    start = videos.one_frame()
    return [
        speedup("one long video", videos.looped(videos.street(), options.minutes), start, options.rounds),
        speedup("many short videos", videos.many(), start, options.rounds),
    ]


PARTS: dict[str, Callable[[Videos, argparse.Namespace], list[Results]]] = {
    "overhead": measure_overhead,
    "memory": measure_memory,
    "workers": measure_workers,
}


def show(part: str, results: list[Results]) -> None:
    """Print the tables of a part."""
    console = Console(width=150, highlight=False)
    for table in {"overhead": _overhead_tables, "memory": _memory_tables, "workers": _worker_tables}[part](results):
        console.print(table)
        console.print()


def _table(title: str, *columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", title=title, title_justify="left", title_style="")
    for i, column in enumerate(columns):
        table.add_column(column, justify="right" if i else "left")
    return table


def _overhead_tables(results: list[Results]) -> Iterator[Table]:
    table = _table("Overhead: `longform extract`, 1 worker, beside bare decoding and extractors", "video", "length",
                   "run s", "bare s", "start-up s", "overhead", "without start-up", "processor time",
                   "without start-up", "x real time")  # fmt: skip
    for row in results:
        table.add_row(row["video"], f"{row['video_s']:.0f} s", *(f"{row[k]:.2f}" for k in ("wall_s", "bare_s",
                      "startup_s")), *(f"{row[k]:+.1%}" for k in ("overhead", "overhead_without_startup",
                      "overhead_cpu", "overhead_cpu_without_startup")), f"{row['real_time_factor']:.1f}")  # fmt: skip
    yield table
    names = list(results[0]["bare"])
    table = _table("Bare loops, ms for a second of video", "video", *names, "sum")
    for row in results:
        table.add_row(row["video"], *(f"{1000 * row['bare'][n] / row['video_s']:.2f}" for n in names),
                      f"{1000 * row['bare_s'] / row['video_s']:.2f}")  # fmt: skip
    yield table
    names = list(results[0]["steps_s"])
    table = _table("Steps of the run, s (counters ms.*; the first holds the start of the worker)", "video", *names,
                   "the rest: start, Beam, end")  # fmt: skip
    for row in results:
        rest = row["wall_s"] - sum(row["steps_s"].values())
        table.add_row(row["video"], *(f"{row['steps_s'][n]:.2f}" for n in names), f"{rest:.2f}")
    yield table


def _memory_tables(results: list[Results]) -> Iterator[Table]:
    table = _table("Peak resident memory, MB", "minutes", f"worker, {SEGMENT_S:g} s segments", "driver",
                   "worker, not split", "driver")  # fmt: skip
    for row in results:
        cells = (str(row[way][key]) for way in ("split", "unsplit") for key in ("worker_mb", "driver_mb"))
        table.add_row(f"{row['minutes']:g}", *cells)
    yield table


def _worker_tables(results: list[Results]) -> Iterator[Table]:
    table = _table("From 1 to 2 workers, segments of 30 s", "input", "videos", "segments", "1 worker s", "2 workers s",
                   "speed-up", "without start-up", "decoded / frames")  # fmt: skip
    for row in results:
        table.add_row(row["input"], str(row["videos"]), str(row["segments"]), *(f"{row['wall_s'][n]:.2f}" for n in
                      (1, 2)), f"{row['speedup']:.2f}", f"{row['speedup_without_startup']:.2f}",
                      f"{row['frames_decoded_ratio']:.4f}")  # fmt: skip
    yield table


def main() -> None:
    """Measure and print; with `--bare`, be the process that runs the bare loops."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--part", choices=(*PARTS, "all"), default="all")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there too; keeps what it holds of "
                        "other parts")  # fmt: skip
    parser.add_argument("--videos", type=Path, metavar="DIR", help="folder with real clips, for the overhead")
    parser.add_argument("--minutes", type=float, default=5.0, help="length of the videos (default: %(default)g)")
    parser.add_argument("--rounds", type=int, default=3, help="repetitions (default: %(default)s)")
    parser.add_argument("--full", action="store_true", help="memory: 25 frames/s")
    parser.add_argument("--hours", type=float, metavar="H", help="memory: a video of H hours too")
    parser.add_argument("--bare", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.bare:
        print(json.dumps(bare(options.bare)))
        return
    results: Results = json.loads(options.json.read_text()) if options.json and options.json.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        for part in PARTS if options.part == "all" else (options.part,):
            machine = {"cores": os.cpu_count(), "load_before": round(os.getloadavg()[0], 1)}
            rows = PARTS[part](Videos(Path(folder)), options)
            results[part] = {**machine, "results": rows}
            show(part, rows)
            if options.json:
                options.json.parent.mkdir(parents=True, exist_ok=True)
                options.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
