"""Object Transformers without padding, beside a plain padded implementation, in one run.

    python -m benchmarks.object_transformer --json benchmarks/results/object_transformer.json
    python -m benchmarks.object_transformer --device cuda

The plain one is written here in the form of the original: all sequences padded, attention by explicit softmax with
-10000 at padding, every layer at every token. Both have the same weights and give the same outputs, which is checked
first. Spans have the lengths of films, 77 tokens on average with a long tail (gamma distribution, at most 256), which
the plain one pads to the longest of the batch, or to 256; then there are spans that are all full. `end task` is the
step of a task on 16 spans, `pre-training` that of masks and compatibility on 32; training is forward, backward and
AdamW with dropout. Memory is the peak of a process of its own above what it had before the first step.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import platform
import resource
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from longform.object_transformer import build_object_transformer
from longform.object_transformer.batches import TokenBatch, padded
from longform.object_transformer.config import PERSON_DIM
from longform.object_transformer.losses import compatibility_loss, end_task_loss, mask_loss
from longform.object_transformer.masking import FINE_TUNING, PRETRAINING, Corruption, mask_batch
from longform.object_transformer.model import EndTaskTransformer, ObjectTransformer, PretrainTransformer
from longform.object_transformer.tokens import END, INDEX_NAMES, NO_ROW, PADDING, START
from longform.training.loading import to_device

FULL = 256
SPANS = {"end task": 16, "pre-training": 32}
FORMS = ("ours", "padded to the longest", "padded to 256")
MEAN_TOKENS, SHAPE = 77, 2.0
"""Of the gamma distribution of lengths."""

Forward = Callable[[TokenBatch, Sequence[Corruption]], tuple[Tensor, ...]]


def lengths_of(kind: str, full: bool) -> tuple[int, ...]:
    """Tokens of each span."""
    if full:
        return (FULL,) * SPANS[kind]
    drawn = np.random.default_rng(1).gamma(SHAPE, MEAN_TOKENS / SHAPE, SPANS[kind])
    return tuple(int(length) for length in np.clip(drawn, 12, FULL))


def random_batch(lengths: Sequence[int]) -> TokenBatch:
    """Tokens of random content, three boxes a second."""
    rng = np.random.default_rng(2)
    parts = []
    for length in lengths:
        boxes = np.arange(length - 2) // 3
        values = np.stack([rng.permutation(length - 2) % 40, *[boxes % 60] * 6], axis=1) + END + 1
        parts.append(np.concatenate([[[START] * len(INDEX_NAMES)], values, [[END] * len(INDEX_NAMES)]]))
    indices = torch.from_numpy(np.concatenate(parts))
    is_box = indices[:, 0] > END
    count = len(indices)
    features = torch.from_numpy(np.abs(rng.standard_normal((count, PERSON_DIM))).astype(np.float32))
    return TokenBatch(
        lengths=tuple(lengths),
        features=features * is_box[:, None],
        indices=indices,
        spatial=torch.from_numpy(rng.random((count, 5)).astype(np.float32)) * is_box[:, None],
        rows=torch.where(is_box, torch.arange(count), NO_ROW),
    )


class Plain:
    """The network of the original's form, with the weights of one of ours."""

    def __init__(self, model: ObjectTransformer, to_full: bool) -> None:
        self.model, self.to_full = model, to_full

    def __call__(self, batch: TokenBatch, corruptions: Sequence[Corruption]) -> tuple[Tensor, ...]:
        """Logits, or mask logits and vectors of the spans."""
        embedded, penalty, masked = self._padded(batch, corruptions)
        x = self._encode(embedded, penalty)
        pooled = torch.tanh(self.model.roberta.pooler["dense"](x[:, 0]))  # type: ignore[index]
        if isinstance(self.model, EndTaskTransformer):
            return (self.model.long_term_head(pooled),)
        assert isinstance(self.model, PretrainTransformer)
        assert self.model.same_movie_head_loss is not None
        return self.model.action_lm_head(x[masked]), self.model.same_movie_head_loss(pooled)  # type: ignore[operator]

    def _padded(self, batch: TokenBatch, corruptions: Sequence[Corruption]) -> tuple[Tensor, Tensor, Tensor]:
        """Embeddings (B, L, W), additive mask (B, 1, 1, L), and which tokens are masked (B, L)."""
        part = self.model.roberta.embeddings
        length = FULL if self.to_full else max(batch.lengths)

        def spread(values: Tensor, padding: float = 0) -> Tensor:
            found = padded(values, batch.lengths, padding)
            room = [0, 0] * (found.ndim - 2) + [0, length - found.shape[1]]
            return F.pad(found, room, value=padding)

        is_masked = torch.zeros(len(batch.rows), dtype=torch.bool, device=batch.rows.device)
        is_masked[corruptions[0].positions] = True
        features, indices = spread(part.seen_features(batch.features, corruptions)), spread(batch.indices, PADDING)
        x = part.reduction(features) + part.spatial_embeddings(spread(batch.spatial))
        for name, column in part.columns.items():
            x = x + part.get_submodule(name)(indices[..., column])
        penalty = torch.where(indices[..., 0] == PADDING, -10000.0, 0.0)[:, None, None]
        return part.dropout(part.LayerNorm(x)), penalty, spread(is_masked)

    def _encode(self, x: Tensor, penalty: Tensor) -> Tensor:
        layers: Any = self.model.roberta.encoder.layer
        for layer in layers:
            attention = layer.attention["self"]
            heads = attention.heads
            query, key, value = (
                linear(x).unflatten(2, (heads, -1)).transpose(1, 2)
                for linear in (attention.query, attention.key, attention.value)
            )
            weights = (query @ key.transpose(2, 3) / math.sqrt(query.shape[-1]) + penalty).softmax(-1)
            weights = F.dropout(weights, attention.dropout, self.model.training)
            attended = (weights @ value).transpose(1, 2).flatten(2)
            x = layer.attention["output"](attended, x)
            x = layer.output(F.gelu(layer.intermediate["dense"](x)), x)
        return x


