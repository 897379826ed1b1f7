"""Object Transformers without padding, beside a plain padded implementation of the original's form.

    OMP_NUM_THREADS=1 python -m benchmarks.object_transformer --json benchmarks/results/object_transformer.json
    python -m benchmarks.object_transformer --device cuda

The plain one is written here: all sequences padded, features replaced before their projection, attention by explicit
softmax with -10000 at padding, every layer and the mask head at every token, and all tokens' pseudo-labels. The
released code (chaoyuaw/lvu) pads to the longest of a batch, which is 256 as soon as one span is full; both are
measured. Both have the weights of ours and must give its outputs, which is checked first.

Lengths of spans are the quantiles of a gamma distribution of shape 2, cut at 256: short ones and a long tail. Their
mean is 77 tokens, what the 1.8 G multiply-adds of the thesis come to, or 102, the boxes of a minute of AVA (1.67 a
key frame in the sample of its annotations); then there are spans that are all full.

Training is forward, backward and AdamW with dropout. Every form runs in a process of its own, and the forms take turns
at single steps. On a CPU, seconds are those that the process worked, of all its threads together: other work on the
machine hardly counts. With one thread they are the time a step takes on an idle machine. Memory is the peak of the
process above what it had before its first step.
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
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import gamma
from torch import Tensor
from torch.nn import functional as F

from longform.object_transformer import build_object_transformer
from longform.object_transformer.batches import TokenBatch, padded
from longform.object_transformer.config import PERSON_DIM
from longform.object_transformer.losses import compatibility_loss, end_task_loss, mask_loss
from longform.object_transformer.masking import FINE_TUNING, MASK, PRETRAINING, Corruption, mask_batch
from longform.object_transformer.model import EndTaskTransformer, ObjectTransformer, PretrainTransformer
from longform.object_transformer.tokens import END, INDEX_NAMES, NO_ROW, PADDING, START
from longform.training.loading import to_device

FULL = 256
SHAPE = 2.0
"""Of the gamma distribution of lengths."""

NUM_ACTIONS = 80
TOLERANCE = 1e-4
"""Between outputs of the forms."""

Form = Literal["ours", "padded to the longest", "padded to 256"]
Mode = Literal["training", "inference"]


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is measured."""

    kind: Literal["end task", "pre-training"]
    spans: int
    mean_tokens: int
    """`FULL`: all spans are."""
    mode: Mode

    @property
    def is_pretraining(self) -> bool:
        return self.kind == "pre-training"

    @property
    def lengths(self) -> tuple[int, ...]:
        """Tokens of each span."""
        if self.mean_tokens == FULL:
            return (FULL,) * self.spans
        places = (np.arange(self.spans) + 0.5) / self.spans
        lengths = gamma.ppf(places, SHAPE, scale=self.mean_tokens / SHAPE)
        return tuple(int(length) for length in np.clip(lengths, 3, FULL))

    @property
    def forms(self) -> tuple[Form, ...]:
        """Where all are full, there is nothing to choose between the two ways to pad."""
        every: tuple[Form, ...] = ("ours", "padded to the longest", "padded to 256")
        return every[::2] if self.mean_tokens == FULL else every


CASES = (
    Case(kind="end task", spans=16, mean_tokens=77, mode="training"),
    Case(kind="end task", spans=16, mean_tokens=77, mode="inference"),
    Case(kind="end task", spans=16, mean_tokens=102, mode="training"),
    Case(kind="end task", spans=8, mean_tokens=FULL, mode="training"),
    Case(kind="end task", spans=8, mean_tokens=FULL, mode="inference"),
    Case(kind="pre-training", spans=16, mean_tokens=77, mode="training"),
    Case(kind="pre-training", spans=8, mean_tokens=FULL, mode="training"),
)


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


