"""`longform eval coviar`: each stream's scores of a video, and their weighted sum.

The protocol of the released code (chaoyuaw/pytorch-coviar, test.py and combine.py): 25 frames of a video, ten crops of
each, the mean of the scores before the softmax; streams are added as 2 I + 1 M + 1 R.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track

from extractors.backbones.coviar import CoviarNetwork
from extractors.compressed.views import Codes, centre, clip_of, corner_crops, squeezed
from extractors.runtime import Runtime
from longform.coviar.data import ListedVideos, classes_of, opened, read_part, refuse_other_reading
from longform.coviar.hyperparameters import FUSION, STREAMS
from longform.coviar.networks import read_network, write_networks
from longform.coviar.sampling import TEST_SEGMENTS, address, central_frames
from longform.coviar.videos import CodeSource
from longform.published_coviar import ACCUMULATION, STREAM_ACCURACY, StreamAccuracy
from longform.training.errors import TrainingError
from longform.training.recipes import Score

LETTERS = {"iframe": "I", "motion": "M", "residual": "R"}
FUSIONS = (("iframe", "motion"), ("iframe", "residual"), ("motion", "residual"), STREAMS)
"""Sums of streams that are measured, where the networks are there. Table 4.1 has them but for M+R."""

Scores = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Views:
    """How a video is looked at."""

    segments: int = TEST_SEGMENTS
    crops: int = 10
    """10: corners and middle, as they are and mirrored; 1: the middle."""
    flip: bool = True
    """False leaves the mirrored five of ten crops out."""
    size: int = 224
    """Side of a crop, px."""
    batch: int = 25
    """Pictures that go through the network together."""

    def __post_init__(self) -> None:
        for name in ("segments", "size", "batch"):
            if getattr(self, name) < 1:
                raise TrainingError(f"--{name} {getattr(self, name)}: expected at least 1.")
        if self.crops not in (1, 10):
            raise TrainingError(f"--crops {self.crops}: expected 1 or 10.")


def video_scores(network: CoviarNetwork, source: CodeSource, index: int, views: Views, runtime: Runtime) -> Scores:
    """(K,): mean over all views of a video of the scores before the softmax; `network` is prepared by `runtime`."""
    pictures = _pictures(source, index, network.stream, views)
    sums = torch.zeros(network.num_classes, dtype=torch.float64)
    with torch.inference_mode():
        for first in range(0, len(pictures), views.batch):
            part = pictures[first : first + views.batch]
            frames = clip_of(part, network.stream).transpose(0, 1).unsqueeze(2)
            sums += network(runtime.to(frames)).double().sum(0).cpu()
    return (sums / len(pictures)).float().numpy()


def _pictures(source: CodeSource, index: int, stream: str, views: Views) -> list[Codes]:
    lengths = source.gop_lengths(index)
    frames = central_frames(sum(lengths), stream, views.segments)
    places = [address(frame, lengths, stream) for frame in frames]
    distinct = list(dict.fromkeys(places))
    crops = dict(zip(distinct, (_crops(code, stream, views) for code in source.codes(index, distinct, stream)),
                     strict=True))  # fmt: skip
    return [crop for place in places for crop in crops[place]]


def _crops(code: NDArray[np.uint8], stream: str, views: Views) -> list[Codes]:
    square = squeezed(code, views.size)
    return (
        [centre(square, views.size)] if views.crops == 1 else corner_crops(square, views.size, stream, flip=views.flip)
    )


def fused(scores: Mapping[str, Scores], weights: Mapping[str, float]) -> Scores:
    """(..., K): the weighted sum of the streams' scores."""
    return np.sum([weights[stream] * of_stream for stream, of_stream in scores.items()], axis=0)


def accuracies(scores: Mapping[str, Scores], labels: Sequence[int], weights: Mapping[str, float]) -> dict[str, float]:
    """Top-1 accuracy in percent of each stream and of each sum of `FUSIONS`, by letters such as `I+M`.

    Args:
        scores: of each stream (N, K).
    """
    groups: list[tuple[str, ...]] = [(stream,) for stream in STREAMS if stream in scores]
    groups += [streams for streams in FUSIONS if set(streams) <= scores.keys()]
    return {
        "+".join(LETTERS[stream] for stream in streams): 100
        * float(np.mean(fused({stream: scores[stream] for stream in streams}, weights).argmax(-1) == labels))
        for streams in groups
    }


