"""From predictions for spans to one for each video, and how good those are.

The released code's `evaluate` (chaoyuaw/lvu, src/run.py): classes by the sum of the spans' softmax, numbers by their
mean; percent of videos right, or squared error, over videos.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import PipelineError


@dataclass(frozen=True, kw_only=True)
class VideoScore:
    """How good the predictions for some videos are."""

    metric: str
    """`top1`, in percent, or `mse`."""
    value: float
    num_videos: int
    num_spans: int
    missing: tuple[str, ...]
    """Videos with a label and without a prediction; they count nowhere."""


def class_scores(video_ids: Sequence[str], logits: NDArray[np.floating]) -> dict[str, NDArray[np.float64]]:
    """The sum (K,) of the softmax of each video's spans, from logits (S, K) of the spans."""
    scores = np.asarray(logits, np.float64)
    spread = np.exp(scores - scores.max(axis=1, keepdims=True))
    return _summed(video_ids, spread / spread.sum(axis=1, keepdims=True))


def mean_values(video_ids: Sequence[str], values: NDArray[np.floating]) -> dict[str, float]:
    """The mean over each video's spans of values (S,)."""
    sums = _summed(video_ids, np.stack([np.asarray(values, np.float64), np.ones(len(values))], axis=1))
    return {video_id: float(total / count) for video_id, (total, count) in sums.items()}


def score_videos(
    video_ids: Sequence[str], outputs: NDArray[np.floating], labels: Mapping[str, float], *, regression: bool
) -> VideoScore:
    """Score the videos that have a label.

    Args:
        video_ids: of each of S spans, in any order; videos without a label are passed over.
        outputs: (S, K) logits, or (S,) or (S, 1) values where `regression`.
        labels: class or value of each video of the split.
    Raises:
        PipelineError: no video has both a label and a prediction.
    """
    outputs = np.asarray(outputs, np.float64)
    if len(video_ids) != len(outputs):
        raise PipelineError(f"{len(video_ids)} video ids for {len(outputs)} predictions; expected one each.")
    wanted = [place for place, video_id in enumerate(video_ids) if video_id in labels]
    if not wanted:
        raise PipelineError(f"None of {len(labels)} labelled videos has a prediction.")
    names, chosen = [video_ids[place] for place in wanted], outputs[wanted]
    if regression:
        means = mean_values(names, chosen.reshape(len(wanted)))
        value = _mean((mean - labels[video_id]) ** 2 for video_id, mean in means.items())
    else:
        sums = class_scores(names, chosen)
        value = 100 * _mean(int(total.argmax()) == labels[video_id] for video_id, total in sums.items())
    return VideoScore(
        metric="mse" if regression else "top1",
        value=value,
        num_videos=len(set(names)),
        num_spans=len(wanted),
        missing=tuple(video_id for video_id in labels if video_id not in set(names)),
    )


def _summed(video_ids: Sequence[str], rows: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    places: dict[str, int] = {}
    of_row = [places.setdefault(video_id, len(places)) for video_id in video_ids]
    sums = np.zeros((len(places), rows.shape[1]))
    np.add.at(sums, of_row, rows)
    return dict(zip(places, sums, strict=True))


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))
