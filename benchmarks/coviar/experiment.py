"""What is trained and measured: small networks of CoViAR on videos whose class is a motion with an appearance.

Neither can be told without the other: a picture shows the texture and not where the camera goes, vectors show where it
goes and not the texture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from benchmarks.motions.classes import MotionClass
from benchmarks.motions.render import FPS, render
from extractors.backbones.coviar import CoviarConfig, CoviarNetwork
from extractors.compressed.views import Code, code_of
from extractors.runtime import Runtime
from longform.coviar.data import LabelledVideos
from longform.coviar.evaluation import Views, video_scores
from longform.coviar.hyperparameters import STREAMS
from longform.coviar.sampling import Address
from longform.coviar.task import CoviarRecipe, CoviarTask
from longform.coviar.videos import VectorReading
from longform.training.loop import train
from longform.training.schedules import CosineSchedule
from longform.training.seeds import seed_everything
from longform.training.settings import TrainSettings
from pipeline.sample.encode import Coding, encode
from pipeline.video.compressed import CompressedFrame, CompressedReader

GOP = 12
RECODING = Coding(
    codec="mpeg4",
    gop=GOP,
    bframes=0,
    options={"flags": "+qscale", "global_quality": str(118 * 2), "sc_threshold": "1000000000"},
)
"""CoViAR's streams: MPEG-4 part 2 at quantiser 2, an I-frame and eleven P-frames."""

VECTORS = {
    "accumulated": VectorReading(),
    "original": VectorReading(accumulate=False),
    "sub-pixel": VectorReading(precision="sub-pixel"),
}
"""How motion and residual are read: the first two are those of Table 4.2, in whole pixels; the last accumulates."""
ACCUMULATED = "accumulated"


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """What decides the results, with the seed."""

    motions: tuple[str, ...] = ("pan_left", "pan_right", "tilt_up", "tilt_down")
    appearances: tuple[str, ...] = ("stripes", "grid", "clouds", "speckle")
    videos: int = 1200
    test_videos: int = 304
    """Of `videos`; each seed leaves out others."""
    frames: int = 48
    size: int = 80
    """Side of the videos, px; networks see 7/8 of it."""
    positions: tuple[int, ...] = (5, 11)
    """P-frames of a group that are kept."""
    width: int = 16
    """Channels after the stem of all three networks, ResNet-18."""
    steps: int = 240
    """Of I-frames, whose textures are learned more slowly than motion."""
    p_steps: int = 160
    """Of motion and residuals."""
    batch: int = 32
    segments: int = 2
    """Frames of a video in training."""
    lr: float = 3e-3

    @property
    def classes(self) -> list[MotionClass]:
        """By number."""
        return [MotionClass(motion, appearance) for motion in self.motions for appearance in self.appearances]


QUICK = Sizes(videos=64, test_videos=16, steps=4, p_steps=4)


def runs() -> list[tuple[str, str]]:
    """Streams and vectors to train on; I-frames have no vectors."""
    return [("iframe", ACCUMULATED), *((stream, vectors) for vectors in VECTORS for stream in STREAMS[1:])]


@dataclass(frozen=True)
class CodeArrays:
    """A `CodeSource` in memory: (N, frames, H, W, C), for I-frames one of each group, else the kept P-frames."""

    arrays: NDArray[np.uint8]
    indices: Sequence[int]
    """Videos of this source among `arrays`."""
    sizes: Sizes

    def __len__(self) -> int:
        return len(self.indices)

    def gop_lengths(self, index: int) -> Sequence[int]:
        """The I-frame and the P-frames that are kept."""
        return [1 + len(self.sizes.positions)] * (self.sizes.frames // GOP)

    def codes(self, index: int, addresses: Sequence[Address], stream: str) -> list[Code]:
        kept = 1 if stream == "iframe" else len(self.sizes.positions)
        shift = 0 if stream == "iframe" else 1
        video = self.arrays[self.indices[index]]
        return [video[place.gop * kept + max(0, place.position - shift)] for place in addresses]


def labels(sizes: Sizes) -> list[int]:
    """Classes of the videos, in turns."""
    return [number % len(sizes.classes) for number in range(sizes.videos)]


def prepare(folder: Path, sizes: Sizes) -> None:
    """Render, encode and read all videos, into one file of codes for each run; they are kept if they are there."""
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / "complete").exists():
        return
    groups = sizes.frames // GOP
    arrays = {
        (stream, vectors): open_memmap(
            _path(folder, stream, vectors),
            mode="w+",
            dtype=np.uint8,
            shape=(
                sizes.videos,
                groups * (1 if stream == "iframe" else len(sizes.positions)),
                sizes.size,
                sizes.size,
                2 if stream == "motion" else 3,
            ),
        )
        for stream, vectors in runs()
    }
    for number, label in enumerate(labels(sizes)):
        video = render(sizes.classes[label], seed=number, frames=sizes.frames, size=sizes.size)
        path = folder / "video.mp4"
        encode(video, path, fps=Fraction(FPS), coding=RECODING)
        for vectors in VECTORS:
            for stream, codes in _read(path, vectors, sizes.positions).items():
                if (stream, vectors) in arrays:
                    arrays[stream, vectors][number] = codes
    for array in arrays.values():
        array.flush()
    (folder / "complete").touch()


