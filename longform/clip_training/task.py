"""The `Task` of clip backbones: random clips of labelled videos in training, the middle clip of each to measure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import DataLoader, Dataset

from extractors.backbones.base import Backbone
from extractors.clips.input import ClipInput
from longform.clip_training.batch_norm import make_precise, set_group_size
from longform.clip_training.examples import ClipBatch, ClipExample, ClipItem, ClipReader, collated, planned
from longform.clip_training.scores import measured
from longform.clip_training.shapes import ClipSchedule, StepShape
from longform.clip_training.unreadable import Failure, Unreadable
from longform.training.loading import FAILURES, START_METHOD, to_device
from longform.training.seeds import derived_seed
from pipeline.errors import InputError

PRECISE = 3
"""First key of the seeds of clips for precise statistics; those of `longform.training.seeds` come before it."""


@dataclass(frozen=True, kw_only=True)
class ClipEvaluation:
    """How a network is measured while it trains: with the clip in the middle of each video, its centre crop."""

    shape: StepShape
    """Of the clips whose statistics make normalisation precise; its frames and stride are those of validation."""
    precise_batches: int = 200
    """Batches of `shape.bn_clips` clips for precise statistics before each evaluation; 0 to keep the running ones."""
    size: int | None = None
    """Side of the validation crop, px; None for that of `shape`."""
    short_side: int | None = None
    """Of the pictures in validation, px; None for the least of `shape`."""
    batch: int = 16
    """Clips at once."""


class ClipTask:
    """See `longform.training.task.Task`. `model` is on the run's device once training has begun."""

    higher_is_better = True

    def __init__(
        self,
        model: Backbone,
        train: ClipReader,
        val: ClipReader,
        schedule: ClipSchedule,
        evaluation: ClipEvaluation,
        *,
        spec: ClipInput | None = None,
        seed: int = 0,
        workers: int = 0,
        max_unreadable: float = 0.05,
        unreadable_path: Path | None = None,
    ) -> None:
        """
        Args:
            model: its batch normalisations are `SubBatchNorm3d` or frozen (`longform.clip_training.batch_norm`).
            spec: mean and standard deviation of pixels; None for those of the network's family.
            max_unreadable: share of the videos that may be unreadable; more end the run.
            unreadable_path: where they are listed.
        """
        self.model, self._train, self._val, self._schedule = model, train, val, schedule
        self._evaluation, self._seed, self._workers = evaluation, seed, workers
        self._spec = spec or model.default_input()
        self.is_multiple = train.source.is_multiple
        self.metric = "mAP" if self.is_multiple else "top1"
        self._unreadable = Unreadable(videos=len(train.source), most=max_unreadable, path=unreadable_path)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Scales and shifts of normalisations are not decayed."""
        norms = [
            parameter
            for module in self.model.modules()
            if isinstance(module, _BatchNorm)
            for parameter in module.parameters(recurse=False)
        ]
        known = {id(parameter) for parameter in norms}
        others = [parameter for parameter in self.model.parameters() if id(parameter) not in known]
        trained = [[parameter for parameter in group if parameter.requires_grad] for group in (others, norms)]
        return [{"params": trained[0]}, {"params": trained[1], "weight_decay": 0.0}]

    def plan(self, step: int) -> Sequence[ClipExample]:
        shape = self._schedule.shape(step)
        return planned(len(self._train.source), self._schedule.first_example(step), shape, self._seed)

    def read(self, example: ClipExample, seed: int) -> ClipItem:
        return self._train.drawn(example, seed)

    def collate(self, items: list[ClipItem]) -> ClipBatch:
        return collated(items)

    def losses(self, batch: ClipBatch) -> Mapping[str, Tensor]:
        """`loss`, the share of right answers (`accuracy`, one class a clip) and the share of replaced clips."""
        for failure in batch.failures:
            self._unreadable.note(failure)
        set_group_size(self.model, batch.bn_clips)
        logits = self.model(self._clips(batch.pixels)).float()
        losses = {"loss": self.loss(logits, batch.labels)}
        if not self.is_multiple:
            losses["accuracy"] = (logits.argmax(1) == batch.labels).float().mean()
        return {**losses, "replaced": batch.replaced.mean()}

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy; for several classes a clip, the mean of those of every class by itself."""
        if self.is_multiple:
            return F.binary_cross_entropy_with_logits(logits, labels)
        return F.cross_entropy(logits, labels)

    def evaluate(self) -> Mapping[str, float]:
        """`top1` and `top5`, or `mAP`; `loss`; and how many videos are `missing`: they cannot be read.

        Normalisation is made precise before.
        """
        set_group_size(self.model, self._evaluation.shape.bn_clips)
        if self._evaluation.precise_batches:
            make_precise(self.model, (self._clips(batch.pixels) for batch in self._precise()))
        logits, labels = [], []
        for batch in self._validation():
            logits.append(self.model(self._clips(batch.pixels)).float())
            labels.append(batch.labels)
        if not logits:
            raise InputError("No video of the validation list can be read.")
        answers, truth = torch.cat(logits), torch.cat(labels)
        return {
            **measured(answers.cpu(), truth.cpu()),
            "loss": float(self.loss(answers, truth)),
            "missing": len(self._val.source) - len(truth),
        }

    def _clips(self, pixels: Tensor) -> Tensor:
        """(N, 3, T, S, S) float, normalised, of (N, T, S, S, 3) bytes."""
        mean, std = (torch.tensor(values, device=pixels.device) * 255 for values in (self._spec.mean, self._spec.std))
        ordered = pixels.flip(-1) if self._spec.channels == "bgr" else pixels
        return ordered.float().sub_(mean).div_(std).permute(0, 4, 1, 2, 3).contiguous()

    def _precise(self) -> Iterator[ClipBatch]:
        """Clips as training draws them, the same ones at each evaluation, and in the shape of the whole network."""
        shape, seed = self._evaluation.shape, derived_seed(self._seed, PRECISE)
        clips = dataclasses.replace(shape, batch=self._evaluation.precise_batches * shape.bn_clips)
        examples = planned(len(self._train.source), 0, clips, seed)
        return self._loaded(_DrawnClips(self._train, examples, seed), shape.bn_clips)

    def _validation(self) -> Iterator[ClipBatch]:
        return self._loaded(_MiddleClips(self._val, self._evaluation), self._evaluation.batch)

    def _loaded(self, clips: Dataset[Any], batch: int) -> Iterator[ClipBatch]:
        loader = DataLoader(
            clips,
            batch_size=batch,
            collate_fn=_read_clips,
            num_workers=self._workers,
            multiprocessing_context=START_METHOD if self._workers else None,
        )
        device = next(self.model.parameters()).device
        for part in loader:
            if isinstance(part, Exception):
                raise part
            if part is not None:
                yield to_device(part, device)


