"""Clip descriptors: HOG and HOF over a clip every `hop_s` seconds, from grey frames on a fixed time grid.

Clip k begins at the first frame at or after `k * hop_s` and takes the sampled frames of the next `clip_s`
seconds; the last clips of a video are as short as it leaves them. A clip belongs to the segment that owns its
first frame, which reads on past its end to complete it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
import pyarrow as pa

from extractors.clips.hoghof import HogHof, HogHofConfig
from pipeline.bank.schema import feature_schema
from pipeline.stages import Row, Stage
from pipeline.video.frames import Frame
from pipeline.video.geometry import PictureSpec
from pipeline.video.probe import MeasuredFacts
from pipeline.video.segments import Segment

SPACE = "clip.hoghof"


class ClipStage(Stage):
    """HOG + HOF clip descriptors."""

    name = "clips"
    publishes = (f"features/{SPACE}",)

    def __init__(self, config: HogHofConfig | None = None) -> None:
        self.config: HogHofConfig = config or HogHofConfig()

    @property
    def parts(self) -> Mapping[str, pa.Schema]:
        columns = feature_schema(self.config.dim)
        return {f"features/{SPACE}": pa.schema([field for field in columns if field.name != "video_id"])}

    @property
    def spaces(self) -> Mapping[str, int]:
        return {SPACE: self.config.dim}

    def open(self, measured: MeasuredFacts, segment: Segment) -> "_Describing":
        return _Describing(self.config, measured, segment)


@dataclass
class _Clip:
    """A clip in the making: when it starts and ends, and the cells of its sampled frames."""

    start_pts: int
    end_pts: Fraction
    cells: list[tuple[float, np.ndarray]] = field(default_factory=list)


class _Describing:
    """`FrameConsumer`: clips may overlap; each sampled frame is looked at once for all of them."""

    def __init__(self, config: HogHofConfig, measured: MeasuredFacts, segment: Segment) -> None:
        self._config, self._measured, self._segment = config, measured, segment
        self._hoghof = HogHof(config)
        self._sampling = Fraction(config.sample_hz).limit_denominator(1000)
        self._starting = 1 / Fraction(config.hop_s).limit_denominator(1000)
        self._clip_ticks = Fraction(config.clip_s).limit_denominator(1000) / measured.clock.time_base
        self._spec = PictureSpec(format="gray", short_side_px=config.short_side_px)
        self._clips: list[_Clip] = []
        self._last: tuple[np.ndarray, float] | None = None

    def feed(self, frame: Frame) -> Iterable[tuple[str, Row]]:
        yield from self._close(frame.pts)
        clock = self._measured.clock
        starts = clock.starts_grid_step(frame.pts, frame.previous_pts, self._starting)
        if starts and self._segment.owns(frame.pts):
            self._clips.append(_Clip(frame.pts, frame.pts + self._clip_ticks))
        is_sampled = starts or clock.starts_grid_step(frame.pts, frame.previous_pts, self._sampling)
        if self._clips and is_sampled:
            self._sample(frame)

    def _sample(self, frame: Frame) -> None:
        """Look at a frame, and at its motion for the clips that saw the sampled frame before it."""
        gray = frame.picture(self._spec)
        if self._last is not None and any(clip.cells for clip in self._clips):
            cells = self._hoghof.cells(self._last[0], gray, frame.at_s - self._last[1])
        else:
            cells = self._hoghof.cells(None, gray)
        for clip in self._clips:
            at_s = float((frame.pts - clip.start_pts) * self._measured.clock.time_base)
            clip.cells.append((at_s, cells if clip.cells else self._hoghof.without_motion(cells)))
        self._last = (gray, frame.at_s)

    def wants_more(self) -> bool:
        return bool(self._clips)

    def finish(self) -> Iterable[tuple[str, Row]]:
        return self._close(None)

    def _close(self, pts: int | None) -> Iterable[tuple[str, Row]]:
        """Describe the clips that end at or before `pts`; all of them at the end of the video."""
        while self._clips and (pts is None or pts >= self._clips[0].end_pts):
            clip = self._clips.pop(0)
            start_s = self._measured.clock.seconds(clip.start_pts)
            end_s = min(start_s + self._config.clip_s, self._measured.duration_s)
            times = {"at_s": (start_s + end_s) / 2, "start_s": start_s, "end_s": end_s}
            yield f"features/{SPACE}", times | {"feature": self._hoghof.describe(clip.cells)}
