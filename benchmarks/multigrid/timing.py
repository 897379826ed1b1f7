"""What training spends its time on: steps by their shape, reading, and measuring the network."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from longform.clip_training.examples import ClipBatch, ClipExample, ClipItem
from longform.clip_training.shapes import StepShape
from longform.clip_training.task import ClipTask


@dataclass
class Spent:
    """Seconds, and how often."""

    cpu_s: float = 0.0
    """Of this process, all threads."""
    wall_s: float = 0.0
    times: int = 0

    @contextmanager
    def spending(self) -> Iterator[None]:
        """Adds what the block takes."""
        cpu, wall = time.process_time(), time.perf_counter()
        yield
        self.cpu_s += time.process_time() - cpu
        self.wall_s += time.perf_counter() - wall
        self.times += 1


@dataclass(frozen=True)
class Times:
    """Of one training."""

    steps: dict[StepShape, Spent] = field(default_factory=dict)
    """Whole steps, reading and the optimiser included."""
    reading: Spent = field(default_factory=Spent)
    """Part of `steps`."""
    evaluation: Spent = field(default_factory=Spent)
    """With the clips for precise normalisation; not part of `steps`."""


class TimedTask:
    """A `ClipTask` that takes times. A step lasts from its plan to the next one or to the evaluation, so batches must
    be read by the training process itself (`workers` 0)."""

    def __init__(self, task: ClipTask) -> None:
        self._task = task
        self.metric, self.higher_is_better = task.metric, task.higher_is_better
        self.times = Times()
        self._step = ExitStack()

    @property
    def model(self) -> nn.Module:
        return self._task.model

    def parameter_groups(self) -> list[dict[str, Any]]:
        return self._task.parameter_groups()

    def plan(self, step: int) -> Sequence[ClipExample]:
        self._step.close()
        plan = self._task.plan(step)
        self._step.enter_context(self.times.steps.setdefault(plan[0].shape, Spent()).spending())
        return plan

    def read(self, example: ClipExample, seed: int) -> ClipItem:
        with self.times.reading.spending():
            return self._task.read(example, seed)

    def collate(self, items: list[ClipItem]) -> ClipBatch:
        return self._task.collate(items)

    def losses(self, batch: ClipBatch) -> Mapping[str, Tensor]:
        return self._task.losses(batch)

    def evaluate(self) -> Mapping[str, float]:
        self._step.close()
        with self.times.evaluation.spending():
            return self._task.evaluate()
