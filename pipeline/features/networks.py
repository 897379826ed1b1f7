"""Clip features of a network: a clip every `hop_s` seconds through a backbone, its embedding into the bank.

A frame is converted, scaled and normalised once, however many clips it belongs to. The network and its weights
are loaded on the first frame in a worker process, once for all videos; or in the inference process of its device.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from fractions import Fraction

import cv2
import pyarrow as pa
from torch import Tensor

from extractors.clips.frames import frames_of
from extractors.clips.input import ClipInput
from extractors.networks import NetworkSource
from extractors.runtime import Runtime
from pipeline.bank.schema import feature_schema
from pipeline.errors import ConfigError
from pipeline.features.clip_grid import Clip, ClipGrid
from pipeline.features.embedded_clips import EmbeddedClips
from pipeline.inference.models import ClipEmbedding
from pipeline.inference.queues import queue_of
from pipeline.inference.shared_arrays import Arrays
from pipeline.stages import Row, Stage
from pipeline.video.frames import Frame
from pipeline.video.geometry import PictureSpec
from pipeline.video.probe import MeasuredFacts
from pipeline.video.segments import Segment


@dataclass(frozen=True, kw_only=True)
class NetworkClipConfig:
    """What decides the features, beyond network and weights."""

    hop_s: float = 1.0
    """Clip k is centred on first_s + k * hop_s seconds."""
    first_s: float = 0.0
    batch: int = 1
    """Clips that go through the network together. More than one helps a GPU; on a CPU it brings nothing, and
    with one the features do not depend on how a video was cut into segments, to the last bit. What does not fit into
    the device's memory is halved."""
    scaler: str = "original"
    """`original`: full-size pictures are scaled as the original code does. `decoder`: the decoder's own scaler,
    faster for large pictures, and not quite the same features."""

    def __post_init__(self) -> None:
        if not self.first_s >= 0:
            raise ConfigError(f"first_s: got {self.first_s}, expected 0 or more.")
        if not self.hop_s > 0 or self.batch < 1:
            raise ConfigError(f"hop_s and batch: got {self.hop_s} and {self.batch}, expected above 0 and at least 1.")
        if self.scaler not in ("original", "decoder"):
            raise ConfigError(f"scaler: got {self.scaler!r}, expected original or decoder.")


class NetworkClipStage(Stage):
    """Embeddings of clips by one network, as space `clip.<model>`; over optical flow `clip.<model>_flow`."""

    name = "clips"

    def __init__(self, network: NetworkSource, runtime: Runtime, config: NetworkClipConfig | None = None) -> None:
        self.network, self.runtime = network, runtime
        self.config: NetworkClipConfig = config or NetworkClipConfig()
        self._dim = network.outline().embedding_dim

    @property
    def space(self) -> str:
        """Name of the feature space."""
        return f"clip.{self.network.model}{'_flow' if self.network.input.channels == 'flow' else ''}"

    @property
    def publishes(self) -> tuple[str, ...]:
        return (f"features/{self.space}",)

    @property
    def parts(self) -> Mapping[str, pa.Schema]:
        columns = feature_schema(self._dim)
        return {f"features/{self.space}": pa.schema([field for field in columns if field.name != "video_id"])}

    @property
    def spaces(self) -> Mapping[str, int]:
        return {self.space: self._dim}

    @property
    def weights(self) -> Mapping[str, str]:
        return {self.network.weights: self.network.sha256}

    def settings(self) -> dict:
        """Network and precision decide the result too; the device changes the last bits only."""
        network = {"model": self.network.model, "options": dict(self.network.options)}
        network |= {"input": asdict(self.network.input), "precision": self.runtime.precision}
        return super().settings() | {"network": network}

    def feature_cards(self) -> Mapping[str, dict]:
        config = self.config
        card = feature_card(
            self.network, self.runtime, hop_s=config.hop_s, first_s=config.first_s, scaler=config.scaler
        )
        return {self.space: card}

    def open(self, measured: MeasuredFacts, segment: Segment) -> _Embedding:
        return _Embedding(self, measured, segment)


