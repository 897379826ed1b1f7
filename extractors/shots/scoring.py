"""The first half of a shot detector: numbers for each frame that need only the frame before it.

PySceneDetect's detectors are run on pictures here only to learn their per-frame metric (content
difference, brightness, histogram correlation, hash distance); `cuts.py` runs their decisions on the
stored metrics. A metric depends on one frame and its predecessor, so a long video can be scored in
segments by different workers and the concatenated scores are those of one pass, bit for bit:

    frames      0  1  2 | 3  4  5 | 6  7          segments [0, 3) [3, 6) [6, 8)
    scored by   a  a  a   a  b  b   b  c          each scores what follows its own first frame, up to
                                                  and including the first frame of the next segment
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scenedetect import FrameTimecode
from scenedetect.detectors import ContentDetector, HashDetector, HistogramDetector, ThresholdDetector

from extractors.errors import ShapeError
from extractors.shots.config import (
    AdaptiveConfig,
    ContentConfig,
    DetectorConfig,
    HashConfig,
    HistogramConfig,
    ShotConfig,
    ThresholdConfig,
)

_NO_TIME = FrameTimecode(0, fps=1.0)  # per-frame metrics do not look at the time


class FrameScorer:
    """Scores frames one after another; starts at any frame of a video.

    Args:
        at_video_start: the first frame fed is the first of the video. It has no predecessor, so its
            differences are 0 (histogram correlation: 1). Otherwise the first frame fed only primes the
            scorer: the worker of the segment before scores it.
    """

    def __init__(self, config: ShotConfig, *, at_video_start: bool = False) -> None:
        self._metrics = [_metric(d) for d in _by_score_name(config).values()]
        self._primed = at_video_start
        self._frame_shape: tuple[int, ...] | None = None

    def score(self, frame_bgr: np.ndarray) -> np.ndarray | None:
        """Score the next frame.

        Args:
            frame_bgr: (h, w, 3) uint8, the same size at every call.
        Returns:
            (S,) float64 in the order of `score_names`; None for the first frame fed, unless the scorer
            was made with `at_video_start`.
        Raises:
            ShapeError: wrong type or shape, or another size than the frame before.
        """
        self._check(frame_bgr)
        scores = np.array([metric(frame_bgr) for metric in self._metrics], dtype=np.float64)
        if not self._primed:
            self._primed = True
            return None
        return scores

    def _check(self, frame_bgr: np.ndarray) -> None:
        shape = frame_bgr.shape
        if frame_bgr.dtype != np.uint8 or len(shape) != 3 or shape[2] != 3 or 0 in shape:
            raise ShapeError(f"Frame to score: got {frame_bgr.dtype} {shape}, expected uint8 (h, w, 3).")
        if self._frame_shape not in (None, shape):
            raise ShapeError(f"Frame to score: got shape {shape} after {self._frame_shape}, expected the same.")
        self._frame_shape = shape


def score_names(config: ShotConfig) -> tuple[str, ...]:
    """Names of the S scores of a frame; detectors that look at the same number share one."""
    return tuple(_by_score_name(config))


def score_name(detector: DetectorConfig) -> str:
    """Name of the per-frame score a detector decides on: PySceneDetect's metric and what it depends on."""
    match detector:
        case ContentConfig() | AdaptiveConfig():
            weights = " ".join(f"{weight:g}" for weight in detector.weights)
            kernel = "" if detector.kernel_size is None else f" kernel={detector.kernel_size}"
            return f"{ContentDetector.FRAME_SCORE_KEY} [weights={weights}{kernel}]"
        case ThresholdConfig():
            return ThresholdDetector.THRESHOLD_VALUE_KEY
        case HistogramConfig():
            return f"hist_diff [bins={detector.bins}]"
        case HashConfig():
            return f"hash_dist [size={detector.size} lowpass={detector.lowpass}]"


def content_weights(detector: ContentConfig | AdaptiveConfig) -> ContentDetector.Components:
    """The weights in PySceneDetect's type."""
    return ContentDetector.Components(*detector.weights)


def _by_score_name(config: ShotConfig) -> dict[str, DetectorConfig]:
    """One detector for each distinct score, in order of first mention."""
    by_name: dict[str, DetectorConfig] = {}
    for detector in config.detectors:
        by_name.setdefault(score_name(detector), detector)
    return by_name


def _metric(config: DetectorConfig) -> Callable[[np.ndarray], float]:
    """A function that gives the score of the next frame by PySceneDetect's own code."""
    match config:
        case ContentConfig() | AdaptiveConfig():
            # Not through process_frame with a stats manager: that computes edges even at weight 0.
            content = ContentDetector(weights=content_weights(config), kernel_size=config.kernel_size)
            return lambda frame: content._calculate_frame_score(_NO_TIME, frame)
        case ThresholdConfig():
            return _MetricTap(ThresholdDetector(), first=np.nan)
        case HistogramConfig():
            return _MetricTap(HistogramDetector(bins=config.bins), first=1.0)
        case HashConfig():
            return _MetricTap(HashDetector(size=config.size, lowpass=config.lowpass), first=0.0)


class _MetricTap:
    """Stands in for a detector's StatsManager, to read its one metric of the frame in hand.

    A real StatsManager would keep every frame of the video.
    """

    def __init__(self, detector: Any, *, first: float) -> None:
        self._detector = detector
        self._value = first
        detector.stats_manager = self

    def __call__(self, frame: np.ndarray) -> float:
        self._detector.process_frame(_NO_TIME, frame)
        return self._value

    def metrics_exist(self, timecode: FrameTimecode, metric_keys: list[str]) -> bool:
        return False

    def set_metrics(self, timecode: FrameTimecode, metric_values: dict[str, float]) -> None:
        (self._value,) = metric_values.values()
