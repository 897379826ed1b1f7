"""`longform train clips`: from its options to the settings of a run and to its task."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from extractors.backbones.catalog import build_backbone
from extractors.networks import UNTRAINED
from extractors.weights.store import resolve
from longform.clip_training.augmentation import CropRule
from longform.clip_training.class_names import keep_classes
from longform.clip_training.examples import ClipReader
from longform.clip_training.lists import VideoList, read_classes, read_list
from longform.clip_training.networks import network_to_train
from longform.clip_training.opening import OpenedList, numbered_classes, open_list
from longform.clip_training.presets import Fitted, Preset, preset_named
from longform.clip_training.recipes import FULL_WIDTH
from longform.clip_training.shapes import ClipSchedule, FixedShape, StepShape
from longform.clip_training.task import ClipEvaluation, ClipTask
from longform.lfb.footage import missing_words
from longform.training.errors import TrainingError
from longform.training.schedules import CosineSchedule, StepSchedule
from longform.training.settings import TrainSettings, settings_from

UNREADABLE = "unreadable.csv"
"""In the folder of a run, beside what every run has."""


@dataclass(frozen=True)
class ClipOptions:
    """What the options of `longform train clips` come to; the fields of a run's `config.json` will do as well."""

    options: Mapping[str, Any]

    @property
    def preset(self) -> Preset:
        return preset_named(self.options["preset"])

    @property
    def model(self) -> str:
        """Name in the catalogue."""
        return self.options["model"] or self.preset.model

    @property
    def builder_options(self) -> dict[str, Any]:
        """Of the network's builder: those of the recipe, where its own network is trained."""
        options = dict(self.preset.options) if self.model == self.preset.model else {}
        if self.options["width"] != FULL_WIDTH:
            options["width"] = self.options["width"]
        if self.options["dropout"] is not None:
            options["dropout"] = self.options["dropout"]
        return options

    @cached_property
    def frames_and_stride(self) -> tuple[int, int]:
        """Of a clip, at the fast rate: those that the network is made for, unless `--clip` says otherwise."""
        if self.options["clip"] is None:
            with torch.device("meta"):
                network = build_backbone(self.model, **self.builder_options)
            return network.num_frames, network.stride
        frames, _, stride = self.options["clip"].partition("x")
        if not (frames.isdecimal() and stride.isdecimal() and int(frames) and int(stride)):
            raise TrainingError(f"--clip {self.options['clip']}: expected frames x distance, such as 32x2.")
        return int(frames), int(stride)

    @property
    def size(self) -> int:
        """Side of the training crop, px."""
        return self.options["size"] or self.preset.size

    def scaled(self, length_px: int) -> int:
        """A length of the recipe, where the crop is `size`."""
        return max(self.size, round(length_px * self.size / self.preset.size))

    @property
    def crops(self) -> CropRule:
        return CropRule(flip=self.preset.flip, inverse=self.preset.inverse, square=self.preset.square)

    @cached_property
    def fitted(self) -> Fitted:
        """The numbers of the recipe, for this batch, list and length."""
        given = {name: self.options[name] for name in ("batch", "lr", "steps", "epochs")}
        return self.preset.fitted(videos=self.num_videos, **given)

    @cached_property
    def train_list(self) -> VideoList:
        return self.list_of("train")

    @property
    def num_videos(self) -> int:
        """Of the training list; that of the published one, if a schedule is to be shown without a list."""
        if self.options["show_schedule"] and self.options["list"] is None:
            return self.preset.videos
        return len(self.train_list.names)

    @property
    def shape(self) -> StepShape:
        """The clips of a step without multigrid."""
        frames, stride = self.frames_and_stride
        least, most = (self.scaled(side) for side in self.preset.short_side)
        return StepShape(
            batch=self.fitted.batch,
            frames=frames,
            stride=stride,
            max_stride=stride,
            size=self.size,
            short_side=(least, most),
            bn_clips=self.preset.bn_clips,
        )

    def schedule(self) -> tuple[ClipSchedule, int]:
        """The schedule of the run, and its steps."""
        fitted, multigrid = self.fitted, self.options["multigrid"]
        if multigrid == "off":
            return FixedShape(_rates(fitted), self.shape), fitted.steps
        from longform.clip_training.multigrid import CYCLES, Multigrid

        cycles: dict[str, Any] = CYCLES[multigrid]
        schedule = Multigrid(
            baseline=_rates(fitted), baseline_steps=fitted.steps, clips=self.shape, epoch=self.num_videos, **cycles
        )
        return schedule, schedule.steps

    def list_of(self, part: str) -> VideoList:
        """The list of `train` or `val`."""
        name = {"train": "list", "val": "val"}[part]
        if self.options[name] is None:
            raise TrainingError(f"Training needs labelled videos: give --{name} FILE.")
        return read_list(self.options[name], layout=self.options["layout"], part=part, split=self.options["split"])

    def classes(self, train: VideoList) -> tuple[str, ...]:
        """Names of the classes, by number."""
        given = self.options["classes"]
        return numbered_classes(train, None if given is None else read_classes(given))


