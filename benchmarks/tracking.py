r"""How well detections are linked into tracks, with and without appearance, once a second and at frame rate.

    python -m benchmarks.tracking --mot ../shared/golden/mot --videos ../shared/videos \
        --json benchmarks/results/tracking.json

Generated scenes whose boxes and identities are known: people who cross, meet and turn back, leave and return, walk
side by side, cross before a panning camera, cross in the same clothes, and a crowd of eight. Every seed has its own
place, clothes, speeds and moments. They are linked from two kinds of detections:

    perturbed   the true boxes, jittered, one in ten missed, and false alarms
    hog         what the built-in detector finds in the frames, from the score on that the preset links

and in four ways: `iou` (overlap alone), `position` (overlap and distance), `appearance` (and colours: the default) and
`ava` (colours alone, between neighbouring key frames; once a second only). Once a second is repeated for several first
frames and averaged. Scores are the means over seeds, with the standard error; switches are a run's mean count.

Two real sequences of the MOT challenge have boxes and no pictures: the boxes of a published tracker, with its
identities taken away, and the annotated boxes perturbed as above. Four real clips have pictures, and people drawn by
hand, mostly 0.3 to 2.4 s apart.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import shlex
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks import people
from extractors import Detector, build_detector
from extractors.ops import boxes as box_ops
from extractors.tracking.appearance import HSV_STRIPES_DIM, hsv_stripes
from extractors.tracking.linker import AVA_KEYFRAMES, IOU_ONLY, LinkConfig, Linker
from longform.metrics import TrackedBoxes, mot_metrics, tracking_metrics
from pipeline.presets import HOG_SURE_ENOUGH
from pipeline.sample.figures import WARDROBE
from pipeline.sample.film import Picture, render
from pipeline.sample.places import PLACES
from pipeline.sample.plan import Camera, Film, Shot, Walk

SCENE_S = 8.0
FPS = 25
ASPECT = 16 / 9
SEEN = 0.3  # share of a person that must be visible to be looked for
JITTER = 0.04  # standard deviation of the centre in sizes of the box, and of the logarithm of the sizes
MISSED = 0.1
FALSE_ALARMS = 0.2  # a frame
FIRST_FRAMES = 5  # runs at 1 Hz
SCORES = ("HOTA", "DetA", "AssA", "MOTA", "IDF1", "IDSW")
MOT_FPS = {"MOT16-11": 30, "TUD-Campus": 25}

POSITION_ONLY = LinkConfig(appearance_weight=0.0)
LINKING = {"iou": IOU_ONLY, "position": POSITION_ONLY, "appearance": LinkConfig(), "ava": AVA_KEYFRAMES}
WITHOUT_PICTURES = ("iou", "position")


# --- scenes ----------------------------------------------------------------------------------------------------


def crossing(rng: np.random.Generator, camera: Camera, clothes: Sequence[int]) -> tuple[Walk, ...]:
    """Two walk towards each other and on; the nearer hides the other."""
    width, lag = rng.uniform(0.95, 1.2), rng.uniform(-0.1, 0.1)
    left, right = (ASPECT - width) / 2 + lag, (ASPECT + width) / 2 + lag
    drift = camera.pan[0] * SCENE_S
    return (
        walk(rng, clothes[0], left, right + drift, ground=0.87),
        walk(rng, clothes[1], right, left + drift, ground=0.91),
    )


def meeting(rng: np.random.Generator, camera: Camera, clothes: Sequence[int]) -> tuple[Walk, ...]:
    """Two walk towards each other, overlap, and turn back."""
    middle, turn = ASPECT / 2 + rng.uniform(-0.15, 0.15), rng.uniform(3.2, 4.8)
    far, near = rng.uniform(0.55, 0.65), rng.uniform(0.02, 0.08)
    walks = []
    for who, side, ground in zip(clothes, (-1, 1), (0.87, 0.91), strict=False):
        there, here = middle + side * far, middle + side * near
        walks.append(walk(rng, who, there, here, ground=ground, end_s=turn))
        walks.append(walk(rng, who, here, there, ground=ground, start_s=turn, end_s=SCENE_S + 1))
    return tuple(walks)


def leaving(rng: np.random.Generator, camera: Camera, clothes: Sequence[int]) -> tuple[Walk, ...]:
    """One goes out at the side and comes back; another waits, a third comes in there meanwhile."""
    out, back = rng.uniform(2.2, 2.8), rng.uniform(3.8, 4.4)
    edge = ASPECT + 0.15
    return (
        walk(rng, clothes[0], edge - rng.uniform(0.55, 0.75), edge, ground=0.9, end_s=out),
        walk(rng, clothes[0], edge, edge - rng.uniform(0.8, 1.0), ground=0.9, start_s=back, end_s=SCENE_S + 1),
        walk(rng, clothes[1], 0.4, 0.4, ground=0.88),
        walk(rng, clothes[2], edge, edge - 0.9, ground=0.87, start_s=out + 0.4, end_s=SCENE_S + 1),
    )


def together(rng: np.random.Generator, camera: Camera, clothes: Sequence[int]) -> tuple[Walk, ...]:
    """Two walk the same way, one overtaking the other."""
    start, way = rng.uniform(0.15, 0.3), rng.uniform(0.8, 0.95)
    return (
        walk(rng, clothes[0], start, start + way, ground=0.91),
        walk(rng, clothes[1], start + 0.15, start + way - rng.uniform(0.05, 0.2), ground=0.87),
    )


def crowd(rng: np.random.Generator, camera: Camera, clothes: Sequence[int]) -> tuple[Walk, ...]:
    """As many as there are clothes walk across at random."""
    walks = []
    for lane, who in enumerate(clothes):
        start, end = rng.uniform(0.1, ASPECT - 0.1, 2)
        walks.append(walk(rng, who, start, end, ground=0.84 + 0.015 * lane))
    return tuple(walks)


def walk(
    rng: np.random.Generator, who: int, start: float, end: float, *, ground: float,
    start_s: float = 0.0, end_s: float | None = None,
) -> Walk:  # fmt: skip
    return Walk(
        identity=who, start_x=start, end_x=end, start_s=start_s, end_s=end_s,
        height=0.48 + 1.5 * (ground - 0.84), ground=ground, phase=rng.uniform(),
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What happens, before which camera, and in what clothes."""

    cast: Callable[[np.random.Generator, Camera, Sequence[int]], tuple[Walk, ...]]
    camera: Camera = Camera()
    same_clothes: bool = False

    def film(self, seed: int) -> Film:
        rng = np.random.default_rng([seed, 1])
        place = str(rng.choice(list(PLACES)))
        clothes = rng.permutation(len(WARDROBE))
        if self.same_clothes:
            clothes = clothes[0] + len(WARDROBE) * np.arange(2)
        walks = self.cast(rng, self.camera, clothes.tolist())
        return Film(shots=(Shot(place=place, seconds=SCENE_S, camera=self.camera, walks=walks),), seed=seed)


