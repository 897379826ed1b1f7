"""The run that makes the weights: network, data, multigrid schedule, and the loop of `longform.training`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import torch

from benchmarks.builtin_network.classes import MOTION_CLASSES, TRAINED
from benchmarks.builtin_network.task import BuiltinTask
from benchmarks.builtin_network.videos import generated
from extractors.backbones.compact import CompactSlowFast
from longform.clip_training.multigrid import Multigrid
from longform.clip_training.networks import network_to_train
from longform.clip_training.shapes import StepShape
from longform.training.loop import TrainReport, train
from longform.training.schedules import StepSchedule
from longform.training.settings import TrainSettings

MODEL = "slowfast_compact"

FULL = StepShape(batch=8, frames=16, stride=2, max_stride=2, size=112, short_side=(112, 144), bn_clips=16)
"""The clips that the network is made for."""

LR, WARMUP_LR, WEIGHT_DECAY, CLIP_NORM = 2.5e-4, 5e-5, 0.02, 5.0

WARMUP_SHARE, DROP_SHARES = 0.1, (0.5, 0.85)
"""Of the steps of the baseline."""

VAL_VIDEOS = 368
"""Videos that are not trained on."""


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What a user can choose."""

    out: Path
    videos: int
    """Generated videos to train on."""
    baseline_steps: int
    """Steps that the run would have without multigrid; with it there are about a quarter as many."""
    seed: int
    device: str
    precision: str
    workers: int
    """Processes that make the videos and read clips."""
    evaluate_every: int
    checkpoint_every: int


def schedule(baseline_steps: int) -> Multigrid:
    """Both cycles of multigrid training over a stepwise baseline."""
    baseline = StepSchedule(
        lr=LR,
        drops=tuple(round(share * baseline_steps) for share in DROP_SHARES),
        warmup_steps=round(WARMUP_SHARE * baseline_steps),
        warmup_lr=WARMUP_LR,
    )
    return Multigrid(baseline=baseline, baseline_steps=baseline_steps, clips=FULL)


def run(options: RunOptions) -> TrainReport:
    """Train, or go on where a run was stopped."""
    cv2.setNumThreads(1)
    makers = max(options.workers, 1)
    videos = options.out / "videos"
    make = partial(generated, motions=TRAINED, workers=makers)
    train_videos = make(videos / "train", videos=options.videos, seed=options.seed)
    val_videos = make(videos / "val", videos=VAL_VIDEOS, seed=options.seed + 1)
    multigrid = schedule(options.baseline_steps)
    torch.manual_seed(options.seed)
    backbone = network_to_train(MODEL, num_classes=len(MOTION_CLASSES), weights=None)
    assert isinstance(backbone, CompactSlowFast)
    task = BuiltinTask(backbone, train_videos, val_videos, multigrid, FULL, seed=options.seed)
    settings = TrainSettings(
        steps=multigrid.steps,
        schedule=multigrid,
        optimiser="adamw",
        weight_decay=WEIGHT_DECAY,
        clip_norm=CLIP_NORM,
        seed=options.seed,
        device=options.device,
        precision=options.precision,
        workers=options.workers,
        evaluate_every=options.evaluate_every,
        checkpoint_every=options.checkpoint_every,
        quiet=not sys.stderr.isatty(),
        recipe={"model": MODEL, "videos": options.videos, "baseline_steps": options.baseline_steps},
    )
    return train(task, settings, options.out)
