"""The second half of a shot detector: the scores of all frames -> the frames where shots begin.

PySceneDetect 0.7's detector classes decide (FlashFilter, the adaptive window, the fade state machine,
minimum lengths, `post_process`); thin subclasses hand them the stored score in place of a picture. So
the cuts are those of the detectors on the pictures themselves, but the pictures may have been scored
in segments, by many workers (`scoring.py`).

Time: PySceneDetect gets every frame's exact presentation time (`Timecode`), counted from the first
frame as its own readers do, so minimum lengths hold at variable frame rate. Only ThresholdDetector
thinks in frame numbers (where in a fade the cut lies); at variable frame rate these are its rounding
of time times mean rate, and are brought back to real frames here.

Memory is constant: each detector holds a few frames' numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction

import numpy as np
from scenedetect import FrameTimecode
from scenedetect.common import Timecode
from scenedetect.detector import FlashFilter, SceneDetector
from scenedetect.detectors import (
    AdaptiveDetector,
    ContentDetector,
    HashDetector,
    HistogramDetector,
    ThresholdDetector,
)

from extractors.errors import OrderError, ShapeError
from extractors.shots.config import (
    AdaptiveConfig,
    ContentConfig,
    DetectorConfig,
    HashConfig,
    HistogramConfig,
    ShotConfig,
    ThresholdConfig,
)
from extractors.shots.scoring import content_weights, score_name, score_names

_Cut = tuple[int, Fraction]
"""Frame index and seconds since the first frame."""


def find_cuts(
    config: ShotConfig,
    stamps: Iterable[tuple[int, int]],
    scores: Iterable[np.ndarray],
    *,
    time_base: Fraction,
    rate: Fraction,
) -> list[int]:
    """Frames that start a new shot, from the scores of every frame of a video.

    Args:
        stamps: (frame index, pts) of every frame in display order; indices increase, pts do not decrease.
        scores: (S,) float64 of the same frames, from `FrameScorer.score`, in the order of `score_names`.
        time_base: seconds for one pts step.
        rate: mean frames per second; matters only where a fade's cut lies at variable frame rate.
    Returns:
        Sorted frame indices without repeats. The first frame of the video is not among them: it starts
        a shot without a cut. No frames: an empty list.
    Raises:
        OrderError: indices do not grow or times go back.
        ShapeError: not S finite scores for a frame.
        ValueError: not one row of scores for each frame, or a time base or rate that is not above 0.
    """
    if time_base <= 0 or rate <= 0:
        raise ValueError(f"time_base, rate: got {time_base}, {rate}, expected numbers above 0.")
    columns = score_names(config)
    deciders = [(_decider(d), columns.index(score_name(d))) for d in config.detectors]
    cuts: dict[int, Fraction] = {}
    stamp: _Stamp | None = None
    for stamp, frame_scores in _timed(stamps, scores, len(columns), time_base, rate):
        for decider, column in deciders:
            cuts.update(decider.process(stamp, frame_scores[column]))
    if stamp is not None:
        for decider, _ in deciders:
            cuts.update(decider.finish(stamp))
    return _drop_close(sorted(cuts.items()), config.min_gap_s)


def _drop_close(cuts: list[_Cut], min_gap_s: float) -> list[int]:
    kept: list[_Cut] = []
    for index, at in cuts:
        if not kept or float(at - kept[-1][1]) >= min_gap_s:
            kept.append((index, at))
    return [index for index, _ in kept]


class _Stamp(FrameTimecode):
    """PySceneDetect's time of a frame, which remembers which frame it is."""

    def __init__(self, frame_index: int, timecode: Timecode, rate: Fraction) -> None:
        super().__init__(timecode, fps=rate)
        self.frame_index = frame_index


def _timed(
    stamps: Iterable[tuple[int, int]],
    scores: Iterable[np.ndarray],
    num_scores: int,
    time_base: Fraction,
    rate: Fraction,
) -> Iterator[tuple[_Stamp, list[float]]]:
    """Checks the input and gives each frame its time since the first frame."""
    first_pts: int | None = None
    last = (-1, 0)
    for (index, pts), frame_scores in zip(stamps, scores, strict=True):
        first_pts = pts if first_pts is None else first_pts
        relative_pts = int(pts) - int(first_pts)
        if index <= last[0] or relative_pts < last[1]:
            raise OrderError(
                f"Frame {index} at pts {pts} after frame {last[0]} at pts {last[1] + int(first_pts)}: "
                "expected growing indices and times that do not go back."
            )
        if np.shape(frame_scores) != (num_scores,) or not np.isfinite(frame_scores).all():
            raise ShapeError(f"Scores of frame {index}: got {frame_scores}, expected {num_scores} finite numbers.")
        last = (int(index), relative_pts)
        yield _Stamp(last[0], Timecode(relative_pts, time_base), rate), [float(s) for s in frame_scores]


def _exact_time(cut: FrameTimecode) -> Fraction:
    return cut.pts * cut.time_base


class _Stored(SceneDetector):
    """A PySceneDetect detector that is fed stored scores and names the frames it cuts at."""

    def process(self, stamp: _Stamp, score: float) -> list[_Cut]:
        return self._cuts_at(stamp, score)

    def finish(self, last: _Stamp) -> list[_Cut]:
        return [(cut.frame_index, _exact_time(cut)) for cut in self.post_process(last)]

    def _cuts_at(self, stamp: _Stamp, picture: float | np.ndarray) -> list[_Cut]:
        return [(cut.frame_index, _exact_time(cut)) for cut in self.process_frame(stamp, picture)]


