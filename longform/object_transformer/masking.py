"""Which boxes are hidden from the network, and what it sees in their place.

Only features are hidden; second, shot, track and place of a masked box stay (chaoyuaw/lvu, src/run.py,
`get_mask_indices` and `perform_masking`; thesis, section 8.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from longform.object_transformer.batches import TokenBatch
from pipeline.errors import ConfigError

MASK = -1
"""As the source of a token's feature: the mask embedding."""


@dataclass(frozen=True, kw_only=True)
class Masking:
    """How much is masked, and how.

    `PRETRAINING` and `FINE_TUNING` are the released code's. It masks in fine-tuning and in tests of the end tasks
    too, which the thesis does not mention; who wants it off passes no `Masking`.
    """

    probability: float = 0.15
    """Of a track."""
    mask: float = 0.8
    """Part of the masked tokens that see the mask embedding."""
    random: float = 0.1
    """Part of them that see the feature of another box of the batch; the rest see their own."""
    passes: int = 1
    """The released pre-training draws twice on the same tokens, which comes to about 88, 11 and 1 %."""

    def __post_init__(self) -> None:
        if not (0 < self.probability <= 1 and self.mask >= 0 and self.random >= 0 and self.mask + self.random <= 1):
            raise ConfigError(f"{self}: parts must be within 0 to 1, and some tracks masked.")
        if self.passes < 1:
            raise ConfigError(f"{self}: expected 1 pass or more.")


PRETRAINING = Masking(passes=2)
FINE_TUNING = Masking()


@dataclass(frozen=True, kw_only=True, eq=False)
class Corruption:
    """The masked tokens of a batch, for one kind of feature. M tokens."""

    positions: Tensor
    """(M,) int64 in the packed batch, ascending."""
    sources: Tensor
    """(M,) int64: the token whose clean feature is seen instead, or `MASK`."""
    counts: tuple[int, ...]
    """Masked tokens of each sequence."""


def mask_batch(
    batch: TokenBatch, masking: Masking, rng: np.random.Generator, feature_dims: Sequence[int]
) -> tuple[Corruption, ...]:
    """Draw what is masked in a batch, one `Corruption` for each kind of feature.

    A kind is masked in the tokens that have it: whose part of the channels is not all zero.
    """
    is_box = batch.is_box().numpy()
    tracks = batch.indices[:, 0].numpy()
    corruptions = []
    for part in batch.features.split(list(feature_dims), dim=1):
        candidates = is_box & (part != 0).any(1).numpy()
        masked = choose_tracks(tracks, candidates, batch.lengths, masking.probability, rng)
        corruptions.append(corrupt(masked, candidates, batch.lengths, masking, rng))
    return tuple(corruptions)


def choose_tracks(
    tracks: NDArray[np.int64],
    candidates: NDArray[np.bool_],
    lengths: Sequence[int],
    probability: float,
    rng: np.random.Generator,
) -> NDArray[np.bool_]:
    """(T,) which tokens are masked: all of a track or none; drawn again until a sequence has at least one.

    Args:
        tracks: (T,) number of the track within its sequence.
        candidates: (T,) tokens that may be masked; a sequence without any stays as it is.
    """
    masked = np.zeros(len(tracks), bool)
    start = 0
    for length in lengths:
        tokens = start + np.flatnonzero(candidates[start : start + length])
        start += length
        if not len(tokens):
            continue
        known, places = np.unique(tracks[tokens], return_inverse=True)
        chosen = np.zeros(len(known), bool)
        while not chosen.any():
            chosen = rng.random(len(known)) < probability
        masked[tokens] = chosen[places]
    return masked


def corrupt(
    masked: NDArray[np.bool_],
    candidates: NDArray[np.bool_],
    lengths: Sequence[int],
    masking: Masking,
    rng: np.random.Generator,
) -> Corruption:
    """What each masked token sees.

    Random features come, with replacement, from the tokens of the whole batch that the same pass did not give the
    mask embedding; in a second pass some of those have it from the first.
    """
    sources = np.arange(len(masked))
    positions = np.flatnonzero(masked)
    for _ in range(masking.passes):
        draw = rng.random(len(positions))
        hidden = positions[draw < masking.mask]
        swapped = positions[(draw >= masking.mask) & (draw < masking.mask + masking.random)]
        pool = np.flatnonzero(candidates & ~np.isin(np.arange(len(masked)), hidden))
        sources[hidden] = MASK
        if len(pool):
            sources[swapped] = sources[rng.choice(pool, len(swapped))]
    return Corruption(
        positions=torch.from_numpy(positions),
        sources=torch.from_numpy(sources[positions]),
        counts=tuple(int(part.sum()) for part in np.split(masked, np.cumsum(lengths)[:-1])),
    )
