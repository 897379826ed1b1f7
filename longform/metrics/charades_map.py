"""Video-level mAP of Charades, as the script of the data set counts it (`Charades_v1_classify.m`).

Two of its rules are in no paper and move the number (tests hold this equal to the script):

- a video without any action, and one that the submission lacks, has the score minus infinity for every class;
- videos of equal score stand in the order of the ground truth.

PySlowFast and the code of Long-Term Feature Banks keep the scores of videos without actions, so their figures are
lower by some tenths of a percent of the same predictions.
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from longform.metrics.tables import AnnotationError, PathLike, csv_columns, finite, malformed, text_lines

NUM_CLASSES = 157
ACTION = re.compile(r"c(\d{3}) \d+(?:\.\d+)? \d+(?:\.\d+)?")


def charades_map(ground_truth_csv: PathLike, submission_txt: PathLike) -> dict[str, object]:
    """mAP of a submission in the official format.

    Args:
        ground_truth_csv: `Charades_v1_test.csv`: with a header, of which `id` and `actions` are read.
        submission_txt: a line for each video: its id, then 157 scores, separated by spaces or tabs.
    Returns:
        `mAP` in 0…1, the mean over classes; `wAP`, weighted by how many videos show a class; `per_class`, "c000"… to
        AP, None for a class that no video shows, which is in neither mean (the script answers NaN then);
        `num_videos`; `num_missing`, videos that the submission lacks; `num_unknown`, videos of the submission that
        the ground truth lacks, which do not count.
    Raises:
        AnnotationError: a file cannot be read, a line is malformed, a video is there twice, or no video is in both.
    """
    shown = read_charades_labels(ground_truth_csv)
    scores = read_charades_submission(submission_txt)
    labels = np.stack(list(shown.values()))
    missing = shown.keys() - scores.keys()
    if len(missing) == len(shown):
        raise AnnotationError(f"{str(submission_txt)!r} holds none of the videos of {str(ground_truth_csv)!r}.")
    nothing = np.full(NUM_CLASSES, -np.inf)
    answers = np.stack([scores.get(video, nothing) for video in shown])
    answers[~labels.any(1)] = -np.inf
    precisions, counts = _average_precisions(answers, labels), labels.sum(0)
    present = counts > 0
    return {
        "mAP": float(precisions[present].mean()),
        "wAP": float(np.average(precisions[present], weights=counts[present])),
        "per_class": {f"c{c:03d}": float(precisions[c]) if present[c] else None for c in range(NUM_CLASSES)},
        "num_videos": len(shown),
        "num_missing": len(missing),
        "num_unknown": len(scores.keys() - shown.keys()),
    }


def read_charades_labels(path: PathLike) -> dict[str, NDArray[np.bool_]]:
    """Which of the 157 actions each video shows, (157,), in the order of the file.

    Raises:
        AnnotationError: no `id` or `actions` column, a malformed line, a video twice, or no action at all.
    """
    videos: dict[str, NDArray[np.bool_]] = {}
    for line, (video, actions) in csv_columns(path, ("id", "actions")):
        if video in videos:
            raise malformed(path, line, f"video {video!r} is there a second time")
        videos[video] = _shown(path, line, actions)
    if not any(labels.any() for labels in videos.values()):
        raise AnnotationError(f"{str(path)!r} has no video with an action.")
    return videos


def read_charades_submission(path: PathLike) -> dict[str, NDArray[np.float64]]:
    """The 157 scores of each video, (157,).

    Raises:
        AnnotationError: a malformed line, or a video twice.
    """
    videos: dict[str, NDArray[np.float64]] = {}
    for line, text in text_lines(path):
        video, *scores = text.split()
        if len(scores) != NUM_CLASSES:
            raise malformed(path, line, f"{len(scores)} scores of video {video!r}; expected {NUM_CLASSES}")
        if video in videos:
            raise malformed(path, line, f"video {video!r} is there a second time")
        try:
            videos[video] = np.array([finite(score) for score in scores])
        except ValueError as error:
            raise malformed(path, line, error) from error
    return videos


def _shown(path: PathLike, line: int, actions: str) -> NDArray[np.bool_]:
    """The classes of `c092 11.90 21.20;c147 0.00 12.60`, or of an empty field."""
    labels = np.zeros(NUM_CLASSES, bool)
    for action in actions.split(";") if actions else ():
        stated = ACTION.fullmatch(action)
        if not stated or int(stated[1]) >= NUM_CLASSES:
            raise malformed(
                path, line, f"action {action!r}; expected class c000…c156, start and end, as 'c092 11.90 21.20'"
            )
        labels[int(stated[1])] = True
    return labels


def _average_precisions(scores: NDArray[np.float64], labels: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(C,) mean precision at the positives, of (V, C) each; 0 for a class without."""
    hits = np.take_along_axis(labels, np.argsort(-scores, axis=0, kind="stable"), axis=0)
    precision = np.cumsum(hits, axis=0) / np.arange(1, len(hits) + 1)[:, None]
    return (precision * hits).sum(0) / np.maximum(hits.sum(0), 1)
