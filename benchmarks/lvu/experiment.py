"""Every model on every task of the synthetic world, with and without pre-training, with many labels and with few.

All goes through what the command line calls: `longform train ot-pretrain` and `longform lvu`. A stopped experiment
goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.lvu.synthetic import SPACE, BankWorld, write_bank_world
from longform.object_transformer import pretraining
from longform.object_transformer.bank_tokens import BankSpaces
from longform.object_transformer.fine_tuning import ModelName, TestSettings
from longform.object_transformer.lvu import LvuRuns, LvuSettings, RunResult, scores
from longform.object_transformer.recipes import PRETRAIN
from longform.training.loop import FINAL, train
from longform.training.recipes import add_loop_options
from longform.training.seeds import seed_everything
from pipeline.bank import FeatureBank

POOLS: tuple[ModelName, ...] = ("short-term", "average-pool", "max-pool")
TRANSFORMER: tuple[ModelName, ...] = ("object-transformer",)


@dataclass(frozen=True, kw_only=True)
class ExperimentSettings:
    """Sizes, chosen so that all of it takes less than half an hour of one core."""

    videos: int = 400
    """Labelled; 60 % of them train."""
    unlabelled: int = 600
    feature_dim: int = 192
    seconds: tuple[float, float] = (60.0, 90.0)
    width: int = 64
    layers: int = 2
    heads: int = 4
    dropout: float = 0.0
    """Networks of this size gain nothing from it."""
    pretrain_steps: int = 1500
    pretrain_batch: int = 16
    """Pairs of spans."""
    pretrain_lr: float = 2e-3
    epochs: int = 10
    lr: float = 3e-3
    seeds: int = 5
    few_labels: int = 20
    few_epochs: int = 40
    test_stride_s: int = 15

    @property
    def network(self) -> dict[str, Any]:
        """Arguments of `model_config`."""
        return {"width": self.width, "layers": self.layers, "heads": self.heads, "dropout": self.dropout}


@dataclass(frozen=True, kw_only=True)
class Part:
    """Some models under the same conditions."""

    name: str
    """Of the folder."""
    label: str
    """Appended to the names of the models."""
    models: tuple[ModelName, ...]
    is_pretrained: bool = False
    few: bool = False


PARTS = (
    Part(name="pools", label="", models=POOLS),
    Part(name="few", label=", few labels", models=TRANSFORMER, few=True),
    Part(name="few-pretrained", label=", pre-trained, few labels", models=TRANSFORMER, is_pretrained=True, few=True),
    Part(name="transformers", label="", models=("object-transformer", "video-bert")),
    Part(name="pretrained", label=", pre-trained", models=TRANSFORMER, is_pretrained=True),
)


def experiment(folder: Path, settings: ExperimentSettings, report: Callable[[str], None]) -> dict[str, Any]:
    """Run what is not done yet in `folder`; all results, as `benchmarks/results/lvu.json` has them."""
    folder.mkdir(parents=True, exist_ok=True)
    spent = _Spent(folder / "cpu_seconds.json")
    with spent.of("world"):
        world = _world(folder / "world", settings)
    with spent.of("pre-training"):
        weights = _pretrained(world, folder / "pretraining", settings)
    rows = []
    for part in PARTS:
        report(part.name)
        with spent.of(part.name):
            found = list(_runs(part, world, folder, settings, weights, report))
        for score in scores(found):
            row = json.loads(score.to_json())
            rows.append({"system": row["model"] + part.label, "few": part.few, **row})
    return {
        "command": "python -m benchmarks.lvu",
        "settings": asdict(settings),
        "cpu_seconds": {name: round(seconds) for name, seconds in spent.seconds.items()},
        "machine": platform.machine(),
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "results": rows,
    }


class _Spent:
    """Seconds of one core that each part took, over all starts of the experiment."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.seconds: dict[str, float] = json.loads(path.read_text()) if path.exists() else {}
        self._name = ""

    def of(self, name: str) -> _Spent:
        self._name = name
        return self

    def __enter__(self) -> None:
        self._began = time.process_time()

    def __exit__(self, *error: object) -> None:
        self.seconds[self._name] = self.seconds.get(self._name, 0.0) + time.process_time() - self._began
        self._path.write_text(json.dumps(self.seconds), encoding="utf-8")


def _world(folder: Path, settings: ExperimentSettings) -> BankWorld:
    world = BankWorld(folder)
    if not (folder / "world.json").exists():
        write_bank_world(
            folder,
            videos=settings.videos,
            unlabelled=settings.unlabelled,
            feature_dim=settings.feature_dim,
            seconds=settings.seconds,
        )
    return world


def _pretrained(world: BankWorld, folder: Path, settings: ExperimentSettings) -> Path:
    """Weights of `longform train ot-pretrain`: masks and compatibility, on labelled and unlabelled films."""
    if not (folder / FINAL).exists():
        parser = argparse.ArgumentParser()
        add_loop_options(parser)
        PRETRAIN.configure(parser)
        given = {
            "--bank": world.bank,
            "--classifier": world.teacher,
            "--steps": settings.pretrain_steps,
            "--batch": settings.pretrain_batch,
            "--lr": settings.pretrain_lr,
            "--checkpoint-every": 500,
            **{f"--{name}": value for name, value in settings.network.items()},
        }
        options = parser.parse_args(
            [*(str(word) for pair in given.items() for word in pair), "--compatibility", "--quiet"]
        )
        seed_everything(options.seed)
        train(pretraining.task(options), pretraining.settings(options), folder)
    return folder / FINAL


def _runs(
    part: Part,
    world: BankWorld,
    folder: Path,
    settings: ExperimentSettings,
    weights: Path,
    report: Callable[[str], None],
) -> Iterator[RunResult]:
    lvu = LvuSettings(
        models=part.models,
        epochs=(settings.few_epochs if part.few else settings.epochs,),
        seeds=settings.seeds,
        lr=settings.lr,
        pretrained={"object-transformer": str(weights)} if part.is_pretrained else {},
        labels=settings.few_labels if part.few else None,
        network=settings.network,
        test=TestSettings(stride=settings.test_stride_s),
    )
    runs = LvuRuns(FeatureBank.open(world.bank), BankSpaces(persons=SPACE), world.annotations, lvu, folder / part.name)
    for result in runs.results():
        report(f"{result.key.name}: {result.values}")
        yield result