SCENES = {
    "crossing": Scene(cast=crossing),
    "same clothes": Scene(cast=crossing, same_clothes=True),
    "panning": Scene(cast=crossing, camera=Camera(pan=(0.15, 0.0))),
    "meeting": Scene(cast=meeting),
    "leaving": Scene(cast=leaving),
    "together": Scene(cast=together),
    "crowd": Scene(cast=crowd),
}


# --- detections ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, eq=False)
class Look:
    """One frame: who is there, and what was detected."""

    at_s: float
    truth: NDArray[np.float32]
    """(G, 4) xyxy in [0, 1]."""
    identities: NDArray[np.int64]
    """(G,)"""
    found: NDArray[np.float32]
    """(N, 4) xyxy in [0, 1]."""
    appearance: NDArray[np.float32] | None
    """(N, D)"""


def looks(film: Film, detector: Detector, rng: np.random.Generator) -> dict[str, list[Look]]:
    """All frames of a film, by kind of detections."""
    sequences: dict[str, list[Look]] = {"perturbed": [], "hog": []}
    for frame, picture in enumerate(render(film)):
        truth, identities = visible(picture)
        detections = detector.detect(picture.rgb)
        sure = detections.boxes[detections.scores >= HOG_SURE_ENOUGH]
        for kind, found in (("perturbed", perturbed(truth, rng)), ("hog", sure)):
            appearance = hsv_stripes(picture.rgb, found)
            look = Look(
                at_s=frame / FPS, truth=truth, identities=identities, found=found, appearance=appearance
            )  # fmt: skip
            sequences[kind].append(look)
    return sequences


