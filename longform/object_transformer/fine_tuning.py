"""A model on one of the nine LVU tasks: trained on spans, measured on videos.

As the released code does it (chaoyuaw/lvu, src/run.py): a step draws spans uniformly from all spans of all training
videos, and an epoch has as many draws as there are videos; tests take every span, and the final model is measured.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from longform.datasets.lvu import TASKS, LvuTask
from longform.object_transformer.aggregation import VideoScore, score_videos
from longform.object_transformer.baselines import PoolingModel, ShortTermModel
from longform.object_transformer.batches import TokenBatch, collate
from longform.object_transformer.config import ModelConfig
from longform.object_transformer.losses import end_task_loss
from longform.object_transformer.masking import FINE_TUNING, Corruption, mask_batch
from longform.object_transformer.model import EndTaskTransformer
from longform.object_transformer.optimisation import parameter_groups, planning_rng
from longform.object_transformer.sources import BoxSource, SpanPool, TokenKind
from longform.object_transformer.spans import Span
from longform.object_transformer.tokens import TokenSequence
from longform.training.loading import to_device

ModelName = Literal["object-transformer", "short-term", "average-pool", "max-pool", "video-bert"]
TRANSFORMERS: tuple[ModelName, ...] = ("object-transformer", "video-bert")
TESTED = ("val", "test")
TOKENS_AT_ONCE = 8192
"""Of spans that are tested together."""

Example = tuple[str, Span]


def build_model(name: ModelName, config: ModelConfig, task: str) -> nn.Module:
    """A model of this name with new weights, for a task."""
    outputs = TASKS[task].num_outputs
    if name in TRANSFORMERS:
        return EndTaskTransformer(config, outputs)
    if name == "short-term":
        return ShortTermModel(config, outputs)
    return PoolingModel(config, outputs, "average" if name == "average-pool" else "max")


def tokens_for(name: ModelName) -> TokenKind:
    """What the tokens of a model are."""
    return "frames" if name == "video-bert" else "boxes"


@dataclass(frozen=True, kw_only=True)
class TaskData:
    """The videos of one task."""

    task: LvuTask
    source: BoxSource
    """Of all splits together."""
    labels: Mapping[str, Mapping[str, float]]
    """By split, of each video; of videos that the bank lacks too."""

    def present(self, split: str) -> list[str]:
        """Videos of a split that have boxes."""
        return [name for name in self.labels[split] if name in self.source.seconds]

    def missing(self, split: str) -> list[str]:
        """Videos of a split that the bank lacks, that failed, or that have no box."""
        return [name for name in self.labels[split] if name not in self.source.seconds]


@dataclass(frozen=True, kw_only=True)
class TestSettings:
    """How videos are measured."""

    __test__ = False

    masked: tuple[bool, ...] = (True, False)
    """With masking, as the released code does, and without; for models that are no transformers only False."""
    stride: int = 1
    """Seconds between spans."""


@dataclass(frozen=True, kw_only=True, eq=False)
class EndTaskBatch:
    """Spans with the labels of their videos."""

    tokens: TokenBatch
    corruptions: tuple[Corruption, ...]
    targets: Tensor
    """(B,) int64 classes, or float numbers."""


@dataclass(kw_only=True, eq=False)
class EndTask:
    """A `longform.training.task.Task` of one model on one LVU task."""

    model: nn.Module
    data: TaskData
    batch: int
    epochs: int
    seed: int
    test: TestSettings = field(default_factory=TestSettings)

    def __post_init__(self) -> None:
        self.pool = SpanPool(self.data.source, self.data.present("train"))
        self.is_regression = self.data.task.is_regression
        self.metric = result_name("val", self.masks_at_test[0])
        self.higher_is_better = not self.is_regression
        self.config: ModelConfig = self.model.config  # type: ignore[assignment]

    @property
    def steps(self) -> int:
        """Of the whole run."""
        return math.ceil(self.epochs * len(self.data.present("train")) / self.batch)

    @property
    def masks(self) -> bool:
        """Whether this model sees masked features."""
        return isinstance(self.model, EndTaskTransformer)

    @property
    def masks_at_test(self) -> tuple[bool, ...]:
        """With which masking it is measured."""
        return self.test.masked if self.masks else (False,)

    def parameter_groups(self) -> list[dict[str, Any]]:
        return parameter_groups(self.model)

    def plan(self, step: int) -> list[Example]:
        draws = self.epochs * len(self.data.present("train"))
        count = min(self.batch, draws - step * self.batch)
        numbers = planning_rng(self.seed, step).integers(len(self.pool), size=count)
        return [self.pool[int(number)] for number in numbers]

    def read(self, example: Example, seed: int) -> tuple[int, TokenSequence]:
        rng = np.random.default_rng(seed)
        return seed, self.data.source.sequence(*example, self.config.token_form, rng, training=True)

    def collate(self, items: list[tuple[int, TokenSequence]]) -> EndTaskBatch:
        """What is masked follows from the first example's seed."""
        labels = self.data.labels["train"]
        targets = [labels[sequence.video_id] for _, sequence in items]
        tokens = collate([sequence for _, sequence in items])
        return EndTaskBatch(
            tokens=tokens,
            corruptions=self._corruptions(tokens, np.random.default_rng([items[0][0], len(items)])),
            targets=torch.tensor(targets, dtype=torch.float32 if self.is_regression else torch.int64),
        )

    def _corruptions(self, tokens: TokenBatch, rng: np.random.Generator) -> tuple[Corruption, ...]:
        return mask_batch(tokens, FINE_TUNING, rng, self.config.feature_dims) if self.masks else ()

    def losses(self, batch: EndTaskBatch) -> dict[str, Tensor]:
        if isinstance(self.model, ShortTermModel):
            outputs, owners = self.model.each(batch.tokens)
            return {"loss": end_task_loss(outputs, batch.targets[owners])}
        return {"loss": end_task_loss(self.model(batch.tokens, batch.corruptions), batch.targets)}

    def evaluate(self) -> dict[str, float]:
        """Top-1 in percent or mean squared error of videos, by split and masking (`result_name`)."""
        return {result_name(split, masked): self.score(split, masked).value
                for split in TESTED for masked in self.masks_at_test}  # fmt: skip

    def score(self, split: str, masked: bool) -> VideoScore:
        """Measure the model as it is. The draws of numbers and masks follow from the seed."""
        video_ids, outputs = self.predict(self.data.present(split), masked)
        return score_videos(video_ids, outputs, self.data.labels[split], regression=self.is_regression)

    @torch.no_grad()
    def predict(self, videos: Sequence[str], masked: bool) -> tuple[list[str], NDArray[np.float32]]:
        """The video of each span of some videos, and the outputs (S, K)."""
        pool = SpanPool(self.data.source, videos, stride=self.test.stride)
        device = next(self.model.parameters()).device
        video_ids, outputs = [], []
        rng = np.random.default_rng(self.seed)
        for sequences in self._packs(pool, rng):
            tokens = collate(sequences)
            corruptions = self._corruptions(tokens, rng) if masked else ()
            tokens, corruptions = to_device((tokens, corruptions), device)
            outputs.append(self.model(tokens, corruptions).float().cpu().numpy())
            video_ids += [sequence.video_id for sequence in sequences]
        return video_ids, np.concatenate(outputs)

    def _packs(self, pool: SpanPool, rng: np.random.Generator) -> Any:
        """Spans of the pool in its order, as many at once as `TOKENS_AT_ONCE` allows."""
        pack: list[TokenSequence] = []
        for number in range(len(pool)):
            pack.append(self.data.source.sequence(*pool[number], self.config.token_form, rng))
            if sum(map(len, pack)) >= TOKENS_AT_ONCE:
                yield pack
                pack = []
        if pack:
            yield pack


def result_name(split: str, masked: bool) -> str:
    """What `EndTask.evaluate` calls a result."""
    return f"{split}_masked" if masked else split
