"""HOTA, MOTA, IDF1 and their families from two files of the MOTChallenge, by the rules of TrackEval.

The rules of a benchmark say who is evaluated: from MOT16 on, pedestrians whose row has a mark above 0; boxes of the
tracker that fit a person on a vehicle, a static person, a distractor or a reflection are taken out first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from extractors.errors import ConfigError
from longform.metrics.tables import PathLike, csv_rows, finite, malformed, whole
from longform.metrics.tracking_scores import (
    EPSILON,
    IOU_THRESHOLD,
    TrackedBoxes,
    frame_overlaps,
    matched,
    tracking_metrics,
)

PEDESTRIAN = 1
NUM_CLASSES = 13
DISTRACTORS = {"MOT15": (), "MOT16": (2, 7, 8, 12), "MOT17": (2, 7, 8, 12), "MOT20": (2, 6, 7, 8, 12)}
MOT15_WIDTH = 10
TRUTH_LAYOUT = "frame, id, left, top, width, height, mark, class and visibility (MOT15: x, y, z)"
TRACKER_LAYOUT = "frame, id, left, top, width, height, score and, if any, class or x, and two more"


def mot_metrics(
    ground_truth_txt: PathLike, tracker_txt: PathLike, *, rules: str | None = None
) -> dict[str, float | int | list[float]]:
    """All measures of a tracker on one sequence.

    Args:
        ground_truth_txt: `gt.txt` of a sequence.
        tracker_txt: what the tracker found there; an empty file if nothing.
        rules: `MOT15`, `MOT16`, `MOT17` (the same) or `MOT20`; None goes by the ground truth: `MOT15` where it has 10
            columns, else `MOT16`.
    Returns:
        What `tracking_metrics` gives: TrackEval's names, shares in 0…1.
    Raises:
        AnnotationError: a file cannot be read, a line is malformed, or an identity is twice on a frame.
        ConfigError: unknown rules.
    """
    truth = _read(ground_truth_txt, (8, 9, MOT15_WIDTH), TRUTH_LAYOUT)
    found = _read(tracker_txt, range(7, 11), TRACKER_LAYOUT)
    chosen = rules or ("MOT15" if truth.width == MOT15_WIDTH else "MOT16")
    if chosen not in DISTRACTORS:
        raise ConfigError(f"No rules are called {chosen!r}; expected one of: {', '.join(DISTRACTORS)}.")
    _expect_pedestrians(tracker_txt, found)
    evaluated = truth.marks != 0
    if chosen == "MOT15":
        return tracking_metrics(truth.tracks.take(evaluated), found.tracks)
    _expect_known_classes(ground_truth_txt, truth)
    distracting = np.isin(truth.classes, DISTRACTORS[chosen])
    kept = ~_matched_to(truth.tracks, found.tracks, distracting)
    return tracking_metrics(truth.tracks.take(evaluated & (truth.classes == PEDESTRIAN)), found.tracks.take(kept))


@dataclass(frozen=True, kw_only=True, eq=False)
class _MotFile:
    tracks: TrackedBoxes
    marks: NDArray[np.int64]
    """(N,) 0 for a row that does not count; of a tracker its score, cut off."""
    classes: NDArray[np.float64]
    """(N,) the eighth column; a pedestrian where there is none."""
    lines: NDArray[np.int64]
    """(N,) where in the file."""
    width: int
    """Columns of the first row."""


def _read(path: PathLike, widths: tuple[int, ...] | range, layout: str) -> _MotFile:
    lines, rows, width = [], [], 0
    seen: set[tuple[int, int]] = set()
    for line, fields in csv_rows(path, widths, layout):
        width = width or len(fields)
        if len(fields) != width:
            raise malformed(path, line, f"{len(fields)} fields; the lines before have {width}")
        try:
            row = _parsed(fields)
        except ValueError as error:
            raise malformed(path, line, error) from error
        sighting = int(row[0]), int(row[1])
        if sighting in seen:
            raise malformed(path, line, f"identity {sighting[1]} has a second box on frame {sighting[0]}")
        seen.add(sighting)
        lines.append(line)
        rows.append(row)
    table = np.array(rows, np.float64).reshape(-1, 8)
    boxes = np.concatenate([table[:, 2:4], table[:, 2:4] + table[:, 4:6]], axis=1)
    return _MotFile(
        tracks=TrackedBoxes(frames=table[:, 0].astype(np.int64), ids=table[:, 1].astype(np.int64), boxes=boxes),
        marks=table[:, 6].astype(np.int64),
        classes=table[:, 7],
        lines=np.array(lines, np.int64),
        width=width,
    )


def _parsed(fields: list[str]) -> list[float]:
    """Frame, identity, left, top, width, height, mark, class."""
    frame, identity = whole(fields[0]), whole(fields[1])
    numbers = [finite(field) for field in fields[2:]]
    if frame < 1:
        raise ValueError(f"frame {frame}; frames count from 1")
    if identity < 0:
        raise ValueError(f"identity {identity}; expected 0 or more (a file of detections has no identities)")
    if min(numbers[2:4]) < 0:
        raise ValueError(f"a box {fields[4]} wide and {fields[5]} high; expected 0 or more")
    return [frame, identity, *numbers[:5], numbers[5] if len(numbers) > 5 else PEDESTRIAN]


def _expect_pedestrians(path: PathLike, found: _MotFile) -> None:
    others = np.flatnonzero(found.classes > PEDESTRIAN)
    if len(others):
        why = f"class {found.classes[others[0]]:g}; only pedestrians ({PEDESTRIAN}, or -1) are evaluated"
        raise malformed(path, int(found.lines[others[0]]), why)


def _expect_known_classes(path: PathLike, truth: _MotFile) -> None:
    unknown = np.flatnonzero(~np.isin(truth.classes, np.arange(1, NUM_CLASSES + 1)))
    if len(unknown):
        why = f"class {truth.classes[unknown[0]]:g}; expected 1…{NUM_CLASSES} (rules='MOT15' knows no classes)"
        raise malformed(path, int(truth.lines[unknown[0]]), why)


def _matched_to(truth: TrackedBoxes, found: TrackedBoxes, chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(N,) which boxes of the tracker fit a chosen row best, in an assignment of each frame to all rows."""
    fits = np.zeros(len(found.frames), bool)
    for truth_rows, found_rows, overlap in frame_overlaps(truth, found):
        scores = np.where(overlap >= IOU_THRESHOLD - EPSILON, overlap, 0.0)
        rows, columns = matched(scores)
        real = scores[rows, columns] > EPSILON
        fits[found_rows[columns[real]]] = chosen[truth_rows[rows[real]]]
    return fits
