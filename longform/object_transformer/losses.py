"""Losses of pre-training and fine-tuning (chaoyuaw/lvu, src/models/modeling_roberta.py; thesis, sections 8.2, 8.3)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from pipeline.errors import ConfigError

COMPAT_TEMPERATURE = 0.2
"""Of the released code; the thesis has none, which is 1."""

ACTION_LOSS_WEIGHT = 80.0
"""Of the released pre-training: the mean over tokens of the sum over actions."""

MaskLoss = Literal["sigmoid", "softmax", "cross_entropy"]


def mask_loss(student: Tensor, teacher: Tensor, kind: MaskLoss = "sigmoid", temperature: float = 1.0) -> Tensor:
    """How far predictions for masked tokens are from the pseudo-labels. 0 where nothing is masked.

    Args:
        student: (M, K) logits of the mask head.
        teacher: (M, K) logits of the short-term model on the clean features.
        kind: `sigmoid`, the released code's for actions: KL divergence of each class by itself, mean over tokens and
            classes; its pre-training multiplies it by `ACTION_LOSS_WEIGHT`. `softmax`, its for objects: KL divergence
            of distributions, mean over tokens. `cross_entropy`, the thesis's for both: the cross-entropy of these
            distributions, mean over tokens.
        temperature: divides all logits; the loss is multiplied by its square.
    """
    if not len(student):
        return student.sum()
    student, teacher = student.float() / temperature, teacher.detach().float() / temperature
    if kind == "sigmoid":
        loss = (_binary_kl(student, teacher) + _binary_kl(-student, -teacher)).mean()
    elif kind == "softmax":
        loss = F.kl_div(F.log_softmax(student, 1), F.log_softmax(teacher, 1), reduction="batchmean", log_target=True)
    elif kind == "cross_entropy":
        loss = F.cross_entropy(student, teacher.softmax(1))
    else:
        raise ConfigError(f"Mask loss {kind!r}; expected 'sigmoid', 'softmax' or 'cross_entropy'.")
    return loss * temperature**2


def _binary_kl(student: Tensor, teacher: Tensor) -> Tensor:
    """p ln(p / q) of the probabilities that two logits stand for."""
    return teacher.sigmoid() * (F.logsigmoid(teacher) - F.logsigmoid(student))


def compatibility_loss(vectors: Tensor, temperature: float = COMPAT_TEMPERATURE) -> Tensor:
    """InfoNCE over spans: each must find its partner among all others.

    Args:
        vectors: (2N, C); span i and span i + N are of one video. Not normalised.
    Raises:
        ConfigError: fewer than two pairs, or an odd number of spans.
    """
    count = len(vectors)
    if count % 2 or count < 4:
        raise ConfigError(f"{count} spans to compare; expected two pairs or more, first spans first.")
    vectors = vectors.float()
    similarity = vectors @ vectors.T / temperature
    itself = torch.eye(count, dtype=torch.bool, device=vectors.device)
    partner = torch.arange(count, device=vectors.device).roll(count // 2)
    return F.cross_entropy(similarity.masked_fill(itself, -torch.inf), partner)


def end_task_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    """Of spans, against the label of their video.

    Args:
        outputs: (B, K) logits with targets (B,) int64: cross-entropy; (B, 1) with targets (B,) float: squared error.
    """
    if targets.is_floating_point():
        return F.mse_loss(outputs[:, 0].float(), targets.float())
    return F.cross_entropy(outputs.float(), targets)


def action_loss(logits: Tensor, actions: Tensor) -> Tensor:
    """Binary cross-entropy of masked tokens (M, K) with actions 0 or 1 (M, K), mean over both; 0 for no token."""
    if not len(logits):
        return logits.sum()
    return F.binary_cross_entropy_with_logits(logits.float(), actions.float())
