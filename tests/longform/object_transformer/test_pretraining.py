"""Pre-training from a bank: what is drawn, what is minimised, and that a stop changes nothing."""

import argparse
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from longform.object_transformer import pretraining
from longform.object_transformer.losses import compatibility_loss, mask_loss
from longform.object_transformer.recipes import PRETRAIN
from longform.training.errors import TrainingError
from longform.training.loop import train
from longform.training.recipes import add_loop_options
from longform.training.task import Task
from tests.longform.object_transformer.small_bank import DIM, FILMS, SMALL, write_bank, write_classifier


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pretraining")
    write_bank(folder / "bank")
    write_classifier(folder / "classifier.safetensors")
    return folder


def options_of(data: Path, *words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_loop_options(parser)
    PRETRAIN.configure(parser)
    given = ["--bank", str(data / "bank"), "--classifier", str(data / "classifier.safetensors"), "--quiet", *SMALL]
    return parser.parse_args([*given, *words])


def task_of(data: Path, *words: str) -> pretraining.PretrainTask:
    return pretraining.task(options_of(data, "--batch", "4", *words))


def test_defaults_are_those_of_the_released_script(data: Path) -> None:
    settings = pretraining.settings(options_of(data))
    assert (settings.steps, settings.weight_decay, settings.clip_norm, settings.optimiser) == (
        308_000,
        0.01,
        1.0,
        "adamw",
    )
    assert settings.schedule(30_800) == pytest.approx(1e-4)
    assert settings.schedule(15_400) == pytest.approx(5e-5)
    assert settings.schedule(307_999) < 1e-9


def test_spans_are_drawn_uniformly_and_by_step(data: Path) -> None:
    task: Task = task_of(data)
    drawn = [example for step in range(300) for example in task.plan(step)]
    assert task.plan(7) == task.plan(7) != task.plan(8)
    counts = {name: sum(video == name for video, _ in drawn) for name, _ in drawn}
    assert len(counts) == 19, "one film of twenty is held out"
    assert max(abs(count / 1200 - 1 / 19) for count in counts.values()) < 0.03
    assert {spans[0].second for _, spans in drawn} == {59, 60, 61, 62}


def test_two_spans_of_each_video_for_compatibility(data: Path) -> None:
    task = task_of(data, "--compatibility")
    examples = task.plan(0)
    batch = task.collate([task.read(example, seed) for seed, example in enumerate(examples)])
    assert len(batch.tokens) == 8
    seconds = [spans[turn].second for turn in range(2) for _, spans in examples]
    rows = batch.tokens.rows.split(batch.tokens.lengths)
    last = [int(task.source[video].seconds[part[1]]) for part, (video, _) in zip(rows, examples * 2, strict=True)]
    assert last == [second - second % 2 for second in seconds], "first spans, then their partners"


@torch.no_grad()
def test_losses_are_the_formulas_on_the_clean_features(data: Path) -> None:
    task = task_of(data, "--compatibility")
    task.model.eval()
    batch = task.collate([task.read(example, seed) for seed, example in enumerate(task.plan(0))])
    losses = task.losses(batch)
    found = task.model(batch.tokens, batch.corruptions)
    state = load_file(data / "classifier.safetensors")
    clean = batch.tokens.features[batch.corruptions[0].positions].float()
    teacher = clean @ state["head.projection.weight"].T + state["head.projection.bias"]
    assert float(losses["action"]) == pytest.approx(80 * float(mask_loss(found.mask_logits[0], teacher)), rel=1e-5)
    assert found.compat is not None
    assert float(losses["compatibility"]) == pytest.approx(float(compatibility_loss(found.compat)), rel=1e-5)
    assert float(losses["loss"]) == pytest.approx(float(losses["action"] + losses["compatibility"]), rel=1e-6)


def test_training_lowers_the_loss_and_a_restart_changes_nothing(data: Path, tmp_path: Path) -> None:
    words = ("--steps", "60", "--lr", "1e-2", "--batch", "4", "--compatibility", "--checkpoint-every", "10")
    options = options_of(data, *words)

    def fresh() -> pretraining.PretrainTask:
        torch.manual_seed(0)
        return pretraining.task(options)

    first = fresh()
    first.model.eval()
    with torch.no_grad():
        before = first.evaluate()["loss"]
    report = train(first, pretraining.settings(options), tmp_path / "whole")
    assert report.metrics["loss"] < 0.7 * before

    class Killed(Exception):
        pass

    broken = fresh()
    losses, count = broken.losses, iter(range(37))

    def dying(batch: pretraining.PretrainBatch) -> dict[str, torch.Tensor]:
        if next(count, None) is None:
            raise Killed
        return losses(batch)

    broken.losses = dying  # type: ignore[method-assign]
    with pytest.raises(Killed):
        train(broken, pretraining.settings(options), tmp_path / "broken")
    train(fresh(), pretraining.settings(options), tmp_path / "broken")
    whole, again = (load_file(tmp_path / name / "final.safetensors") for name in ("whole", "broken"))
    assert all(torch.equal(whole[name], again[name]) for name in whole)


def test_frames_are_the_mean_of_the_boxes_of_a_second(data: Path) -> None:
    boxes, frames = task_of(data).source, task_of(data, "--tokens", "frames").source
    table, seconds = frames[FILMS[0]], boxes[FILMS[0]]
    assert table.seconds.tolist() == list(range(0, 64, 2))
    mean = seconds.features[seconds.seconds == 4].astype(np.float32).mean(0)
    assert table.features[2] == pytest.approx(mean, abs=1e-3)


def test_what_cannot_work_is_said(data: Path, tmp_path: Path) -> None:
    write_bank(tmp_path / "one", [0])
    with pytest.raises(TrainingError, match="two at least"):
        pretraining.task(options_of(data, "--bank", str(tmp_path / "one")))
    write_classifier(tmp_path / "wide.safetensors", dim=DIM + 1)
    with pytest.raises(ValueError, match=f"takes {DIM + 1} values, but features of 'person.small' have {DIM}"):
        task_of(data, "--classifier", str(tmp_path / "wide.safetensors"))
    with pytest.raises(TrainingError, match="--object-classifier"):
        task_of(data, "--objects", "person.small")
