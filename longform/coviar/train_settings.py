"""Settings of `longform train coviar`: published hyperparameters, fitted to the list."""

from __future__ import annotations

import argparse

from longform.coviar.data import read_part
from longform.coviar.hyperparameters import ADAM_EPS, DATASETS, VIDEOS, published
from longform.training.errors import TrainingError
from longform.training.schedules import StepSchedule
from longform.training.settings import TrainSettings, settings_from


def settings(options: argparse.Namespace) -> TrainSettings:
    """The settings of a run; `options.steps`, `batch` and `lr` get the numbers that they stand for."""
    for name in ("batch", "segments", "size", "width"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise TrainingError(f"--{name} {value}: expected at least 1.")
    dataset = options.dataset or (options.layout if options.layout in DATASETS else DATASETS[0])
    is_shown_only = options.show_schedule and options.list is None
    videos = VIDEOS[dataset] if is_shown_only else len(read_part(options, "train").names)
    own = published(dataset, options.stream, source=options.hyperparameters)
    fitted = own.fitted(videos=videos, batch=options.batch, lr=options.lr, steps=options.steps)
    options.steps, options.batch, options.lr = fitted.steps, fitted.batch, fitted.lr
    schedule = StepSchedule(lr=fitted.lr, drops=fitted.drops)
    return settings_from(options, schedule=schedule, optimiser="adam", adam_eps=ADAM_EPS)
