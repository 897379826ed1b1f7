"""The training loop: what it computes, what it writes, and what it refuses."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from extractors.errors import MissingDependency
from extractors.weights import load_weights
from longform.training.errors import DivergedError, RunFolderError, TrainingError
from longform.training.loop import BEST, FINAL, train
from longform.training.run_folder import locked
from longform.training.schedules import StepSchedule
from pipeline.errors import DecodeError
from tests.longform.training.tiny import Clusters, settings

FLAT = StepSchedule(lr=0.1)


def weights(task: Clusters) -> Tensor:
    return torch.cat([parameter.detach().reshape(-1) for parameter in task.model.parameters()])


def trained(folder: Path, *, task: Clusters | None = None, **changes: Any) -> Clusters:
    task = task or Clusters(dropout=0.0)
    train(task, settings(**changes), folder)
    return task


def log(folder: Path, name: str = "log.csv") -> list[dict[str, str]]:
    with (folder / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_sgd_is_nesterov_with_the_groups_own_settings(tmp_path: Path) -> None:
    """Three steps, worked out by hand: v = 0.9 v + g + wd p; p = p - lr (g + wd p + 0.9 v)."""
    task, twin = Clusters(dropout=0.0), Clusters(dropout=0.0)
    decays = {id(p): 0.0 if name.startswith("head") else 1e-2 for name, p in twin.model.named_parameters()}
    factors = {id(p): 2.0 if name.startswith("head") else 1.0 for name, p in twin.model.named_parameters()}
    batches: list[dict[str, Tensor]] = []
    collate = task.collate
    task.collate = lambda items: batches.append(collate(items)) or batches[-1]  # type: ignore[method-assign,func-returns-value]
    trained(tmp_path, task=task, steps=3, schedule=FLAT, weight_decay=1e-2, clip_norm=None)
    momentum: dict[int, Tensor] = {}
    for batch in batches:
        twin.model.zero_grad()
        twin.losses(batch)["loss"].backward()
        for p in twin.model.parameters():
            if p.grad is not None:
                slope = p.grad + decays[id(p)] * p.detach()
                momentum[id(p)] = 0.9 * momentum.get(id(p), torch.zeros_like(p)) + slope
                p.data -= 0.1 * factors[id(p)] * (slope + 0.9 * momentum[id(p)])
    assert len(batches) == 3
    torch.testing.assert_close(weights(task), weights(twin), rtol=0, atol=1e-6)


def test_adamw_and_clipping(tmp_path: Path) -> None:
    """The first step of AdamW moves every weight by lr against its gradient's sign, whatever the clipping."""
    task = Clusters(dropout=0.0)
    before, head = weights(task), task.model.head.weight.detach().clone()
    trained(tmp_path, task=task, steps=1, schedule=FLAT, optimiser="adamw", weight_decay=0.0, clip_norm=1e-3)
    moved = (task.model.head.weight.detach() - head).abs()
    assert moved[moved > 0].max() == pytest.approx(0.2, rel=1e-2)  # lr_factor of the head is 2
    assert not torch.equal(weights(task), before)
    assert float(log(tmp_path)[0]["gradient_norm"]) > 1e-3


@pytest.mark.parametrize("change", [{"accumulate": 4}, {"accumulate": 3}])
def test_parts_of_a_batch_add_up_to_it(tmp_path: Path, change: dict[str, Any]) -> None:
    whole, parts = trained(tmp_path / "a"), trained(tmp_path / "b", **change)
    torch.testing.assert_close(weights(parts), weights(whole), rtol=0, atol=1e-5)
    assert [float(row["loss"]) for row in log(tmp_path / "b")] == pytest.approx(
        [float(row["loss"]) for row in log(tmp_path / "a")], abs=1e-4
    )


def test_workers_change_nothing(tmp_path: Path) -> None:
    alone, helped = trained(tmp_path / "0"), trained(tmp_path / "2", workers=2)
    assert torch.equal(weights(alone), weights(helped))


