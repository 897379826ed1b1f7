"""Settings of `longform train lfb-...`: published hyperparameters, fitted to the batch, and said aloud."""

from __future__ import annotations

import argparse
import sys

from longform.lfb.hyperparameters import PUBLISHED_BATCH, published
from longform.lfb.options import ModelOptions
from longform.lfb.recipes import task_of
from longform.training.errors import TrainingError
from longform.training.schedules import StepSchedule
from longform.training.settings import TrainSettings, settings_from


def settings(options: argparse.Namespace) -> TrainSettings:
    """The settings of a run; `options.steps` and `options.lr` get the numbers that they stand for."""
    model = ModelOptions.of(task_of(options.recipe), vars(options))
    if options.batch < 1:
        raise TrainingError(f"--batch {options.batch}: expected at least 1.")
    own = published(model.task, source=options.hyperparameters, second_stage=model.is_second_stage)
    fitted = own.fitted(batch=options.batch, steps=options.steps, lr=options.lr)
    if (options.batch, options.steps, options.lr) != (PUBLISHED_BATCH, None, None):
        print(
            f"Published: batch {PUBLISHED_BATCH}, lr {own.lr:g}, {own.steps} steps. This run: batch {options.batch}, "
            f"lr {fitted.lr:g} ({'in proportion to the batch' if options.lr is None else 'as given'}), {fitted.steps} "
            f"steps ({'in inverse proportion' if options.steps is None else 'as given'}), divided by 10 at "
            f"{', '.join(map(str, fitted.drops))}.",
            file=sys.stderr,
        )
    options.steps, options.lr = fitted.steps, fitted.lr
    schedule = StepSchedule(
        lr=fitted.lr, drops=fitted.drops, warmup_steps=fitted.warmup_steps, warmup_lr=fitted.warmup_lr
    )
    return settings_from(options, schedule=schedule, weight_decay=fitted.weight_decay)
