"""Features of compressed video: one row for each group of pictures (GOP), from CoViAR's networks.

A group is an I-frame and the P-frames behind it; B-frames are left out. The I-frame goes through one network; motion
and residual, traced from a chosen P-frame back to it, go through two more (Wu et al., CVPR 2018). Of a group only the
frames up to the last chosen one are decoded; the stage reads the file itself, so that no other frame is.

The feature is the classifiers' inputs one behind the other: I-frame, motion, residual; those of several P-frames are
averaged.
"""

from __future__ import annotations

import importlib.metadata
import itertools
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from extractors.backbones.coviar import STREAMS
from extractors.compressed.accumulate import Precision
from extractors.compressed.views import centre, clip_of, code_of, squeezed
from extractors.networks import NetworkSource
from extractors.runtime import Runtime
from pipeline.bank.schema import feature_schema
from pipeline.errors import ConfigError, DecodeError
from pipeline.inference.models import ClipEmbedding
from pipeline.inference.queues import ask, queue_of
from pipeline.stages import Row, Stage
from pipeline.video.compressed import CompressedFrame, CompressedReader
from pipeline.video.frames import DecodeStats, Hole
from pipeline.video.gops import Gop
from pipeline.video.probe import MeasuredFacts
from pipeline.video.segments import Segment

SPACE = "compressed.coviar"


@dataclass(frozen=True, kw_only=True)
class CompressedConfig:
    """What decides the features, beyond networks and weights."""

    positions: tuple[int, ...] = (6,)
    """P-frames of a group that are looked at, counted from its I-frame; in a shorter group its last one. B-frames are
    left out and do not count. The middle of the 12 frames that CoViAR's networks were trained on by default; further
    away, traces get worse."""
    precision: Precision = "whole"
    """Of motion: `whole` pixels as in the released code, or `sub-pixel`."""
    accumulate: bool = True
    """Trace motion and residual back to the I-frame; otherwise they lead to the frame before."""
    max_gop: int | None = None
    """Most frames of a row, B-frames aside: longer groups are cut, and the first frame of a part stands for its
    I-frame. They are then decoded as a whole."""

    def __post_init__(self) -> None:
        if not self.positions or min(self.positions) < 1:
            raise ConfigError(f"positions: got {self.positions}, expected places of P-frames in a group, from 1 on.")
        if self.precision not in ("whole", "sub-pixel"):
            raise ConfigError(f"precision: got {self.precision!r}, expected whole or sub-pixel.")
        if self.max_gop is not None and self.max_gop < 2:
            raise ConfigError(f"max_gop: got {self.max_gop}, expected at least 2 frames, or none.")


