"""The experiment on the synthetic world: what runs and resumes, at a small size; and what its stored results show."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.lvu.__main__ import COLUMNS, main
from benchmarks.lvu.experiment import PARTS, ExperimentSettings, experiment
from benchmarks.lvu.synthetic.features import SMALLEST_DIM
from longform.datasets.lvu import TASKS

SETTINGS = ExperimentSettings(
    tasks=("scene", "like_ratio"),
    videos=12,
    unlabelled=2,
    feature_dim=SMALLEST_DIM,
    seconds=(62.0, 64.0),
    width=8,
    layers=1,
    heads=2,
    batch=2,
    pretrain_steps=4,
    epochs=1,
    seeds=2,
    few_labels=4,
    few_epochs=1,
)
STORED = Path(__file__).parents[3] / "benchmarks/results/lvu.json"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("experiment")


@pytest.fixture(scope="module")
def report(folder: Path) -> dict[str, Any]:
    return experiment(folder, SETTINGS, lambda _: None)


def test_every_part_has_its_results(report: dict[str, Any]) -> None:
    found = {(row["system"], row["few"], row["task"], row["masked_at_test"]) for row in report["results"]}
    for part in PARTS.values():
        for model in part.models:
            for task in SETTINGS.tasks:
                assert (model + part.label, part.few, task, False) in found
    assert {row["num_videos_train"] for row in report["results"] if row["few"]} == {SETTINGS.few_labels}
    assert {row["seeds"] for row in report["results"]} == {SETTINGS.seeds}
    assert {(row["system"], row["task"]) for row in report["references"]} == {
        (system, task) for system in ("chance", "oracle") for task in TASKS
    }
    assert set(report["cpu_seconds"]) == {"world", "pretraining-masks", *PARTS}


def test_what_is_done_is_not_done_again(folder: Path, report: dict[str, Any]) -> None:
    runs = {path: path.stat().st_mtime_ns for path in folder.rglob("runs/*.json")}
    some = experiment(folder, replace(SETTINGS), lambda _: None, parts=["few-masks"])
    assert runs == {path: path.stat().st_mtime_ns for path in folder.rglob("runs/*.json")}
    assert some["results"] == [row for row in report["results"] if row["few"] and row["system"].endswith("pre-trained")]


def test_stored_results_fit_one_screen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["lvu", "--show", str(STORED), "--plots", str(tmp_path)])
    assert main() == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= COLUMNS
    assert {path.name for path in tmp_path.iterdir()} == {"all-labels.svg", "masked-at-test.svg", "few-labels.svg"}


def test_stored_results_say_what_the_readme_says() -> None:
    """Object Transformers beat pooling where the world is built so, and pre-training helps with few labels."""
    stored = json.loads(STORED.read_text(encoding="utf-8"))
    clean = [row for row in stored["results"] if not row["masked_at_test"]]
    value = {(row["system"], row["few"], row["task"]): row["value"] for row in clean}
    error = {(row["system"], row["few"], row["task"]): row["std_error"] for row in clean}

    def gain(task: str, ours: tuple[str, bool], theirs: tuple[str, bool]) -> float:
        """In standard errors of the difference."""
        difference = value[(*ours, task)] - value[(*theirs, task)]
        spread = (error[(*ours, task)] ** 2 + error[(*theirs, task)] ** 2) ** 0.5
        return (-difference if TASKS[task].is_regression else difference) / spread

    for task in set(TASKS) - {"scene"}:
        for pool in ("short-term", "average-pool", "max-pool"):
            assert gain(task, ("object-transformer", False), (pool, False)) > 3
    assert value["average-pool", False, "scene"] > value["object-transformer", False, "scene"] - 2
    for task in ("relationship", "genre", "writer"):
        assert gain(task, ("object-transformer, pre-trained", True), ("object-transformer", True)) > 3
