"""What a model answers to the queries of a data set, view by view."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from longform.lfb.bank_windows import BankWindow, BankWindows
from longform.lfb.batches import Batch, Sample, collated
from longform.lfb.data import Logits, TestingData
from longform.lfb.model import LFBModel
from longform.training.loading import START_METHOD, to_device

BATCH = 8
Place = tuple[int, int]
"""A query and its view."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Answer:
    """Of one view of a query, with N boxes, or 1."""

    query: int
    view: int
    logits: Logits
    """(N, C)."""
    window: BankWindow | None
    weights: NDArray[np.float32] | None
    """(N, layers, L): what each slot of the window counted, where it was asked for."""


def answers(
    model: LFBModel,
    data: TestingData,
    windows: BankWindows | None,
    *,
    seed: int,
    workers: int = 0,
    batch: int = BATCH,
    explained: frozenset[Place] = frozenset(),
) -> Iterator[Answer]:
    """The answers to all queries, view after view. The model is in evaluation mode, gradients are off.

    Args:
        seed: with query and view it decides which features of a moment are in a window, where there are too many.
        workers: processes that read clips.
        explained: views whose weights are wanted.
    Raises:
        What reading the data raises.
    """
    places, batches = _batches(data, batch)
    device = next(model.parameters()).device
    loader: DataLoader[Any] = DataLoader(
        _Views(data, windows, places, seed),
        batch_sampler=batches,
        collate_fn=_collate,
        num_workers=workers,
        multiprocessing_context=START_METHOD if workers else None,
    )
    for of_batch, samples, arguments in loader:
        wants = any(place in explained for place in of_batch)
        logits, weights = _run(model, to_device(arguments, device), explain=wants)
        counts = [1 if sample.example.boxes_px is None else len(sample.example.boxes_px) for sample in samples]
        ends = np.cumsum(counts)
        for place, sample, end, count in zip(of_batch, samples, ends, counts, strict=True):
            rows = slice(end - count, end)
            yield Answer(
                query=place[0],
                view=place[1],
                logits=logits[rows],
                window=sample.window,
                weights=weights[rows] if weights is not None and place in explained else None,
            )


def scores_of(data: TestingData, found: Iterator[Answer]) -> Sequence[NDArray[np.float64]]:
    """(N, C) scores of each query, its views combined."""
    logits: list[list[Logits]] = [[] for _ in range(len(data))]
    for answer in found:
        logits[answer.query].append(answer.logits)
    return data.combined(logits)


class _Views(Dataset[tuple[Place, Sample]]):
    def __init__(self, data: TestingData, windows: BankWindows | None, places: Sequence[Place], seed: int) -> None:
        self._data, self._windows, self._places, self._seed = data, windows, places, seed

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, number: int) -> tuple[Place, Sample]:
        query, view = self._places[number]
        example = self._data.example(query, view)
        rng = np.random.default_rng([self._seed, query, view])
        window = None if self._windows is None else self._windows.read(example.video, example.centre_frame, rng)
        return (query, view), Sample(example=example, window=window)


def _batches(data: TestingData, size: int) -> tuple[list[Place], list[list[int]]]:
    """All places, and the numbers of those that go through the model together: of one view, since sizes may differ."""
    places: list[Place] = []
    batches = []
    for view in range(max((data.num_views(query) for query in range(len(data))), default=0)):
        first = len(places)
        places += [(query, view) for query in range(len(data)) if view < data.num_views(query)]
        batches += [list(range(start, min(start + size, len(places)))) for start in range(first, len(places), size)]
    return places, batches


def _collate(items: list[tuple[Place, Sample]]) -> tuple[list[Place], list[Sample], Batch]:
    samples = [sample for _, sample in items]
    return [place for place, _ in items], samples, collated(samples)


def _run(model: LFBModel, batch: Batch, *, explain: bool) -> tuple[Logits, NDArray[np.float32] | None]:
    """(N, C), and (N, layers, L) if they are wanted."""

    def array(values: Tensor) -> NDArray[np.float32]:
        return values.float().cpu().numpy()

    with torch.no_grad():
        short = model.short_term(batch.clips, batch.boxes_px)
        if not explain:
            return array(model.relate(short, batch.bank, batch.mask)), None
        found = model.explain(short, batch.bank, batch.mask)
        return array(found.logits), array(found.weights)