def visible(picture: Picture) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """(G, 4) boxes and (G,) identities of those of whom enough is seen."""
    chosen = [box for box in picture.boxes if box.visible >= SEEN]
    return box_ops.as_boxes([box.box for box in chosen]), np.array([box.identity for box in chosen], np.int64)


def perturbed(truth: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Most of the boxes, jittered, and false alarms, in random order."""
    kept = truth[rng.random(len(truth)) >= MISSED]
    sizes = kept[:, 2:] - kept[:, :2]
    centres = box_ops.centres(kept) + sizes * rng.normal(0, JITTER, sizes.shape)
    sizes = sizes * np.exp(rng.normal(0, JITTER, sizes.shape))
    num_false = rng.poisson(FALSE_ALARMS)
    heights = rng.uniform(0.3, 0.7, num_false)
    sizes = np.concatenate([sizes, np.stack([0.4 * heights / ASPECT, heights], axis=1)])
    centres = np.concatenate([centres, rng.uniform(0.15, 0.85, (num_false, 2))])
    found = np.concatenate([centres - sizes / 2, centres + sizes / 2], axis=1)
    return rng.permutation(box_ops.clip(found))


# --- linking ---------------------------------------------------------------------------------------------------


def link(sequence: Sequence[Look], config: LinkConfig, aspect: float) -> list[NDArray[np.int64]]:
    """The track ids of every look's boxes."""
    linker = Linker(config, frame_aspect=aspect)
    return [
        linker.step(look.at_s, 0, look.found, np.zeros(len(look.found), np.int64), look.appearance) for look in sequence
    ]


def score(sequence: Sequence[Look], config: LinkConfig, aspect: float = ASPECT) -> dict[str, float]:
    """The measures of one run, those of `SCORES`."""
    ids = link(sequence, config, aspect)
    truth = tracked((look.truth for look in sequence), (look.identities for look in sequence))
    metrics = tracking_metrics(truth, tracked((look.found for look in sequence), ids))
    return {name: float(metrics[name]) for name in SCORES}  # type: ignore[arg-type]


def tracked(boxes: Iterable[NDArray[np.float32]], ids: Iterable[NDArray[np.int64]]) -> TrackedBoxes:
    by_frame, ids = list(boxes), list(ids)
    frames = np.repeat(np.arange(len(ids)), [len(found) for found in by_frame])
    return TrackedBoxes(
        frames=frames, ids=np.concatenate(ids), boxes=np.concatenate(by_frame).astype(np.float64).reshape(-1, 4)
    )


def at_rates(sequence: Sequence[Look], fps: int) -> dict[str, list[list[Look]]]:
    """The runs at frame rate (one) and once a second (one for each first frame)."""
    starts = np.linspace(0, fps, FIRST_FRAMES, endpoint=False).astype(int)
    return {"frame rate": [list(sequence)], "1 Hz": [list(sequence[start::fps]) for start in starts]}


def linkings(rate: str, appearance: bool) -> Iterator[tuple[str, LinkConfig]]:
    """Those that make sense at a rate, with or without appearance."""
    for name, config in LINKING.items():
        if (appearance or name in WITHOUT_PICTURES) and (name != "ava" or rate == "1 Hz"):
            yield name, config


# --- generated scenes ------------------------------------------------------------------------------------------

Row = dict[str, Any]
Runs = dict[tuple[str, str, str, str], list[dict[str, float]]]


def generated(seeds: int) -> list[Row]:
    """A row for every scene, kind of detections, rate and way of linking; and the mean of all scenes."""
    detector = build_detector("hog")
    runs: Runs = defaultdict(list)
    for seed in range(seeds):
        over_scenes: Runs = defaultdict(list)
        for name, scene in SCENES.items():
            rng = np.random.default_rng([seed, 2])
            for kind, sequence in looks(scene.film(seed), detector, rng).items():
                for rate, way, scores in linked_every_way(sequence):
                    runs[name, kind, rate, way].append(scores)
                    over_scenes["all", kind, rate, way].append(scores)
        for key, scores_of_scenes in over_scenes.items():
            runs[key].append(mean(scores_of_scenes))
    return [row(key, scores) for key, scores in runs.items()]


def linked_every_way(sequence: Sequence[Look]) -> Iterator[tuple[str, str, dict[str, float]]]:
    """(rate, way of linking, scores) of a sequence with pictures."""
    for rate, parts in at_rates(sequence, FPS).items():
        for way, config in linkings(rate, appearance=True):
            yield rate, way, mean([score(part, config) for part in parts])


def mean(scores: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.fmean(run[name] for run in scores) for name in scores[0]}


def row(key: tuple[str, str, str, str], scores: Sequence[dict[str, float]]) -> Row:
    """Mean and standard error over the runs."""
    scene, kind, rate, way = key
    errors = {
        name: statistics.stdev(run[name] for run in scores) / math.sqrt(len(scores)) if len(scores) > 1 else None
        for name in scores[0]
    }
    names = {"scene": scene, "detections": kind, "rate": rate, "linking": way, "seeds": len(scores)}
    return {**names, **mean(scores), "standard_error": errors}


# --- real sequences --------------------------------------------------------------------------------------------


def real_boxes(mot: Path, seeds: int) -> list[Row]:
    """The sequences of the MOT challenge: their tracker's boxes relinked, and perturbed annotations."""
    rows = []
    for folder in sorted(path for path in mot.iterdir() if (path / "gt.txt").exists()):
        sequence = MotSequence.read(folder)
        rows += sequence.published()
        rows += sequence.rows("tracker's boxes", [sequence.boxes_of("tracker")])
        noisy = [sequence.perturbed(np.random.default_rng([seed, 3])) for seed in range(seeds)]
        rows += sequence.rows("perturbed", noisy)
    return rows


@dataclass(frozen=True, kw_only=True, eq=False)
class MotSequence:
    """One sequence: the lines of its files, by frame from 1."""

    name: str
    size_wh: tuple[int, int]
    frames: int
    lines: dict[str, list[list[str]]]
    """Fields of the lines of `gt` and `tracker`."""

    @staticmethod
    def read(folder: Path) -> MotSequence:
        facts = dict(line.split("=", 1) for line in (folder / "seqinfo.ini").read_text().split() if "=" in line)
        lines = {}
        for name in ("gt", "tracker"):
            with (folder / f"{name}.txt").open(newline="") as file:
                lines[name] = list(csv.reader(file))
        size_wh = int(facts["imWidth"]), int(facts["imHeight"])
        return MotSequence(name=folder.name, size_wh=size_wh, frames=int(facts["seqLength"]), lines=lines)

    @property
    def fps(self) -> int:
        return MOT_FPS[self.name]

    def boxes_of(self, file: str) -> list[NDArray[np.float32]]:
        """The (N, 4) boxes of every frame; of the annotations, pedestrians of whom enough is seen."""
        by_frame: list[list[list[float]]] = [[] for _ in range(self.frames)]
        for fields in self.lines[file]:
            pedestrian = file == "tracker" or len(fields) == 10 or (fields[7] == "1" and float(fields[8]) >= SEEN)
            if pedestrian and float(fields[6]) != 0:
                by_frame[int(fields[0]) - 1].append([float(value) for value in fields[2:6]])
        return [box_ops.to_normalised(box_ops.from_xywh(boxes), self.size_wh[::-1]) for boxes in by_frame]

    def perturbed(self, rng: np.random.Generator) -> list[NDArray[np.float32]]:
        return [perturbed(boxes, rng) for boxes in self.boxes_of("gt")]

    def published(self) -> list[Row]:
        """The tracker's own identities, at both rates."""
        own = [(int(fields[0]), fields[1:]) for fields in self.lines["tracker"]]
        rows = []
        for rate, frames in self._rates():
            scores = [self._scored([(at, fields) for at, fields in own if at in part], part) for part in frames]
            rows.append(row((self.name, "tracker's boxes", rate, "its own"), [mean(scores)]))
        return rows

    def rows(self, kind: str, runs: Sequence[list[NDArray[np.float32]]]) -> list[Row]:
        """Each way of linking at each rate, over some runs of detections."""
        return [
            row(
                (self.name, kind, rate, way),
                [mean([self._linked(run, part, config) for part in parts]) for run in runs],
            )
            for rate, parts in self._rates()
            for way, config in linkings(rate, appearance=False)
        ]

    def _rates(self) -> Iterator[tuple[str, list[range]]]:
        starts = np.linspace(1, 1 + self.fps, FIRST_FRAMES, endpoint=False).astype(int).tolist()
        yield "frame rate", [range(1, self.frames + 1)]
        yield "1 Hz", [range(start, self.frames + 1, self.fps) for start in starts]

    def _linked(self, boxes: list[NDArray[np.float32]], part: range, config: LinkConfig) -> dict[str, float]:
        width, height = self.size_wh
        linker = Linker(config, frame_aspect=width / height)
        lines = []
        for frame in part:
            found = boxes[frame - 1]
            ids = linker.step(frame / self.fps, 0, found, np.zeros(len(found), np.int64))
            corners = box_ops.to_pixels(found, (height, width)).astype(np.float64)
            for track_id, (x1, y1, x2, y2) in zip(ids.tolist(), corners.tolist(), strict=True):
                numbers = [track_id, x1, y1, x2 - x1, y2 - y1, 1, -1, -1, -1]
                lines.append((frame, [str(number) for number in numbers]))
        return self._scored(lines, part)

    def _scored(self, found: list[tuple[int, list[str]]], part: range) -> dict[str, float]:
        """By the challenge's own rules, on some of the frames."""
        truth = [(int(fields[0]), fields[1:]) for fields in self.lines["gt"] if int(fields[0]) in part]
        with tempfile.TemporaryDirectory() as folder:
            paths = [Path(folder, name) for name in ("gt.txt", "tracker.txt")]
            for path, lines in zip(paths, (truth, found), strict=True):
                path.write_text("".join(f"{part.index(frame) + 1},{','.join(fields)}\n" for frame, fields in lines))
            metrics = mot_metrics(*paths)
        return {name: float(metrics[name]) for name in SCORES}  # type: ignore[arg-type]


def real_pictures(videos: Path) -> list[Row]:
    """Clips with people drawn by hand: nothing is missed or wrong, but boxes are 0.3 to 3.7 s apart."""
    with (videos / "people.csv").open(newline="") as file:
        names = [(line["video"], int(line["frame"]), line["person"]) for line in csv.DictReader(file)]
    runs: Runs = defaultdict(list)
    for video, labels in people.read_labels(videos / "people.csv").items():
        sequence, aspect = hand_labelled(videos / video, labels, [name for name in names if name[0] == video])
        for way, config in linkings("1 Hz", appearance=True):
            if way == "ava":  # two of the clips have labels every 1.0 to 1.6 s
                config = replace(config, max_gap_s=2.0)
            runs[video, "by hand", "about 1 Hz", way].append(score(sequence, config, aspect))
    return [row(key, scores) for key, scores in runs.items()]


def hand_labelled(
    path: Path, labels: dict[int, list[list[float]]], names: Sequence[tuple[str, int, str]]
) -> tuple[list[Look], float]:
    """The labelled frames, and the width of the frame over its height."""
    identity_of: defaultdict[str, int] = defaultdict(count().__next__)
    with av.open(str(path)) as container:
        fps = float(container.streams.video[0].average_rate or 1)
    sequence, aspect = [], 1.0
    for frame, frame_rgb in people.decode(path, set(labels)):
        height, width = frame_rgb.shape[:2]
        aspect = width / height
        boxes = box_ops.to_normalised(labels[frame], (height, width))
        identities = np.array([identity_of[who] for _, at, who in names if at == frame], np.int64)
        looks = hsv_stripes(frame_rgb, boxes)
        look = Look(at_s=frame / fps, truth=boxes, identities=identities, found=boxes, appearance=looks)
        sequence.append(look)
    return sequence, aspect


# --- time ------------------------------------------------------------------------------------------------------


def step_ms(num_boxes: int = 300, frames: int = 20) -> float:
    """Median milliseconds of a step with so many people and as many tracks."""
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 0.9, (num_boxes, 2))
    boxes = np.concatenate([corners, corners + np.array([0.03, 0.1])], axis=1)
    appearance = rng.random((num_boxes, HSV_STRIPES_DIM), np.float32)
    linker, taken = Linker(frame_aspect=ASPECT), []
    for frame in range(frames):
        jittered = boxes + rng.normal(0, 0.002, boxes.shape)
        started = time.perf_counter()
        linker.step(frame / FPS, 0, jittered, np.zeros(num_boxes, np.int64), appearance)
        taken.append(1000 * (time.perf_counter() - started))
    return statistics.median(taken[1:])