def _read_clips(items: list[ClipItem | Failure | Exception]) -> ClipBatch | Exception | None:
    """The batch of those that could be read."""
    failed = next((item for item in items if isinstance(item, Exception)), None)
    there = [item for item in items if isinstance(item, ClipItem)]
    return failed or (collated(there) if there else None)


class _DrawnClips(Dataset[ClipItem | Exception]):
    def __init__(self, reader: ClipReader, examples: Sequence[ClipExample], seed: int) -> None:
        self._reader, self._examples, self._seed = reader, examples, seed

    def __len__(self) -> int:
        return len(self._examples)

    def __getitem__(self, place: int) -> ClipItem | Exception:
        try:
            return self._reader.drawn(self._examples[place], derived_seed(self._seed, place))
        except FAILURES as error:
            return error


class _MiddleClips(Dataset[ClipItem | Failure]):
    def __init__(self, reader: ClipReader, evaluation: ClipEvaluation) -> None:
        self._reader, self._evaluation = reader, evaluation

    def __len__(self) -> int:
        return len(self._reader.source)

    def __getitem__(self, index: int) -> ClipItem | Failure:
        shape = self._evaluation.shape
        return self._reader.middle(
            index,
            frames=shape.frames,
            stride=shape.stride,
            size=self._evaluation.size or shape.size,
            short_side=self._evaluation.short_side or shape.short_side[0],
        )