def _path(folder: Path, stream: str, vectors: str) -> Path:
    return folder / f"{stream}-{vectors}.npy"


def _read(path: Path, vectors: str, positions: Sequence[int]) -> dict[str, list[Code]]:
    """Codes of each stream in the order of time."""
    codes: dict[str, list[Code]] = {stream: [] for stream in STREAMS}
    reading = VECTORS[vectors]
    with CompressedReader(str(path)) as reader:
        for frame in reader.walk_all(accumulate=reading.accumulate, precision=reading.precision):
            for stream in STREAMS:
                if _is_seen(frame, stream, positions):
                    codes[stream].append(code_of(frame, stream))
    return codes


def _is_seen(frame: CompressedFrame, stream: str, positions: Sequence[int]) -> bool:
    return frame.position == 0 if stream == "iframe" else frame.position in positions


def measure(data: Path, out: Path, sizes: Sizes, stream: str, vectors: str, seed: int) -> NDArray[np.float32]:
    """(test videos, K): scores of a network that is trained first; a run that was stopped goes on."""
    arrays = np.load(_path(data, stream, vectors))
    learned, tested = (_part(arrays, indices, sizes) for indices in split(sizes, seed))
    seed_everything(seed)
    network = CoviarNetwork(CoviarConfig(stream=stream, depth=18, width=sizes.width, num_classes=len(sizes.classes)))
    crop = sizes.size * 7 // 8
    recipe = CoviarRecipe(
        stream=stream,
        batch=sizes.batch,
        size=crop,
        segments=sizes.segments,
        seed=seed,
        flip=False,
        draw="epochs",
        pretrained=False,
    )
    steps = sizes.steps if stream == "iframe" else sizes.p_steps
    settings = TrainSettings(
        steps=steps,
        schedule=CosineSchedule(lr=sizes.lr, steps=steps),
        optimiser="adam",
        seed=seed,
        checkpoint_every=100,
        quiet=True,
    )
    train(CoviarTask(network, learned, _first(tested, sizes.batch), recipe), settings, out)
    runtime = Runtime()
    runtime.prepare(network)
    views = Views(segments=sizes.frames // GOP * len(sizes.positions), crops=1, size=crop)
    with torch.inference_mode():
        return np.stack(
            [video_scores(network, tested.source, index, views, runtime) for index in range(len(tested.source))]
        )


def parts_right(scores: NDArray[np.float32], truth: Sequence[int], sizes: Sizes) -> dict[str, float]:
    """How often, in percent, the answers (N, K) of a stream have the right motion, and the right appearance."""
    answers, known = (np.divmod(numbers, len(sizes.appearances)) for numbers in (scores.argmax(1), truth))
    return {
        name: 100 * float((answer == right).mean())
        for name, answer, right in zip(("motion", "appearance"), answers, known, strict=True)
    }


def split(sizes: Sizes, seed: int) -> tuple[list[int], list[int]]:
    """Videos to learn from, and to test with; as many of each class as can be."""
    order = np.random.default_rng(seed).permutation(sizes.videos // len(sizes.classes))
    tested_rounds = set(order[: sizes.test_videos // len(sizes.classes)].tolist())
    is_tested = [number // len(sizes.classes) in tested_rounds for number in range(sizes.videos)]
    numbers = range(sizes.videos)
    return [n for n in numbers if not is_tested[n]], [n for n in numbers if is_tested[n]]


def _part(arrays: NDArray[np.uint8], indices: Sequence[int], sizes: Sizes) -> LabelledVideos:
    known = labels(sizes)
    return LabelledVideos(source=CodeArrays(arrays, indices, sizes), labels=[known[index] for index in indices])


def _first(videos: LabelledVideos, count: int) -> LabelledVideos:
    """Some videos, for the loop's own evaluation, whose result is not used."""
    assert isinstance(videos.source, CodeArrays)
    few = replace(videos.source, indices=videos.source.indices[:count])
    return LabelledVideos(source=few, labels=videos.labels[:count])
