"""Boxes of a detector at a steady rate, with everything kept for a box: its look, its features, what it does.

At every moment k / rate_hz the detector looks at the frame on screen, unless it did at the moment before: a frame that
stays on screen is one look, whatever the rate. With an action network, the clip centred on that moment goes through the
network too, and each person's box is pooled from its maps (RoIAlign, SlowFast section 5.1; LFB section 3). All of it
comes from one decode; a moment without people costs no pass of the network.

The stage makes parts only; `TrackStage` publishes them once it knows tracks and shots.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from fractions import Fraction

import numpy as np
import pyarrow as pa
from torch import Tensor

from extractors.clips.frames import frames_of
from extractors.clips.input import ClipInput
from extractors.clips.preprocess import CROPS, boxes_in_clip, scaled_hw
from extractors.detector_source import DetectorSource
from extractors.networks import NetworkSource
from extractors.runtime import Runtime
from extractors.tracking.appearance import HSV_STRIPES_DIM, hsv_stripes
from extractors.types import Detections
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
from pipeline.features.clip_grid import Clip, ClipConsumer, ClipGrid
from pipeline.features.networks import centred_offsets, feature_card
from pipeline.inference.models import BoxActions, DetectedBoxes, detections_of
from pipeline.inference.queues import ask, queue_of
from pipeline.stages import Row, Stage
from pipeline.video.frames import Frame
from pipeline.video.geometry import PictureSpec
from pipeline.video.probe import MeasuredFacts
from pipeline.video.segments import Segment

VIEWS = ("whole", "centre")


@dataclass(frozen=True, kw_only=True)
class BoxConfig:
    """Which boxes are kept, and how often the detector looks."""

    rate_hz: float = 1.0
    min_score: float = 0.0
    """Boxes that score less are dropped."""
    keep: tuple[str, ...] = ()
    """Names of the classes to keep; all where none is named."""
    drop: tuple[str, ...] = ()
    """Names of classes to leave out."""
    first_place: int = 0
    """Where this stage's ids begin in a frame; two stages of one run have different places."""
    max_boxes: int = 500
    """Boxes kept of one frame, the surest."""
    view: str = "whole"
    """What of a picture the action network sees: the `whole` of it, or the `centre` crop of its input, in which boxes
    are clipped to the crop, as long-term feature banks of AVA have it."""

    def __post_init__(self) -> None:
        if not 0 < self.rate_hz <= 1000:
            raise ConfigError(f"rate_hz must be above 0 and at most 1000: got {self.rate_hz}.")
        if self.view not in VIEWS:
            raise ConfigError(f"view: got {self.view!r}, expected one of: {', '.join(VIEWS)}.")
        if min(self.first_place, self.max_boxes - 1, IDS_PER_FRAME - self.first_place - self.max_boxes) < 0:
            raise ConfigError(
                f"first_place and max_boxes: got {self.first_place} and {self.max_boxes}; "
                f"expected places within the {IDS_PER_FRAME} of a frame."
            )


class BoxStage(Stage):
    """Boxes of one detector, and the actions of its people."""

    publishes = ()

    def __init__(
        self,
        name: str,
        detector: DetectorSource,
        runtime: Runtime,
        config: BoxConfig | None = None,
        *,
        kind: str = "person",
        feature_dim: int | None = None,
        actions: NetworkSource | None = None,
    ) -> None:
        """`kind` begins the names of its spaces; `feature_dim` is that of the detector's own features, if kept."""
        self.name, self.detector, self.runtime = name, detector, runtime
        self.config: BoxConfig = config or BoxConfig()
        self.kind, self.actions = kind, actions
        self._spaces = {kind + LOOK: HSV_STRIPES_DIM}
        if feature_dim is not None:
            self._spaces[f"{kind}.{_plain(detector.name)}"] = feature_dim
        if actions is not None:
            outline = actions.outline()
            self._spaces[f"{kind}.{actions.model}"] = outline.embedding_dim
            self._spaces[f"action.{actions.model}"] = outline.num_classes

    @property
    def parts(self) -> Mapping[str, pa.Schema]:
        spaces = {f"features/{space}": box_part(dim) for space, dim in self._spaces.items()}
        return {"detections": DETECTION_PART, **spaces}

    @property
    def spaces(self) -> Mapping[str, int]:
        return self._spaces

    @property
    def weights(self) -> Mapping[str, str]:
        used = {} if not self.detector.sha256 else {self.detector.weights or self.detector.name: self.detector.sha256}
        return used if self.actions is None else used | {self.actions.weights: self.actions.sha256}

    def settings(self) -> dict:
        made = {"detector": self.detector.name, "detector_settings": dict(self.detector.settings)}
        made |= {"precision": self.runtime.precision}
        if self.actions is not None:
            made |= {"model": self.actions.model, "options": dict(self.actions.options)}
            made |= {"input": asdict(self.actions.input)}
        return super().settings() | {"boxes": made}

    def feature_cards(self) -> Mapping[str, dict]:
        if self.actions is None:
            return {}
        card = feature_card(self.actions, self.runtime, hop_s=1 / self.config.rate_hz)
        if self.config.view == "whole":
            card["crop"] = "none: the whole picture"
        card |= {
            "layer": "last feature maps, pathways slow before fast: mean over time, RoIAlign 7 x 7, maximum",
            "boxes": {"detector": self.detector.name, "weights": self.detector.weights, "sha256": self.detector.sha256},
        }
        probabilities = card | {"layer": f"{self.actions.outline().activation} of the classifier's logits, per class"}
        return {f"{self.kind}.{self.actions.model}": card, f"action.{self.actions.model}": probabilities}

    def open(self, measured: MeasuredFacts, segment: Segment) -> "_Looking":
        return _Looking(self, measured, segment)


