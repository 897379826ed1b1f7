"""`longform train` and `longform eval`, with a tiny recipe."""

import argparse
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from longform import train_command
from longform.training import recipes
from longform.training.errors import TrainingError
from longform.training.recipes import Recipe
from tests.longform.training import tiny

TINY = Recipe(
    summary="which cluster a point is from",
    configure=tiny.configure,
    settings="tests.longform.training.tiny:recipe_settings",
    task="tests.longform.training.tiny:recipe_task",
    configure_eval=tiny.configure_eval,
    evaluate="tests.longform.training.tiny:recipe_scores",
)


@pytest.fixture(autouse=True)
def _only_the_tiny_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipes, "RECIPES", {"tiny": f"{__name__}:TINY"})
    monkeypatch.setattr(train_command, "RECIPES", recipes.RECIPES)


def train(*words: str) -> int:
    parser = argparse.ArgumentParser()
    recipes.configure_train(parser)
    return train_command.train(parser.parse_args(["tiny", *words]))


def evaluate(*words: str) -> int:
    parser = argparse.ArgumentParser()
    recipes.configure_eval(parser)
    return train_command.evaluate(parser.parse_args(["tiny", *words]))


def test_train_then_eval(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train("--out", str(tmp_path), "--steps", "40", "--evaluate-every", "10", "--quiet", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["steps"], report["steps_now"], report["metric"]) == (40, 40, "accuracy")
    assert evaluate("--run", str(tmp_path), "--json") == 0
    line = json.loads(capsys.readouterr().out)
    assert line == {
        "dataset": "clusters",
        "metric": "accuracy",
        "value": pytest.approx(report["best_value"]),
        "std_error": None,
        "seeds": 1,
        "num_videos": 60,
        "num_missing": 0,
    }
    assert evaluate("--run", str(tmp_path)) == 0
    assert "clusters" in capsys.readouterr().out


def test_the_seed_decides_the_first_weights_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        train("--out", str(tmp_path / name), "--seed", seed, "--steps", "2", "--quiet")
    first = "checkpoints/step-00000000/model.safetensors"
    a, b, c = (load_file(tmp_path / name / first)["head.weight"] for name in "abc")
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_another_option_of_the_recipe_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train("--out", str(tmp_path), "--steps", "2", "--quiet")
    with pytest.raises(TrainingError, match=r"recipe.dropout is 0.0 there and 0.5 now"):
        train("--out", str(tmp_path), "--steps", "2", "--dropout", "0.5")
    assert train("--out", str(tmp_path), "--steps", "2", "--workers", "1", "--quiet") == 0
    assert "0 of 2 steps" in capsys.readouterr().out


def test_the_schedule_is_shown_without_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert train("--show-schedule", "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert (rows[0]["first_lr"], rows[-1]["to_step"]) == (0.1, 20)
    assert train("--show-schedule") == 0
    assert "first_lr" in capsys.readouterr().out


def test_a_run_needs_a_folder() -> None:
    with pytest.raises(TrainingError, match="--out"):
        train("--steps", "2")


def test_ctrl_c_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(self: tiny.Clusters) -> dict[str, float]:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(tiny.Clusters, "evaluate", interrupt)
        assert train("--out", str(tmp_path), "--quiet") == 130
    assert "same command again" in capsys.readouterr().err
    assert train("--out", str(tmp_path), "--quiet") == 0


def test_help_of_a_recipe_shows_its_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        train("--help")
    text = " ".join(capsys.readouterr().out.split())
    assert "optimiser steps (default: 20)" in text
    assert "--dropout" in text


def test_registered_recipes_import_nothing_heavy() -> None:
    import subprocess
    import sys

    code = """
import argparse, sys
from longform.training import recipes
for configure in (recipes.configure_train, recipes.configure_eval):
    configure(argparse.ArgumentParser())
print([name for name in ("torch", "numpy", "rich", "pyarrow", "scipy") if name in sys.modules])
"""
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
