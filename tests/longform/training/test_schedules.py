"""Learning rates, against values worked out from the papers' recipes."""

import math

import pytest
import torch

from longform.training.errors import TrainingError
from longform.training.schedules import CosineSchedule, LinearSchedule, StepSchedule


def test_steps_with_warmup_as_lfb_on_ava() -> None:
    schedule = StepSchedule(lr=0.04, drops=(100_000, 120_000), warmup_steps=2000, warmup_lr=0.01)
    found = [schedule(step) for step in (0, 1000, 1999, 2000, 99_999, 100_000, 119_999, 120_000, 139_999)]
    assert found == pytest.approx([0.01, 0.025, 0.039985, 0.04, 0.04, 0.004, 0.004, 0.0004, 0.0004])
    assert schedule.table(140_000) == [
        {"from_step": 0, "to_step": 2000, "first_lr": 0.01, "last_lr": pytest.approx(0.039985)},
        {"from_step": 2000, "to_step": 100_000, "first_lr": 0.04, "last_lr": 0.04},
        {"from_step": 100_000, "to_step": 120_000, "first_lr": pytest.approx(0.004), "last_lr": pytest.approx(0.004)},
        {"from_step": 120_000, "to_step": 140_000, "first_lr": pytest.approx(4e-4), "last_lr": pytest.approx(4e-4)},
    ]


def test_linear_equals_transformers() -> None:
    transformers = pytest.importorskip("transformers")
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2e-5)
    theirs = transformers.get_linear_schedule_with_warmup(optimiser, num_warmup_steps=10, num_training_steps=100)
    ours = LinearSchedule(lr=2e-5, steps=100, warmup_steps=10)
    for step in range(101):
        assert ours(step) == pytest.approx(theirs.get_last_lr()[0], abs=1e-18)
        optimiser.step()
        theirs.step()


def test_cosine_with_warmup_as_slowfast() -> None:
    schedule = CosineSchedule(lr=0.1, steps=196, warmup_steps=34, warmup_lr=0.01)
    top = 0.05 * (1 + math.cos(math.pi * 34 / 196))
    assert schedule(0) == pytest.approx(0.01)
    assert schedule(17) == pytest.approx((0.01 + top) / 2)
    assert schedule(34) == pytest.approx(top)
    assert schedule(98) == pytest.approx(0.05)
    assert schedule(196) == schedule(500) == pytest.approx(0.0)


@pytest.mark.parametrize(
    "make",
    [
        lambda: StepSchedule(lr=0.0),
        lambda: StepSchedule(lr=0.1, drops=(20, 10)),
        lambda: LinearSchedule(lr=0.1, steps=10, warmup_steps=10),
        lambda: CosineSchedule(lr=math.nan, steps=10),
    ],
)
def test_what_cannot_be_is_refused(make: object) -> None:
    with pytest.raises(TrainingError, match="Schedule"):
        make()  # type: ignore[operator]


def test_rows_of_a_table_cover_every_step_once() -> None:
    for schedule in (
        StepSchedule(lr=0.1, drops=(3, 50)),
        LinearSchedule(lr=0.1, steps=20, warmup_steps=2),
        CosineSchedule(lr=0.1, steps=7, warmup_steps=3),
    ):
        rows = schedule.table(20)
        assert [row["to_step"] for row in rows[:-1]] == [row["from_step"] for row in rows[1:]]
        assert (rows[0]["from_step"], rows[-1]["to_step"]) == (0, 20)
