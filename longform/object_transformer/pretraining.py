"""`longform train ot-pretrain`: masked instances and compatible spans.

Wu, thesis, sections 8.2 and 8.3; where it and the released code (chaoyuaw/lvu, src/run.py) differ, the code's way is
the default. A step draws spans uniformly from all spans, or, for compatibility, videos uniformly and two spans of each.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from extractors.weights.store import resolve
from longform.object_transformer.batches import TokenBatch, collate
from longform.object_transformer.losses import ACTION_LOSS_WEIGHT, MaskLoss, compatibility_loss, mask_loss
from longform.object_transformer.masking import PRETRAINING, Corruption, Masking, mask_batch
from longform.object_transformer.model import PretrainTransformer, build_object_transformer
from longform.object_transformer.optimisation import CLIP_NORM, WARMUP, WEIGHT_DECAY, parameter_groups, planning_rng
from longform.object_transformer.options import sizes_of, spaces_of
from longform.object_transformer.pretrained import read_short_term_classifier
from longform.object_transformer.sources import BoxSource, SpanPool
from longform.object_transformer.spans import Span
from longform.object_transformer.tokens import TokenError, TokenSequence
from longform.training.errors import TrainingError
from longform.training.loading import to_device
from longform.training.schedules import LinearSchedule
from longform.training.settings import TrainSettings, settings_from
from pipeline.bank import FeatureBank

EVALUATION_STRIDE_S = 60
Example = tuple[str, tuple[Span, ...]]

LOSSES: Mapping[str, tuple[MaskLoss, MaskLoss]] = {
    "code": ("sigmoid", "softmax"),
    "thesis": ("cross_entropy", "cross_entropy"),
}
"""Of actions and of objects."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PretrainBatch:
    """N spans, or N first spans and then their N partners."""

    tokens: TokenBatch
    corruptions: tuple[Corruption, ...]


class PretrainTask:
    """A `longform.training.task.Task`."""

    metric = "loss"
    higher_is_better = False

    def __init__(
        self,
        model: PretrainTransformer,
        source: BoxSource,
        training: Sequence[str],
        held_out: Sequence[str],
        teachers: Sequence[nn.Linear],
        *,
        batch: int,
        seed: int,
        losses: str = "code",
        masking: Masking = PRETRAINING,
    ) -> None:
        """Args:
        training: videos to draw from; `held_out` those to measure on.
        teachers: for each kind of features the classifier that makes the pseudo-labels.
        losses: see `LOSSES`.
        """
        self.model, self.source, self.teachers = model, source, tuple(teachers)
        self.compat = model.same_movie_head_loss is not None
        self.pool = SpanPool(source, training, short="none")
        self.tested = SpanPool(source, held_out, stride=EVALUATION_STRIDE_S, short="none")
        self.batch, self.seed, self.masking = batch, seed, masking
        self.kinds = LOSSES[losses]

    def parameter_groups(self) -> list[dict[str, Any]]:
        return parameter_groups(self.model)

    def plan(self, step: int) -> list[Example]:
        rng = planning_rng(self.seed, step)
        if not self.compat:
            drawn = [self.pool[int(number)] for number in rng.integers(len(self.pool), size=self.batch)]
            return [(video_id, (span,)) for video_id, span in drawn]
        videos = [self.pool.video_ids[int(n)] for n in rng.integers(len(self.pool.video_ids), size=self.batch)]
        return [(video_id, self._two_spans(video_id, rng)) for video_id in videos]

    def _two_spans(self, video_id: str, rng: np.random.Generator) -> tuple[Span, ...]:
        spans = self.pool.spans[video_id]
        return tuple(spans[int(number)] for number in rng.integers(len(spans), size=2))

    def read(self, example: Example, seed: int) -> tuple[int, list[TokenSequence]]:
        rng = np.random.default_rng(seed)
        video_id, spans = example
        return seed, [self._sequence(video_id, span, rng, training=True) for span in spans]

    def _sequence(self, video_id: str, span: Span, rng: np.random.Generator, *, training: bool) -> TokenSequence:
        return self.source.sequence(video_id, span, self.model.config.token_form, rng, training=training)

    def collate(self, items: list[tuple[int, list[TokenSequence]]]) -> PretrainBatch:
        """First spans, then second ones; what is masked follows from the first example's seed."""
        rng = np.random.default_rng([items[0][0], len(items)])
        turns = range(len(items[0][1]))
        return self._masked([spans[turn] for turn in turns for _, spans in items], rng)

    def _masked(self, sequences: Sequence[TokenSequence], rng: np.random.Generator) -> PretrainBatch:
        tokens = collate(sequences)
        return PretrainBatch(
            tokens=tokens, corruptions=mask_batch(tokens, self.masking, rng, self.model.config.feature_dims)
        )

    def losses(self, batch: PretrainBatch) -> dict[str, Tensor]:
        found = self.model(batch.tokens, batch.corruptions)
        losses = dict(zip(("action", "object"), self._mask_losses(batch, found.mask_logits), strict=False))
        if found.compat is not None:
            losses["compatibility"] = compatibility_loss(found.compat)
        return {"loss": torch.stack(list(losses.values())).sum(), **losses}

    def _mask_losses(self, batch: PretrainBatch, logits: Sequence[Tensor]) -> list[Tensor]:
        pairs = zip(logits, self._pseudo_labels(batch), self.kinds, strict=False)
        return [
            mask_loss(student, teacher, kind) * (ACTION_LOSS_WEIGHT if kind == "sigmoid" else 1.0)
            for student, teacher, kind in pairs
        ]

    def _pseudo_labels(self, batch: PretrainBatch) -> list[Tensor]:
        """Logits of the short-term models at the masked tokens, from their own features."""
        parts = batch.tokens.features.split(self.model.config.feature_dims, dim=1)
        return [
            teacher.to(part.device)(part[corruption.positions].float())
            for teacher, part, corruption in zip(self.teachers, parts, batch.corruptions, strict=True)
        ]

    def evaluate(self) -> dict[str, float]:
        """Losses over held-out spans, and in percent how often the likeliest action is the short-term model's."""
        rng, device = np.random.default_rng(self.seed), next(self.model.parameters()).device
        sums: dict[str, float] = {}
        for start in range(0, len(self.tested), self.batch):
            drawn = [self.tested[number] for number in range(start, min(start + self.batch, len(self.tested)))]
            batch = self._masked([self._sequence(name, span, rng, training=False) for name, span in drawn], rng)
            batch = to_device(batch, device)
            for name, value in self._measured(batch).items():
                sums[name] = sums.get(name, 0.0) + value * len(drawn)
        return {name: value / len(self.tested) for name, value in sums.items()}

    def _measured(self, batch: PretrainBatch) -> dict[str, float]:
        logits = self.model(batch.tokens, batch.corruptions).mask_logits
        losses = self._mask_losses(batch, logits)
        agreed = (logits[0].argmax(1) == self._pseudo_labels(batch)[0].argmax(1)).float().mean()
        return {"loss": float(sum(losses)), "action_top1": 100 * float(agreed)}


