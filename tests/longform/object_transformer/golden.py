"""The cases of shared/golden/object_transformer: weights by rule, token tables, and the released code's answers."""

from __future__ import annotations

import csv
import json
import zlib
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from longform.object_transformer.batches import TokenBatch, collate
from longform.object_transformer.masking import Corruption
from longform.object_transformer.spans import Span
from longform.object_transformer.tokens import BoxTable, TokenSequence, tokens_of

FEATURE_DIM = 2304


def weights_by_rule(case: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Every tensor of the case under the original's names."""
    state: dict[str, torch.Tensor] = {}
    for name, rule in case["tensors"].items():
        if rule["from"] == "same_as":
            state[name] = state[rule["key"]]
            continue
        seed = (zlib.crc32(name.encode()) + case["weight_seed"]) % 2**32
        noise = np.random.RandomState(seed).standard_normal(tuple(rule["shape"]))
        state[name] = torch.from_numpy((rule["mean"] + rule["std"] * noise).astype(np.float32))
    return state


class GoldenCase:
    """One folder, read with our code as far as the README says what is in it."""

    def __init__(self, folder: Path) -> None:
        self.case: dict[str, Any] = json.loads((folder / "case.json").read_text())
        self.expected = np.load(folder / "expected.npz")
        with open(folder / "tokens.csv", newline="") as file:
            self.lines = list(csv.DictReader(file))
        self.videos = list(dict.fromkeys(line["video"] for line in self.lines))

    @cached_property
    def features(self) -> np.ndarray:
        """(R, 2304) of every line."""
        seed = self.case["feature_seed"]
        own = np.random.RandomState(seed).standard_normal((len(self.lines), FEATURE_DIM))
        common = np.random.RandomState(seed + 1).standard_normal((len(self.videos), FEATURE_DIM))
        of_video = [self.videos.index(line["video"]) for line in self.lines]
        return (0.4 * np.abs(own) + 0.6 * np.abs(common)[of_video]).astype(np.float32)

    def rows_of(self, video: str) -> np.ndarray:
        """Numbers of the lines of a video."""
        return np.array([i for i, line in enumerate(self.lines) if line["video"] == video])

    def table(self, video: str) -> BoxTable:
        rows = self.rows_of(video)
        lines = [self.lines[row] for row in rows]

        def whole(name: str) -> np.ndarray:
            return np.array([int(line[name]) for line in lines])

        return BoxTable(
            video_id=video,
            seconds=whole("second"),
            boxes=np.array([[float(line[side]) for side in ("x1", "y1", "x2", "y2")] for line in lines]),
            tracks=whole("track"),
            shots=whole("shot"),
            features=self.features[rows],
        )

    @cached_property
    def sequences(self) -> list[TokenSequence]:
        """The case's spans as our tokens, tracks numbered as given."""
        tables = {video: self.table(video) for video in self.videos}
        return [
            tokens_of(tables[span["video"]], span_of(span), numbers=dict(span["instance_numbers"]))
            for span in self.case["spans"]
        ]

    @cached_property
    def batch(self) -> TokenBatch:
        return collate(self.sequences)

    def flat(self, pairs: np.ndarray) -> torch.Tensor:
        """Positions in the packed batch of (span, position)."""
        starts = np.cumsum((0, *self.batch.lengths[:-1]))
        return torch.from_numpy(starts[pairs[:, 0]] + pairs[:, 1])

    @cached_property
    def corruption(self) -> Corruption:
        """The given mask pattern."""
        positions = self.flat(self.expected["masked_tokens"])
        sources = positions.clone()
        kind = torch.from_numpy(self.expected["corruption"])
        sources[kind == 0] = -1
        sources[kind == 1] = self.flat(self.expected["random_source"][(kind == 1).numpy()])
        spans = self.expected["masked_tokens"][:, 0]
        return Corruption(
            positions=positions,
            sources=sources,
            counts=tuple(np.bincount(spans, minlength=len(self.batch)).tolist()),
        )


def span_of(span: dict[str, Any]) -> Span:
    return Span(span["tail"]) if span.get("tail") is not None else Span(span["centre"], "centre")


def write_released(case: dict[str, Any], path: Path) -> Path:
    """The weights of a case as the released code saves them, without what is no part of the model."""
    state = {name: tensor for name, tensor in weights_by_rule(case).items() if not name.startswith("head.")}
    torch.save(state, path)
    return path