# --- report ----------------------------------------------------------------------------------------------------


def table(rows: Sequence[Row]) -> str:
    """Markdown: scores in percent with their standard error, switches as counts."""
    head = ["scene", "detections", "rate", "linking", *SCORES]
    lines = [head, ["---"] * 4 + ["---:"] * len(SCORES)]
    lines += [[row[name] for name in head[:4]] + [cell(row, name) for name in SCORES] for row in rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "| " + " | ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)) + " |" for line in lines
    )


def cell(row: Row, name: str) -> str:
    scale = 1 if name == "IDSW" else 100
    error = row["standard_error"][name]
    return f"{scale * row[name]:.1f}" + ("" if error is None else f" ± {scale * error:.1f}")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--videos", type=Path, help="folder with people.csv and its videos")
    parser.add_argument("--mot", type=Path, help="folder with sequences of the MOT challenge: gt.txt, tracker.txt")
    parser.add_argument("--json", type=Path, help="where to store the rows")
    options = parser.parse_args(argv)
    cv2.setNumThreads(1)
    sections = {"generated": generated(options.seeds)}
    if options.mot:
        sections["real boxes"] = real_boxes(options.mot, options.seeds)
    if options.videos:
        sections["real pictures"] = real_pictures(options.videos)
    for title, rows in sections.items():
        print(f"\n## {title}\n\n{table(rows)}")
    milliseconds = round(step_ms(), 2)
    print(f"\nA step with 300 boxes: {milliseconds} ms")
    if options.json:
        given = sys.argv[1:] if argv is None else argv
        stored = {
            "command": shlex.join(["python", "-m", "benchmarks.tracking", *given]),
            **sections,
            "step_ms_300_boxes": milliseconds,
        }
        options.json.write_text(json.dumps(stored, indent=1) + "\n")


if __name__ == "__main__":
    main()
