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
from pipeline.bank.schema import DETECTIONS, feature_schema
from pipeline.errors import ConfigError
from pipeline.stages import Row, Stage
from pipeline.video.frames import Frame
from pipeline.video.geometry import PictureSpec
from pipeline.video.probe import MeasuredFacts
from pipeline.video.segments import Segment

IDS_PER_FRAME = 1000
"""`detection_id` is `frame * IDS_PER_FRAME + place by score`, so it needs no count over the video."""
APPEARANCE = "person.hsv_stripes"
_LINKED = {"video_id", "track_id", "shot_index"}
DETECTION_PART = pa.schema([field for field in DETECTIONS if field.name not in _LINKED])
APPEARANCE_PART = pa.schema([field for field in feature_schema(HSV_STRIPES_DIM) if field.name not in _LINKED])


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
        return {"detections": DETECTION_PART, f"features/{APPEARANCE}": APPEARANCE_PART}

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
        for place in range(min(len(found.boxes), IDS_PER_FRAME)):
            detection_id = frame.index * IDS_PER_FRAME + place
            yield (
                "detections",
                {
                    "at_s": frame.at_s,
                    "frame": frame.index,
                    "pts": frame.pts,
                    "detection_id": detection_id,
                    "box": found.boxes[place].tolist(),
                    "score": float(found.scores[place]),
                    "class_id": int(found.classes[place]),
                    "label": found.class_names[found.classes[place]],
                },
            )
            yield (
                f"features/{APPEARANCE}",
                {
                    "at_s": frame.at_s,
                    "start_s": frame.at_s,
                    "end_s": frame.at_s,
                    "detection_id": detection_id,
                    "feature": appearance[place],
                },
            )

    def wants_more(self) -> bool:
        return False

    def finish(self) -> Iterable[tuple[str, Row]]:
        return ()
