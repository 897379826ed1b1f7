"""Every model on every task of the synthetic world, with and without pre-training, with many labels and with few.

All goes through what the command line calls: `longform train ot-pretrain` and `longform lvu`. A stopped experiment
goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.lvu.synthetic import SPACE, BankWorld, write_bank_world
from benchmarks.lvu.synthetic.probes import read_movies, references
from longform.datasets.lvu import TASKS
from longform.object_transformer import pretraining
from longform.object_transformer.bank_tokens import BankSpaces
from longform.object_transformer.fine_tuning import ModelName, TestSettings
from longform.object_transformer.lvu import LvuRuns, LvuSettings, RunResult, scores
from longform.object_transformer.recipes import PRETRAIN
from longform.training.atomic import replacing
from longform.training.loop import FINAL, train
from longform.training.recipes import add_loop_options
from longform.training.seeds import seed_everything
from pipeline.bank import FeatureBank

POOLS: tuple[ModelName, ...] = ("short-term", "average-pool", "max-pool")
TRANSFORMER: tuple[ModelName, ...] = ("object-transformer",)
SHARES = (0.75, 0.05, 0.2)
"""Of training, validation and test. Nothing is chosen on validation here: all sizes were chosen in another world."""


@dataclass(frozen=True, kw_only=True)
class ExperimentSettings:
    """Sizes, chosen so that all of it takes about half an hour of one core (README.md says how)."""

    tasks: tuple[str, ...] = tuple(TASKS)
    videos: int = 1200
    """Labelled; three quarters of them train."""
    unlabelled: int = 1300
    seed: int = 0
    """Of the world."""
    feature_dim: int = 112
    seconds: tuple[float, float] = (60.0, 90.0)
    width: int = 64
    layers: int = 2
    heads: int = 4
    dropout: float = 0.0
    """Networks of this size gain nothing from it."""
    batch: int = 16
    lr: float = 2e-3
    pretrain_lr: float = 1e-3
    pretrain_steps: int = 4000
    epochs: int = 6
    seeds: int = 5
    few_labels: int = 50
    few_epochs: int = 40
    test_stride_s: int = 30

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


PARTS = {
    part.name: part
    for part in (
        Part(name="pools", label="", models=POOLS),
        Part(name="video-bert", label="", models=("video-bert",)),
        Part(name="object-transformer", label="", models=TRANSFORMER),
        Part(name="masks", label=", pre-trained", models=TRANSFORMER, is_pretrained=True),
        Part(name="few", label="", models=TRANSFORMER, few=True),
        Part(name="few-masks", label=", pre-trained", models=TRANSFORMER, is_pretrained=True, few=True),
    )
}


def experiment(
    folder: Path, settings: ExperimentSettings, report: Callable[[str], None], parts: Sequence[str] = tuple(PARTS)
) -> dict[str, Any]:
    """Run what is not done yet in `folder`; results as `benchmarks/results/lvu.json` has them.

    Args:
        parts: only these of `PARTS`. Once there is a world and pre-trained weights, processes may share a folder, each
            with parts or tasks of its own.
    """
    torch.set_num_threads(1)
    folder.mkdir(parents=True, exist_ok=True)
    with _counted(folder, "world"):
        world = _world(folder / "world", settings)
    rows = []
    for part in map(PARTS.__getitem__, parts):
        weights = _pretrained(world, folder, settings) if part.is_pretrained else None
        with _counted(folder, part.name):
            found = list(_runs(part, world, folder, settings, weights, report))
        for score in scores(found):
            row = json.loads(score.to_json())
            rows.append({"system": row["model"] + part.label, "few": part.few, **row})
    return {
        "command": "python -m benchmarks.lvu",
        "settings": asdict(settings),
        "references": references(read_movies(world, ("test",))),
        "cpu_seconds": {path.stem: round(float(path.read_text())) for path in sorted(folder.glob("*.seconds"))},
        "machine": platform.machine(),
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "results": rows,
    }


@contextmanager
def _counted(folder: Path, name: str) -> Iterator[None]:
    """Adds the seconds of one core that something takes to `<name>.seconds`; those of killed processes are lost."""
    path, began = folder / f"{name}.seconds", time.process_time()
    try:
        yield
    finally:
        before = float(path.read_text()) if path.exists() else 0.0
        with replacing(path) as scratch:
            scratch.write_text(str(before + time.process_time() - began), encoding="utf-8")


def _world(folder: Path, settings: ExperimentSettings) -> BankWorld:
    world = BankWorld(folder)
    if not (folder / "world.json").exists():
        write_bank_world(
            folder,
            videos=settings.videos,
            unlabelled=settings.unlabelled,
            seed=settings.seed,
            feature_dim=settings.feature_dim,
            seconds=settings.seconds,
            shares=SHARES,
        )
    return world


def _pretrained(world: BankWorld, folder: Path, settings: ExperimentSettings) -> Path:
    """Weights of `longform train ot-pretrain`, masked instances only, on labelled and unlabelled movies."""
    out = folder / "pretraining-masks"
    if not (out / FINAL).exists():
        parser = argparse.ArgumentParser()
        add_loop_options(parser)
        PRETRAIN.configure(parser)
        given = {
            "--bank": world.bank,
            "--classifier": world.teacher,
            "--steps": settings.pretrain_steps,
            "--batch": settings.batch,
            "--lr": settings.pretrain_lr,
            "--checkpoint-every": 500,
            **{f"--{name}": value for name, value in settings.network.items()},
        }
        options = parser.parse_args([*(str(word) for pair in given.items() for word in pair), "--quiet"])
        seed_everything(options.seed)
        with _counted(folder, out.name):
            train(pretraining.task(options), pretraining.settings(options), out)
    return out / FINAL


def _runs(
    part: Part,
    world: BankWorld,
    folder: Path,
    settings: ExperimentSettings,
    weights: Path | None,
    report: Callable[[str], None],
) -> Iterator[RunResult]:
    lvu = LvuSettings(
        models=part.models,
        tasks=settings.tasks,
        epochs=(settings.few_epochs if part.few else settings.epochs,),
        batches=(settings.batch,),
        seeds=settings.seeds,
        lr=settings.lr,
        pretrained={"object-transformer": str(weights)} if weights else {},
        labels=settings.few_labels if part.few else None,
        network=settings.network,
        test=TestSettings(stride=settings.test_stride_s),
    )
    runs = LvuRuns(FeatureBank.open(world.bank), BankSpaces(persons=SPACE), world.annotations, lvu, folder / part.name)
    for result in runs.results():
        report(f"{result.key.name}: {result.values}")
        yield result
