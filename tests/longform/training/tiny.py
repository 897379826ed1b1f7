"""A real but tiny task and its recipe: points of three noisy clusters, a network with dropout and tied weights."""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from longform.training.loop import train
from longform.training.recipes import Score
from longform.training.schedules import CosineSchedule
from longform.training.settings import TrainSettings, settings_from
from longform.training.task import Task

CLASSES, WIDTH, POINTS = 3, 6, 60


class TiedNetwork(nn.Module):
    """(N, 6) to (N, 3), through one square matrix used twice."""

    def __init__(self, dropout: float, norm: bool = False) -> None:
        super().__init__()
        self.first = nn.Linear(WIDTH, WIDTH)
        self.second = nn.Linear(WIDTH, WIDTH)
        self.second.weight = self.first.weight
        self.norm = nn.BatchNorm1d(WIDTH) if norm else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(WIDTH, CLASSES)
        self.unused = nn.Linear(WIDTH, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.dropout(self.norm(torch.relu(self.second(torch.relu(self.first(x)))))))


class Clusters:
    """Learns which cluster a point is from; every reading of a point adds noise of its own."""

    metric = "accuracy"
    higher_is_better = True

    def __init__(
        self, *, batch: int = 8, dropout: float = 0.2, norm: bool = False, pause_s: float = 0.0, seed: int = 0
    ) -> None:
        random = torch.Generator().manual_seed(7)
        self.labels = torch.arange(POINTS) % CLASSES
        self.points = 2 * nn.functional.one_hot(self.labels, WIDTH) + torch.randn(POINTS, WIDTH, generator=random)
        torch.manual_seed(seed)
        self.model = TiedNetwork(dropout, norm)
        self.batch, self.pause_s = batch, pause_s
        self.seeds: list[int] = []

    def parameter_groups(self) -> list[dict[str, Any]]:
        head = list(self.model.head.parameters())
        rest = [p for name, p in self.model.named_parameters() if not name.startswith("head")]
        return [{"params": rest}, {"params": head, "weight_decay": 0.0, "lr_factor": 2.0}]

    def plan(self, step: int) -> Sequence[int]:
        return [(step * self.batch + place) * 7 % POINTS for place in range(self.batch)]

    def read(self, example: int, seed: int) -> tuple[Tensor, Tensor]:
        self.seeds.append(seed)
        noise = torch.randn(WIDTH, generator=torch.Generator().manual_seed(seed))
        return self.points[example] + 0.1 * noise + 0.1 * torch.randn(WIDTH), self.labels[example]

    def collate(self, items: list[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
        points, labels = zip(*items, strict=True)
        return {"points": torch.stack(points), "labels": torch.stack(labels)}

    def losses(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        time.sleep(self.pause_s)
        logits = self.model(batch["points"])
        right = (logits.argmax(1) == batch["labels"]).float().mean()
        return {"loss": nn.functional.cross_entropy(logits, batch["labels"]), "right": right}

    def evaluate(self) -> dict[str, float]:
        assert not self.model.training
        device = next(self.model.parameters()).device
        right = self.model(self.points.to(device)).argmax(1).cpu() == self.labels
        return {"accuracy": float(right.float().mean())}


STEPS = 40


def settings(**changes: Any) -> TrainSettings:
    """40 steps, evaluated and saved often, without progress."""
    steps = changes.get("steps", STEPS)
    schedule = CosineSchedule(lr=0.1, steps=max(steps, 1), warmup_steps=4 if steps > 4 else 0)
    given: dict[str, Any] = {
        "steps": steps,
        "schedule": schedule,
        "weight_decay": 1e-3,
        "clip_norm": 5.0,
        "seed": 3,
        "evaluate_every": 7,
        "checkpoint_every": 4,
        "log_every": 3,
        "quiet": True,
    }
    return TrainSettings(**(given | changes))


def train_slowly(folder: Path, workers: int) -> None:
    """A run that takes more than a second, for a process of its own."""
    torch.set_num_threads(1)
    train(Clusters(pause_s=0.03), settings(workers=workers), folder)


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dropout", type=float, default=0.0, metavar="P", help="default: %(default)s")
    parser.set_defaults(steps=20, batch=8, lr=0.1)


def configure_eval(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--run", required=True, metavar="DIR", help="folder of the run")


def recipe_settings(options: argparse.Namespace) -> TrainSettings:
    return settings_from(options, schedule=CosineSchedule(lr=options.lr, steps=options.steps), clip_norm=1.0)


def recipe_task(options: argparse.Namespace) -> Task:
    return Clusters(batch=options.batch, dropout=options.dropout, seed=torch.initial_seed())


def recipe_scores(options: argparse.Namespace) -> list[Score]:
    from extractors.weights import load_weights

    task = Clusters(dropout=0.0)
    load_weights(task.model.eval(), Path(options.run) / "best.safetensors")
    value = task.evaluate()["accuracy"]
    return [Score(dataset="clusters", metric="accuracy", value=value, num_videos=POINTS, num_missing=0)]
