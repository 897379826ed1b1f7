"""The batches of a run from any step on, read by any number of workers with the same result."""

import dataclasses
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from extractors.errors import ExtractorError
from longform.training.errors import TrainingError
from longform.training.processes import Processes
from longform.training.seeds import READING, derived_seed, seed_everything
from longform.training.settings import TrainSettings
from longform.training.task import Task
from pipeline.bank.errors import BankError
from pipeline.errors import PipelineError

FAILURES = (PipelineError, BankError, ExtractorError)
"""Errors whose message is for the user: they cross from a worker as they are, without its traceback."""
START_METHOD = "fork" if sys.platform == "linux" else "spawn"
"""Of the workers: forked ones need no copy of the model, and end when this process is killed."""


class Part(NamedTuple):
    """What is computed in one go: the whole batch of a step, or some of its examples."""

    examples: int
    """In this part."""
    of: int
    """Examples of the step's whole batch, all processes together."""
    batch: Any
    """What the task's `collate` made, on the run's device."""


class _Place(NamedTuple):
    """One example in the plan."""

    step: int
    position: int
    """Place in the step's whole batch."""
    of: int
    """Examples of that batch."""
    example: Any


def batches(task: Task, settings: TrainSettings, processes: Processes, first_step: int) -> Generator[Part, None, None]:
    """The parts of this process, `settings.accumulate` for each step from `first_step` to the end.

    Raises TrainingError for a step with too few examples, and what the task's `read` raises.
    """
    loader: DataLoader[Any] = DataLoader(
        _Examples(task, settings.seed),
        batch_sampler=_Plan(task, settings, processes, first_step),
        collate_fn=_Collate(task),
        num_workers=settings.workers,
        multiprocessing_context=START_METHOD if settings.workers else None,
        pin_memory=processes.device.type == "cuda",
    )
    for part in loader:
        if isinstance(part, Exception):
            raise part
        yield part._replace(batch=to_device(part.batch, processes.device))


class _Plan:
    """The examples of each part of this process, as a DataLoader wants them: planned when they are needed."""

    def __init__(self, task: Task, settings: TrainSettings, processes: Processes, first_step: int) -> None:
        self._task, self._settings, self._processes, self._first_step = task, settings, processes, first_step

    def __iter__(self) -> Iterator[list[_Place]]:
        accumulate, processes = self._settings.accumulate, self._processes
        for step in range(self._first_step, self._settings.steps):
            examples = self._task.plan(step)
            if len(examples) < processes.count * accumulate:
                raise TrainingError(
                    f"Step {step} has {len(examples)} examples: expected one at least for each of "
                    f"{processes.count} processes times {accumulate} parts (accumulate). Enlarge the batch."
                )
            mine = range(processes.rank, len(examples), processes.count)
            for part in range(accumulate):
                yield [_Place(step, place, len(examples), examples[place]) for place in mine[part::accumulate]]


class _Examples(Dataset[Any]):
    def __init__(self, task: Task, seed: int) -> None:
        self._task, self._seed = task, seed

    def __getitem__(self, place: _Place) -> Any:
        """Number of examples of the step, and the example or why it could not be read."""
        seed = derived_seed(self._seed, READING, place.step, place.position)
        seed_everything(seed)
        with _one_thread():
            try:
                return place.of, self._task.read(place.example, seed)
            except FAILURES as error:
                return place.of, error


class _Collate:
    def __init__(self, task: Task) -> None:
        self._task = task

    def __call__(self, items: list[tuple[int, Any]]) -> Part | Exception:
        failed = next((item for _, item in items if isinstance(item, FAILURES)), None)
        return failed or Part(len(items), items[0][0], self._task.collate([item for _, item in items]))


@contextmanager
def _one_thread() -> Iterator[None]:
    """Torch as it is in a loader's worker: sums over several threads would differ in their last bits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def to_device(batch: Any, device: torch.device) -> Any:
    """Tensors in tuples, lists, dicts and dataclasses, moved to a device; all else as it is."""
    if isinstance(batch, Tensor):
        return batch.to(device, non_blocking=True)
    if isinstance(batch, dict):
        return {name: to_device(value, device) for name, value in batch.items()}
    if isinstance(batch, list):
        return [to_device(value, device) for value in batch]
    if isinstance(batch, tuple):
        values = [to_device(value, device) for value in batch]
        return type(batch)(*values) if hasattr(batch, "_fields") else tuple(values)
    if dataclasses.is_dataclass(batch) and not isinstance(batch, type):
        moved = {item.name: to_device(getattr(batch, item.name), device) for item in dataclasses.fields(batch)}
        return dataclasses.replace(batch, **moved)
    return batch
