"""What a pre-trained Object Transformer expects of people it does not see (Wu, thesis, figure 8.5), as JSON.

    {"bank", "space", "checkpoint", "classifier", "activation", "span_s",
     "videos": [{"bank_video_id",
                 "tracks": [{"track_id", "at_s", "box", "start_s", "end_s", "boxes", "span_start_s", "span_end_s",
                             "context": [{"class", "name", "score"}, ...], "short_term": [the same]}]}]}

Each track with person features is masked by itself, in one span, in which all others are seen. `context` is what the
mask head answers for its boxes, `short_term` what the short-term model's last layer makes of their own features; both
are means over the masked boxes of the span, the likeliest classes first. `box` is the middle one of them, at `at_s`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from extractors.classes import class_names
from extractors.errors import WeightsError
from extractors.runtime import Runtime
from extractors.weights.containers import read_tensors
from extractors.weights.load import load_weights
from extractors.weights.store import resolve
from longform.object_transformer.bank_tokens import LATE_S
from longform.object_transformer.batches import TokenBatch, collate
from longform.object_transformer.masking import MASK, Corruption
from longform.object_transformer.model import PretrainTransformer, build_object_transformer
from longform.object_transformer.options import sizes_of, spaces_of
from longform.object_transformer.pretrained import read_short_term_classifier
from longform.object_transformer.sources import BoxSource
from longform.object_transformer.spans import Span
from longform.object_transformer.tokens import BoxTable, TokenError, TokenSequence
from longform.training.loading import to_device
from longform.training.recipes import Score
from pipeline.bank import FeatureBank

TOP_CLASSES = 5
TRACKS_AT_ONCE = 32

Activation = Literal["sigmoid", "softmax"]
ACTIVATIONS: dict[str, Activation] = {"code": "sigmoid", "thesis": "softmax"}
"""How scores come from logits, by the mask loss of the training (`--mask-loss`)."""


@dataclass(frozen=True, kw_only=True)
class MaskedTrack:
    """One track that was masked, and what was expected of it."""

    track_id: int
    at_s: float
    """Of the middle one of the masked boxes."""
    box: list[float]
    """The box there, xyxy in [0, 1]."""
    start_s: float
    """Of the first masked box."""
    end_s: float
    boxes: int
    """How many were masked, all within the span."""
    span_start_s: int
    """First second that the model saw."""
    span_end_s: int
    """Where the last one ends."""
    context: list[dict[str, Any]]
    """The likeliest classes from context alone: `class`, `name`, `score`."""
    short_term: list[dict[str, Any]]
    """The likeliest of the short-term model."""


@torch.no_grad()
def masked_predictions(
    source: BoxSource,
    video_id: str,
    model: PretrainTransformer,
    classifier: nn.Linear,
    names: Sequence[str],
    *,
    activation: Activation = "sigmoid",
    seed: int = 0,
) -> list[MaskedTrack]:
    """Mask the tracks of a video one after the other; by their first masked box.

    A track is masked in the minute about its middle box, as far as the video reaches; boxes outside do not count.

    Args:
        model: in evaluation mode.
        classifier: the short-term model's last layer, from person features to actions.
        names: of the actions.
        activation: as the model was trained, see `ACTIVATIONS`.
        seed: of the random numbers of tracks.
    Raises:
        TokenError: one second has more boxes than a span has room for.
    """
    table, rng = source[video_id], np.random.default_rng(seed)
    has_person = table.features[:, : source.feature_dims[0]].any(1)
    tracks = [track for track in np.unique(table.tracks[has_person]).tolist() if track >= 0]
    times_s = _times_s(source.bank, table)
    found = []
    for start in range(0, len(tracks), TRACKS_AT_ONCE):
        people = [np.flatnonzero((table.tracks == track) & has_person) for track in tracks[start:][:TRACKS_AT_ONCE]]
        sequences = [_sequence(source, table, rows, model, rng) for rows in people]
        masked = [np.isin(sequence.rows, rows) for sequence, rows in zip(sequences, people, strict=True)]
        answers = _logits(model, classifier, collate(sequences), np.concatenate(masked))
        for sequence, hidden, context, short_term in zip(sequences, masked, *answers, strict=True):
            rows = np.sort(sequence.rows[hidden])
            middle = rows[len(rows) // 2]
            found.append(
                MaskedTrack(
                    track_id=int(table.tracks[middle]),
                    at_s=float(times_s[middle]),
                    box=table.boxes[middle].tolist(),
                    start_s=float(times_s[rows[0]]),
                    end_s=float(times_s[rows[-1]]),
                    boxes=len(rows),
                    span_start_s=max(0, sequence.span.second - model.config.token_form.seconds + 1),
                    span_end_s=sequence.span.second + 1,
                    context=_best(context, names, activation),
                    short_term=_best(short_term, names, activation),
                )
            )
    return sorted(found, key=lambda track: (track.start_s, track.track_id))


def _times_s(bank: FeatureBank, table: BoxTable) -> NDArray[np.float64]:
    """(N,) exact times of the boxes of a table, which knows their seconds."""
    columns = bank.table("detections", table.video_id, ("at_s", "track_id", "box")).to_pydict()
    found = {
        (int(at_s + LATE_S), track, *box): at_s
        for at_s, track, box in zip(*(columns[name] for name in ("at_s", "track_id", "box")), strict=True)
    }
    keys = zip(table.seconds.tolist(), table.tracks.tolist(), table.boxes.tolist(), strict=True)
    return np.array([found[(second, track if track >= 0 else None, *box)] for second, track, box in keys])


def _sequence(
    source: BoxSource, table: BoxTable, rows: NDArray[np.int64], model: PretrainTransformer, rng: np.random.Generator
) -> TokenSequence:
    """The span about the middle box of a track or, where a crowd pushes the track out of it, the one ending there."""
    form, present = model.config.token_form, source.seconds[table.video_id]
    middle = int(table.seconds[rows[len(rows) // 2]])
    centred = int(np.clip(middle + form.seconds // 2 - 1, present[0] + form.seconds - 1, present[-1]))
    for tail in (centred, middle):
        sequence = source.sequence(table.video_id, Span(tail), form, rng)
        if np.isin(sequence.rows, rows).any():
            return sequence
    raise TokenError(
        f"Video {table.video_id!r}: more than {form.max_boxes} boxes in second {middle}. Take the surer ones with "
        "--min-score."
    )


def _hidden(tokens: TokenBatch, masked: NDArray[np.bool_], feature_dims: Sequence[int]) -> tuple[Corruption, ...]:
    """Everything that masked tokens show is replaced by the mask embeddings, of each kind of feature."""
    corruptions = []
    for part in tokens.features.split(list(feature_dims), dim=1):
        hidden = masked & (part != 0).any(1).numpy()
        corruptions.append(
            Corruption(
                positions=torch.from_numpy(np.flatnonzero(hidden)),
                sources=torch.full((int(hidden.sum()),), MASK),
                counts=tuple(int(one.sum()) for one in np.split(hidden, np.cumsum(tokens.lengths)[:-1])),
            )
        )
    return tuple(corruptions)


def _logits(
    model: PretrainTransformer, classifier: nn.Linear, tokens: TokenBatch, masked: NDArray[np.bool_]
) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """For each sequence (M, K) at its masked tokens: of the mask head, and of the short-term model."""
    device = next(model.parameters()).device
    tokens, corruptions = to_device((tokens, _hidden(tokens, masked, model.config.feature_dims)), device)
    persons = corruptions[0]
    clean = tokens.features[persons.positions, : model.config.feature_dims[0]].float()
    context = model(tokens, corruptions).mask_logits[0].float()
    short_term = classifier.to(device)(clean)
    return context.split(persons.counts), short_term.split(persons.counts)


def _best(logits: Tensor, names: Sequence[str], activation: Activation) -> list[dict[str, Any]]:
    """The likeliest classes of the mean over (M, K) logits of one track."""
    scores = (logits.sigmoid() if activation == "sigmoid" else logits.softmax(1)).mean(0)
    values, classes = scores.topk(min(TOP_CLASSES, len(scores)))
    pairs = zip(classes.tolist(), values.tolist(), strict=True)
    return [{"class": number, "name": names[number], "score": value} for number, value in pairs]


def evaluate(options: argparse.Namespace) -> list[Score]:
    """The score of `longform eval ot-pretrain`: of how many masked tracks context alone gives the short-term model's
    likeliest action, in percent. `--masked-view FILE` writes the JSON.

    Raises TokenError, WeightsError and ConfigError for what cannot be used.
    """
    bank = FeatureBank.open(options.bank)
    source = BoxSource(bank, spaces_of(options, bank), options.video or None, cache_bytes=options.cache_gb * 1e9)
    classifier = read_short_term_classifier(resolve(options.classifier)[0])
    model = _loaded(options, source, classifier)
    names = class_names(options.classes, num_classes=classifier.out_features)
    activation = ACTIVATIONS[options.mask_loss]
    found = {
        video_id: masked_predictions(
            source, video_id, model, classifier, names, activation=activation, seed=options.seed
        )
        for video_id in source.video_ids
    }
    agreed = [track.context[0]["class"] == track.short_term[0]["class"] for one in found.values() for track in one]
    if not agreed:
        raise TokenError(
            f"Bank {options.bank!r}: none of the videos {list(options.video or source.missing)[:5]} has a track with "
            f"features of {source.spaces.persons!r}."
        )
    if options.masked_view is not None:
        facts = {"bank": options.bank, "space": source.spaces.persons, "checkpoint": options.checkpoint,
                 "classifier": options.classifier, "activation": activation,
                 "span_s": model.config.token_form.seconds}  # fmt: skip
        videos = [{"bank_video_id": name, "tracks": [asdict(one) for one in tracks]} for name, tracks in found.items()]
        text = json.dumps({**facts, "videos": videos}, indent=1, ensure_ascii=False)
        Path(options.masked_view).write_text(text, encoding="utf-8")
    return [
        Score(
            metric="masked_track_top1",
            value=100 * float(np.mean(agreed)),
            num_videos=len(found),
            num_missing=len(source.missing),
            more={"tracks": len(agreed), **({"missing": list(source.missing)} if source.missing else {})},
        )
    ]


def _loaded(options: argparse.Namespace, source: BoxSource, classifier: nn.Linear) -> PretrainTransformer:
    """The model of a checkpoint of `ot-pretrain`, in evaluation mode; with a compatibility head if it has one."""
    path = resolve(options.checkpoint)[0]
    tensors = read_tensors(path).tensors
    if "action_lm_head.decoder.weight" not in tensors:
        raise WeightsError(f"{path} has no mask head: expected weights of `longform train ot-pretrain`.")
    if classifier.in_features != source.feature_dims[0]:
        raise WeightsError(
            f"Classifier {options.classifier}: takes {classifier.in_features} values, but features of "
            f"{source.spaces.persons!r} have {source.feature_dims[0]}. Give the network that made the features."
        )
    form = {**sizes_of(options), "feature_dims": source.feature_dims, "num_actions": classifier.out_features}
    form["compat"] = any(name.startswith("same_movie_head_loss.") for name in tensors)
    if "object_lm_head.decoder.weight" in tensors:
        form["num_objects"] = len(tensors["object_lm_head.decoder.weight"])
    model = build_object_transformer("pretrain", **form)
    assert isinstance(model, PretrainTransformer)
    load_weights(model, path)
    return model.eval().to(Runtime(device=options.device, precision=options.precision).torch_device)