def test_every_example_has_its_own_seed(tmp_path: Path) -> None:
    task = trained(tmp_path / "a", steps=20)
    assert len(set(task.seeds)) == 20 * 8
    assert not set(task.seeds) & set(trained(tmp_path / "b", steps=20, seed=4).seeds)


def test_bf16_learns_and_keeps_weights_in_fp32(tmp_path: Path) -> None:
    exact, mixed = trained(tmp_path / "a"), trained(tmp_path / "b", precision="bf16")
    assert {parameter.dtype for parameter in mixed.model.parameters()} == {torch.float32}
    assert not torch.equal(weights(exact), weights(mixed))
    torch.testing.assert_close(weights(mixed), weights(exact), rtol=0, atol=0.05)


def test_it_learns_and_keeps_the_best(tmp_path: Path) -> None:
    task = Clusters(dropout=0.0)
    report = train(task, settings(), tmp_path)
    values = {int(row["step"]): float(row["accuracy"]) for row in log(tmp_path, "evaluations.csv")}
    assert list(values) == [7, 14, 21, 28, 35, 40]
    assert report.best_value == max(values.values()) > 0.75
    assert report.best_step == min(step for step, value in values.items() if value == report.best_value)
    best, final = Clusters(dropout=0.0), Clusters(dropout=0.0)
    load_weights(best.model.eval(), tmp_path / BEST)
    load_weights(final.model.eval(), tmp_path / FINAL)
    assert best.evaluate() == {"accuracy": pytest.approx(report.best_value)}
    assert torch.equal(weights(final), weights(task))


def test_lower_may_be_better(tmp_path: Path) -> None:
    task = Clusters(dropout=0.0)
    task.higher_is_better = False
    report = train(task, settings(), tmp_path)
    assert report.best_value == min(float(row["accuracy"]) for row in log(tmp_path, "evaluations.csv"))


def test_the_log_has_means_of_its_steps(tmp_path: Path) -> None:
    trained(tmp_path / "each", log_every=1)
    trained(tmp_path / "third", log_every=3)
    each = [float(row["loss"]) for row in log(tmp_path / "each")]
    third = log(tmp_path / "third")
    assert [int(row["step"]) for row in third] == [*range(3, 40, 3), 40]
    assert float(third[1]["loss"]) == pytest.approx(sum(each[3:6]) / 3)
    assert float(third[-1]["loss"]) == pytest.approx(each[-1])


def test_a_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    first = train(Clusters(), settings(), tmp_path)
    again = train(Clusters(seed=99), settings(), tmp_path)
    assert (again.steps_now, again.metrics, again.best_value) == (0, first.metrics, first.best_value)


def test_two_checkpoints_are_kept(tmp_path: Path) -> None:
    trained(tmp_path, steps=14, checkpoint_every=4)
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["step-00000012", "step-00000014"]


def test_other_settings_are_refused_by_name(tmp_path: Path) -> None:
    trained(tmp_path, steps=4, schedule=FLAT, recipe={"name": "tiny", "dropout": 0.0})
    with pytest.raises(RunFolderError) as caught:
        trained(tmp_path, steps=4, schedule=StepSchedule(lr=0.2), seed=5, recipe={"name": "tiny", "depth": 2})
    message = str(caught.value)
    for part in ("schedule.lr is 0.1 there and 0.2 now", "seed is 3 there and 5 now", "recipe.depth", "recipe.dropout"):
        assert part in message
    assert "recipe.name" not in message
    trained(tmp_path, steps=4, schedule=FLAT, recipe={"name": "tiny", "dropout": 0.0}, log_every=1, checkpoint_every=2)


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    """A lock of this very process would be granted twice, so another one holds it."""
    import os

    ready, hold = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        with locked(tmp_path):
            os.write(ready[1], b"!")
            os.read(hold[0], 1)
        os._exit(0)
    os.read(ready[0], 1)
    try:
        with pytest.raises(RunFolderError, match="another process"):
            trained(tmp_path, steps=4)
    finally:
        os.write(hold[1], b"!")
        os.waitpid(child, 0)
    trained(tmp_path, steps=4)


