"""Features of frames that texts can be compared with: one every `hop_s` seconds, by a model of `extractors.image_text`.

Frame k is the one on screen at k * hop_s seconds. A model of clips (X-CLIP) gets frames `frame_step_s` apart around
that moment instead.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

import pyarrow as pa
import torch
from torch import Tensor

from extractors.image_text import ImagePreparation, ImageTextSource
from extractors.runtime import Runtime
from pipeline.bank.schema import feature_schema
from pipeline.errors import ConfigError
from pipeline.features.clip_grid import Clip, ClipGrid
from pipeline.features.embedded_clips import EmbeddedClips
from pipeline.inference.models import ImageTextEmbedding
from pipeline.inference.queues import queue_of
from pipeline.inference.shared_arrays import Arrays
from pipeline.stages import Row, Stage
from pipeline.video.frames import Frame
from pipeline.video.geometry import PictureSpec
from pipeline.video.probe import MeasuredFacts
from pipeline.video.segments import Segment

SHORTEST_S = 0.001
PACKAGES = ("torch", "transformers", "pillow", "av", "numpy", "longform-video")


@dataclass(frozen=True, kw_only=True)
class ImageTextConfig:
    """What decides the features, beyond the model."""

    hop_s: float = 1.0
    """Feature k is of the moment k * hop_s."""
    frame_step_s: float = 0.5
    """Seconds between the frames of a clip, for a model of clips. Of X-CLIP the frames of training lie further apart,
    spread over videos of some ten seconds; so far apart, neighbouring moments look alike."""

    def __post_init__(self) -> None:
        if not min(self.hop_s, self.frame_step_s) >= SHORTEST_S:
            raise ConfigError(
                f"hop_s and frame_step_s: got {self.hop_s} and {self.frame_step_s}, expected at least {SHORTEST_S}."
            )


class ImageTextStage(Stage):
    """Features of one model of pictures and texts, as space `frame.<model>`; of a model of clips `clip.<model>`."""

    name = "text"

    def __init__(self, source: ImageTextSource, runtime: Runtime, config: ImageTextConfig | None = None) -> None:
        self.source, self.runtime = source, runtime
        self.config: ImageTextConfig = config or ImageTextConfig()

    @property
    def space(self) -> str:
        """Name of the feature space."""
        return f"{'frame' if self.source.num_frames == 1 else 'clip'}.{self.source.model}"

    @property
    def publishes(self) -> tuple[str, ...]:
        return (f"features/{self.space}",)

    @property
    def parts(self) -> Mapping[str, pa.Schema]:
        columns = feature_schema(self.source.dim)
        return {f"features/{self.space}": pa.schema([field for field in columns if field.name != "video_id"])}

    @property
    def spaces(self) -> Mapping[str, int]:
        return {self.space: self.source.dim}

    @property
    def weights(self) -> Mapping[str, str]:
        return {self.source.model: self.source.sha256}

    def settings(self) -> dict:
        """Where the model lies does not decide the result."""
        return super().settings() | {"precision": self.runtime.precision}

    def feature_cards(self) -> Mapping[str, dict]:
        source, config = self.source, self.config
        clip = f"{source.num_frames} frames {config.frame_step_s:g} s apart, frame {source.num_frames // 2} at"
        card = {
            "frames": f"feature k is of {'the frame on screen at' if source.num_frames == 1 else clip} "
            f"k * {config.hop_s:g} s; start_s and end_s are the span it stands for. Exact timestamps are in column "
            "frame_pts, in the time base of table videos.",
            "colour": "red, green, blue, from the decoder's format by swscale",
            "resize, crop, normalisation": "the model's own image processor (Pillow), from the full picture",
            "text_model": {"name": source.name, "sha256": source.sha256, "family": source.family},
            "layer": "the projection that is compared with texts, not divided by its length",
            "dtype": {"compute": self.runtime.precision, "stored": "float16"},
            "device": self.runtime.device_name,
            "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
        }
        return {self.space: card}

    def open(self, measured: MeasuredFacts, segment: Segment) -> _Embedding:
        return _Embedding(self, measured, segment)


_preparations: dict[ImageTextSource, ImagePreparation] = {}


def _preparation(source: ImageTextSource) -> ImagePreparation:
    """The preparation of this process."""
    if source not in _preparations:
        _preparations[source] = source.preparation()
    return _preparations[source]


class _Embedding(EmbeddedClips):
    """Embeds the frame of each moment, or the clip around it."""

    def __init__(self, stage: ImageTextStage, measured: MeasuredFacts, segment: Segment) -> None:
        self._end_s, self._preparation = measured.duration_s, _preparation(stage.source)
        self._hop = Fraction(stage.config.hop_s).limit_denominator(1000)
        self._step = Fraction(stage.config.frame_step_s).limit_denominator(1000)
        count = stage.source.num_frames
        offsets = [(j - count // 2) * self._step for j in range(count)]
        grid: ClipGrid[Tensor] = ClipGrid(measured, segment, self._hop, offsets)
        super().__init__(grid, queue_of(ImageTextEmbedding(source=stage.source), stage.runtime), stage.space)

    def prepare(self, frame: Frame, until_pts: int | None) -> Tensor:
        return self._preparation.prepare(frame.picture(PictureSpec()))

    def inputs(self, clip: Clip[Tensor]) -> Arrays:
        return {"frames": torch.stack(clip.pictures).numpy()}

    def times(self, clip: Clip[Tensor]) -> Row:
        at_s = float(clip.index * self._hop)
        before_s, after_s = 0.0, float(self._hop)
        if len(clip.pts) > 1:
            before_s = after_s = float(self._step) * len(clip.pts) / 2
        times = {"start_s": max(0.0, at_s - before_s), "end_s": min(at_s + after_s, self._end_s)}
        return {"at_s": at_s, **times, "frame_pts": clip.pts}
