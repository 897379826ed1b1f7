"""The nine LVU tasks from one bank: every run of a grid of settings and seeds, and what they come to.

A run is one model trained once. Its result is a file `runs/<model>-<task>-....json` of the output folder; a run whose
file is there is not done again, so that a stopped command goes on where it was. `results.jsonl` has one line for each
task and model: the mean over the seeds at the setting of the grid that is best on validation.
"""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from extractors.weights.hashes import sha256_of
from longform.datasets.lvu import SPLITS, TASKS, read_split
from longform.object_transformer.bank_tokens import BankSpaces
from longform.object_transformer.config import ModelConfig, model_config
from longform.object_transformer.fine_tuning import (
    TRANSFORMERS,
    EndTask,
    ModelName,
    TaskData,
    TestSettings,
    build_model,
    result_name,
    tokens_for,
)
from longform.object_transformer.model import EndTaskTransformer
from longform.object_transformer.optimisation import CLIP_NORM, WARMUP, WEIGHT_DECAY
from longform.object_transformer.pretrained import load_trunk
from longform.object_transformer.sources import BoxSource, TokenKind
from longform.training.atomic import replacing
from longform.training.errors import RunFolderError
from longform.training.loop import FINAL, train
from longform.training.recipes import Score
from longform.training.schedules import LinearSchedule
from longform.training.seeds import seed_everything
from longform.training.settings import TrainSettings
from pipeline.bank import FeatureBank

RESULTS = "results.jsonl"


@dataclass(frozen=True, kw_only=True)
class RunKey:
    """What tells one run from the others."""

    model: ModelName
    task: str
    epochs: int
    batch: int
    seed: int

    @property
    def name(self) -> str:
        return f"{self.model}-{self.task}-{self.epochs}-epochs-batch-{self.batch}-seed-{self.seed}"


@dataclass(frozen=True, kw_only=True)
class LvuSettings:
    """What is run. Defaults are the released script's; the thesis chose epochs and batch on validation."""

    tasks: tuple[str, ...] = tuple(TASKS)
    models: tuple[ModelName, ...] = ("object-transformer",)
    epochs: tuple[int, ...] = (10,)
    batches: tuple[int, ...] = (16,)
    seeds: int = 5
    lr: float = 2e-5
    pretrained: Mapping[ModelName, str] = dataclasses.field(default_factory=dict)
    """Weights of ot-pretrain for the models that have such."""
    labels: int | None = None
    """Train on so many videos, chosen by the seed; on all if None."""
    network: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """`variant` and fields of `ModelConfig`."""
    test: TestSettings = TestSettings()
    device: str = "cpu"
    precision: str = "fp32"
    workers: int = 0
    keep_weights: bool = False

    def plan(self) -> Iterator[RunKey]:
        """All runs."""
        for model in self.models:
            for task in self.tasks:
                for epochs in self.epochs:
                    for batch in self.batches:
                        for seed in range(self.seeds):
                            yield RunKey(model=model, task=task, epochs=epochs, batch=batch, seed=seed)

    def of_run(self, key: RunKey) -> dict[str, Any]:
        """What decides the result of a run beside its data, as JSON knows it."""
        file = self.pretrained.get(key.model)
        return {
            **dataclasses.asdict(key),
            "lr": self.lr,
            "pretrained": file and {"file": file, "sha256": sha256_of(file)},
            "labels": self.labels,
            "network": dict(self.network),
            "test_stride_s": self.test.stride,
        }


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """What one run came to."""

    key: RunKey
    values: Mapping[str, float]
    """By `fine_tuning.result_name`."""
    num_videos: Mapping[str, int]
    """Measured, or trained on, by split."""
    missing: Mapping[str, Sequence[str]]
    """Videos of each split that the bank lacks, that failed, or that have no box."""
    seconds: float