class CompressedStage(Stage):
    """Features of groups of pictures, as space `compressed.coviar`."""

    name = "compressed"
    reads_frames = False

    def __init__(
        self, networks: Mapping[str, NetworkSource], runtime: Runtime, config: CompressedConfig | None = None
    ) -> None:
        """`networks`: of each stream of `STREAMS`."""
        self.networks = {stream: networks[stream] for stream in STREAMS}
        self.runtime = runtime
        self.config: CompressedConfig = config or CompressedConfig()
        self._dims = {stream: source.outline().embedding_dim for stream, source in self.networks.items()}

    @property
    def publishes(self) -> tuple[str, ...]:
        return (f"features/{SPACE}",)

    @property
    def parts(self) -> Mapping[str, pa.Schema]:
        columns = feature_schema(sum(self._dims.values()))
        return {f"features/{SPACE}": pa.schema([field for field in columns if field.name != "video_id"])}

    @property
    def spaces(self) -> Mapping[str, int]:
        return {SPACE: sum(self._dims.values())}

    @property
    def weights(self) -> Mapping[str, str]:
        return {f"{stream}={source.weights}": source.sha256 for stream, source in self.networks.items()}

    def settings(self) -> dict:
        """Networks and precision decide the result too; the device changes the last bits only."""
        networks = {stream: dict(source.options) for stream, source in self.networks.items()}
        return super().settings() | {"networks": networks, "compute": self.runtime.precision}

    def feature_cards(self) -> Mapping[str, dict]:
        return {SPACE: self._card()}

    def read(
        self, uri: str, measured: MeasuredFacts, segment: Segment, stats: DecodeStats
    ) -> Iterator[tuple[str, Row]]:
        """A row for each group of pictures that begins in the segment, but for damaged ones.

        Raises:
            DecodeError: the codec has no motion vectors, the video has I-frames only, or no group can be read.
        """
        with CompressedReader(uri, max_gop=self.config.max_gop) as reader:
            if max(gop.length for gop in reader.gops) == 1 < len(reader.gops):
                raise DecodeError(
                    f"{uri!r} has I-frames only, and so no motion. Re-encode it with P-frames (longform recompress), "
                    "or use a preset that looks at pictures."
                )
            groups = [gop for gop in reader.gops if segment.owns(int(gop.pts[0]))]
            damaged: list[DecodeError] = []
            for gop, found in self._looked_at(reader, groups):
                if isinstance(found, DecodeError):
                    damaged.append(found)
                    stats.record_error(str(found), gop.start_s)
                    behind = reader.gops[gop.index + 1 : gop.index + 2]
                    end_pts = int(behind[0].pts[0]) if behind else measured.end_pts
                    stats.holes.append(Hole(int(gop.pts[0]), end_pts, gop.length))
                else:
                    yield f"features/{SPACE}", self._row(gop, found)
            stats.frames_decoded += reader.pictures_decoded
        if groups and len(damaged) == len(groups):
            raise damaged[0]

    def _looked_at(
        self, reader: CompressedReader, groups: Sequence[Gop]
    ) -> Iterator[tuple[Gop, list[CompressedFrame] | DecodeError]]:
        """Each group with its frames at the chosen positions; from damage to the next key frame, with what is wrong."""
        config = self.config
        for _, of_key in itertools.groupby(groups, key=lambda gop: gop.key_packet):
            waiting = deque(of_key)
            found = reader.read_groups(
                [gop.index for gop in waiting],
                config.positions,
                accumulate=config.accumulate,
                precision=config.precision,
            )
            try:
                for frames in found:
                    yield waiting.popleft(), frames
            except DecodeError as error:
                yield from ((gop, error) for gop in waiting)

    def _row(self, gop: Gop, frames: Sequence[CompressedFrame]) -> Row:
        feature = np.concatenate([self._embedding(stream, frames) for stream in STREAMS])
        middle_s = (gop.start_s + gop.end_s) / 2
        seen = [int(gop.pts[0]), *(frame.pts for frame in frames if frame.position)]
        return {"at_s": middle_s, "start_s": gop.start_s, "end_s": gop.end_s, "frame_pts": seen, "feature": feature}

    def _embedding(self, stream: str, frames: Sequence[CompressedFrame]) -> NDArray[np.float32]:
        """(D,): mean over the frames; the I-frame of a group is one."""
        source = self.networks[stream]
        pictures = [code_of(frame, stream) for frame in (frames[:1] if stream == "iframe" else frames)]
        size = source.input.crop_px
        clip = clip_of([centre(squeezed(picture, size), size) for picture in pictures], stream)
        return ask(queue_of(ClipEmbedding(network=source), self.runtime), {"clip": clip.numpy()})["embedding"]

    def _card(self) -> dict:
        config, first = self.config, 0
        columns = {}
        for stream, dim in self._dims.items():
            columns[stream] = [first, first + dim]
            first += dim
        traced = "back to the I-frame" if config.accumulate else "to the frame before"
        cut = f", cut after {config.max_gop} frames" if config.max_gop else ""
        return {
            "rows": f"one for each group of pictures, from an I-frame to the next{cut}; at_s is its middle",
            "frames": f"the I-frame, and the P-frames at {list(config.positions)} behind it or the last one before; "
            "B-frames are left out and do not count; timestamps are in column frame_pts",
            "motion": f"of the bitstream, traced {traced}, precision {config.precision}, code 128 + 127.5 v / 20 px",
            "residual": "the picture minus the one that motion leads to, code 128 + r, blue first",
            "resize": "both sides to 8/7 of the crop, bilinear in bytes; centre crop",
            "columns": columns,
            "layer": "the classifier's input: last feature maps, mean over the picture and over the P-frames",
            "networks": {
                stream: {"options": dict(source.options), "weights": source.weights, "sha256": source.sha256}
                for stream, source in self.networks.items()
            },
            "dtype": {"compute": self.runtime.precision, "stored": "float16"},
            "device": self.runtime.device_name,
            "versions": {name: importlib.metadata.version(name) for name in ("torch", "av", "numpy", "longform-video")},
        }