def evaluate(options: argparse.Namespace) -> list[Score]:
    """The scores of the options of `longform eval coviar`.

    Raises:
        TrainingError, InputError, AnnotationError, WeightsError: options, lists, videos or weights cannot work.
    """
    files = {stream: getattr(options, stream) for stream in STREAMS if getattr(options, stream)}
    if not files:
        raise TrainingError("Give the weights of at least one stream: --iframe W, --motion W, --residual W.")
    for weights in files.values():
        refuse_other_reading(weights, options)
    views = Views(
        segments=options.segments, crops=options.crops, flip=not options.no_flip, size=options.size, batch=options.batch
    )
    runtime = Runtime(device=options.device, precision=options.precision)
    networks = {stream: read_network(weights, stream) for stream, weights in files.items()}
    if options.write_networks:
        write_networks(networks, files, Path(options.write_networks), crop_px=options.size)
    listed = read_part(options, "val")
    classes = classes_of(options, listed, list(files.values()))
    _refuse_other_classes(networks, files, classes)
    videos = opened(options, listed, classes, needs_motion=bool(networks.keys() - {"iframe"}))
    scores = {stream: _scores(network, videos, views, runtime) for stream, network in networks.items()}
    if options.output:
        np.savez(options.output, videos=np.array(videos.names), labels=np.array(videos.labels), **scores)  # type: ignore[arg-type]
    found = accuracies(scores, videos.labels, _weights(options.fusion))
    return [_score(name, value, videos, options) for name, value in found.items()]


def _scores(network: CoviarNetwork, videos: ListedVideos, views: Views, runtime: Runtime) -> Scores:
    prepared = runtime.prepare(network)
    indices = track(range(len(videos.source)), network.stream, disable=not sys.stderr.isatty())
    return np.stack([video_scores(prepared, videos.source, index, views, runtime) for index in indices])


def _weights(text: str) -> dict[str, float]:
    """Weights of the sum, of `2,1,1` in the order of the streams."""
    try:
        numbers = [float(part) for part in text.split(",")]
        return dict(zip(STREAMS, numbers, strict=True))
    except ValueError as error:
        default = ",".join(f"{weight:g}" for weight in FUSION.values())
        raise TrainingError(f"--fusion {text}: expected three numbers, for I, M and R, such as {default}.") from error


def _refuse_other_classes(
    networks: Mapping[str, CoviarNetwork], files: Mapping[str, str], classes: Sequence[str]
) -> None:
    for stream, network in networks.items():
        if network.num_classes != len(classes):
            raise TrainingError(
                f"{files[stream]} knows {network.num_classes} classes, and the list has {len(classes)}: give the names "
                "of all with --classes."
            )


def _score(name: str, value: float, videos: ListedVideos, options: argparse.Namespace) -> Score:
    accumulated = options.vectors == "accumulated"
    published = published_accuracy(options.layout, options.split, name, accumulated=accumulated)
    return Score(
        task=name,
        dataset=Path(options.val).name,
        metric="top1",
        value=value,
        num_videos=len(videos.source),
        num_missing=videos.num_missing,
        more={} if published is None else {"published": published},
    )


_FIELDS = {"I": "iframe", "M": "motion", "R": "residual", "I+M": "iframe_motion", "I+R": "iframe_residual",
           "I+M+R": "all"}  # fmt: skip


def published_accuracy(dataset: str, split: int, name: str, *, accumulated: bool) -> float | None:
    """The thesis's figure (Tables 4.1 and 4.2) of a stream or sum; None where it has none."""
    rows: Sequence[StreamAccuracy] = STREAM_ACCURACY if accumulated else ACCUMULATION[:1]
    row = next((row for row in rows if (row.dataset, row.split) == (dataset, str(split))), None)
    return None if row is None or name not in _FIELDS else getattr(row, _FIELDS[name])