def settings(options: argparse.Namespace) -> TrainSettings:
    """AdamW with the gradients limited; a tenth of the steps warm-up, then linear to 0."""
    schedule = LinearSchedule(lr=options.lr, steps=options.steps, warmup_steps=int(WARMUP * options.steps))
    return settings_from(options, schedule=schedule, optimiser="adamw", weight_decay=WEIGHT_DECAY, clip_norm=CLIP_NORM)


def task(options: argparse.Namespace) -> PretrainTask:
    """The task of `longform train ot-pretrain`.

    Raises:
        TrainingError: no video is left to train or to measure on.
        TokenError, WeightsError: bank, spaces or classifier cannot be used.
    """
    bank = FeatureBank.open(options.bank)
    spaces = spaces_of(options, bank)
    source = BoxSource(bank, spaces, tokens=options.tokens, cache_bytes=options.cache_gb * 1e9)
    teachers = _teachers(options, source)
    training, held_out = _divided(source.video_ids, options)
    classes = dict(zip(("num_actions", "num_objects"), (teacher.out_features for teacher in teachers), strict=False))
    form = {**sizes_of(options), **classes, "feature_dims": source.feature_dims, "compat": options.compatibility}
    model = build_object_transformer("pretrain", **form)
    assert isinstance(model, PretrainTransformer)
    return PretrainTask(model, source, training, held_out, teachers, batch=options.batch, seed=options.seed,
                        losses=options.mask_loss)  # fmt: skip


def _teachers(options: argparse.Namespace, source: BoxSource) -> list[nn.Linear]:
    names = [options.classifier] if options.objects is None else [options.classifier, options.object_classifier]
    if None in names:
        raise TrainingError("Objects need pseudo-labels of their own: expected --object-classifier with --objects.")
    teachers = [read_short_term_classifier(resolve(name)[0]) for name in names]
    for name, teacher, space, dim in zip(names, teachers, source.spaces.names, source.feature_dims, strict=True):
        if teacher.in_features != dim:
            raise TokenError(
                f"Classifier {name}: takes {teacher.in_features} values, but features of {space!r} have {dim}. Give "
                "the checkpoint of the network that made the features."
            )
    return teachers


def _divided(video_ids: Sequence[str], options: argparse.Namespace) -> tuple[list[str], list[str]]:
    """Videos to train on and to measure on, chosen by the seed."""
    order = np.random.default_rng(options.seed).permutation(len(video_ids))
    shuffled = [video_ids[int(place)] for place in order]
    count = max(1, round(options.held_out * len(shuffled)))
    held_out, training = shuffled[:count], shuffled[count:][: options.max_videos]
    if not training:
        raise TrainingError(
            f"Bank {options.bank!r} has {len(video_ids)} videos with boxes: expected two at least, one of them to "
            "measure on."
        )
    return training, held_out
