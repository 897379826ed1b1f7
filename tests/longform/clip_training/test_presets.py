"""Published recipes: their numbers, and how they follow batch, list and length."""

import pytest

from extractors.backbones.catalog import build_backbone
from extractors.weights.cards import CARDS
from longform.clip_training.presets import KINETICS_VIDEOS, PRESETS, preset_named
from longform.clip_training.sampling import SAMPLINGS
from longform.training.errors import TrainingError


def fitted(name: str, **given):
    preset = PRESETS[name]
    return preset.fitted(
        videos=given.pop("videos", preset.videos),
        **{"batch": None, "lr": None, "steps": None, "epochs": None, **given},
    )


def test_kinetics_as_published() -> None:
    run = fitted("kinetics")
    assert (run.batch, run.lr, run.drops, run.warmup_lr) == (64, 0.1, None, 0.01)
    assert run.steps == round(196 * 240_436 / 64)
    assert run.warmup_steps == round(34 * 240_436 / 64)


def test_the_paper_and_the_released_configuration_agree_by_the_linear_rule() -> None:
    """8 k steps of warm-up, 1.6 and 1024 clips; 0.1 and 64."""
    paper, scaled = fitted("kinetics-paper"), fitted("kinetics", batch=1024)
    assert (paper.batch, paper.lr) == (scaled.batch, scaled.lr) == (1024, 1.6)
    assert paper.steps == scaled.steps
    assert abs(paper.warmup_steps - 8000) < 10


def test_drops_are_at_the_published_epochs() -> None:
    run = fitted("kinetics-stepwise")
    assert run.drops is not None
    epoch = KINETICS_VIDEOS / 64
    assert [round(drop / epoch, 2) for drop in run.drops] == [94, 154, 196]
    nonlocal_run = fitted("nonlocal")
    assert (nonlocal_run.steps, nonlocal_run.drops, nonlocal_run.lr) == (400_000, (150_000, 300_000), 0.01)
    four_gpus = fitted("nonlocal", batch=32)
    assert (four_gpus.steps, four_gpus.drops, four_gpus.lr) == (800_000, (300_000, 600_000), 0.005)
    long = fitted("nonlocal-long")
    assert (long.batch, long.lr, long.steps) == (16, 0.0025, 400_000)


def test_everything_stretches_with_the_length() -> None:
    run = fitted("charades", videos=320, steps=570)
    assert (run.steps, run.drops, run.warmup_steps, run.lr) == (570, (410, 490), 40, 0.0375)
    assert fitted("charades", videos=320, epochs=5.7).drops == (82, 98)
    assert fitted("charades", videos=320, steps=4).drops == (3, 4)
    assert fitted("charades", lr=0.01).warmup_lr == pytest.approx(1e-4 * 0.01 / 0.0375)


@pytest.mark.parametrize("given", [{"batch": 0}, {"steps": -1}, {"lr": 0.0}, {"steps": 5, "epochs": 1.0}])
def test_numbers_that_cannot_work(given) -> None:
    with pytest.raises(TrainingError, match="--"):
        fitted("kinetics", **given)


@pytest.mark.parametrize("name", PRESETS)
def test_every_recipe_names_a_network_and_weights_that_there_are(name: str) -> None:
    import torch

    preset = PRESETS[name]
    with torch.device("meta"):
        network = build_backbone(preset.model, **preset.options)
    assert preset.sampling in SAMPLINGS
    assert network.num_frames * network.stride in (64, 128)
    assert preset.start is None or " " in preset.start or preset.start in CARDS
    assert preset.size <= preset.short_side[0] <= preset.short_side[1]


def test_another_name() -> None:
    with pytest.raises(TrainingError, match="--recipe x: expected one of kinetics,"):
        preset_named("x")