def test_a_damaged_checkpoint_is_named_and_the_one_before_serves(tmp_path: Path) -> None:
    expected = weights(trained(tmp_path, steps=8))
    damaged = tmp_path / "checkpoints" / "step-00000008"
    (damaged / "optimiser.pt").write_bytes(b"PK torn")
    with pytest.raises(RunFolderError, match=r"step-00000008.*Delete it"):
        trained(tmp_path, steps=8)
    for file in damaged.iterdir():
        file.unlink()
    damaged.rmdir()
    assert torch.equal(weights(trained(tmp_path, steps=8)), expected)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_stops_the_run(tmp_path: Path, bad: float) -> None:
    task = Clusters()
    sound, calls = task.losses, iter(range(100))
    task.losses = lambda batch: {  # type: ignore[method-assign]
        name: value * (bad if next(calls) // 2 == 10 else 1) for name, value in sound(batch).items()
    }
    with pytest.raises(DivergedError, match=r"Step 10: loss is not finite.*step-00000008"):
        train(task, settings(log_every=100), tmp_path)
    assert not (tmp_path / FINAL).exists()


def test_weights_that_are_not_finite_are_never_saved(tmp_path: Path) -> None:
    task = Clusters()
    sound = task.losses
    task.losses = lambda batch: {"loss": sound(batch)["loss"] * 1e30}  # type: ignore[method-assign]
    with pytest.raises(DivergedError, match=r"Step \d+: .* is not finite"):
        train(task, settings(clip_norm=None, schedule=StepSchedule(lr=1e30)), tmp_path)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-00000000"]


@pytest.mark.parametrize("workers", [0, 1])
def test_an_example_that_cannot_be_read_says_why(tmp_path: Path, workers: int) -> None:
    class Broken(Clusters):
        def read(self, example: int, seed: int) -> tuple[Tensor, Tensor]:
            raise DecodeError(f"film{example}.mp4: no pictures")

    with pytest.raises(DecodeError, match=r"^film0.mp4: no pictures$"):
        train(Broken(), settings(workers=workers), tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, "steps: expected at least 1, got 0"),
        ({"optimiser": "lion"}, "expected one of sgd, adamw, adam, got 'lion'"),
        ({"clip_norm": 0.0}, "clip_norm"),
        ({"accumulate": 9}, "Step 0 has 8 examples"),
        ({"schedule": lambda step: 0.1}, "frozen dataclass"),
    ],
)
def test_settings_that_cannot_work_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        trained(tmp_path, **({"schedule": FLAT} | changes))


def test_a_group_with_a_rate_of_its_own_is_refused(tmp_path: Path) -> None:
    task = Clusters()
    task.parameter_groups = lambda: [{"params": task.model.parameters(), "lr": 0.1}]  # type: ignore[method-assign]
    with pytest.raises(TrainingError, match="lr_factor"):
        train(task, settings(), tmp_path)


def test_tensorboard_must_be_there_when_it_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises((MissingDependency, ImportError), match="tensorboard"):
        trained(tmp_path, tensorboard=True)


def test_batch_statistics_are_saved_with_the_weights(tmp_path: Path) -> None:
    task = Clusters(norm=True)
    train(task, settings(), tmp_path)
    again = Clusters(norm=True)
    load_weights(again.model, tmp_path / FINAL)
    assert torch.equal(again.model.norm.running_mean, task.model.norm.running_mean)  # type: ignore[arg-type]


def test_plain_lines_where_there_is_no_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trained(tmp_path, quiet=False)
    captured = capsys.readouterr()
    assert "step 7/40, loss" in captured.err
    assert "accuracy" in captured.err
    assert captured.out == ""


def test_config_says_everything(tmp_path: Path) -> None:
    trained(tmp_path, steps=4, schedule=FLAT)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["settings"]["schedule"] == {
        "kind": "StepSchedule", "lr": 0.1, "drops": [], "factor": 0.1, "warmup_steps": 0, "warmup_lr": 0.0
    }  # fmt: skip
    assert config["versions"]["torch"] == torch.__version__