class LvuRuns:
    """Does the runs of some settings into a folder. The bank is read once for all of them."""

    def __init__(self, bank: FeatureBank, spaces: BankSpaces, annotations: Path, settings: LvuSettings, out: Path,
                 cache_bytes: float = 8e9) -> None:  # fmt: skip
        self.bank, self.spaces, self.cache_bytes = bank, spaces, cache_bytes
        self.settings, self.out = settings, out
        self.labels = {task: read_labels(annotations, task) for task in settings.tasks}
        self._sources: dict[TokenKind, BoxSource] = {}
        self._data = {"bank": bank.uri, "annotations": str(annotations), **dataclasses.asdict(spaces)}

    def _settings(self, key: RunKey) -> dict[str, Any]:
        """All that decides the result of a run."""
        return {**self.settings.of_run(key), **self._data}

    def results(self) -> Iterator[RunResult]:
        """Every run, done now or read from its file."""
        (self.out / "runs").mkdir(parents=True, exist_ok=True)
        for key in self.settings.plan():
            path = self.out / "runs" / f"{key.name}.json"
            if path.exists():
                yield self._read(path, key)
            else:
                result = self._run(key)
                self._write(path, result)
                yield result

    def _read(self, path: Path, key: RunKey) -> RunResult:
        found = json.loads(path.read_text(encoding="utf-8"))
        settings = self._settings(key)
        differing = {name for name in settings if found["settings"].get(name) != settings[name]}
        lacking = {result_name(split, masked) for split in ("val", "test") for masked in self._masks(key)}
        if differing or not lacking <= found["values"].keys():
            raise RunFolderError(
                f"{path} is of a run with other settings: {', '.join(sorted(differing)) or 'masking at test'} differ. "
                "Choose another --out, or delete the file."
            )
        return RunResult(key=key, **{name: found[name] for name in ("values", "num_videos", "missing", "seconds")})

    def _masks(self, key: RunKey) -> tuple[bool, ...]:
        return self.settings.test.masked if key.model in TRANSFORMERS else (False,)

    def _write(self, path: Path, result: RunResult) -> None:
        content = {"settings": self._settings(result.key), **dataclasses.asdict(result)}
        del content["key"]
        with replacing(path) as scratch:
            scratch.write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")

    def _run(self, key: RunKey) -> RunResult:
        data = _with_labels(self._task_data(key), self.settings.labels, key.seed)
        seed_everything(key.seed)
        model = build_model(key.model, self._config(data), key.task)
        pretrained = self.settings.pretrained.get(key.model)
        if pretrained is not None and isinstance(model, EndTaskTransformer):
            load_trunk(model, pretrained)
        task = EndTask(model=model, data=data, batch=key.batch, epochs=key.epochs, seed=key.seed,
                       test=self.settings.test)  # fmt: skip
        folder = self.out / "weights" / key.name
        report = train(task, self._loop_settings(key, task.steps), folder)
        self._tidy(folder)
        return RunResult(
            key=key,
            values=report.metrics,
            num_videos={split: len(data.present(split)) for split in SPLITS},
            missing={split: data.missing(split) for split in SPLITS},
            seconds=round(report.seconds, 2),
        )

    def _task_data(self, key: RunKey) -> TaskData:
        """Labels of a task, and the boxes of the videos of all tasks."""
        tokens = tokens_for(key.model)
        if tokens not in self._sources:
            splits = [names for splits in self.labels.values() for names in splits.values()]
            videos = dict.fromkeys(name for names in splits for name in names)
            self._sources[tokens] = BoxSource(
                self.bank, self.spaces, videos, tokens=tokens, cache_bytes=self.cache_bytes
            )
        return TaskData(task=TASKS[key.task], source=self._sources[tokens], labels=self.labels[key.task])

    def _config(self, data: TaskData) -> ModelConfig:
        return model_config(**self.settings.network, feature_dims=data.source.feature_dims)

    def _loop_settings(self, key: RunKey, steps: int) -> TrainSettings:
        return TrainSettings(
            steps=steps,
            schedule=LinearSchedule(lr=self.settings.lr, steps=steps, warmup_steps=int(WARMUP * steps)),
            optimiser="adamw",
            weight_decay=WEIGHT_DECAY,
            clip_norm=CLIP_NORM,
            seed=key.seed,
            device=self.settings.device,
            precision=self.settings.precision,
            workers=self.settings.workers,
            checkpoint_every=steps,
            quiet=True,
            recipe=self._settings(key),
        )

    def _tidy(self, folder: Path) -> None:
        """Leave the final weights if they are wanted; a checkpoint takes three times their size."""
        if self.settings.keep_weights:
            shutil.rmtree(folder / "checkpoints")
            (folder / "best.safetensors").unlink(missing_ok=True)
            assert (folder / FINAL).exists()
        else:
            shutil.rmtree(folder)


def read_labels(annotations: Path, task: str) -> dict[str, dict[str, float]]:
    """The label of each video of a task, by split. Raises AnnotationError for a split file that cannot be used."""
    return {split: {video.video_id: float(video.label) for video in read_split(annotations, task, split)}
            for split in SPLITS}  # fmt: skip


def _with_labels(data: TaskData, count: int | None, seed: int) -> TaskData:
    """The data with so many training videos, of those that are there, chosen by the seed."""
    present = data.present("train")
    if count is None or count >= len(present):
        return data
    chosen = np.random.default_rng(seed).permutation(len(present))[:count]
    kept = {present[int(place)] for place in chosen}
    unused = set(present) - kept
    labels = {name: label for name, label in data.labels["train"].items() if name not in unused}
    return dataclasses.replace(data, labels={**data.labels, "train": labels})


def scores(results: Iterable[RunResult], masked_first: bool = True) -> list[Score]:
    """One score for each model, task and masking at test: the mean over seeds at the best setting on validation."""
    groups: dict[tuple[str, str], list[RunResult]] = {}
    for result in results:
        groups.setdefault((result.key.model, result.key.task), []).append(result)
    return [
        _score(model, task, group, masked)
        for (model, task), group in groups.items()
        for masked in sorted({name.endswith("_masked") for name in group[0].values}, reverse=masked_first)
    ]


def _score(model: str, task: str, group: Sequence[RunResult], masked: bool) -> Score:
    """Of all runs of one model on one task."""
    settings: dict[tuple[int, int], list[RunResult]] = {}
    for result in group:
        settings.setdefault((result.key.epochs, result.key.batch), []).append(result)
    validation, test = result_name("val", masked), result_name("test", masked)
    means = {setting: float(np.mean([run.values[validation] for run in runs])) for setting, runs in settings.items()}
    is_regression = TASKS[task].is_regression
    best = (min if is_regression else max)(means, key=means.__getitem__)
    values = [run.values[test] for run in settings[best]]
    first = settings[best][0]
    return Score(
        task=task,
        metric="mse" if is_regression else "top1",
        value=float(np.mean(values)),
        std_error=float(np.std(values, ddof=1) / math.sqrt(len(values))) if len(values) > 1 else None,
        seeds=len(values),
        num_videos=first.num_videos["test"],
        num_missing=len(first.missing["test"]),
        more={
            "model": model,
            "masked_at_test": masked,
            "epochs": best[0],
            "batch": best[1],
            "validation": means[best],
            "num_videos_train": first.num_videos["train"],
            "num_missing_train": len(first.missing["train"]),
            "num_missing_val": len(first.missing["val"]),
        },
    )
