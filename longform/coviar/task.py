"""`longform train coviar`: one network of CoViAR on the compressed frames of labelled videos.

The recipe of the released code (chaoyuaw/pytorch-coviar, train.py and dataset.py): a frame of each of three temporal
segments, the mean of their scores before the softmax, cross-entropy. Unlike there, colours are not shifted in testing.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from extractors.backbones.coviar import CoviarNetwork
from extractors.compressed.views import centre, clip_of, squeezed
from longform.clip_training.class_names import keep_classes
from longform.coviar.augmentation import augmented
from longform.coviar.data import LabelledVideos, classes_of, opened, read_part
from longform.coviar.hyperparameters import WEIGHT_DECAY, lr_factor
from longform.coviar.networks import started_network
from longform.coviar.sampling import SEGMENTS, address, central_frames, drawn_frames
from longform.coviar.videos import CodeSource
from longform.training.seeds import derived_seed

_PLANNING = 0x636F
"""Keeps the drawing of videos apart from other random numbers of a run."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """N videos."""

    clips: Tensor
    """(N, C, T, H, W) float32."""
    labels: Tensor
    """(N,) int64."""


@dataclass(frozen=True, kw_only=True)
class CoviarRecipe:
    """What a step does, beyond the optimiser's settings."""

    stream: str
    batch: int
    size: int = 224
    """Side of the crop, px."""
    segments: int = SEGMENTS
    seed: int = 0
    flip: bool = True
    """Mirror half of the videos."""
    jitter: bool = True
    """Shift the colours of I-frames."""
    draw: str = "replacement"
    """`replacement`: every video of a step is drawn from all, as in the released code; `epochs`: each video once."""
    hyperparameters: str = "code"
    """Whose factors of the learning rate: `code` or `thesis`."""
    pretrained: bool = True
    """Whether layers start from ImageNet, and so have a smaller learning rate than the classifier."""


class CoviarTask:
    """See `longform.training.task.Task`."""

    metric = "top1"
    higher_is_better = True

    def __init__(
        self, model: CoviarNetwork, train: LabelledVideos, held_out: LabelledVideos, recipe: CoviarRecipe
    ) -> None:
        self.model, self.recipe = model, recipe
        self._train, self._held_out = train, held_out

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Groups by factor of the learning rate and by weight decay, which biases do not have."""
        groups: dict[tuple[float, float], dict[str, Any]] = {}
        for name, parameter in self.model.named_parameters():
            recipe = self.recipe
            factor = lr_factor(name, recipe.stream, source=recipe.hyperparameters) if recipe.pretrained else 1.0
            decay = 0.0 if name.endswith(".bias") else WEIGHT_DECAY
            group = groups.setdefault((factor, decay), {"params": [], "lr_factor": factor, "weight_decay": decay})
            group["params"].append(parameter)
        return list(groups.values())

    def plan(self, step: int) -> list[int]:
        count, batch = len(self._train.source), self.recipe.batch
        if self.recipe.draw == "replacement":
            rng = np.random.default_rng([self.recipe.seed, _PLANNING, step])
            return [int(index) for index in rng.integers(count, size=batch)]
        places = range(step * batch, (step + 1) * batch)
        orders = {epoch: self._order(epoch) for epoch in {place // count for place in places}}
        return [int(orders[place // count][place % count]) for place in places]

    def _order(self, epoch: int) -> np.ndarray:
        rng = np.random.default_rng(derived_seed(self.recipe.seed, _PLANNING, epoch))
        return rng.permutation(len(self._train.source))

    def read(self, example: int, seed: int) -> tuple[Tensor, int]:
        rng, recipe = np.random.default_rng(seed), self.recipe
        lengths = self._train.source.gop_lengths(example)
        frames = drawn_frames(sum(lengths), recipe.stream, recipe.segments, rng)
        places = [address(frame, lengths, recipe.stream) for frame in frames]
        codes = self._train.source.codes(example, places, recipe.stream)
        crops = augmented(codes, recipe.stream, recipe.size, rng, flip=recipe.flip, jitter=recipe.jitter)
        return clip_of(crops, recipe.stream), self._train.labels[example]

    def collate(self, items: list[tuple[Tensor, int]]) -> Batch:
        return Batch(clips=torch.stack([clip for clip, _ in items]), labels=torch.tensor([label for _, label in items]))

    def losses(self, batch: Batch) -> Mapping[str, Tensor]:
        return {"loss": F.cross_entropy(self.model(batch.clips), batch.labels)}

    def evaluate(self) -> Mapping[str, float]:
        """Top-1 accuracy on the held-out videos in percent: the middle frames of the segments, one crop."""
        device, right = next(self.model.parameters()).device, 0
        for batch in self._held_out_batches():
            right += int((self.model(batch.clips.to(device)).argmax(1).cpu() == batch.labels).sum())
        return {"top1": 100 * right / len(self._held_out.source)}

    def _held_out_batches(self) -> Iterator[Batch]:
        videos, count = self._held_out, len(self._held_out.source)
        for first in range(0, count, self.recipe.batch):
            indices = range(first, min(first + self.recipe.batch, count))
            yield self.collate([(self._central_clip(videos.source, index), videos.labels[index]) for index in indices])

    def _central_clip(self, source: CodeSource, index: int) -> Tensor:
        recipe = self.recipe
        lengths = source.gop_lengths(index)
        frames = central_frames(sum(lengths), recipe.stream, recipe.segments)
        codes = source.codes(index, [address(frame, lengths, recipe.stream) for frame in frames], recipe.stream)
        return clip_of([centre(squeezed(code, recipe.size), recipe.size) for code in codes], recipe.stream)


def training_task(options: argparse.Namespace) -> CoviarTask:
    """The task of the options of `longform train coviar`, after `settings` has seen them.

    Raises:
        TrainingError, InputError, AnnotationError, WeightsError: options, lists, videos or weights cannot work.
    """
    train = read_part(options, "train")
    classes = classes_of(options, train)
    needs_motion = options.stream != "iframe"
    videos, held_out = (
        opened(options, listed, classes, needs_motion=needs_motion) for listed in (train, read_part(options, "val"))
    )
    network, is_pretrained = started_network(options, num_classes=len(classes))
    keep_classes(Path(options.out), classes)
    recipe = CoviarRecipe(
        stream=options.stream,
        batch=options.batch,
        size=options.size,
        segments=options.segments,
        seed=options.seed,
        flip=not options.no_flip,
        jitter=not options.no_jitter,
        draw=options.draw,
        hyperparameters=options.hyperparameters,
        pretrained=is_pretrained,
    )
    return CoviarTask(network, videos, held_out, recipe)