def _decider(config: DetectorConfig) -> _Stored:
    match config:
        case ContentConfig():
            return _StoredContent(config)
        case AdaptiveConfig():
            return _StoredAdaptive(config)
        case ThresholdConfig():
            return _StoredThreshold(config)
        case HistogramConfig():
            return _StoredHistogram(config)
        case HashConfig():
            return _StoredHash(config)


class _StoredContent(_Stored, ContentDetector):
    def __init__(self, config: ContentConfig) -> None:
        super().__init__(
            threshold=config.threshold,
            min_scene_len=float(config.min_shot_s),  # a float is seconds, an int would be frames
            weights=content_weights(config),
            filter_mode=FlashFilter.Mode[config.filter_mode.upper()],
        )

    def _calculate_frame_score(self, timecode: FrameTimecode, frame_img: float) -> float:
        return frame_img


class _StoredAdaptive(_Stored, AdaptiveDetector):
    def __init__(self, config: AdaptiveConfig) -> None:
        super().__init__(
            adaptive_threshold=config.adaptive_threshold,
            min_scene_len=float(config.min_shot_s),
            window_width=config.window_width,
            min_content_val=config.min_content_val,
            weights=content_weights(config),
        )

    def _calculate_frame_score(self, timecode: FrameTimecode, frame_img: float) -> float:
        return frame_img


class _StoredThreshold(_Stored, ThresholdDetector):
    """Also turns the frame numbers it computes for cuts inside a fade back into frames."""

    def __init__(self, config: ThresholdConfig) -> None:
        super().__init__(
            threshold=config.threshold,
            min_scene_len=float(config.min_shot_s),
            fade_bias=config.fade_bias,
            add_final_scene=config.add_final_scene,
            method=ThresholdDetector.Method[config.method.upper()],
            min_out_length=float(config.min_out_s),
        )
        self._numbers = _FrameNumbers()

    def process(self, stamp: _Stamp, score: float) -> list[_Cut]:
        self._numbers.add(stamp)
        # The detector takes the mean of the picture: that of one number is the number, exactly.
        cuts = [(self._frame_index(cut.frame_num, stamp), _exact_time(cut)) for cut in self.process_frame(stamp, score)]
        if self.last_fade["type"] == "in":
            self._numbers.restart(stamp)  # a cut is never placed before the fade that is going on
        return cuts

    def _frame_index(self, frame_number: int, now: _Stamp) -> int:
        # Several frames may share a number at variable frame rate; the end of a fade is this one.
        return now.frame_index if frame_number == now.frame_num else self._numbers.index_of(frame_number)


class _StoredHistogram(_Stored, HistogramDetector):
    """The stored correlation cannot be put into cv2.compareHist; its outcome can.

    Two-bin histograms correlate to exactly 1 where they are equal and -1 where they are swapped, so a
    frame whose stored correlation is low enough for a cut gets the last histogram swapped.
    """

    _PICTURE = np.zeros((1, 1, 3), np.uint8)

    def __init__(self, config: HistogramConfig) -> None:
        super().__init__(threshold=config.threshold, min_scene_len=float(config.min_shot_s))
        self._stand_in = np.array([1, 0], np.float32)

    def calculate_histogram(self, frame_img: np.ndarray, bins: int = 256, normalize: bool = True) -> np.ndarray:
        return self._stand_in

    def process(self, stamp: _Stamp, score: float) -> list[_Cut]:
        if score <= self._threshold:
            self._stand_in = self._stand_in[::-1].copy()
        return self._cuts_at(stamp, self._PICTURE)


class _StoredHash(_Stored, HashDetector):
    """Stand-in hashes that differ from one another in as many bits as the real ones did."""

    def __init__(self, config: HashConfig) -> None:
        super().__init__(
            threshold=config.threshold,
            size=config.size,
            lowpass=config.lowpass,
            min_scene_len=float(config.min_shot_s),
        )
        self._stand_in = np.zeros(config.size**2, np.bool_)

    @staticmethod
    def hash_frame(frame_img: np.ndarray, hash_size: int, factor: int) -> np.ndarray:
        return frame_img

    def process(self, stamp: _Stamp, score: float) -> list[_Cut]:
        num_bits = round(score * self._size_sq)
        self._stand_in = self._stand_in ^ (np.arange(self._stand_in.size) < num_bits)
        return self._cuts_at(stamp, self._stand_in)


class _FrameNumbers:
    """PySceneDetect's frame number (time times mean rate, rounded) -> frame index, since a given frame.

    Kept as runs [first index, last index, number - index], so that a fade of any length costs one run
    at constant frame rate.
    """

    def __init__(self) -> None:
        self._runs: list[list[int]] = []

    def restart(self, stamp: _Stamp) -> None:
        self._runs.clear()
        self.add(stamp)

    def add(self, stamp: _Stamp) -> None:
        index, offset = stamp.frame_index, stamp.frame_num - stamp.frame_index
        if self._runs and self._runs[-1][1:] == [index - 1, offset]:
            self._runs[-1][1] = index
        else:
            self._runs.append([index, index, offset])

    def index_of(self, frame_number: int) -> int:
        """The first frame whose number is at least `frame_number`; the last frame if there is none."""
        for first, last, offset in self._runs:
            if frame_number - offset <= last:
                return max(first, frame_number - offset)
        return self._runs[-1][1]
