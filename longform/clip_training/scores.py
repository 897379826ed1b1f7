"""How good answers are: for one class a clip, and for any number."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor


def measured(logits: Tensor, labels: Tensor) -> dict[str, float]:
    """`top1` and `top5` of labels (N,), or `mAP` of labels (N, C); in [0, 1].

    Args:
        logits: (N, C).
    """
    if labels.ndim == 2:
        return {"mAP": mean_average_precision(logits.numpy(), labels.numpy() > 0)}
    best = logits.topk(min(5, logits.shape[1]), 1).indices == labels[:, None]
    return {"top1": float(best[:, 0].double().mean()), "top5": float(best.any(1).double().mean())}


def mean_average_precision(scores: NDArray[np.floating], shown: NDArray[np.bool_]) -> float:
    """Mean over the classes that occur of the mean precision at their positives; NaN if none occurs.

    Args:
        scores, shown: (N, C).
    """
    order = np.argsort(-scores, axis=0, kind="stable")
    hits = np.take_along_axis(shown, order, axis=0)
    precision = np.cumsum(hits, axis=0) / np.arange(1, len(hits) + 1)[:, None]
    occurs = shown.any(0)
    if not occurs.any():
        return float("nan")
    return float(((precision * hits).sum(0)[occurs] / hits.sum(0)[occurs]).mean())
