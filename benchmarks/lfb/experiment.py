"""Train and measure one condition on generated banks."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from benchmarks.lfb.conditions import Condition, Task
from benchmarks.lfb.models import SmallLFBModel, build_operator
from benchmarks.lfb.movies import FAMILIES
from benchmarks.lfb.videos import SpaceInMemory, write_bank
from longform.metrics.detection_ap import average_precision
from pipeline.bank import FeatureBank

LEARNING_RATES = {"none": 5e-3, "sto": 2e-3, "avg": 5e-2, "max": 5e-3, "nl": 2e-3}
"""By operator: the best of a few, on a seed that is not among those of the results. Averages over hundreds of slots are
small, so their classifier needs large steps."""
BETAS = (0.9, 0.95)
WARM_UP_STEPS = 100
DECAYS = (0.8, 0.95)
"""The learning rate is divided by 10 after these shares of the steps."""
EVALUATED_EVERY_S = 4
EVALUATED_AT_ONCE = 128
LONGEST_REACH_S = 60


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much data, and how much training."""

    train_videos: int = 160
    val_videos: int = 40
    steps: float = 1.0
    """Times the steps of the task."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """Queries of some moments."""

    x: Tensor
    """(N, D)"""
    bank: Tensor
    mask: Tensor
    """(B, L, D) and (B, L)"""
    clip_index: Tensor
    """(N,)"""
    labels: Tensor
    """(N, C) of 0 and 1"""


class Split:
    """The videos of a task in memory, read from their bank."""

    def __init__(self, task: Task, folder: Path, count: int, seed: int, prefix: str) -> None:
        videos = task.make(count, seed, prefix)
        write_bank(folder, videos)
        bank, names = FeatureBank.open(folder), [video.video_id for video in videos]
        self.spaces = {
            space: SpaceInMemory.read(
                bank, space, names, seconds=task.seconds, margin=LONGEST_REACH_S, items=items
            )
            for space, items in task.items.items()
        }  # fmt: skip
        every = torch.from_numpy(np.stack([video.labels for video in videos])).float()
        self.labels = every[..., task.first_class : task.first_class + len(task.classes)]
        queries = self.spaces[task.queries].present[:, LONGEST_REACH_S : LONGEST_REACH_S + task.seconds]
        self.moments = queries.any(2).nonzero()

    def batch(self, condition: Condition, moments: Tensor) -> Batch:
        """Queries at B moments (B, 2) of video and second."""
        video, second = moments.T
        values, here = self.spaces[condition.queries or condition.task.queries].now(video, second)
        bank, mask = self.spaces[condition.bank].window(video, second, condition.before_s, condition.after_s)
        return Batch(
            x=values[here],
            bank=F.pad(bank, (0, 0, 0, condition.empty_slots)),
            mask=F.pad(mask, (0, condition.empty_slots)),
            clip_index=here.nonzero()[:, 0],
            labels=self.labels[video, second][here],
        )


def run(condition: Condition, train: Split, val: Split, seed: int, sizes: Sizes) -> dict[str, Any]:
    """Train, measure on `val`: {"value", "families", "seconds"}, values in percent."""
    began = time.process_time()
    scores = []
    for member in range(condition.members):
        model = _trained(condition, train, seed + 1000 * member, round(sizes.steps * condition.task.steps))
        found, labels = _scores(model, condition, val)
        scores.append(found)
    families = _measured(condition.task, np.mean(scores, axis=0), labels)
    return {**families, "seconds": round(time.process_time() - began, 2)}


def _trained(condition: Condition, train: Split, seed: int, steps: int) -> SmallLFBModel:
    torch.manual_seed(seed)
    dim = train.spaces[condition.bank].values.shape[-1]
    operator = build_operator(condition.operator, dim, condition.masked, condition.nl)
    model = SmallLFBModel(dim, len(condition.task.classes), operator, short_term=condition.short_term)
    optimiser = torch.optim.Adam(model.parameters(), betas=BETAS)
    for step in range(steps):
        moments = train.moments[torch.randint(len(train.moments), (condition.task.batch,))]
        batch = train.batch(condition, moments)
        loss = _loss(condition.task, model(batch.x, batch.bank, batch.mask, batch.clip_index), batch.labels)
        for group in optimiser.param_groups:
            group["lr"] = LEARNING_RATES[condition.operator] * _share_of_rate(step, steps)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return model.eval()


def _loss(task: Task, scores: Tensor, labels: Tensor) -> Tensor:
    if task.one_label:
        return F.cross_entropy(scores, labels.argmax(1))
    return F.binary_cross_entropy_with_logits(scores, labels)


def _share_of_rate(step: int, steps: int) -> float:
    """Of the highest learning rate, at a step."""
    decays = sum(step >= share * steps for share in DECAYS)
    return min(1, (step + 1) / WARM_UP_STEPS) * 0.1**decays


@torch.no_grad()
def _scores(model: SmallLFBModel, condition: Condition, val: Split) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """(N, C) probabilities and labels of every fourth second."""
    scores, labels = [], []
    for moments in val.moments[val.moments[:, 1] % EVALUATED_EVERY_S == 0].split(EVALUATED_AT_ONCE):
        batch = val.batch(condition, moments)
        logits = model(batch.x, batch.bank, batch.mask, batch.clip_index)
        scores.append(logits.softmax(1) if condition.task.one_label else logits.sigmoid())
        labels.append(batch.labels > 0)
    return torch.cat(scores).double().numpy(), torch.cat(labels).numpy()


def _measured(task: Task, scores: NDArray[np.float64], labels: NDArray[np.bool_]) -> dict[str, Any]:
    if task.one_label:
        return {"value": 100 * float(labels[np.arange(len(labels)), scores.argmax(1)].mean()), "families": {}}
    precisions = mean_precisions(scores, labels)
    families = {
        family: float(np.mean([precisions[task.classes.index(name)] for name in FAMILIES[family]]))
        for family in task.families
    }
    return {"value": float(np.mean(precisions)), "families": families}


def mean_precisions(scores: NDArray[np.float64], labels: NDArray[np.bool_]) -> list[float]:
    """Average precision of every class in percent, as `ava_frame_map` has it where every box is found."""
    return [
        100 * average_precision(scores[:, k], labels[:, k], int(labels[:, k].sum())) for k in range(labels.shape[1])
    ]


def splits(task: Task, folder: Path, seed: int, sizes: Sizes) -> tuple[Split, Split]:
    """Training and validation videos of a seed, made new."""
    train = Split(task, folder / "train", sizes.train_videos, 2 * seed, "train")
    return train, Split(task, folder / "val", sizes.val_videos, 2 * seed + 1, "val")