def ours(model: ObjectTransformer) -> Forward:
    """Our forward pass, with outputs as `Plain` gives them."""

    def run(batch: TokenBatch, corruptions: Sequence[Corruption]) -> tuple[Tensor, ...]:
        if isinstance(model, PretrainTransformer):
            found = model(batch, corruptions)
            return found.mask_logits[0], found.compat
        return (model(batch, corruptions),)

    return run


def built(kind: str, form: str, device: torch.device) -> tuple[ObjectTransformer, Forward]:
    torch.manual_seed(0)
    model = build_object_transformer("pretrain" if kind == "pre-training" else "relationship").to(device)
    return model, ours(model) if form == "ours" else Plain(model, to_full=form == FORMS[2])


def loss_of(kind: str, outputs: tuple[Tensor, ...]) -> Tensor:
    if kind == "end task":
        return end_task_loss(outputs[0], torch.zeros(len(outputs[0]), dtype=torch.int64, device=outputs[0].device))
    return 80 * mask_loss(outputs[0], torch.zeros_like(outputs[0])) + compatibility_loss(outputs[1])


def inputs(kind: str, full: bool, device: torch.device) -> tuple[TokenBatch, tuple[Corruption, ...]]:
    batch = random_batch(lengths_of(kind, full))
    masking = PRETRAINING if kind == "pre-training" else FINE_TUNING
    moved: tuple[TokenBatch, tuple[Corruption, ...]] = to_device(
        (batch, mask_batch(batch, masking, np.random.default_rng(3), (PERSON_DIM,))), device
    )
    return moved


def largest_difference(kind: str, full: bool, device: torch.device) -> float:
    """Between the outputs of ours and of the plain network."""
    batch, corruptions = inputs(kind, full, device)
    found = []
    for form in FORMS:
        model, forward = built(kind, form, device)
        model.eval()
        with torch.no_grad():
            found.append(forward(batch, corruptions))
    return max(float((a - b).abs().max()) for other in found[1:] for a, b in zip(found[0], other, strict=True))


def measure(kind: str, full: bool, form: str, training: bool, device_name: str, repeats: int) -> dict[str, Any]:
    """Spans a second and peak memory of one form, in a process of its own."""
    device = torch.device(device_name)
    model, forward = built(kind, form, device)
    batch, corruptions = inputs(kind, full, device)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-6)
    model.train(training)
    before = memory(device)

    def step() -> None:
        if training:
            optimiser.zero_grad(set_to_none=True)
            loss_of(kind, forward(batch, corruptions)).backward()
            optimiser.step()
        else:
            with torch.no_grad():
                forward(batch, corruptions)
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    step()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        step()
        times.append(time.perf_counter() - began)
    seconds = float(np.median(times))
    return {
        "kind": kind,
        "spans": "all full" if full else "as in films",
        "tokens": sum(batch.lengths),
        "form": form,
        "mode": "training" if training else "inference",
        "seconds": round(seconds, 4),
        "spans_per_s": round(len(batch) / seconds, 2),
        "memory_mb": round((memory(device) - before) / 1e6),
    }


def memory(device: torch.device) -> int:
    """Peak so far, in bytes."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def compare(device: str, repeats: int) -> list[dict[str, Any]]:
    """All kinds, lengths and modes."""
    rows = []
    for kind in SPANS:
        for full in (False, True):
            difference = largest_difference(kind, full, torch.device(device))
            for training in (True, False):
                found = [_alone(kind, full, form, training, device, repeats) for form in FORMS[: 2 if full else 3]]
                for row in found:
                    row["ours_is_times_faster"] = round(row["seconds"] / found[0]["seconds"], 2)
                    row["largest_difference"] = float(f"{difference:.1e}")
                rows += found
    return rows


def _alone(*arguments: Any) -> dict[str, Any]:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measure, arguments)


def main() -> None:
    parser = argparse.ArgumentParser(description="Object Transformers with and without padding.")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there")
    options = parser.parse_args()
    rows = compare(options.device, options.repeats)
    for row in rows:
        print("  ".join(f"{name} {value}" for name, value in row.items()))
    if options.json:
        report = {
            "command": f"python -m benchmarks.object_transformer {' '.join(sys.argv[1:])}".strip(),
            "machine": {"processor": platform.machine(), "threads": torch.get_num_threads()},
            "versions": {"python": platform.python_version(), "torch": torch.__version__},
            "results": rows,
        }
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
