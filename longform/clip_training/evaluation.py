"""`longform eval clips`: a network measured on labelled videos by many views of each, as its recipe publishes it."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from extractors.backbones.base import Backbone
from extractors.backbones.catalog import build_backbone
from extractors.classes import CLASS_LISTS
from extractors.clips.input import ClipInput
from extractors.clips.preprocess import to_clip
from extractors.clips.views import combine, recognise, uniform_clips
from extractors.networks import network_source
from extractors.runtime import Runtime
from extractors.weights import load_weights
from extractors.weights.cards import CARDS
from longform.clip_training.class_names import CLASSES
from longform.clip_training.lists import read_classes, read_list
from longform.clip_training.networks import head_for_any_clip
from longform.clip_training.sampling import TEST_SAMPLINGS
from longform.clip_training.scores import measured
from longform.clip_training.sources import ClipSource, PictureFiles
from longform.clip_training.training import ClipOptions, opened
from longform.recognition import Views, recognise_video
from longform.training.errors import TrainingError
from longform.training.recipes import Score
from longform.training.run_folder import CONFIG
from pipeline.errors import DecodeError, ProbeError


@dataclass(frozen=True, kw_only=True)
class Tested:
    """A network, and how it is measured."""

    network: Backbone
    spec: ClipInput
    views: Views
    classes: tuple[str, ...]


def evaluate(options: argparse.Namespace) -> list[Score]:
    """The scores of the options of `longform eval clips`.

    Raises:
        TrainingError, InputError, AnnotationError, WeightsError: options, videos, lists or weights cannot work.
    """
    tested = _adjusted(options, network_to_test(options.checkpoint, options.classes))
    videos = read_list(options.val, layout=options.layout, part="val", split=options.split)
    found = opened(vars(options), videos, tested.classes)
    if found.source.is_multiple:
        tested.network.activation = "sigmoid"
    runtime = Runtime(device=options.device, precision=options.precision)
    runtime.prepare(tested.network)
    scores, labels, unreadable = _scores(found.source, tested, runtime)
    return [
        Score(
            dataset=Path(options.val).name,
            metric=metric,
            value=value,
            num_videos=len(labels),
            num_missing=len(found.missing) + unreadable,
            more={"clips": tested.views.clips, "crops": tested.views.crops},
        )
        for metric, value in measured(scores, labels).items()
    ]


def network_to_test(checkpoint: str, classes: str | None) -> Tested:
    """The network of a file in the folder of a run, or of a weight card, with the views of its recipe.

    Raises:
        TrainingError: the file is in no folder of a run, or nothing says what the classes are.
        WeightsError: the weights are not there or do not fit.
    """
    if checkpoint in CARDS:
        return _of_card(checkpoint, classes)
    folder = next((parent for parent in Path(checkpoint).parents if (parent / CONFIG).is_file()), None)
    if folder is None:
        raise TrainingError(
            f"--checkpoint {checkpoint}: no {CONFIG} above it says how the network was built. Give a file in the "
            "folder of a run, or the name of a weight card."
        )
    recipe = json.loads((folder / CONFIG).read_text(encoding="utf-8"))["settings"]["recipe"]
    if recipe.get("recipe") != "clips":
        raise TrainingError(f"--checkpoint {checkpoint} is of recipe {recipe.get('recipe')}, not of clips.")
    return _of_run(ClipOptions(recipe), checkpoint, read_classes(classes or str(folder / CLASSES)))


def _of_card(name: str, classes: str | None) -> Tested:
    source = network_source(None, name)
    listed = classes or (source.classes if source.classes in CLASS_LISTS else None)
    if listed is None:
        raise TrainingError(f"{name} answers with classes {source.classes}: give their names with --classes.")
    network = source.build()
    sampling = source.input.sampling
    combined = "max" if sampling == "charades" else "mean"
    views = Views() if sampling not in ("segments", "all") else Views(clips=1, crops=1)
    return Tested(
        network=network,
        spec=source.input,
        views=dataclasses.replace(views, combine=combined),
        classes=read_classes(listed),
    )


def _of_run(clips: ClipOptions, checkpoint: str, classes: tuple[str, ...]) -> Tested:
    preset = clips.preset
    is_other_size = clips.options["clip"] is not None or clips.options["size"] is not None
    network = build_backbone(
        clips.model,
        num_classes=len(classes),
        **clips.builder_options,
        **(head_for_any_clip(clips.model) if is_other_size else {}),
    )
    load_weights(network, checkpoint)
    frames, stride = clips.frames_and_stride
    spec = dataclasses.replace(
        network.default_input(),
        num_frames=frames,
        stride=stride,
        short_side_px=clips.scaled(preset.test_size),
        crop_px=clips.scaled(preset.test_crop or preset.test_size),
        square=preset.square,
        sampling=preset.test_sampling or TEST_SAMPLINGS[preset.sampling],
    )
    views = Views(clips=preset.test_clips, crops=preset.test_crops, combine=preset.test_combine)
    return Tested(network=network, spec=spec, views=views, classes=classes)


def _adjusted(options: argparse.Namespace, tested: Tested) -> Tested:
    """With the views that the options ask for instead."""
    given = {name: getattr(options, name) for name in ("clips", "crops", "combine")}
    views = dataclasses.replace(tested.views, **{name: value for name, value in given.items() if value is not None})
    spec = tested.spec
    if options.short_side is not None:
        spec = dataclasses.replace(
            spec, short_side_px=options.short_side, crop_px=min(options.short_side, spec.crop_px)
        )
    return dataclasses.replace(tested, views=views, spec=spec)


def _scores(source: ClipSource, tested: Tested, runtime: Runtime) -> tuple[Tensor, Tensor, int]:
    """(V, K) scores and the labels of the videos that can be read, and how many cannot."""
    scores, labels, unreadable = [], [], 0
    for index in range(len(source)):
        try:
            scores.append(_video_scores(source, index, tested, runtime))
        except (DecodeError, ProbeError) as error:
            unreadable += 1
            print(f"Not measured: {error}", file=sys.stderr)
            continue
        labels.append(np.asarray(source.labels(index, 0, source.clip(index).num_frames - 1)))
    if not scores:
        raise DecodeError("No video of the list can be read.")
    return torch.stack(scores), torch.from_numpy(np.stack(labels)), unreadable


def _video_scores(source: ClipSource, index: int, tested: Tested, runtime: Runtime) -> Tensor:
    """(K,) all views combined."""
    views = tested.views
    if not isinstance(source, PictureFiles):
        found = recognise_video(source.name(index), tested.network, tested.spec, runtime, views)
        return torch.from_numpy(found.scores)
    info = source.clip(index)
    rows = uniform_clips(info.num_frames, info.fps, tested.spec, views.clips)
    clips = (to_clip(source.pictures(index, row), tested.spec, crops=views.crops) for row in rows)
    return combine(recognise(tested.network, clips, runtime), views.combine)