class Ours:
    """What `EndTask` and `PretrainTask` compute."""

    def __init__(self, model: ObjectTransformer, teacher: torch.nn.Linear) -> None:
        self.model, self.teacher = model, teacher

    def __call__(self, batch: TokenBatch, corruption: Corruption) -> tuple[Tensor, ...]:
        """Logits of spans; or logits and pseudo-labels at masked tokens, and vectors of spans."""
        if isinstance(self.model, EndTaskTransformer):
            return (self.model(batch, [corruption]),)
        found = self.model(batch, [corruption])
        return found.mask_logits[0], self.teacher(batch.features[corruption.positions]), found.compat


class Plain:
    """The network of the original's form, with the weights of one of ours."""

    def __init__(self, model: ObjectTransformer, teacher: torch.nn.Linear, length: int | None) -> None:
        """`length`: tokens that all spans are padded to; None for the longest of the batch."""
        self.model, self.teacher, self.length = model, teacher, length

    def __call__(self, batch: TokenBatch, corruption: Corruption) -> tuple[Tensor, ...]:
        """As `Ours`."""
        features, indices = self._padded(batch.features, batch), self._padded(batch.indices, batch, PADDING)
        masked = self._padded(torch.zeros_like(batch.rows).index_fill(0, corruption.positions, 1), batch).bool()
        seen = self._padded(self._seen(batch.features, corruption), batch)
        x = self._encoded(self._embedded(seen, indices, self._padded(batch.spatial, batch)), indices)
        pooled = torch.tanh(self.model.roberta.pooler["dense"](x[:, 0]))  # type: ignore[index]
        if isinstance(self.model, EndTaskTransformer):
            return (self.model.long_term_head(pooled),)
        assert isinstance(self.model, PretrainTransformer)
        assert self.model.same_movie_head_loss is not None
        logits: Tensor = self.model.action_lm_head(x)  # type: ignore[operator]
        return logits[masked], self.teacher(features)[masked], self.model.same_movie_head_loss(pooled)

    def _padded(self, values: Tensor, batch: TokenBatch, padding: float = 0) -> Tensor:
        """(T, ...) -> (B, L, ...)."""
        found = padded(values, batch.lengths, padding)
        missing = (self.length or found.shape[1]) - found.shape[1]
        return F.pad(found, [0, 0] * (found.ndim - 2) + [0, missing], value=padding)

    def _seen(self, features: Tensor, corruption: Corruption) -> Tensor:
        mask = self.model.roberta.embeddings.masked_embedding[0]
        sources = corruption.sources
        replaced = torch.where((sources == MASK)[:, None], mask, features[sources.clamp_min(0)])
        return features.index_copy(0, corruption.positions, replaced)

    def _embedded(self, features: Tensor, indices: Tensor, spatial: Tensor) -> Tensor:
        part = self.model.roberta.embeddings
        x = part.reduction(features) + part.spatial_embeddings(spatial)
        for name, column in part.columns.items():
            x = x + part.get_submodule(name)(indices[..., column])
        embedded: Tensor = part.dropout(part.LayerNorm(x))
        return embedded

    def _encoded(self, x: Tensor, indices: Tensor) -> Tensor:
        penalty = torch.where(indices[..., 0] == PADDING, -10000.0, 0.0)[:, None, None]
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


