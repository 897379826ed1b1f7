"""Object Transformers (Wu, thesis, chapter 8; Wu and Krähenbühl, CVPR 2021) with their heads.

    model = build_object_transformer("relationship")
    load_weights(model, "relationship.bin")
    logits = model(collate([tokens_of(table, span, model.config.token_form, rng)]))

Parameters have the released code's names, so its state dicts load as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from longform.datasets.ava import NUM_ACTIONS
from longform.datasets.lvu import TASKS
from longform.object_transformer.batches import TokenBatch
from longform.object_transformer.config import MODALITIES, NUM_OBJECT_CLASSES, ModelConfig, model_config
from longform.object_transformer.heads import ActionHead, EndTaskHead, MaskHead, compatibility_head
from longform.object_transformer.masking import Corruption
from longform.object_transformer.trunk import Trunk, initialise
from pipeline.errors import ConfigError

PRETRAIN, AVA = "pretrain", "ava"


class ObjectTransformer(nn.Module):
    """The trunk; heads come with the classes below."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.roberta = Trunk(config)

    def embed(self, batch: TokenBatch, corruptions: Sequence[Corruption] = ()) -> Tensor:
        """The encoder's input (T, W)."""
        out: Tensor = self.roberta.embeddings(batch, corruptions)
        return out

    def encode(self, batch: TokenBatch, corruptions: Sequence[Corruption] = ()) -> Tensor:
        """The encoder's outputs (T, W) at all tokens."""
        out: Tensor = self.roberta(batch, corruptions)
        return out

    def represent(self, batch: TokenBatch, corruptions: Sequence[Corruption] = ()) -> Tensor:
        """What stands for each span, (B, W)."""
        return self.roberta.encode(batch, corruptions).pooled


class EndTaskTransformer(ObjectTransformer):
    """Labels of whole videos."""

    def __init__(self, config: ModelConfig, outputs: int) -> None:
        super().__init__(config)
        self.long_term_head = EndTaskHead(config, outputs)
        initialise(self, config.width)

    def forward(self, batch: TokenBatch, corruptions: Sequence[Corruption] = ()) -> Tensor:
        """Logits (B, K) of the spans; (B, 1) for regression."""
        out: Tensor = self.long_term_head(self.represent(batch, corruptions))
        return out


@dataclass(frozen=True, kw_only=True, eq=False)
class Pretraining:
    """What the pre-training losses compare."""

    mask_logits: tuple[Tensor, ...]
    """(M, 80) for actions; then (M, 81) for objects, where there are any. Rows as positions of the corruptions."""
    compat: Tensor | None
    """(B, 128); None without a compatibility head."""


class PretrainTransformer(ObjectTransformer):
    """Masked instances and compatibility of spans."""

    def __init__(self, config: ModelConfig, compat: bool, num_actions: int, num_objects: int) -> None:
        super().__init__(config)
        self.modalities = MODALITIES[: len(config.feature_dims)]
        for modality, classes in zip(self.modalities, (num_actions, num_objects), strict=False):
            self.add_module(f"{modality}_lm_head", MaskHead(config, classes))
        self.same_movie_head_loss = compatibility_head(config) if compat else None
        initialise(self, config.width)

    def forward(self, batch: TokenBatch, corruptions: Sequence[Corruption]) -> Pretraining:
        """Predictions for masked tokens, and the vector of each span."""
        encoded = self.roberta.encode(batch, corruptions)
        heads = [self.get_submodule(f"{modality}_lm_head") for modality in self.modalities]
        return Pretraining(
            mask_logits=tuple(head(masked) for head, masked in zip(heads, encoded.masked, strict=True)),
            compat=None if self.same_movie_head_loss is None else self.same_movie_head_loss(encoded.pooled),
        )


class ActionTransformer(ObjectTransformer):
    """Actions of boxes, from masked context and the box's own feature (AVA)."""

    def __init__(self, config: ModelConfig, num_actions: int) -> None:
        super().__init__(config)
        self.action_lm_head = ActionHead(config, num_actions)
        initialise(self, config.width)

    def forward(self, batch: TokenBatch, corruptions: Sequence[Corruption], *, fuse: bool = True) -> Tensor:
        """Logits (M, 80) at the masked tokens; `fuse=False` leaves the box's own feature out."""
        masked = self.roberta.encode(batch, corruptions).masked[0]
        clean = batch.features[corruptions[0].positions]
        out: Tensor = self.action_lm_head(masked, clean if fuse else None)
        return out

    def at_all_tokens(self, batch: TokenBatch, corruptions: Sequence[Corruption] = ()) -> Tensor:
        """Fused logits (T, 80) at every token, masked or not."""
        out: Tensor = self.action_lm_head(self.encode(batch, corruptions), batch.features)
        return out

    def freeze_for_fine_tuning(self) -> None:
        """Train the two linear layers that give logits, nothing else, as the released code does."""
        self.requires_grad_(False)
        for part in (self.action_lm_head.decoder, self.action_lm_head.decoder_feat):
            part.requires_grad_(True)


def build_object_transformer(kind: str, *, variant: str = "released", **options: Any) -> ObjectTransformer:
    """An Object Transformer with new weights.

    Args:
        kind: one of the nine LVU tasks (`EndTaskTransformer`), `pretrain` (`PretrainTransformer`) or `ava`
            (`ActionTransformer`).
        variant: `released`, the form of the published code and its files, or `thesis`.
        options: fields of `ModelConfig`; for an end task `num_classes`, instead of the task's; for `pretrain`
            `compat`, whether spans are compared, `num_actions` and `num_objects`; for `ava` `num_actions`.
    Raises:
        ConfigError: the kind, the variant or an option is not known, or has a value that cannot be.
    """
    if kind in TASKS:
        outputs = options.pop("num_classes", None) or TASKS[kind].num_outputs
        return EndTaskTransformer(model_config(variant, **options), outputs)
    if kind == PRETRAIN:
        compat, num_actions = options.pop("compat", True), options.pop("num_actions", NUM_ACTIONS)
        num_objects = options.pop("num_objects", NUM_OBJECT_CLASSES)
        return PretrainTransformer(model_config(variant, **options), compat, num_actions, num_objects)
    if kind == AVA:
        num_actions = options.pop("num_actions", NUM_ACTIONS)
        return ActionTransformer(model_config(variant, **options), num_actions)
    raise ConfigError(
        f"No Object Transformer is made for {kind!r}; expected one of: {', '.join([*TASKS, PRETRAIN, AVA])}."
    )
