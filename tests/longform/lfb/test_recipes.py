"""`longform train lfb-...` on tiny data sets: what is drawn, what is refused, and a run that is killed."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from longform.lfb.hyperparameters import published
from longform.lfb.options import ModelOptions, started_model
from longform.lfb.train_settings import settings
from longform.lfb.train_task import LFBTrainingTask, training_task
from longform.training import loop, recipes
from longform.training.errors import TrainingError
from pipeline.errors import InputError
from tests.longform.lfb.tiny_data import SMALL, make_ava, make_bank, make_charades, make_epic, train

SHORT = ("--weights", "untrained", "--steps", "2", "--batch", "2", *SMALL)


@pytest.fixture(scope="module")
def ava(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_ava(tmp_path_factory.mktemp("ava") / "ava")


@pytest.fixture(scope="module")
def charades(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_charades(tmp_path_factory.mktemp("charades") / "charades")


@pytest.fixture(scope="module")
def epic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_epic(tmp_path_factory.mktemp("epic") / "epic")


def data_of(folder: Path, *words: str) -> list[str]:
    return ["--annotations", str(folder / "annotations"), "--videos", str(folder / "videos"), *words]


def options(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    recipes.configure_train(parser)
    return parser.parse_args(list(words))


def task_of(*words: str) -> LFBTrainingTask:
    given = options(*words)
    settings(given)
    return training_task(given)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["lfb-ava"], (0.04, 1e-6, 140_000, (100_000, 120_000), 2_000, 0.01)),
        (["lfb-epic-verb"], (0.001, 1e-6, 36_000, (28_000, 32_000), 0, 0.0)),
        (["lfb-epic-noun"], (0.0003, 1e-5, 50_000, (40_000, 45_000), 0, 0.0)),
        (["lfb-epic-verb", "--hyperparameters", "thesis"], (0.0003, 1e-5, 36_000, (28_000, 32_000), 0, 0.0)),
        (["lfb-epic-noun", "--hyperparameters", "thesis"], (0.001, 1e-6, 50_000, (40_000, 45_000), 0, 0.0)),
        (["lfb-charades", "--operator", "none"], (0.02, 1.25e-5, 24_000, (20_000,), 0, 0.0)),
        (["lfb-charades"], (0.02, 1.25e-5, 12_000, (10_000,), 0, 0.0)),
    ],
)
def test_defaults_are_the_published_hyperparameters(words: list[str], expected: tuple[object, ...]) -> None:
    found = settings(options(*words, "--annotations", "x"))
    schedule = found.schedule
    assert (schedule.lr, found.weight_decay, found.steps, schedule.drops, schedule.warmup_steps,
            schedule.warmup_lr) == expected  # type: ignore[attr-defined]  # fmt: skip


def test_another_batch_follows_the_linear_rule_aloud(capsys: pytest.CaptureFixture[str]) -> None:
    found = settings(options("lfb-ava", "--annotations", "x", "--batch", "4"))
    assert (found.schedule.lr, found.steps, found.schedule.drops) == (0.01, 560_000, (400_000, 480_000))  # type: ignore[attr-defined]
    assert (found.schedule.warmup_steps, found.schedule.warmup_lr) == (8_000, 0.0025)  # type: ignore[attr-defined]
    assert "lr 0.01 (in proportion to the batch), 560000 steps (in inverse proportion)" in capsys.readouterr().err
    given = settings(options("lfb-ava", "--annotations", "x", "--batch", "4", "--lr", "0.5", "--steps", "14"))
    assert (given.schedule.lr, given.steps, given.schedule.drops) == (0.5, 14, (10, 12))  # type: ignore[attr-defined]
    assert "lr 0.5 (as given), 14 steps (as given)" in capsys.readouterr().err
    settings(options("lfb-ava", "--annotations", "x"))
    assert capsys.readouterr().err == ""
    assert published("ava").fitted(batch=16, steps=None, lr=None) == published("ava")


def test_a_step_of_ava(ava: Path) -> None:
    """Clips, all their boxes with the number of the clip, the labels of each, and windows around the key frame."""
    words = data_of(ava, "--bank", str(ava / "bank"), "--start-second", "900", *SHORT)
    task = task_of("lfb-ava", *words, "--window-s", "4")
    planned = [task.plan(step) for step in range(4)]
    assert [task.plan(step) for step in range(4)] == planned
    samples = [task.read(0, 7), task.read(1, 8)]
    batch = task.collate(samples)
    assert batch.clips.shape == (2, 3, 8, 28, 28)
    assert batch.boxes_px is not None
    assert batch.boxes_px[:, 0].tolist() == [0, 0, 1, 1]
    assert batch.labels.shape == (4, 80)
    assert batch.labels[:, :2].tolist() == [[1, 0], [0, 0], [0, 1], [0, 0]]
    assert batch.bank is not None
    assert batch.mask is not None
    assert batch.bank.shape == (2, 20, 4)
    assert [window.times_s[window.mask].min() for s in samples if (window := s.window) is not None] == [0, 1]
    assert torch.equal(task.read(0, 7).example.clip, samples[0].example.clip)
    assert float(task.losses(batch)["loss"].detach()) == pytest.approx(0.6931, abs=0.01)


@pytest.mark.parametrize(("kind", "bank", "right"), [("verb", "verbs", [0, 3]), ("noun", "nouns", [1, 4])])
def test_a_step_of_epic(epic: Path, kind: str, bank: str, right: list[int]) -> None:
    task = task_of(f"lfb-epic-{kind}", *data_of(epic, "--bank", str(epic / bank), *SHORT))
    batch = task.collate([task.read(0, 1), task.read(7, 2)])
    assert batch.labels.tolist() == right
    assert batch.bank is not None
    assert batch.bank.shape == (2, 40 if kind == "verb" else 120, 4)
    assert set(task.evaluate()) == {f"{kind}_top1", f"{kind}_top5"}
    task.losses(batch)["loss"].backward()
    assert all(p.grad is not None for p in task.model.lfb.parameters() if p.requires_grad)  # type: ignore[union-attr]


def test_charades_in_two_stages(charades: Path, tmp_path: Path) -> None:
    """The second stage leaves the network as the first one made it."""
    first = ["lfb-charades", *data_of(charades, "--operator", "none", *SHORT), "--out", str(tmp_path / "1")]
    assert train(*first, "--evaluate-every", "1", "--json") == 0
    start = str(tmp_path / "1" / "best.safetensors")
    second = ["--weights", start, "--bank", str(charades / "bank"), "--steps", "2", "--batch", "2", *SMALL]
    assert train("lfb-charades", *data_of(charades, *second), "--out", str(tmp_path / "2"), "--json") == 0
    before, after = load_file(start), load_file(tmp_path / "2" / "final.safetensors")
    shared = [name for name in before if name.startswith("backbone.") and "num_batches" not in name]
    assert len(shared) > 100
    assert all(torch.equal(before[name], after[name]) for name in shared)
    assert any(name.startswith("lfb.layers.1") for name in after)


def test_a_killed_run_goes_on_with_the_same_weights(
    charades: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["--bank", str(charades / "bank"), "--freeze", "nothing", "--lr", "0.01"]
    base = data_of(charades, *words, "--weights", "untrained", "--steps", "3", "--batch", "2", *SMALL)

    def run(folder: str, workers: str) -> int:
        return train("lfb-charades", *base, "--out", str(tmp_path / folder), "--checkpoint-every", "1",
                     "--workers", workers, "--json")  # fmt: skip

    run("whole", "0")
    steps = 0

    class Death(BaseException):
        pass

    def dies(self: LFBTrainingTask, batch: object) -> object:
        nonlocal steps
        steps += 1
        if steps == 3:
            raise Death
        return losses(self, batch)  # type: ignore[arg-type]

    losses = LFBTrainingTask.losses
    with monkeypatch.context() as patch:
        patch.setattr(LFBTrainingTask, "losses", dies)
        with pytest.raises(Death):
            run("killed", "1")
    assert not (tmp_path / "killed" / loop.FINAL).exists()
    run("killed", "0")
    whole, killed = (load_file(tmp_path / name / loop.FINAL) for name in ("whole", "killed"))
    first = load_file(tmp_path / "whole" / "checkpoints" / "step-00000002" / "model.safetensors")
    assert all(torch.equal(whole[name], killed[name]) for name in whole)
    assert any(not torch.equal(whole[name], first[name]) for name in whole)


def test_a_bank_of_other_videos_is_refused_by_name(charades: Path, tmp_path: Path) -> None:
    make_bank(tmp_path / "bank", "charades", ["A1", "B1"], torch.arange(3.0).numpy())
    words = data_of(charades, "--bank", str(tmp_path / "bank"), "--freeze", "nothing", *SHORT)
    with pytest.raises(InputError, match=r"2 of 4 videos are not in bank .*: A2, B2"):
        task_of("lfb-charades", *words)


def test_missing_videos_are_named_and_left_out_on_request(charades: Path, tmp_path: Path) -> None:
    listing = tmp_path / "videos.csv"
    there = [("A1", "train"), ("B1", "test"), ("B2", "test")]
    listing.write_text("video_id,uri\n" + "".join(f"{v},{charades}/videos/{s}/{v}.mp4\n" for v, s in there))
    words = ["lfb-charades", "--annotations", str(charades / "annotations"), "--videos", str(listing)]
    alone = ["--operator", "none", *SHORT]
    with pytest.raises(InputError, match=r"1 of 2 videos of Charades_v1_train\.csv are not there: A2\. Give"):
        task_of(*words, *alone)
    task = task_of(*words, *alone, "--allow-missing")
    assert {number for step in range(4) for number in task.plan(step)} == {0}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--operator", "none", "--bank", "b"], "reads no bank"),
        (["--operator", "max", "--weights", "untrained", "--freeze", "nothing"], "give --bank, or --operator none"),
        (["--operator", "none", "--clip", "32"], "expected frames x distance"),
        (["--operator", "none", "--width", "0"], "--width 0"),
    ],
)
def test_options_that_contradict_each_other(charades: Path, words: list[str], message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        task_of("lfb-charades", *data_of(charades, *words))


def test_weights_are_never_untrained_in_silence() -> None:
    stage_2 = ModelOptions(task="charades", window_s=10, clip="32x4")
    with pytest.raises(TrainingError, match=r"give --weights RUN/best\.safetensors"):
        started_model(stage_2, stage_2.config(bank_dim=4, num_classes=157))
    frozen = ModelOptions(task="charades", window_s=10, clip="32x4", weights="untrained")
    with pytest.raises(TrainingError, match="nothing could be learnt"):
        started_model(frozen, frozen.config(bank_dim=4, num_classes=157))


def test_pixels_are_needed_and_annotations_are_named(charades: Path, tmp_path: Path) -> None:
    annotations = str(charades / "annotations")
    with pytest.raises(TrainingError, match="give --videos DIR, or --frames DIR"):
        task_of("lfb-charades", "--annotations", annotations, "--operator", "none", *SHORT)
    with pytest.raises(TrainingError, match=r"expected one file Charades_v1_train\.csv; there is none"):
        task_of("lfb-charades", *data_of(tmp_path, "--operator", "none", *SHORT))
