"""What an outside package would ship: mean brightness of one frame a second, as a feature space of one number."""

from fractions import Fraction

import pyarrow as pa

from pipeline.bank.schema import feature_schema
from pipeline.stages import Stage
from pipeline.video.geometry import PictureSpec

SPACE = "frame.brightness"


class Bright(Stage):
    name = "bright"
    publishes = (f"features/{SPACE}",)

    @property
    def spaces(self):
        return {SPACE: 1}

    @property
    def parts(self):
        return {f"features/{SPACE}": pa.schema([field for field in feature_schema(1) if field.name != "video_id"])}

    def open(self, measured, segment):
        return Measure(measured.clock, segment)


class Measure:
    def __init__(self, clock, segment):
        self.clock, self.segment = clock, segment

    def feed(self, frame):
        if self.clock.starts_grid_step(frame.pts, frame.previous_pts, Fraction(1)):
            mean = frame.picture(PictureSpec(format="gray", short_side_px=32)).mean()
            times = dict.fromkeys(("at_s", "start_s", "end_s"), frame.at_s)
            yield f"features/{SPACE}", times | {"feature": [mean / 255]}

    def wants_more(self):
        return False

    def finish(self):
        return ()
