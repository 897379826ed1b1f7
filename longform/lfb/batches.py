"""Clips with their windows of the bank, as an `LFBModel` takes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from longform.lfb.bank_windows import BankWindow
from longform.lfb.samples_clips import ClipExample


@dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """A clip with the window that goes with it."""

    example: ClipExample
    window: BankWindow | None


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """Arguments of `LFBModel`, and the labels of its loss."""

    clips: Tensor
    """(B, 3, T, H, W)."""
    labels: Tensor
    """(N, K) float32, or (N,) int64."""
    bank: Tensor | None
    """(B, L, D)."""
    mask: Tensor | None
    boxes_px: Tensor | None
    """(N, 5)."""


def collated(samples: Sequence[Sample]) -> Batch:
    """The batch of some samples."""
    examples, windows = [sample.example for sample in samples], [sample.window for sample in samples]
    there = [window for window in windows if window is not None]
    labels = [torch.from_numpy(np.asarray(example.labels)) for example in examples]
    boxes = [example.boxes_px for example in examples if example.boxes_px is not None]
    numbered = [np.insert(some, 0, clip, axis=1) for clip, some in enumerate(boxes)]
    return Batch(
        clips=torch.stack([example.clip for example in examples]),
        labels=torch.cat(labels) if boxes or labels[0].dtype == torch.int64 else torch.stack(labels),
        bank=torch.from_numpy(np.stack([window.features for window in there])) if there else None,
        mask=torch.from_numpy(np.stack([window.mask for window in there])) if there else None,
        boxes_px=torch.from_numpy(np.concatenate(numbered)) if boxes else None,
    )
