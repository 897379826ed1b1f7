"""`longform train ot-ava` and `longform eval ot-ava`: actions of people from their context, and late fusion.

As the released code does it (chaoyuaw/lvu, src/run.py; thesis, section 8.4): the trunk is frozen, 15 % of the tracks
are masked, and only masked boxes count. A test takes every span, the centred ones several times, and averages what the
masked boxes got; a box that was never masked gets 0.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from extractors.runtime import Runtime
from extractors.weights.load import load_weights
from extractors.weights.store import resolve
from longform.datasets.ava import KEY_SECONDS, NUM_ACTIONS, read_label_map, write_detections
from longform.metrics import ava_frame_map
from longform.metrics.tables import AnnotationError
from longform.object_transformer.action_labels import ActionLabels, AnnotatedBoxes
from longform.object_transformer.batches import TokenBatch, collate
from longform.object_transformer.losses import action_loss
from longform.object_transformer.masking import FINE_TUNING, Corruption, mask_batch
from longform.object_transformer.model import ActionTransformer, build_object_transformer
from longform.object_transformer.optimisation import parameter_groups, planning_rng
from longform.object_transformer.options import sizes_of, spaces_of
from longform.object_transformer.pretrained import start_action_transformer, start_late_fusion
from longform.object_transformer.sources import BoxSource
from longform.object_transformer.spans import Span, centre_spans, tail_spans
from longform.object_transformer.tokens import TokenSequence
from longform.training.loading import to_device
from longform.training.recipes import Score
from pipeline.bank import FeatureBank

UNTRAINED = "untrained"
HELD_OUT = 16
"""One span of so many is measured at the end of training, on the training videos: AVA's own test is `ot-ava` of
`longform eval`."""
SPANS_AT_ONCE = 32

Example = tuple[str, Span]


@dataclass(frozen=True, kw_only=True, eq=False)
class ActionBatch:
    """Spans with the actions of their boxes."""

    tokens: TokenBatch
    corruptions: tuple[Corruption, ...]
    known: Tensor
    """(T,) bool."""
    actions: Tensor
    """(T, 80) bool."""


@dataclass(frozen=True, kw_only=True)
class FilmTimes:
    """How a bank's videos are called and timed, against the annotations."""

    prefix: str
    start_second: int

    def film(self, video_id: str) -> str:
        """The name in the annotations."""
        return video_id.removeprefix(self.prefix)

    @property
    def centres(self) -> range:
        """AVA's key seconds as seconds of the bank."""
        return range(KEY_SECONDS.start - self.start_second, KEY_SECONDS.stop - self.start_second)


class ActionTask:
    """A `longform.training.task.Task`."""

    metric = "loss"
    higher_is_better = False

    def __init__(
        self,
        model: ActionTransformer,
        source: BoxSource,
        annotated: AnnotatedBoxes,
        times: FilmTimes,
        *,
        batch: int,
        seed: int,
    ) -> None:
        model.freeze_for_fine_tuning()
        self.model, self.source, self.batch, self.seed = model, source, batch, seed
        self.labels: Mapping[str, ActionLabels] = {
            name: annotated.of_table(source[name], times.film(name), times.start_second) for name in source.video_ids
        }
        if not any(labels.known.any() for labels in self.labels.values()):
            raise AnnotationError(
                f"No box of {len(self.labels)} videos is an annotated one: names ({times.prefix!r} before them) or "
                f"times (second 0 is {times.start_second}) do not fit. See --prefix and --start-second."
            )
        self.spans: list[Example] = [
            (name, span)
            for name, seconds in source.seconds.items()
            for span in [*centre_spans(seconds, times.centres), *tail_spans(seconds)]
        ]

    def parameter_groups(self) -> list[dict[str, Any]]:
        return parameter_groups(self.model)

    def plan(self, step: int) -> list[Example]:
        numbers = planning_rng(self.seed, step).integers(len(self.spans), size=self.batch)
        return [self.spans[int(number)] for number in numbers]

    def read(self, example: Example, seed: int) -> tuple[int, TokenSequence]:
        rng = np.random.default_rng(seed)
        return seed, self.source.sequence(*example, self.model.config.token_form, rng, training=True)

    def collate(self, items: list[tuple[int, TokenSequence]]) -> ActionBatch:
        """What is masked follows from the first example's seed."""
        return self._batch([sequence for _, sequence in items], np.random.default_rng([items[0][0], len(items)]))

    def _batch(self, sequences: Sequence[TokenSequence], rng: np.random.Generator) -> ActionBatch:
        tokens = collate(sequences)
        is_box = tokens.is_box().numpy()
        known, actions = np.zeros(len(is_box), bool), np.zeros((len(is_box), NUM_ACTIONS), bool)
        rows = [(self.labels[sequence.video_id], sequence.rows[sequence.rows >= 0]) for sequence in sequences]
        known[is_box] = np.concatenate([labels.known[places] for labels, places in rows])
        actions[is_box] = np.concatenate([labels.actions[places] for labels, places in rows])
        return ActionBatch(
            tokens=tokens,
            corruptions=mask_batch(tokens, FINE_TUNING, rng, self.model.config.feature_dims),
            known=torch.from_numpy(known),
            actions=torch.from_numpy(actions),
        )

    def losses(self, batch: ActionBatch) -> dict[str, Tensor]:
        masked = batch.corruptions[0].positions
        counted = batch.known[masked]
        logits = self.model(batch.tokens, batch.corruptions)
        return {"loss": action_loss(logits[counted], batch.actions[masked][counted])}

    def evaluate(self) -> dict[str, float]:
        """The loss on some of the training spans, without the moving of boxes."""
        rng, device = np.random.default_rng(self.seed), next(self.model.parameters()).device
        chosen = self.spans[::HELD_OUT]
        total = 0.0
        for start in range(0, len(chosen), self.batch):
            part = chosen[start : start + self.batch]
            sequences = [self.source.sequence(*example, self.model.config.token_form, rng) for example in part]
            total += float(self.losses(to_device(self._batch(sequences, rng), device))["loss"]) * len(part)
        return {"loss": total / len(chosen)}


