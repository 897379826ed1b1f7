"""Published hyperparameters of Long-Term Feature Banks, and the linear rule that fits them to another batch.

Wu et al., CVPR 2019, section 4 to 6 (Wu's thesis, chapter 7), and configs/*.yaml of the released code. Nothing heavy is
imported here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

PUBLISHED_BATCH = 16
"""Clips of a step, on 8 GPUs."""
SOURCES = ("code", "thesis")


@dataclass(frozen=True, kw_only=True)
class Hyperparameters:
    """Of SGD with Nesterov momentum 0.9, for batches of `PUBLISHED_BATCH` clips."""

    lr: float
    weight_decay: float
    steps: int
    drops: tuple[int, ...]
    """Steps from which the learning rate is a tenth of what it was."""
    warmup_steps: int = 0
    warmup_lr: float = 0.0

    def fitted(self, *, batch: int, steps: int | None, lr: float | None) -> Hyperparameters:
        """The same for another batch, number of steps or learning rate.

        The rate is in proportion to the batch, the steps in inverse proportion (Goyal et al., "Accurate, Large
        Minibatch SGD", 2017), unless they are given. Drops and warm-up keep their share of the steps.
        """
        factor = batch / PUBLISHED_BATCH
        rate = self.lr * factor if lr is None else lr
        count = round(self.steps / factor) if steps is None else steps
        share = count / self.steps
        return replace(
            self,
            lr=rate,
            steps=count,
            drops=tuple(sorted({round(drop * share) for drop in self.drops})),
            warmup_steps=round(self.warmup_steps * share),
            warmup_lr=self.warmup_lr * rate / self.lr,
        )


_AVA = Hyperparameters(
    lr=0.04, weight_decay=1e-6, steps=140_000, drops=(100_000, 120_000), warmup_steps=2_000, warmup_lr=0.01
)
_VERB = Hyperparameters(lr=0.001, weight_decay=1e-6, steps=36_000, drops=(28_000, 32_000))
_NOUN = Hyperparameters(lr=0.0003, weight_decay=1e-5, steps=50_000, drops=(40_000, 45_000))
_CHARADES = Hyperparameters(lr=0.02, weight_decay=1.25e-5, steps=24_000, drops=(20_000,))
_CHARADES_STAGE_2 = replace(_CHARADES, steps=12_000, drops=(10_000,))

_CODE: Mapping[str, Hyperparameters] = {
    "ava": _AVA,
    "epic-verb": _VERB,
    "epic-noun": _NOUN,
    "charades": _CHARADES,
}


def published(task: str, *, source: str = "code", second_stage: bool = False) -> Hyperparameters:
    """The hyperparameters of a task.

    Args:
        source: `code`, what the released models were trained with, or `thesis`, which has learning rate and weight
            decay of EPIC-KITCHENS' verbs and nouns exchanged.
        second_stage: of Charades: the backbone of a trained 3D CNN stays as it is.
    """
    if task == "charades" and second_stage:
        return _CHARADES_STAGE_2
    other = {"epic-verb": _NOUN, "epic-noun": _VERB}
    if source == "thesis" and task in other:
        return replace(_CODE[task], lr=other[task].lr, weight_decay=other[task].weight_decay)
    return _CODE[task]