def _plain(detector: str) -> str:
    """The detector's name as part of the name of a space."""
    return "".join(char if char.isalnum() or char in "._-" else "_" for char in detector)


@dataclass(frozen=True, slots=True)
class _Sample:
    """A frame of a clip: as the action network wants it, and whole where it is the one a detector looks at."""

    index: int
    prepared: Tensor | None
    whole: np.ndarray | None


class _Looking(ClipConsumer[_Sample]):
    """Detections of the frame at each moment, and what is done in the clip around it."""

    def __init__(self, stage: BoxStage, measured: MeasuredFacts, segment: Segment) -> None:
        self._stage, self._config = stage, stage.config
        self._detector = queue_of(DetectedBoxes(detector=stage.detector), stage.runtime)
        self._actions = _Actions(stage, stage.actions, measured) if stage.actions else None
        offsets = self._actions.offsets if self._actions else [Fraction(0)]
        self._key = len(offsets) // 2
        self._hop = 1 / Fraction(stage.config.rate_hz).limit_denominator(1000)
        super().__init__(ClipGrid(measured, segment, self._hop, offsets))

    def prepare(self, frame: Frame, until_pts: int | None) -> _Sample:
        picture = frame.picture(PictureSpec())
        prepared = self._actions.frames.prepare(picture) if self._actions else None
        return _Sample(frame.index, prepared, picture if self.grid.is_moment(frame.pts, until_pts) else None)

    def rows(self, clip: Clip[_Sample]) -> Iterator[tuple[str, Row]]:
        sample = clip.pictures[self._key]
        if self.grid.is_repeat(clip.index, clip.pts[self._key]):
            return
        assert sample.whole is not None
        found = self._chosen(detections_of(ask(self._detector, {"picture": sample.whole})))
        if not len(found):
            return
        kind, at_s = self._stage.kind, float(clip.index * self._hop)
        first = sample.index * IDS_PER_FRAME + self._config.first_place
        ids = range(first, first + len(found))
        looked = dict.fromkeys(LOOKED_AT, at_s)
        for row in detection_rows(found, ids, at_s=at_s, frame=sample.index, pts=clip.pts[self._key]):
            yield "detections", row
        yield from feature_rows(kind + LOOK, hsv_stripes(sample.whole, found.boxes), ids, looked)
        own = f"{kind}.{_plain(self._stage.detector.name)}"
        if own in self._stage.spaces and found.features is not None:
            yield from feature_rows(own, found.features, ids, looked)
        if self._actions:
            yield from self._actions.rows(clip, sample.whole.shape[:2], found.boxes, ids, at_s)

    def _chosen(self, found: Detections) -> Detections:
        """The boxes to keep, surest first."""
        names = np.array([found.class_names[i] for i in found.classes], dtype=object)
        kept = found.scores >= self._config.min_score
        if self._config.keep:
            kept &= np.isin(names, self._config.keep)
        kept &= ~np.isin(names, self._config.drop)
        order = np.argsort(-found.scores, kind="stable")
        return found.take(order[kept[order]][: self._config.max_boxes])


class _Actions:
    """What the people in boxes do, and the features that say so."""

    def __init__(self, stage: BoxStage, source: NetworkSource, measured: MeasuredFacts) -> None:
        self._kind, self._source = stage.kind, source
        self._network = queue_of(BoxActions(network=source), stage.runtime)
        self._end_s = measured.duration_s
        self._boxes_px = boxes_in_clip if stage.config.view == "whole" else boxes_in_centre_crop
        self.frames = frames_of(source.input, whole=stage.config.view == "whole")
        self.offsets = centred_offsets(source.input)

    def rows(
        self, clip: Clip[_Sample], hw: tuple[int, int], boxes: np.ndarray, ids: range, at_s: float
    ) -> Iterator[tuple[str, Row]]:
        """Features and probabilities of the boxes (N, 4) of the picture (`hw`) in the middle of `clip`."""
        spec, model = self._source.input, self._source.model
        prepared = self.frames.clip([sample.prepared for sample in clip.pictures if sample.prepared is not None])
        answer = ask(self._network, {"clip": prepared.numpy(), "boxes_px": self._boxes_px(boxes, *hw, spec)})
        half_s = spec.clip_s / 2
        times: Row = {"at_s": at_s, "start_s": max(0.0, at_s - half_s), "end_s": min(at_s + half_s, self._end_s)}
        times["frame_pts"] = clip.pts
        yield from feature_rows(f"{self._kind}.{model}", answer["embedding"], ids, times)
        yield from feature_rows(f"action.{model}", answer["probabilities"], ids, times)


def boxes_in_centre_crop(boxes: np.ndarray, height: int, width: int, spec: ClipInput) -> np.ndarray:
    """Boxes of a picture in pixels of the centre crop, as the code of Long-Term Feature Banks has them on AVA.

    Args:
        boxes: (N, 4) xyxy in [0, 1] of a picture of `height` x `width`.
    Returns:
        (N, 4) float32, clipped to the crop: a box beside it becomes a line at its border.
    """
    _, (top, left), _ = CROPS[spec.crop](*scaled_hw(height, width, spec), spec.crop_px)
    shifted = boxes_in_clip(boxes, height, width, spec) - np.array((left, top, left, top), np.float32)
    return np.clip(shifted, 0, spec.crop_px - 1)