def opened(options: Mapping[str, Any], videos: VideoList, classes: Sequence[str]) -> OpenedList:
    """The source of a list; videos that are not there are named on standard error."""
    found = open_list(
        videos,
        classes,
        folder=options["videos"],
        frames=options["frames"],
        allow_missing=options["allow_missing"],
    )
    if found.missing:
        print(missing_words(found.missing, len(found.source), videos.path), file=sys.stderr)
    return found


def _rates(fitted: Fitted) -> StepSchedule | CosineSchedule:
    warmup: dict[str, Any] = {"warmup_steps": fitted.warmup_steps, "warmup_lr": fitted.warmup_lr}
    if fitted.drops is None:
        return CosineSchedule(lr=fitted.lr, steps=fitted.steps, **warmup)
    return StepSchedule(lr=fitted.lr, drops=fitted.drops, **warmup)


def settings(options: argparse.Namespace) -> TrainSettings:
    """The settings of a run."""
    clips = ClipOptions(vars(options))
    schedule, steps = clips.schedule()
    return settings_from(
        argparse.Namespace(**{**vars(options), "steps": steps}),
        schedule=schedule,
        weight_decay=clips.preset.weight_decay,
    )


def task(options: argparse.Namespace) -> ClipTask:
    """The task of the options.

    Raises:
        TrainingError, InputError, AnnotationError, WeightsError: options, videos, lists or weights cannot work.
    """
    clips = ClipOptions(vars(options))
    preset, train = clips.preset, clips.train_list
    classes = clips.classes(train)
    source, to_measure = (opened(vars(options), videos, classes).source for videos in (train, clips.list_of("val")))
    model = network_to_train(
        clips.model,
        num_classes=len(classes),
        weights=start_of(options.weights, preset),
        is_multiple=source.is_multiple,
        frozen_norm=preset.frozen_norm,
        **clips.builder_options,
    )
    folder = Path(options.out)
    keep_classes(folder, classes)
    given = options.precise_batches
    precise_batches = preset.precise_batches if given is None else given
    return ClipTask(
        model,
        ClipReader(source=source, sampling=preset.sampling, crops=clips.crops),
        ClipReader(source=to_measure, sampling=preset.sampling, crops=clips.crops),
        clips.schedule()[0],
        ClipEvaluation(shape=clips.shape, precise_batches=precise_batches),
        seed=options.seed,
        workers=options.workers,
        max_unreadable=options.max_unreadable,
        unreadable_path=folder / UNREADABLE,
    )


def start_of(weights: str | None, preset: Preset) -> Path | None:
    """The file that training starts from; None for random weights, which some recipes have and others must be told."""
    if weights is None and preset.start is not None:
        raise TrainingError(f"This recipe starts from {preset.start}: give --weights W, or --weights untrained.")
    return None if weights in (None, UNTRAINED) else resolve(weights)[0]
