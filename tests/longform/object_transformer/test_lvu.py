"""`longform lvu` on a small bank: every model learns, splits are kept apart, runs go on, missing videos are named."""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from longform.datasets.lvu import TASKS
from longform.lvu_command import MODELS, TASK_NAMES, configure, lvu
from longform.object_transformer.bank_tokens import BankSpaces
from longform.object_transformer.config import ModelConfig
from longform.object_transformer.fine_tuning import EndTask, TaskData, TestSettings, build_model
from longform.object_transformer.lvu import LvuSettings, RunKey, RunResult, read_labels, scores
from longform.object_transformer.sources import BoxSource
from longform.training.errors import RunFolderError
from pipeline.bank import FeatureBank
from tests.longform.object_transformer.small_bank import (
    DIM,
    FILMS,
    SMALL,
    SPACE,
    SPLITS,
    write_annotations,
    write_bank,
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lvu")
    write_bank(folder / "bank")
    write_annotations(folder / "lvu_1.0")
    return folder


def run(data: Path, out: Path, *words: str) -> int:
    parser = argparse.ArgumentParser()
    configure(parser)
    given = ["--bank", str(data / "bank"), "--annotations", str(data / "lvu_1.0"), "--out", str(out), "--quiet"]
    quick = ["--lr", "3e-3", "--batch", "4", "--test-stride", "4", *SMALL]
    return lvu(parser.parse_args([*given, *quick, *words]))


def lines(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]


def end_task(data: Path, task: str = "relationship", model: Any = "object-transformer", **options: Any) -> EndTask:
    labels = read_labels(data / "lvu_1.0", task)
    bank = FeatureBank.open(data / "bank")
    videos = [name for names in labels.values() for name in names]
    source = BoxSource(bank, BankSpaces(persons=SPACE), videos)
    torch.manual_seed(0)
    config = ModelConfig(feature_dims=(DIM,), width=24, layers=1, heads=3)
    given: dict[str, Any] = {"batch": 4, "epochs": 2, "seed": 0, **options}
    data_of_task = TaskData(task=TASKS[task], source=source, labels=labels)
    return EndTask(model=build_model(model, config, task), data=data_of_task, **given)


def test_every_model_learns_what_is_in_the_features(data: Path, tmp_path: Path, capsys: Any) -> None:
    run(data, tmp_path, "--model", "all", "--task", "relationship", "--task", "view_count", "--seeds", "2",
        "--mask-at-test", "off", "--epochs", "20", "--json")  # fmt: skip
    found = lines(tmp_path)
    assert [(line["model"], line["task"]) for line in found] == [
        (model, task) for model in MODELS for task in ("relationship", "view_count")
    ]
    for line in found:
        assert [line[name] for name in ("seeds", "num_videos", "num_missing")] == [2, 4, 0]
        assert line["std_error"] is not None
        if line["metric"] == "top1":
            assert line["value"] == 100.0, line
        else:
            assert line["value"] < 0.7, f"predicting the mean has {np.log(500 / 30) ** 2 / 4:.2f}: {line}"
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == found


def test_labels_of_the_tested_videos_change_nothing_in_training(data: Path) -> None:
    task = end_task(data)
    drawn = {video for step in range(task.steps) for video, _ in task.plan(step)}
    assert drawn <= {FILMS[number] for number in SPLITS["train"]}
    assert sum(len(task.plan(step)) for step in range(task.steps)) == 24, "two epochs of twelve videos"


def test_masking_at_test_and_its_determinism(data: Path) -> None:
    task = end_task(data)
    task.model.eval()
    masked = task.predict(FILMS[16:], masked=True)
    again = task.predict(FILMS[16:], masked=True)
    clean = task.predict(FILMS[16:], masked=False)
    assert masked[0] == again[0] == [name for name in FILMS[16:] for _ in range(4)]
    assert np.array_equal(masked[1], again[1])
    assert not np.allclose(masked[1], clean[1])
    assert set(task.evaluate()) == {"val", "test", "val_masked", "test_masked"}
    assert set(end_task(data, model="max-pool").evaluate()) == {"val", "test"}
    assert set(end_task(data, test=TestSettings(masked=(False,))).evaluate()) == {"val", "test"}


def test_runs_go_on_and_others_are_refused(data: Path, tmp_path: Path, capsys: Any) -> None:
    words = ("--model", "average-pool", "--task", "relationship", "--epochs", "3")
    run(data, tmp_path, *words, "--seeds", "2")
    first = lines(tmp_path)
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").iterdir()}
    assert len(files) == 2
    assert not list((tmp_path / "weights").iterdir())
    next(iter(files)).unlink()
    run(data, tmp_path, *words, "--seeds", "2")
    assert lines(tmp_path) == first
    assert sum(path.stat().st_mtime_ns == at for path, at in files.items()) == 1
    with pytest.raises(RunFolderError, match="lr differ"):
        run(data, tmp_path, *words, "--lr", "1e-4")
    assert "average-pool" in capsys.readouterr().out


def test_missing_videos_are_counted_and_named(data: Path, tmp_path: Path, capsys: Any) -> None:
    write_bank(tmp_path / "bank", [0, 1, 2, 3, 12, 13, 16, 17])
    (tmp_path / "lvu_1.0").symlink_to(data / "lvu_1.0")
    run(tmp_path, tmp_path / "out", "--model", "average-pool", "--task", "relationship", "--seeds", "1")
    (line,) = lines(tmp_path / "out")
    counts = ("num_videos", "num_missing", "num_videos_train", "num_missing_train", "num_missing_val")
    assert [line[name] for name in counts] == [2, 2, 4, 8, 2]
    error = capsys.readouterr().err
    assert f"relationship, test: 2 videos are not in the bank or have no box: {FILMS[18]}, {FILMS[19]}" in error
    (file,) = (tmp_path / "out" / "runs").iterdir()
    assert json.loads(file.read_text())["missing"]["test"] == FILMS[18:]


def test_fewer_labels_are_chosen_by_the_seed(data: Path, tmp_path: Path) -> None:
    run(data, tmp_path, "--model", "max-pool", "--task", "relationship", "--seeds", "1", "--labels", "5")
    assert lines(tmp_path)[0]["num_videos_train"] == 5
    assert lines(tmp_path)[0]["num_missing_train"] == 0


def result(epochs: int, seed: int, val: float, test: float, task: str = "relationship") -> RunResult:
    key = RunKey(model="max-pool", task=task, epochs=epochs, batch=16, seed=seed)
    return RunResult(key=key, values={"val": val, "test": test}, num_videos={"train": 9, "test": 4},
                     missing={"train": [], "val": [], "test": ["x"]}, seconds=1.0)  # fmt: skip


def test_the_grid_is_chosen_on_validation_and_the_error_is_over_seeds() -> None:
    runs = [result(5, 0, 60, 10), result(5, 1, 70, 20), result(10, 0, 50, 90), result(10, 1, 60, 95)]
    (score,) = scores(runs)
    assert (score.value, score.std_error, score.seeds, score.more["epochs"]) == (15.0, 5.0, 2, 5)
    (score,) = scores([result(5, 0, 2.0, 1.0, "view_count"), result(10, 0, 1.0, 3.0, "view_count")])
    assert (score.value, score.std_error, score.metric, score.more["epochs"]) == (3.0, None, "mse", 10)


def test_all_runs_of_the_grid_are_planned() -> None:
    settings = LvuSettings(epochs=(5, 10), batches=(16, 32), seeds=3)
    assert len(list(settings.plan())) == 9 * 2 * 2 * 3


def test_the_parser_knows_the_tasks_without_importing_anything_heavy() -> None:
    assert tuple(TASKS) == TASK_NAMES
    code = "import sys, longform.lvu_command, longform.object_transformer.recipes as r; print('numpy' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "False\n"
