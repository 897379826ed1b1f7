"""Boxes: a detector looks at one frame of every period, and an appearance vector is kept for each box.

The stage makes parts only; `TrackStage` publishes them once it knows tracks and shots.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from fractions import Fraction

import pyarrow as pa

from extractors.catalog import build_detector
from extractors.detectors.hog import HogConfig
from extractors.tracking.appearance import HSV_STRIPES_DIM, hsv_stripes
from pipeline.errors import ConfigError
from pipeline.features.box_rows import (
    DETECTION_PART,
    IDS_PER_FRAME,
    LOOK,
    LOOKED_AT,
    box_part,
    detection_rows,
    feature_rows,
)
from pipeline.stages import Row, Stage
from pipeline.video.frames import Frame
from pipeline.video.geometry import PictureSpec
from pipeline.video.probe import MeasuredFacts
from pipeline.video.segments import Segment

APPEARANCE = "person" + LOOK


@dataclass(frozen=True, kw_only=True)
class PeopleConfig:
    """How people are looked for, and how often."""

    rate_hz: float = 1.0
    """Frames looked at per second; each is the first one at or after its grid time."""
    hog: HogConfig = HogConfig()

    def __post_init__(self) -> None:
        if not 0 < self.rate_hz <= 1000:
            raise ConfigError(f"people.rate_hz must be above 0 and at most 1000: got {self.rate_hz}.")


class PeopleStage(Stage):
    """Person detection with OpenCV's HOG detector."""

    name = "people"
    publishes = ()

    def __init__(self, config: PeopleConfig | None = None) -> None:
        self.config: PeopleConfig = config or PeopleConfig()

    @property
    def parts(self) -> Mapping[str, pa.Schema]:
        return {"detections": DETECTION_PART, f"features/{APPEARANCE}": box_part(HSV_STRIPES_DIM)}

    @property
    def spaces(self) -> Mapping[str, int]:
        return {APPEARANCE: HSV_STRIPES_DIM}

    def open(self, measured: MeasuredFacts, segment: Segment) -> "_Looking":
        return _Looking(self.config, measured, segment)


class _Looking:
    """`FrameConsumer`: detections of the frames on the grid."""

    def __init__(self, config: PeopleConfig, measured: MeasuredFacts, segment: Segment) -> None:
        self._clock, self._segment = measured.clock, segment
        self._rate = Fraction(config.rate_hz).limit_denominator(1000)
        self._detector = build_detector("hog", **asdict(config.hog))
        self._spec = PictureSpec(format="rgb24", short_side_px=config.hog.short_side_px)

    def feed(self, frame: Frame) -> Iterable[tuple[str, Row]]:
        if not self._clock.starts_grid_step(frame.pts, frame.previous_pts, self._rate):
            return
        picture = frame.picture(self._spec)
        found = self._detector.detect(picture)
        appearance = hsv_stripes(picture, found.boxes)
        first = frame.index * IDS_PER_FRAME
        ids = range(first, first + min(len(found), IDS_PER_FRAME))
        for row in detection_rows(found, ids, at_s=frame.at_s, frame=frame.index, pts=frame.pts):
            yield "detections", row
        yield from feature_rows(APPEARANCE, appearance[: len(ids)], ids, dict.fromkeys(LOOKED_AT, frame.at_s))

    def wants_more(self) -> bool:
        return False

    def finish(self) -> Iterable[tuple[str, Row]]:
        return ()
