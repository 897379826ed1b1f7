"""`longform eval lfb-...`: a model, or a file of results, measured as the data set's authors do."""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from extractors.runtime import Runtime
from longform.datasets.epic import action_prior
from longform.datasets.epic_submission import EpicScores, as_submission, best_actions
from longform.lfb.assembly import data_to_evaluate, open_windows
from longform.lfb.data import DataOptions, TestingData
from longform.lfb.data_ava import AvaTesting
from longform.lfb.data_epic import FILES_55, FILES_100, EpicTesting, read_results
from longform.lfb.explanation import Explanations, explained_places
from longform.lfb.footage import missing_words
from longform.lfb.model import LFBModel
from longform.lfb.notes import say
from longform.lfb.options import ModelOptions, loaded_model, options_of_checkpoint, write_network
from longform.lfb.prediction import Answer, answers, scores_of
from longform.lfb.recipes import CLIPS, WINDOWS_S, task_of
from longform.metrics.epic_topk import LAST_TRAINING_PARTICIPANT, epic_topk
from longform.training.errors import TrainingError
from longform.training.recipes import Score


def evaluate(options: argparse.Namespace) -> list[Score]:
    """The scores of the options of `longform eval lfb-...`.

    Raises:
        TrainingError, InputError, AnnotationError, WeightsError: options, videos, annotations or weights cannot work.
    """
    task = task_of(options.recipe)
    if (options.checkpoint is None) == (options.results is None):
        raise TrainingError("Give a model to measure, --checkpoint, or a file of results, --results.")
    if options.results is not None:
        model = ModelOptions(task=task, operator="none", window_s=WINDOWS_S[task], clip=CLIPS[task])
        data = data_to_evaluate(DataOptions(options=options, model=model))
        return _scores(options, data, Path(options.results))
    model = options_of_checkpoint(task, options.checkpoint)
    data = data_to_evaluate(DataOptions(options=options, model=model))
    if data.missing:
        say([missing_words(data.missing, len(data.videos), options.annotations)])
    with tempfile.TemporaryDirectory() as folder:
        results = Path(options.output or Path(folder) / "results")
        _predict(options, model, data, results)
        return _scores(options, data, results)


def _predict(options: argparse.Namespace, model: ModelOptions, data: TestingData, results: Path) -> None:
    """Write the results of a model, and what else was asked for."""
    windows = open_windows(options, model)
    if windows is not None:
        windows.require(data.videos, span_s=data.span_s)
    config = model.config(bank_dim=None if windows is None else windows.dim, num_classes=data.num_classes)
    network = loaded_model(options.checkpoint, config)
    if options.write_network is not None:
        write_network(options.write_network, network, model)
    if options.explain is not None and windows is None:
        raise TrainingError(f"--explain: operator {model.operator!r} reads no bank that could explain its answers.")
    runtime = Runtime(device=options.device, precision=options.precision)
    network.to(runtime.torch_device)
    space = None if windows is None else windows.space
    explanations = _explanations(options, model, network, data, space)
    wanted = explained_places(data, options.explain_video) if options.explain else frozenset()
    found = answers(
        network, data, windows, seed=options.seed, workers=options.workers, batch=options.batch, explained=wanted
    )
    with torch.autocast(runtime.torch_device.type, torch.bfloat16, enabled=options.precision == "bf16"):
        data.write(results, scores_of(data, _noted(found, explanations, data)))
    if options.explain is not None:
        explanations.write(options.explain)


def _explanations(
    options: argparse.Namespace, model: ModelOptions, network: LFBModel, data: TestingData, space: str | None
) -> Explanations:
    facts = {
        "bank": options.bank,
        "space": space,
        "checkpoint": options.checkpoint,
        "operator": model.operator,
        "window_s": model.window_s,
        "causal": model.causal,
    }
    return Explanations(
        data,
        facts,
        top=options.explain_top,
        activation=network.config.facts.activation,
        videos=options.explain_video,
    )


def _noted(found: Iterator[Answer], explanations: Explanations, data: TestingData) -> Iterator[Answer]:
    """The answers, noted as they pass."""
    for answer in found:
        if answer.weights is not None:
            boxes = data.boxes(answer.query) if isinstance(data, AvaTesting) else None
            explanations.add(answer, data.video(answer.query), boxes)
        yield answer


def _scores(options: argparse.Namespace, data: TestingData, results: Path) -> list[Score]:
    values = data.measure(results)
    if isinstance(data, EpicTesting):
        values |= _with_actions(options, data, results)
    missing = tuple(dict.fromkeys((*data.missing, *data.missing_in(results))))
    return [
        Score(
            dataset=data.dataset,
            metric=metric,
            value=value,
            num_videos=len(data.videos) + len(data.missing) - len(missing),
            num_missing=len(missing),
            more={"missing": list(missing)} if missing else {},
        )
        for metric, value in values.items()
    ]


def _with_actions(options: argparse.Namespace, data: EpicTesting, results: Path) -> dict[str, float]:
    """Metrics of both and of actions, and the submission, where the results of the other task are given."""
    if options.other_results is None:
        if options.submission is not None:
            raise TrainingError("--submission needs verbs and nouns: give the results of the other with --with.")
        return {}
    files = {data.what: results, "noun" if data.what == "verb" else "verb": Path(options.other_results)}
    ids = [segment.segment_id for segment in data.segments]
    verbs, nouns = (read_results(files[what], what, ids) for what in ("verb", "noun"))
    prior = _prior(options, data)
    if options.submission is not None:
        scores = EpicScores(
            edition=data.edition,
            segment_ids=tuple(ids),
            verbs=verbs,
            nouns=nouns,
            actions=best_actions(verbs, nouns, prior),
        )
        Path(options.submission).write_text(json.dumps(as_submission(scores)), encoding="utf-8")
    verb_labels = np.array([segment.verb for segment in data.segments])
    noun_labels = np.array([segment.noun for segment in data.segments])
    return epic_topk(verbs, nouns, verb_labels, noun_labels, prior)


def _prior(options: argparse.Namespace, data: EpicTesting) -> np.ndarray | None:
    if options.prior == "none":
        return None
    annotations = Path(options.annotations)
    if (annotations / FILES_55).is_file():
        return action_prior(annotations / FILES_55, options.prior, last_participant=LAST_TRAINING_PARTICIPANT)
    return action_prior(annotations / FILES_100[0], options.prior, last_participant=10**6)
