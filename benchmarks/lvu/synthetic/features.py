"""Person features of the synthetic world, and the linear classifier that reads actions off them.

A feature is the sum of what the person does (a channel for each of AVA's 80 classes) and of nuisance, along directions
that are orthogonal to each other and the same in all movies of a world.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from benchmarks.lvu.synthetic.design import ACTIONS, CHANNELS, OBJECT_ACTIONS
from extractors.classes import class_names
from pipeline.errors import ConfigError

ACTION_CLASSES = class_names("ava-80")
NUISANCE_DIM = 32
SMALLEST_DIM = len(ACTION_CLASSES) + NUISANCE_DIM

STRENGTH = 1.0
"""Of an action that takes place."""
ACTION_NOISE = 0.1
"""In each action's direction, in each box by itself."""
TRACK_NUISANCE, BOX_NUISANCE = 0.2, 0.2
"""In each nuisance direction, drawn for each track, and for each box: light and clothes change with the shot, so that
who somebody is follows from tracks and places alone."""

LOGIT, ABSENT = 8.0, -5.0
"""The classifier gives `LOGIT * STRENGTH + ABSENT` for an action that takes place, and `ABSENT` for others."""

_CODES = np.array([[ACTION_CLASSES.index(name) for name in ACTIONS[channel]] for channel in CHANNELS])
_OBJECT_CODES = np.array([ACTION_CLASSES.index(name) for name in OBJECT_ACTIONS])


def state_codes(states: NDArray[np.int64]) -> NDArray[np.float32]:
    """(N, 80) which actions take place, from values (N, 6) of the channels."""
    codes = np.zeros((len(states), len(ACTION_CLASSES)), np.float32)
    for number, (up, down) in enumerate(_CODES):
        codes[:, up] = states[:, number] > 0
        codes[:, down] = states[:, number] < 0
    return codes


def action_codes(states: NDArray[np.int64], handled: NDArray[np.int64]) -> NDArray[np.float32]:
    """As `state_codes`, with the objects (N,) that are handled."""
    codes = state_codes(states)
    codes[np.arange(len(states)), _OBJECT_CODES[handled]] = 1
    return codes


def read_states(
    logits: NDArray[np.floating], threshold: float = ABSENT + LOGIT * STRENGTH / 2
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Values (N, 6) of the channels and objects (N,), from logits (N, 80) of a classifier.

    Args:
        threshold: 0 is the value of a channel neither of whose classes has a higher logit.
    """
    up, down = logits[:, _CODES[:, 0]], logits[:, _CODES[:, 1]]
    sure = np.maximum(up, down) > threshold
    return np.where(sure, np.where(up > down, 1, -1), 0), logits[:, _OBJECT_CODES].argmax(axis=1)


@dataclass(frozen=True, eq=False)
class FeatureWorld:
    """The directions of a world."""

    basis: NDArray[np.float32]
    """(112, D) orthonormal rows: actions, nuisance."""

    @classmethod
    def draw(cls, dim: int, seed: int) -> FeatureWorld:
        """Directions in `dim` channels. Raises ConfigError for too few."""
        if dim < SMALLEST_DIM:
            raise ConfigError(f"Features of {dim} channels; expected {SMALLEST_DIM} or more.")
        rows = np.random.default_rng(seed).standard_normal((dim, SMALLEST_DIM))
        return cls(np.ascontiguousarray(np.linalg.qr(rows)[0].T, np.float32))

    @property
    def dim(self) -> int:
        """Channels of a feature."""
        return self.basis.shape[1]

    @property
    def teacher(self) -> NDArray[np.float32]:
        """(80, D) weight of the classifier; its bias is `ABSENT` for all."""
        return LOGIT * self.basis[: len(ACTION_CLASSES)]

    def features(
        self,
        codes: NDArray[np.float32],
        tracks: NDArray[np.int64],
        rng: np.random.Generator,
    ) -> NDArray[np.float16]:
        """(N, D) of the boxes of one movie.

        Args:
            codes: (N, 80) of `action_codes`.
            tracks: (N,) from 0 on.
        """
        count = len(codes)
        nuisance = TRACK_NUISANCE * _normal(rng, tracks.max() + 1, NUISANCE_DIM)
        parts = [
            STRENGTH * codes + ACTION_NOISE * _normal(rng, count, codes.shape[1]),
            nuisance[tracks] + BOX_NUISANCE * _normal(rng, count, NUISANCE_DIM),
        ]
        return (np.concatenate(parts, axis=1) @ self.basis).astype(np.float16)

    def save_teacher(self, path: Path) -> None:
        """Write the classifier for `longform.object_transformer.pretrained.read_short_term_classifier`."""
        bias = np.full(len(ACTION_CLASSES), ABSENT, np.float32)
        save_file({"head.projection.weight": self.teacher, "head.projection.bias": bias}, path)


def _normal(rng: np.random.Generator, rows: int, columns: int) -> NDArray[np.float32]:
    return rng.standard_normal((rows, columns), np.float32)
