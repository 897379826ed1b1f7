"""The built-in weights beside what needs none: on generated motions, and on real clips."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.builtin_network.classes import HELD_OUT, MOTION_CLASSES, TRAINED
from benchmarks.builtin_network.descriptors import Descriptor, descriptors
from benchmarks.builtin_network.measures import (
    Groups,
    Measured,
    Vectors,
    arrow_of_time,
    neighbour_accuracy,
    numbered,
    same_shot,
    standardised,
)
from benchmarks.builtin_network.real_clips import RealClip, filmed_clips, signing_clips
from benchmarks.builtin_network.training import MODEL
from benchmarks.builtin_network.videos import FRAMES, SIZE
from benchmarks.builtin_network.views import other_colours
from benchmarks.motions.dataset import DataSet
from benchmarks.motions.render import render
from extractors.backbones.base import Backbone
from extractors.backbones.catalog import build_backbone
from extractors.clips.preprocess import to_clip
from extractors.weights import load_weights

VIDEOS_PER_MOTION = 30
SEED = 99
"""Of the generated videos of the evaluation; none is a seed of training."""

CALIBRATION_CLIPS = 64
CROP_SHARE = 0.75
"""Side of the part of the picture that a changed query shows."""

Frames = NDArray[np.uint8]
Table = dict[str, dict[str, Measured]]
"""Row of the table -> descriptor -> figure."""


class Labelled(NamedTuple):
    """Generated clips with their motions."""

    clips: list[Frames]
    motions: Groups


def evaluate(weights: Path, videos: Path) -> Table:
    """Every figure of the table.

    Args:
        weights: file of the network.
        videos: folder of the real clips.
    """
    trained = generated_clips(TRAINED, VIDEOS_PER_MOTION // 3)
    ways = descriptors(*_networks(weights, trained.clips), build_backbone(MODEL).default_input())
    table: Table = {}
    sets = {"generated, motions never trained on": generated_clips(HELD_OUT, VIDEOS_PER_MOTION),
            "generated, new videos of trained motions": trained}  # fmt: skip
    for row, labelled in sets.items():
        table[row] = {name: _neighbours(way, labelled) for name, way in ways.items()}
    filmed, signing = list(filmed_clips(videos)), list(signing_clips(videos))
    for name, way in ways.items():
        for row, figure in _retrieval(way, filmed).items():
            table.setdefault(row, {})[name] = figure
        table.setdefault("real, direction of time", {})[name] = _arrow(way, [*filmed, *signing])
    return table


def generated_clips(motions: tuple[str, ...], per_motion: int) -> Labelled:
    """Videos of some motions, in all appearances."""
    entries = list(DataSet(videos=per_motion * len(motions), motions=motions, seed=SEED).entries())
    clips = [render(entry.shown, entry.seed, frames=FRAMES, size=SIZE) for entry in entries]
    return Labelled(clips, numbered([entry.shown.motion for entry in entries]))


def _networks(weights: Path, clips: Sequence[Frames]) -> tuple[Backbone, Backbone]:
    """The network with the weights, and as it is before training, its normalisation set by generated clips."""
    builtin = build_backbone(MODEL, num_classes=len(MOTION_CLASSES))
    load_weights(builtin, weights)
    torch.manual_seed(0)
    untrained = build_backbone(MODEL)
    _calibrate(untrained, clips)
    return builtin.eval(), untrained.eval()


def _calibrate(network: Backbone, clips: Sequence[Frames]) -> None:
    """Statistics of a network's normalisations over some clips."""
    for module in network.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.momentum = None
    spec = network.default_input()
    picked = np.linspace(0, len(clips) - 1, CALIBRATION_CLIPS).astype(int)
    frames = [clips[i][: spec.num_frames * spec.stride : spec.stride] for i in picked]
    network.train()
    with torch.no_grad():
        network(torch.cat([to_clip(clip, spec) for clip in frames]))


def _vectors(way: Descriptor, clips: Iterable[Frames]) -> Vectors:
    return np.array([way(clip) for clip in clips], np.float64)


def _neighbours(way: Descriptor, labelled: Labelled) -> Measured:
    vectors = _vectors(way, labelled.clips)
    return max(neighbour_accuracy(form, labelled.motions) for form in (vectors, standardised(vectors)))


def _retrieval(way: Descriptor, clips: Sequence[RealClip]) -> dict[str, Measured]:
    """By clips as they are, and by clips in another light of which a part is in view."""
    shots, videos = numbered([(clip.video, clip.shot) for clip in clips]), numbered([clip.video for clip in clips])
    gallery = _vectors(way, (clip.frames for clip in clips))
    changed = _vectors(way, (_filmed_again(clip.frames, number) for number, clip in enumerate(clips)))
    figures = {}
    for row, queries in (("", gallery), (" in another light, cropped", changed)):
        forms = [(queries, gallery), _standardised_by(gallery, queries)]
        found = max(same_shot(*form, shots, videos) for form in forms)
        figures[f"real, same shot{row}: mean average precision"] = found[0]
        figures[f"real, same shot{row}: nearest is right"] = found[1]
    return figures


def _standardised_by(gallery: Vectors, queries: Vectors) -> tuple[Vectors, Vectors]:
    """Queries and gallery, each dimension with the gallery's mean 0 and deviation 1."""
    deviation = gallery.std(0)
    scale = np.where(deviation > 1e-9, deviation, np.inf)
    return (queries - gallery.mean(0)) / scale, (gallery - gallery.mean(0)) / scale


def _filmed_again(frames: Frames, seed: int) -> Frames:
    """A clip in another light, with a part of the picture in view."""
    rng = np.random.default_rng(seed)
    height, width = (round(CROP_SHARE * side) for side in frames.shape[1:3])
    top, left = (
        int(rng.integers(side - part + 1)) for side, part in zip(frames.shape[1:3], (height, width), strict=True)
    )
    return other_colours(frames[:, top : top + height, left : left + width], rng)


def _arrow(way: Descriptor, clips: Sequence[RealClip]) -> Measured:
    forwards = _vectors(way, (clip.frames for clip in clips))
    backwards = _vectors(way, (clip.frames[::-1] for clip in clips))
    return arrow_of_time(forwards, backwards, numbered([clip.video for clip in clips]))


def as_json(table: Table) -> dict[str, Any]:
    """Figures and their standard errors."""
    return {row: {name: figure._asdict() for name, figure in figures.items()} for row, figures in table.items()}


def as_markdown(table: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """The table of a model card, in percent, from what `as_json` gives."""
    names = list(next(iter(table.values())))
    lines = [f"| | {' | '.join(names)} |", f"| --- |{' --- |' * len(names)}"]
    for row, figures in table.items():
        cells = [f"{100 * figures[name]['value']:.1f} ± {100 * figures[name]['error']:.1f}" for name in names]
        lines.append(f"| {row} | {' | '.join(cells)} |")
    return "\n".join(lines)