class _Embedding(EmbeddedClips):
    """Collects the frames of overlapping clips, and has each clip embedded when it is complete."""

    def __init__(self, stage: NetworkClipStage, measured: MeasuredFacts, segment: Segment) -> None:
        self._measured, self._input, config = measured, stage.network.input, stage.config
        self._hop = Fraction(config.hop_s).limit_denominator(1000)
        self._first = Fraction(config.first_s).limit_denominator(1000)
        self._spec = PictureSpec(short_side_px=self._input.short_side_px if config.scaler == "decoder" else None)
        self._frames = frames_of(self._input)
        grid: ClipGrid[Tensor] = ClipGrid(measured, segment, self._hop, centred_offsets(self._input), self._first)
        model = ClipEmbedding(network=stage.network, most=config.batch)
        super().__init__(grid, queue_of(model, stage.runtime), stage.space)

    def prepare(self, frame: Frame, until_pts: int | None) -> Tensor:
        return self._frames.prepare(frame.picture(self._spec))

    def inputs(self, clip: Clip[Tensor]) -> Arrays:
        return {"clip": self._frames.clip(clip.pictures).numpy()}

    def times(self, clip: Clip[Tensor]) -> Row:
        at_s, half_s = float(self._first + clip.index * self._hop), self._input.clip_s / 2
        times = {"start_s": max(0.0, at_s - half_s), "end_s": min(at_s + half_s, self._measured.duration_s)}
        return {"at_s": at_s, **times, "frame_pts": clip.pts}


def centred_offsets(spec: ClipInput) -> list[Fraction]:
    """Seconds of each frame of a clip from the moment it stands for: frame T // 2 is the one at that moment.

    AVA's rule in PySlowFast: `range(c - T * stride / 2, c + T * stride / 2, stride)`.
    """
    step = Fraction(spec.stride) / Fraction(spec.fps).limit_denominator(1001)
    return [(j - spec.num_frames // 2) * step for j in range(spec.num_frames)]


COLOURS = {
    "rgb": "red, green, blue, from the decoder's format by swscale",
    "bgr": "blue, green, red, from the decoder's format by swscale",
    "flow": "TV-L1 flow (scikit-image) from each frame of the clip to the next, after resize and crop: x, y, clipped "
    "at 20 px and divided by 20; the last one twice",
}
SCALING = {
    "float": "bilinear in float32, half-pixel centres, no smoothing (torch, align_corners False); longer side floored",
    "smooth": "bilinear in float32 with smoothing (torch, antialias True); longer side floored",
    "rounded": "as float, then rounded to whole numbers",
    "bytes": "bilinear in bytes (OpenCV INTER_LINEAR); longer side floored",
    "decoder": "area average in bytes by swscale; longer side rounded to the nearest",
}
"""What the ways to scale a picture do: those of `extractors.clips.preprocess.RESIZES`, and the decoder's."""


def feature_card(
    network: NetworkSource, runtime: Runtime, *, hop_s: float, first_s: float = 0.0, scaler: str = "original"
) -> dict:
    """What made a feature space, step by step, for whoever compares it with features of another tool."""
    spec = network.input
    scaling = SCALING["decoder" if scaler == "decoder" else spec.resize]
    side = "both sides" if spec.square else "the shorter side"
    moments = f"{first_s:g} s + k * {hop_s:g} s" if first_s else f"k * {hop_s:g} s"
    return {
        "frames": f"clip k is centred on {moments}: {spec.num_frames} frames {spec.stride}/{spec.fps:g} s "
        f"apart, frame {spec.num_frames // 2} at that moment; each is the frame on screen then (a frame that begins "
        "within a quarter of a mean frame period counts), the first or last one outside the video. Exact timestamps "
        "are in column frame_pts, in the time base of table videos.",
        "picture": "as a player shows it: turned upright, and where pixels are not square scaled by swscale until they "
        "are, in bytes",
        "colour": COLOURS[spec.channels],
        "resize": f"{side} to {spec.short_side_px} px: {scaling}",
        "crop": f"centre, {spec.crop_px} x {spec.crop_px} px, offsets as in {spec.crop}",
        "normalisation": {"x": "(byte / 255 - mean) / std", "mean": spec.mean, "std": spec.std},
        "network": {"model": network.model, "options": dict(network.options)},
        "weights": {"name": network.weights, "sha256": network.sha256},
        "layer": "the classifier's input: last feature maps after the head's average pool, pathways slow before fast, "
        "mean over positions",
        "dtype": {"compute": runtime.precision, "stored": "float16"},
        "device": runtime.device_name,
        "versions": {name: importlib.metadata.version(name) for name in ("torch", "av", "numpy", "longform-video")}
        | ({"opencv": cv2.__version__} if spec.resize == "bytes" else {})
        | ({"scikit-image": importlib.metadata.version("scikit-image")} if spec.channels == "flow" else {}),
    }
