"""Why a model answered so: the moments of the bank that an answer came from, with times and weights, as JSON.

    {"dataset", "bank", "space", "operator", "window_s", "causal",
     "predictions": [{"video", "bank_video_id", "at_s", "box", "scores": [{"class", "name", "score"}, ...],
                      "empty_slots": n, "empty_weight": w,
                      "moments": [{"at_s", "offset_s", "box", "detection_id", "track_id", "weight", "layers": [...]}]}]}

Times are those of the bank. `weight` is the mean over the layers of the operator, `layers` has each. For FBO-NL with
softmax the weights of all slots sum to 1 in each layer, `empty_weight` included: the released models attend to empty
slots too. For FBO-Max a weight is the share of channels whose maximum is in the slot, for FBO-Avg all are equal.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax

from longform.lfb.data import TestingData
from longform.lfb.prediction import Answer, Place
from longform.training.errors import TrainingError

TOP_CLASSES = 5


def explained_places(data: TestingData, videos: Sequence[str]) -> frozenset[Place]:
    """The views to explain: centre crops of all queries, or of those of some videos.

    Raises:
        TrainingError: a video is not among those that are tested.
    """
    unknown = [video for video in videos if video not in data.videos]
    if unknown:
        raise TrainingError(f"--explain-video {unknown[0]}: not among the {len(data.videos)} videos that are tested.")
    return frozenset((query, view) for query in range(len(data)) for view in data.explained_views(query))


class Explanations:
    """Collects answers with weights; writes them in one file."""

    def __init__(
        self, data: TestingData, facts: Mapping[str, Any], *, top: int, activation: str, videos: Sequence[str] = ()
    ) -> None:
        """
        Args:
            facts: further fields of the file.
            top: moments of an answer, the heaviest; 0 for all.
            activation: of the model, for scores.
            videos: only their answers; all where none is named.
        """
        self._data, self._facts, self._top = data, dict(facts), top
        self._activation, self._videos = activation, frozenset(videos)
        self._predictions: list[tuple[Place, dict[str, Any]]] = []

    def add(self, answer: Answer, video: str, boxes: NDArray[np.float64] | None) -> None:
        """Take note of an answer that has weights.

        Args:
            boxes: (N, 4) of the query, xyxy in [0, 1]; None where clips are classified.
        """
        if answer.weights is None or answer.window is None or (self._videos and video not in self._videos):
            return
        for row, (logits, weights) in enumerate(zip(answer.logits, answer.weights, strict=True)):
            prediction = {
                "video": video,
                "bank_video_id": answer.window.video_id,
                "at_s": answer.window.at_s,
                "box": None if boxes is None else boxes[row].tolist(),
                "scores": self._scores(logits),
                **self._moments(answer, weights),
            }
            self._predictions.append(((answer.query, answer.view), prediction))

    def write(self, path: str | Path) -> int:
        """Write the file; the number of answers in it."""
        in_order = [prediction for _, prediction in sorted(self._predictions, key=lambda noted: noted[0])]
        content = {"dataset": self._data.dataset, **self._facts, "predictions": in_order}
        Path(path).write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")
        return len(in_order)

    def _scores(self, logits: NDArray[np.float32]) -> list[dict[str, Any]]:
        values = expit(logits) if self._activation == "sigmoid" else softmax(logits)
        best = np.argsort(-values, kind="stable")[:TOP_CLASSES].tolist()
        return [{"class": i, "name": self._data.class_name(i), "score": float(values[i])} for i in best]

    def _moments(self, answer: Answer, weights: NDArray[np.float32]) -> dict[str, Any]:
        window = answer.window
        assert window is not None
        mean = weights.mean(0)
        held = np.flatnonzero(window.mask)
        order = held[np.argsort(-mean[held], kind="stable")]
        chosen = order[: self._top] if self._top else order
        moments = [
            {
                "at_s": float(window.times_s[slot]),
                "offset_s": float(window.times_s[slot] - window.at_s),
                "box": window.boxes[slot].tolist() if window.detection_ids[slot] >= 0 else None,
                "detection_id": int(window.detection_ids[slot]) if window.detection_ids[slot] >= 0 else None,
                "track_id": int(window.track_ids[slot]) if window.track_ids[slot] >= 0 else None,
                "weight": float(mean[slot]),
                "layers": weights[:, slot].tolist(),
            }
            for slot in chosen.tolist()
        ]
        empty = ~window.mask
        return {"empty_slots": int(empty.sum()), "empty_weight": float(mean[empty].sum()), "moments": moments}
