"""Data and windows from the options of `longform train` and `longform eval`."""

from __future__ import annotations

import argparse

from longform.lfb.bank_windows import BankWindows
from longform.lfb.data import DataOptions, TestingData, TrainingData
from longform.lfb.data_ava import AvaTesting, AvaTraining, bank_offset_s
from longform.lfb.data_charades import CharadesTesting, CharadesTraining
from longform.lfb.data_epic import EpicTesting, EpicTraining
from longform.lfb.options import ModelOptions, space_of
from longform.training.errors import TrainingError


def training_data(data: DataOptions) -> TrainingData:
    """What a model of a task is trained on."""
    if data.model.task == "ava":
        return AvaTraining(data)
    return CharadesTraining(data) if data.model.task == "charades" else EpicTraining(data)


def data_to_evaluate(data: DataOptions, *, while_training: bool = False) -> TestingData:
    """What a model of a task is tested on, in the views of `--views`."""
    full = not while_training and data.options.views == "full"
    if data.model.task == "ava":
        return AvaTesting(data, while_training=while_training, all_views=full)
    if data.model.task == "charades":
        return CharadesTesting(data, while_training=not full)
    return EpicTesting(data)


def open_windows(options: argparse.Namespace, model: ModelOptions) -> BankWindows | None:
    """The windows of `--bank`, or None for an operator that reads none.

    Raises:
        TrainingError: a bank is needed and not given, or given and not read.
    """
    if not model.reads_bank:
        if options.bank is not None:
            raise TrainingError(f"Operator {model.operator!r} reads no bank: leave out --bank.")
        return None
    if options.bank is None:
        raise TrainingError(f"Operator {model.operator!r} reads a bank: give --bank, or --operator none.")
    return BankWindows(
        options.bank,
        space_of(options, model),
        model.task,
        window_s=model.window_s,
        causal=model.causal,
        offset_s=bank_offset_s(options) if model.task == "ava" else 0.0,
    )
