"""Learning rates as pure functions of the step (0-based), each printable as a table."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

from longform.training.errors import TrainingError


class Schedule(Protocol):
    """What the loop asks of a schedule; implementations are frozen dataclasses, whose fields go into config.json."""

    def __call__(self, step: int) -> float:
        """The learning rate of a step."""
        ...

    def table(self, steps: int) -> list[dict[str, Any]]:
        """One row for each phase of a run of so many steps: what holds in it, by column."""
        ...


@dataclass(frozen=True, kw_only=True)
class StepSchedule:
    """Constant, multiplied by `factor` from each step of `drops` on, after a linear warm-up.

    The schedule of Long-Term Feature Banks (Wu et al. 2019) and of the non-local networks.
    """

    lr: float
    drops: tuple[int, ...] = ()
    factor: float = 0.1
    warmup_steps: int = 0
    warmup_lr: float = 0.0
    """Rate of step 0 of the warm-up."""

    def __post_init__(self) -> None:
        _check(self.lr, self.warmup_steps, self.warmup_lr)
        if list(self.drops) != sorted(set(self.drops)):
            raise TrainingError(f"Schedule drops {self.drops}: expected steps in increasing order.")

    def __call__(self, step: int) -> float:
        return _warmed_up(self._decayed, step, self.warmup_steps, self.warmup_lr)

    def _decayed(self, step: int) -> float:
        return self.lr * self.factor ** sum(step >= drop for drop in self.drops)

    def table(self, steps: int) -> list[dict[str, Any]]:
        return lr_table(self, (self.warmup_steps, *self.drops), steps)


@dataclass(frozen=True, kw_only=True)
class LinearSchedule:
    """Linear from 0 to `lr` over `warmup_steps`, then linear to 0 at `steps`.

    The schedule of Object Transformers (Wu & Krähenbühl 2021), equal to `get_linear_schedule_with_warmup` of
    Hugging Face transformers; the released code warms up over a tenth of the steps.
    """

    lr: float
    steps: int
    warmup_steps: int = 0

    def __post_init__(self) -> None:
        _check(self.lr, self.warmup_steps, 0.0, steps=self.steps)

    def __call__(self, step: int) -> float:
        if step < self.warmup_steps:
            return self.lr * step / self.warmup_steps
        return self.lr * max(0, self.steps - step) / (self.steps - self.warmup_steps)

    def table(self, steps: int) -> list[dict[str, Any]]:
        return lr_table(self, (self.warmup_steps, self.steps), steps)


@dataclass(frozen=True, kw_only=True)
class CosineSchedule:
    """Half a period of a cosine from `lr` at step 0 to 0 at `steps`, its start replaced by a linear warm-up.

    The schedule of SlowFast (Feichtenhofer et al. 2019, section 4.1). As in its released code the warm-up ends on
    the cosine, slightly below `lr`.
    """

    lr: float
    steps: int
    warmup_steps: int = 0
    warmup_lr: float = 0.0
    """Rate of step 0 of the warm-up."""

    def __post_init__(self) -> None:
        _check(self.lr, self.warmup_steps, self.warmup_lr, steps=self.steps)

    def __call__(self, step: int) -> float:
        return _warmed_up(self._decayed, step, self.warmup_steps, self.warmup_lr)

    def _decayed(self, step: int) -> float:
        return self.lr * 0.5 * (1.0 + math.cos(math.pi * min(step, self.steps) / self.steps))

    def table(self, steps: int) -> list[dict[str, Any]]:
        tenths = (round(self.steps * tenth / 10) for tenth in range(11))
        return lr_table(self, (self.warmup_steps, *(step for step in tenths if step > self.warmup_steps)), steps)


def lr_table(schedule: Callable[[int], float], borders: Sequence[int], steps: int) -> list[dict[str, Any]]:
    """Rows `from_step`, `to_step` (excluded), `first_lr`, `last_lr` for the phases that begin at `borders`."""
    edges = sorted({0, steps, *(border for border in borders if 0 < border < steps)})
    return [
        {"from_step": start, "to_step": end, "first_lr": schedule(start), "last_lr": schedule(end - 1)}
        for start, end in pairwise(edges)
    ]


def _warmed_up(decayed: Callable[[int], float], step: int, warmup_steps: int, warmup_lr: float) -> float:
    if step >= warmup_steps:
        return decayed(step)
    return warmup_lr + (decayed(warmup_steps) - warmup_lr) * step / warmup_steps


def _check(lr: float, warmup_steps: int, warmup_lr: float, steps: float = math.inf) -> None:
    if not 0.0 < lr < math.inf or not 0.0 <= warmup_lr < math.inf:
        raise TrainingError(f"Schedule: expected finite rates, lr above 0, got lr {lr} and warmup_lr {warmup_lr}.")
    if not 0 <= warmup_steps < steps:
        raise TrainingError(
            f"Schedule: expected a warm-up of 0 to {steps} steps, {steps} excluded, got {warmup_steps}."
        )
