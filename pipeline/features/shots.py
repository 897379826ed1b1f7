"""Shots: every frame is scored against the one before it, and the scores of the whole video are cut.

A segment scores one frame past its end, the first of the next segment, so that every frame of the video has
its score exactly once and the decision runs over the same numbers whether the video was split or not.
"""

from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from itertools import tee

import numpy as np
import pyarrow as pa

from extractors.shots.config import ShotConfig
from pipeline.stages import FinishInputs, Row, Rows, Stage
from pipeline.video.frames import Frame
from pipeline.video.geometry import PictureSpec
from pipeline.video.probe import MeasuredFacts
from pipeline.video.segments import Segment

SCORES = pa.schema(
    [
        pa.field("frame", pa.int64(), nullable=False, metadata={"unit": "index"}),
        pa.field("pts", pa.int64(), nullable=False, metadata={"unit": "ticks"}),
        pa.field("scores", pa.list_(pa.float64()), nullable=False, metadata={"unit": "1"}),
    ]
)


class ShotStage(Stage):
    """Shot detection with PySceneDetect's detectors."""

    name = "shots"
    publishes = ("shots",)

    def __init__(self, config: ShotConfig | None = None) -> None:
        self.config: ShotConfig = config or ShotConfig()

    @property
    def parts(self) -> Mapping[str, pa.Schema]:
        return {"frame_scores": SCORES}

    def open(self, measured: MeasuredFacts, segment: Segment) -> "_Scoring":
        return _Scoring(self.config, segment)

    def finish(self, measured: MeasuredFacts, inputs: FinishInputs) -> Iterator[tuple[str, Rows]]:
        from extractors.shots.cuts import find_cuts

        stamps, scores = tee(_scored(inputs))
        starts = find_cuts(
            self.config,
            ((frame, pts) for frame, pts, _ in stamps),
            (values for _, _, values in scores),
            time_base=measured.clock.time_base,
            rate=Fraction(measured.fps).limit_denominator(100_000),
        )
        wanted = set(starts)
        pts_of = {frame: pts for frame, pts, _ in _scored(inputs) if frame in wanted}
        borders = [
            (0, measured.clock.start_pts),
            *sorted(pts_of.items()),
            (measured.num_frames, measured.end_pts),
        ]
        yield "shots", [_shot(measured, i, borders[i], borders[i + 1]) for i in range(len(borders) - 1)]


def _scored(inputs: FinishInputs) -> Iterator[tuple[int, int, np.ndarray]]:
    """`(frame, pts, scores)` of every frame of the video."""
    for batch in inputs.part("shots", "frame_scores"):
        columns = (batch.column(name).to_pylist() for name in SCORES.names)
        for frame, pts, scores in zip(*columns, strict=True):
            yield frame, pts, np.array(scores)


def _shot(measured: MeasuredFacts, index: int, start: tuple[int, int], end: tuple[int, int]) -> Row:
    return {
        "shot_index": index,
        "start_s": measured.clock.seconds(start[1]),
        "end_s": measured.clock.seconds(end[1]),
        "start_frame": start[0],
        "end_frame": end[0],
        "start_pts": start[1],
        "end_pts": end[1],
    }


class _Scoring:
    """`FrameConsumer`: one row of scores for each frame after the first of the segment."""

    def __init__(self, config: ShotConfig, segment: Segment) -> None:
        from extractors.shots.scoring import FrameScorer

        self._segment = segment
        self._spec = PictureSpec(format="bgr24", width_px=config.width_px)
        self._scorer = FrameScorer(config, at_video_start=segment.previous_pts is None)
        self._reached_next = False

    def feed(self, frame: Frame) -> Iterable[tuple[str, Row]]:
        self._reached_next = not self._segment.owns(frame.pts)
        scores = self._scorer.score(frame.picture(self._spec))
        if scores is not None:
            yield "frame_scores", {"frame": frame.index, "pts": frame.pts, "scores": scores.tolist()}

    def wants_more(self) -> bool:
        return not self._reached_next

    def finish(self) -> Iterable[tuple[str, Row]]:
        return ()