class Runner:
    """One form of one case, ready to run."""

    def __init__(self, case: Case, form: Form, device: torch.device) -> None:
        self.case, self.device = case, device
        torch.manual_seed(0)
        self.model = build_object_transformer("pretrain" if case.is_pretraining else "relationship").to(device)
        teacher = torch.nn.Linear(PERSON_DIM, NUM_ACTIONS, device=device).requires_grad_(False)
        if form == "ours":
            self.forward: Ours | Plain = Ours(self.model, teacher)
        else:
            self.forward = Plain(self.model, teacher, FULL if form == "padded to 256" else None)
        batch = random_batch(case.lengths)
        masking = PRETRAINING if case.is_pretraining else FINE_TUNING
        corruption = mask_batch(batch, masking, np.random.default_rng(3), (PERSON_DIM,))[0]
        self.inputs = to_device((batch, corruption), device)
        self.optimiser = torch.optim.AdamW(self.model.parameters(), lr=1e-6)
        self.before = self._peak()

    def outputs(self) -> list[NDArray[np.float32]]:
        """Without dropout."""
        self.model.eval()
        with torch.no_grad():
            return [output.cpu().numpy() for output in self.forward(*self.inputs)]

    def step(self) -> float:
        """Seconds of one step: of work on a CPU, of the clock elsewhere."""
        self.model.train(self.case.mode == "training")
        clock = time.process_time if self.device.type == "cpu" else time.perf_counter
        began = clock()
        if self.case.mode == "training":
            self.optimiser.zero_grad(set_to_none=True)
            self._loss(self.forward(*self.inputs)).backward()
            self.optimiser.step()
        else:
            with torch.no_grad():
                self.forward(*self.inputs)
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return clock() - began

    def memory(self) -> int:
        """Peak in bytes, above what there was before the first step."""
        return self._peak() - self.before

    def _loss(self, outputs: tuple[Tensor, ...]) -> Tensor:
        if self.case.is_pretraining:
            student, teacher, vectors = outputs
            return 80 * mask_loss(student, teacher) + compatibility_loss(vectors)
        return end_task_loss(outputs[0], torch.zeros(len(outputs[0]), dtype=torch.int64, device=self.device))

    def _peak(self) -> int:
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device)
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


class Remote:
    """A `Runner` in a process of its own, which lives as long as the context."""

    def __init__(self, case: Case, form: Form, device: str) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, there = context.Pipe()
        self.process = context.Process(target=_serve, args=(there, case, form, device), daemon=True)

    def __enter__(self) -> Remote:
        self.process.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.process.terminate()
        self.process.join()

    def __call__(self, method: Literal["outputs", "step", "memory"]) -> Any:
        self.connection.send(method)
        while not self.connection.poll(1):
            if not self.process.is_alive():
                raise RuntimeError(f"The process of a form ended with {self.process.exitcode}; its message is above.")
        return self.connection.recv()


def _serve(connection: Connection, case: Case, form: Form, device: str) -> None:
    runner = Runner(case, form, torch.device(device))
    while True:
        connection.send(getattr(runner, connection.recv())())


def measure(case: Case, device: str, repeats: int) -> list[dict[str, Any]]:
    """A row for each form: the first is ours.

    Raises:
        AssertionError: outputs differ.
    """
    with ExitStack() as stack:
        remotes = [stack.enter_context(Remote(case, form, device)) for form in case.forms]
        outputs = [remote("outputs") for remote in remotes]
        for remote in remotes:
            remote("step")
        seconds = np.array([[remote("step") for remote in remotes] for _ in range(repeats)])
        memory = [remote("memory") for remote in remotes]
    rows = []
    for place, form in enumerate(case.forms):
        difference = max(float(np.abs(a - b).max()) for a, b in zip(outputs[0], outputs[place], strict=True))
        assert difference <= TOLERANCE, f"{case}: outputs of {form} differ by {difference}"
        median = float(np.median(seconds[:, place]))
        rows.append(
            {
                **asdict(case),
                "tokens": sum(case.lengths),
                "longest": max(case.lengths),
                "form": form,
                "seconds": round(median, 4),
                "spans_per_s": round(case.spans / median, 2),
                "memory_mb": round(memory[place] / 1e6),
                "ours_is_times_faster": round(float(np.median(seconds[:, place] / seconds[:, 0])), 2),
                "largest_difference": float(f"{difference:.1e}"),
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description="Object Transformers with and without padding.")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there")
    options = parser.parse_args()
    began = time.perf_counter()
    rows = []
    for case in CASES:
        rows += measure(case, options.device, options.repeats)
        for row in rows[-len(case.forms) :]:
            print("  ".join(f"{name} {value}" for name, value in row.items()), flush=True)
    if options.json:
        report = {
            "command": f"python -m benchmarks.object_transformer {' '.join(sys.argv[1:])}".strip(),
            "device": options.device,
            "machine": {"processor": platform.machine(), "threads": torch.get_num_threads()},
            "versions": {"python": platform.python_version(), "torch": torch.__version__},
            "minutes": round((time.perf_counter() - began) / 60, 1),
            "results": rows,
        }
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