def task(options: argparse.Namespace) -> ActionTask:
    """The task of `longform train ot-ava`.

    Raises TokenError, WeightsError and AnnotationError for what cannot be used.
    """
    annotated = AnnotatedBoxes.read(Path(options.annotations))
    times = FilmTimes(prefix=options.prefix, start_second=options.start_second)
    source = _source(options, annotated, times)
    model = _model(options, source)
    classifier = resolve(options.classifier)[0]
    if options.pretrained == UNTRAINED:
        start_late_fusion(model, classifier)
    else:
        start_action_transformer(model, options.pretrained, classifier)
    return ActionTask(model, source, annotated, times, batch=options.batch, seed=options.seed)


def _source(options: argparse.Namespace, annotated: AnnotatedBoxes, times: FilmTimes) -> BoxSource:
    bank = FeatureBank.open(options.bank)
    videos = [f"{times.prefix}{video}" for video in annotated.videos]
    return BoxSource(bank, spaces_of(options, bank), videos, cache_bytes=options.cache_gb * 1e9)


def _model(options: argparse.Namespace, source: BoxSource) -> ActionTransformer:
    model = build_object_transformer("ava", **sizes_of(options), feature_dims=source.feature_dims)
    assert isinstance(model, ActionTransformer)
    return model


@torch.no_grad()
def masked_scores(
    model: ActionTransformer,
    source: BoxSource,
    video_id: str,
    times: FilmTimes,
    *,
    repeats: int,
    fuse: bool,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Scores (N, 80) of all boxes of a video: the mean of what each got where it was masked, or 0."""
    seconds = source.seconds[video_id]
    spans = [*centre_spans(seconds, times.centres) * repeats, *tail_spans(seconds)]
    sums, counts = np.zeros((len(source[video_id]), NUM_ACTIONS)), np.zeros(len(source[video_id]))
    device = next(model.parameters()).device
    for start in range(0, len(spans), SPANS_AT_ONCE):
        tokens = collate([
            source.sequence(video_id, span, model.config.token_form, rng)
            for span in spans[start : start + SPANS_AT_ONCE]
        ])  # fmt: skip
        corruptions = mask_batch(tokens, FINE_TUNING, rng, model.config.feature_dims)
        rows = tokens.rows[corruptions[0].positions].numpy()
        scores = model(*to_device((tokens, corruptions), device), fuse=fuse).float().sigmoid().cpu().numpy()
        np.add.at(sums, rows, scores)
        np.add.at(counts, rows, 1)
    return sums / np.maximum(counts, 1)[:, None]


def evaluate(options: argparse.Namespace) -> list[Score]:
    """The score of `longform eval ot-ava`: frame-mAP in percent over the annotated videos that the bank has.

    Raises TokenError, WeightsError and AnnotationError for what cannot be used.
    """
    annotated = AnnotatedBoxes.read(Path(options.annotations))
    times = FilmTimes(prefix=options.prefix, start_second=options.start_second)
    source = _source(options, annotated, times)
    model = _model(options, source).eval()
    load_weights(model, options.checkpoint)
    model.to(Runtime(device=options.device, precision=options.precision).torch_device)
    with tempfile.TemporaryDirectory() as folder:
        detections = Path(options.output or Path(folder) / "detections.csv")
        _write_detections(detections, model, source, times, options)
        found: Any = ava_frame_map(options.annotations, detections, options.label_map, options.excluded)
    return [
        Score(
            dataset="ava",
            metric="frame_map",
            value=100 * found["mAP"],
            num_videos=len(source.video_ids),
            num_missing=len(source.missing),
            more={"missing": list(source.missing), "context_only": options.context_only, "repeats": options.repeats},
        )
    ]


def _write_detections(
    path: Path, model: ActionTransformer, source: BoxSource, times: FilmTimes, options: argparse.Namespace
) -> None:
    """All boxes of key seconds with their scores, in AVA's format."""
    rng = np.random.default_rng(options.seed)
    moments: list[tuple[str, int]] = []
    boxes, scores = [], []
    for video_id in source.video_ids:
        found = masked_scores(model, source, video_id, times, repeats=options.repeats,
                              fuse=not options.context_only, rng=rng)  # fmt: skip
        table = source[video_id]
        keyed = np.isin(table.seconds, times.centres)
        moments += [(times.film(video_id), int(second) + times.start_second) for second in table.seconds[keyed]]
        boxes.append(table.boxes[keyed])
        scores.append(found[keyed])
    if not boxes:
        raise AnnotationError(f"None of the annotated videos is in bank {options.bank!r}: {source.missing[:5]} ...")
    write_detections(
        path, moments, np.concatenate(boxes), np.concatenate(scores), actions=read_label_map(options.label_map)
    )
