"""Generated videos as feature banks: written by the bank's writer, read back as windows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.bank import FeatureBank
from pipeline.bank.manifest import create_or_open
from pipeline.bank.schema import FEATURES, feature_schema
from pipeline.bank.windows import WindowGrid, pad_windows
from pipeline.bank.writer import BankWriter

FINGERPRINT = "0" * 16
FPS = 25
GAIN_NOISE, NOISE = 0.25, 0.15


@dataclass(frozen=True, kw_only=True, eq=False)
class Items:
    """Features of one space, at most K a second. What is present comes first in a second."""

    values: NDArray[np.float32]
    """(T, K, D), 0 or more, as after a ReLU; 0 where nothing is present."""
    present: NDArray[np.bool_]
    """(T, K)"""
    boxes: NDArray[np.float32] | None = None
    """(T, K, 4) xyxy in [0, 1], for items that are detections."""


@dataclass(frozen=True, kw_only=True, eq=False)
class GeneratedVideo:
    """What a bank holds of a video of T seconds, and the labels."""

    video_id: str
    spaces: Mapping[str, Items]
    """Spaces with boxes have the same detections."""
    labels: NDArray[np.bool_]
    """(T, K, C): of item k of second t, by class."""


def noisy(rng: np.random.Generator, clean: NDArray[np.float64]) -> NDArray[np.float32]:
    """Features of any shape with noise on each unit, 0 or more: in proportion to it, and besides."""
    gain = 1 + GAIN_NOISE * rng.standard_normal(clean.shape)
    return np.maximum(clean * gain + NOISE * rng.standard_normal(clean.shape), 0).astype(np.float32)


def packed(values: NDArray[Any], present: NDArray[np.bool_]) -> NDArray[Any]:
    """(T, K, ...) with what is present (T, K) at the front of each second, in order, and zeros behind."""
    order = np.argsort(~present, axis=1, kind="stable")
    moved = np.take_along_axis(values, order.reshape(*order.shape, *[1] * (values.ndim - 2)), axis=1)
    count = present.sum(1)
    moved[np.arange(present.shape[1]) >= count[:, None]] = 0
    return moved


def write_bank(folder: Path, videos: Sequence[GeneratedVideo]) -> None:
    """Make a bank of the videos, in the format that `longform extract` writes."""
    manifest = create_or_open(str(folder))
    for name, items in videos[0].spaces.items():
        manifest.register_space(name, items.values.shape[-1], {"model": "benchmarks.lfb"})
    writer = BankWriter.open(str(folder))
    for video in videos:
        tables = _tables(video)
        files = [writer.write_final(name, video.video_id, "made", FINGERPRINT, [rows]) for name, rows in tables.items()]
        seconds = len(video.labels)
        row = {
            "video_id": video.video_id, "uri": f"generated:{video.video_id}", "status": "ok", "fps": FPS,
            "duration_s": float(seconds), "num_frames": FPS * seconds,
            "stages": [{"stage": "made", "fingerprint": FINGERPRINT}],
        }  # fmt: skip
        writer.commit(row, [file for file in files if file is not None])


def _tables(video: GeneratedVideo) -> dict[str, pa.Table]:
    tables = {FEATURES + name: _features(video.video_id, items) for name, items in video.spaces.items()}
    boxed = next((items for items in video.spaces.values() if items.boxes is not None), None)
    if boxed is not None:
        tables["detections"] = _detections(video.video_id, boxed)
    return tables


def _features(video_id: str, items: Items) -> pa.Table:
    seconds, _ = np.nonzero(items.present)
    vectors = items.values[items.present].astype(np.float16)
    kind = feature_schema(vectors.shape[1]).field("feature").type
    columns = {
        "video_id": pa.array([video_id] * len(seconds)),
        "at_s": pa.array(seconds.astype(np.float64)),
        "start_s": pa.array(seconds - 0.5),
        "end_s": pa.array(seconds + 0.5),
        "feature": pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), type=kind),
    }
    if items.boxes is not None:
        columns["detection_id"] = pa.array(np.arange(len(seconds)))
    return pa.table(columns)


def _detections(video_id: str, items: Items) -> pa.Table:
    seconds, _ = np.nonzero(items.present)
    assert items.boxes is not None
    boxes = pa.array(items.boxes[items.present].reshape(-1).astype(np.float32))
    count = len(seconds)
    return pa.table(
        {
            "video_id": pa.array([video_id] * count),
            "at_s": pa.array(seconds.astype(np.float64)),
            "frame": pa.array(FPS * seconds),
            "detection_id": pa.array(np.arange(count)),
            "box": pa.FixedSizeListArray.from_arrays(boxes, 4),
            "score": pa.array(np.ones(count, np.float32)),
            "class_id": pa.array(np.ones(count, np.int32)),
            "label": pa.array(["item"] * count),
        }
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class SpaceInMemory:
    """A space of a bank in memory, with room on both sides of every video: V videos of T seconds, K items a second."""

    values: Tensor
    """(V, margin + T + margin, K, D) float32"""
    present: Tensor
    """(V, margin + T + margin, K) bool"""
    margin: int

    @staticmethod
    def read(
        bank: FeatureBank, space: str, videos: Sequence[str], *, seconds: int, margin: int, items: int
    ) -> SpaceInMemory:
        """Read whole videos as one window each, with `items` places a second."""
        moments = [(video, 0.0) for video in videos]
        windows = bank.windows(space, moments, before_s=margin, after_s=seconds + margin)
        padded = pad_windows(windows, WindowGrid(steps=seconds + 2 * margin, items_per_step=items))
        return SpaceInMemory(
            values=torch.from_numpy(padded.features), present=torch.from_numpy(padded.mask), margin=margin
        )

    def window(self, video: Tensor, second: Tensor, before_s: int, after_s: int) -> tuple[Tensor, Tensor]:
        """Windows [second - before_s, second + after_s) of B moments: (B, L, D) and which slots are filled (B, L)."""
        steps = second[:, None] + self.margin + torch.arange(-before_s, after_s)
        return self.values[video[:, None], steps].flatten(1, 2), self.present[video[:, None], steps].flatten(1, 2)

    def now(self, video: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """What is there in B seconds: (B, K, D) and (B, K)."""
        return self.values[video, second + self.margin], self.present[video, second + self.margin]
