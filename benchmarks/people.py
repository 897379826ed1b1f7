"""How well a detector finds people, on real frames with boxes drawn by hand.

    python -m benchmarks.people --videos ../shared/videos [--json] [--detector hog] [--set NAME=VALUE …]

Reads `people.csv` (video, frame, x1, y1, x2, y2, person; stored pixels) in the folder of videos,
decodes the labelled frames, and prints per clip: recall and precision at IoU 0.5 with every
detection the detector returns, average precision, and milliseconds of processor time per frame with OpenCV
held to one thread. Detections are matched greedily, best score first, as PASCAL VOC does; each label once.

The labels are 23 frames of 4 clips, all of them with people more than half the height of the frame;
one box more or less moves F1 by about 0.01. `--false-alarms` adds clips in which nobody can be seen.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from extractors import Detector, build_detector
from extractors.ops import boxes as box_ops

MATCH_IOU = 0.5
NOBODY = ("cockatoo.mp4", "big_buck_bunny_0_30.webm", "testvideo.mp4", "fire2.mp4", "timecode_25fps.mp4")
NOBODY_EVERY = 40  # frames between those looked at

Labels = dict[str, dict[int, list[list[float]]]]


@dataclass
class Tally:
    """Counts over some frames, and what the measures follow from."""

    frames: int = 0
    labels: int = 0
    seconds: float = 0.0
    hits: list[tuple[float, bool]] = field(default_factory=list)  # (score, matched a label)

    def add(self, other: Tally) -> None:
        self.frames += other.frames
        self.labels += other.labels
        self.seconds += other.seconds
        self.hits += other.hits

    def row(self, name: str) -> dict[str, Any]:
        found = sum(matched for _, matched in self.hits)
        recall = found / self.labels if self.labels else None
        precision = found / len(self.hits) if self.hits else None
        return {
            "clip": name,
            "frames": self.frames,
            "people": self.labels,
            "detections": len(self.hits),
            "recall": recall,
            "precision": precision,
            "f1": 2 * found / (len(self.hits) + self.labels) if self.labels else None,
            "average_precision": average_precision(self.hits, self.labels) if self.labels else None,
            "ms_per_frame": 1000 * self.seconds / self.frames,
        }


def average_precision(hits: list[tuple[float, bool]], labels: int) -> float:
    """Mean over the labels of the precision at which each is found; 0 for those never found."""
    ranked = [matched for _, matched in sorted(hits, key=lambda hit: -hit[0])]
    precision = np.cumsum(ranked) / np.arange(1, len(ranked) + 1)
    return float(precision[np.array(ranked, bool)].sum() / labels)


def match(boxes: NDArray, scores: NDArray, labels: NDArray) -> list[tuple[float, bool]]:
    """Each detection with whether it takes a label at `MATCH_IOU`, best score first."""
    overlaps = box_ops.iou_matrix(boxes, labels)
    outcome = []
    for i in np.argsort(-scores, kind="stable"):
        best = int(overlaps[i].argmax()) if len(labels) else -1
        matched = best >= 0 and bool(overlaps[i, best] >= MATCH_IOU)
        if matched:
            overlaps[:, best] = 0.0
        outcome.append((float(scores[i]), matched))
    return outcome


def read_labels(path: Path) -> Labels:
    labels: Labels = defaultdict(lambda: defaultdict(list))
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            labels[row["video"]][int(row["frame"])].append([float(row[key]) for key in ("x1", "y1", "x2", "y2")])
    return labels


def decode(path: Path, wanted: set[int] | None) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """(index, (H, W, 3) RGB as stored) of the wanted frames in presentation order; None: every 40th."""
    with av.open(str(path)) as container:
        for index, frame in enumerate(container.decode(video=0)):
            if wanted is not None and index > max(wanted):
                return
            if index in wanted if wanted is not None else index % NOBODY_EVERY == 0:
                yield index, frame.to_ndarray(format="rgb24")


def measure(detector: Detector, path: Path, labels: dict[int, list[list[float]]] | None, repeats: int) -> Tally:
    tally = Tally()
    for index, frame_rgb in decode(path, None if labels is None else set(labels)):
        started = time.process_time()
        for _ in range(repeats):
            found = detector.detect(frame_rgb)
        tally.seconds += (time.process_time() - started) / repeats
        truth = box_ops.to_normalised([] if labels is None else labels[index], frame_rgb.shape[:2])
        tally.frames += 1
        tally.labels += len(truth)
        tally.hits += match(found.boxes, found.scores, truth)
    return tally


def evaluate(detector: Detector, videos: Path, *, false_alarms: bool, repeats: int) -> list[dict[str, Any]]:
    """One row per labelled clip, one for all of them, then the clips without people."""
    detector.detect(np.zeros((360, 640, 3), np.uint8))  # what is set up on first use is not a frame's cost
    rows, total = [], Tally()
    for video, frames in read_labels(videos / "people.csv").items():
        tally = measure(detector, videos / video, frames, repeats)
        total.add(tally)
        rows.append(tally.row(video))
    rows.append(total.row("all labelled"))
    if false_alarms:
        rows += [measure(detector, videos / name, None, repeats).row(name) for name in NOBODY]
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    def cell(value: object) -> str:
        return "-" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)

    lines = [list(rows[0]), *([cell(value) for value in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=Path, required=True, help="folder with people.csv and its videos")
    parser.add_argument("--detector", default="hog")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a detector setting (JSON)")
    parser.add_argument("--false-alarms", action="store_true", help="also look where nobody is")
    parser.add_argument("--repeats", type=int, default=1, help="detect each frame this often, for the timing")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(argv)
    settings = {name: json.loads(value) for name, _, value in (text.partition("=") for text in options.set)}
    cv2.setNumThreads(1)
    detector = build_detector(options.detector, **settings)
    rows = evaluate(detector, options.videos, false_alarms=options.false_alarms, repeats=options.repeats)
    print(json.dumps(rows, indent=2) if options.json else table(rows))


if __name__ == "__main__":
    main()
