"""The `Task` of `longform train lfb-...`: clips with their windows of the bank through an `LFBModel`."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from longform.lfb.assembly import data_to_evaluate, open_windows, training_data
from longform.lfb.bank_windows import BankWindows
from longform.lfb.batches import Batch, Sample, collated
from longform.lfb.data import DataOptions, TestingData, TrainingData
from longform.lfb.hyperparameters import published
from longform.lfb.model import LFBModel
from longform.lfb.options import ModelOptions, started_model
from longform.lfb.prediction import answers, scores_of
from longform.lfb.recipes import task_of


class LFBTrainingTask:
    """See `longform.training.task.Task`."""

    higher_is_better = True

    def __init__(
        self,
        model: LFBModel,
        train: TrainingData,
        test: TestingData,
        windows: BankWindows | None,
        *,
        batch: int,
        seed: int,
        weight_decay: float,
        workers: int,
    ) -> None:
        self.model, self.metric = model, test.main_metric
        self._train, self._test, self._windows = train, test, windows
        self._batch, self._seed, self._weight_decay, self._workers = batch, seed, weight_decay, workers

    def parameter_groups(self) -> list[dict[str, Any]]:
        return self.model.parameter_groups(self._weight_decay)

    def plan(self, step: int) -> Sequence[int]:
        return self._train.drawn(self._batch, seed=self._seed, step=step)

    def read(self, example: int, seed: int) -> Sample:
        rng = np.random.default_rng(seed)
        clip = self._train.example(example, rng)
        window = None if self._windows is None else self._windows.read(clip.video, clip.centre_frame, rng)
        return Sample(example=clip, window=window)

    def collate(self, items: list[Sample]) -> Batch:
        return collated(items)

    def losses(self, batch: Batch) -> Mapping[str, Tensor]:
        logits = self.model(batch.clips, batch.bank, batch.mask, batch.boxes_px)
        return {"loss": self.model.loss(logits, batch.labels)}

    def evaluate(self) -> Mapping[str, float]:
        found = answers(self.model, self._test, self._windows, seed=self._seed, workers=self._workers)
        with tempfile.TemporaryDirectory() as folder:
            results = Path(folder) / "results"
            self._test.write(results, scores_of(self._test, found))
            return self._test.measure(results)


def training_task(options: argparse.Namespace) -> LFBTrainingTask:
    """The task of the options of `longform train lfb-...`, after `settings` has seen them.

    Raises:
        TrainingError, InputError, AnnotationError, WeightsError: options, videos, annotations or weights cannot work.
    """
    model = ModelOptions.of(task_of(options.recipe), vars(options))
    data = DataOptions(options=options, model=model)
    train, test = training_data(data), data_to_evaluate(data, while_training=True)
    windows = open_windows(options, model)
    if windows is not None:
        windows.require([*train.videos, *test.videos], span_s=train.span_s)
    config = model.config(bank_dim=None if windows is None else windows.dim, num_classes=train.num_classes)
    hyper = published(model.task, source=options.hyperparameters, second_stage=model.is_second_stage)
    return LFBTrainingTask(
        started_model(model, config),
        train,
        test,
        windows,
        batch=options.batch,
        seed=options.seed,
        weight_decay=hyper.weight_decay,
        workers=options.workers,
    )
