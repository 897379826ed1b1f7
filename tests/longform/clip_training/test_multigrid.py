"""Multigrid's schedule, against PySlowFast's of three data sets and the thesis's own setting."""

import json
import pickle
from dataclasses import asdict, replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longform.clip_training.multigrid import CYCLES, Multigrid
from longform.clip_training.shapes import StepShape
from longform.training.errors import TrainingError
from longform.training.schedules import CosineSchedule, StepSchedule

KINETICS_VIDEOS = 240_436

FULL = StepShape(batch=64, frames=32, stride=2, max_stride=2, size=224, short_side=(256, 320), bn_clips=8)


def in_epochs(videos: int, drops: tuple[int, ...], end: int, warmup: int, **others: object) -> Multigrid:
    """A baseline whose drops and end are given in epochs."""
    clips: StepShape = others.pop("clips", FULL)  # type: ignore[assignment]
    lr: float = others.pop("lr", 0.1)  # type: ignore[assignment]

    def steps(epochs: int) -> int:
        return round(epochs * videos / clips.batch)

    baseline = StepSchedule(
        lr=lr, drops=tuple(map(steps, drops)), warmup_steps=steps(warmup), warmup_lr=0.01 if warmup else 0.0
    )
    return Multigrid(baseline=baseline, baseline_steps=steps(end), clips=clips, epoch=videos, **others)  # type: ignore[arg-type]


def kinetics(**others: object) -> Multigrid:
    return in_epochs(KINETICS_VIDEOS, (94, 154, 196), 239, 34, **others)


def thesis(**others: object) -> Multigrid:
    """128 GPUs with 4 clips each (thesis, section 6.2)."""
    settings: dict[str, object] = {
        "baseline": StepSchedule(lr=0.8, drops=(44_000, 72_000, 92_000), warmup_steps=16_000, warmup_lr=0.002),
        "baseline_steps": 112_000,
        "clips": replace(FULL, batch=512, short_side=(256, 340)),
    }
    return Multigrid(**(settings | others))  # type: ignore[arg-type]


KINETICS_ROWS = (
    (0, 73, 512, 8, 8, 158, 0.8, 25.7),
    (73, 110, 256, 16, 4, 158, 0.4, 26.1),
    (110, 142, 128, 16, 4, 224, 0.2, 25.8),
    (142, 158, 64, 32, 2, 224, 0.1, 25.8),
    (158, 205, 512, 8, 8, 158, 0.08, 16.6),
    (205, 228, 256, 16, 4, 158, 0.04, 16.2),
    (228, 248, 128, 16, 4, 224, 0.02, 16.1),
    (248, 259, 64, 32, 2, 224, 0.01, 17.7),
    (259, 291, 512, 8, 8, 158, 0.008, 11.3),
    (291, 308, 256, 16, 4, 158, 0.004, 12.0),
    (308, 322, 128, 16, 4, 224, 0.002, 11.3),
    (322, 329, 64, 32, 2, 224, 0.001, 11.3),
)
"""SLOWFAST_8x8_R50_stepwise_multigrid of PySlowFast: epochs, batch, frames, largest stride, crop, rate, 1000 steps."""


def test_kinetics_is_pyslowfasts_schedule_row_by_row() -> None:
    schedule = kinetics()
    *cycles, first_half, second_half = schedule.phases
    assert len(cycles) == len(KINETICS_ROWS)
    for phase, row in zip(cycles, KINETICS_ROWS, strict=True):
        begins, ends, batch, frames, stride, crop, lr, thousands = row
        base = phase.shapes[0]
        assert [phase.first_example / KINETICS_VIDEOS, phase.end_example / KINETICS_VIDEOS] == pytest.approx(
            [begins, ends], abs=0.01
        )
        assert (base.batch, base.frames, base.max_stride, base.size) == (batch, frames, stride, crop)
        assert schedule(phase.end_step - 1) == pytest.approx(lr)
        assert phase.steps / 1000 == pytest.approx(thousands, abs=0.06)
    assert [phase.end_example / KINETICS_VIDEOS for phase in (first_half, second_half)] == pytest.approx(
        [343, 358], abs=0.01
    )
    assert [schedule(phase.first_step) for phase in (first_half, second_half)] == pytest.approx([0.001, 0.0001])
    assert (first_half.steps + second_half.steps) / 1000 == pytest.approx(46.7, abs=0.06)
    assert round(schedule.steps / 1000) == 262
    assert schedule.baseline_steps / schedule.steps == pytest.approx(3.42, abs=0.005)


def test_kinetics_short_cycles() -> None:
    phases = kinetics().phases
    per_gpu = [{shape.size: shape.batch // 8 for shape in phase.shapes} for phase in phases[:4]]
    assert per_gpu == [{158: 64, 112: 128}, {158: 32, 112: 64}, {224: 16, 158: 32, 112: 64}, {224: 8, 158: 16, 112: 32}]
    assert [shape.size for shape in phases[0].shapes] == [158, 158, 112]
    assert [shape.size for shape in phases[2].shapes] == [224, 158, 112]
    assert [shape.short_side for shape in phases[2].shapes] == [(256, 320), (181, 320), (128, 320)]
    assert [shape.bn_clips for shape in phases[0].shapes] == [8, 8, 16]
    assert [shape.bn_clips for shape in phases[-1].shapes] == [8, 16, 32]
    assert {(shape.frames, shape.stride, shape.max_stride) for phase in phases for shape in phase.shapes} == {
        (8, 2, 8), (16, 2, 4), (32, 2, 2)
    }  # fmt: skip


def test_warm_up_lasts_as_many_clips_as_the_baselines() -> None:
    schedule = kinetics()
    ends = next(step for step in range(schedule.steps) if schedule.first_example(step) >= 34 * KINETICS_VIDEOS)
    assert schedule(0) == 0.01
    assert [schedule(ends // 2), schedule(ends)] == pytest.approx([0.405, 0.8], rel=1e-3)
    assert ends == pytest.approx(34 * KINETICS_VIDEOS / (512 * 4 / 3), abs=2)


@pytest.mark.parametrize(
    ("videos", "drops", "end", "expected"),
    [
        (7_985, (41, 49), 57, [31, 47, 60, 67, 73, 76, 79, 80, 83, 86]),
        (168_913, (14, 18), 22, [11, 16, 21, 24, 27, 28, 30, 31, 33]),
    ],
    ids=["charades", "ssv2"],
)
def test_epochs_of_the_small_data_sets(videos: int, drops: tuple[int, ...], end: int, expected: list[int]) -> None:
    """In Something-Something the last phase of cycle 2 has no epoch."""
    schedule = in_epochs(videos, drops, end, 0, clips=replace(FULL, batch=16, frames=64), lr=0.03)
    assert [phase.end_example / videos for phase in schedule.phases] == pytest.approx(expected, abs=0.06)
    assert all(later.first_step == earlier.end_step for earlier, later in pairwise(schedule.phases))


def test_thesis_setting() -> None:
    schedule = thesis()
    saving, fine_tuned = 23 / 4, 20 / 112
    expected = saving * (1 - fine_tuned + fine_tuned * 7 / 3 / saving) / 1.5
    assert schedule.baseline_steps / schedule.steps == pytest.approx(expected, rel=5e-4)
    assert expected == pytest.approx(3.427, abs=5e-4)
    assert schedule.phases[-1].end_example == pytest.approx(1.5 * 112_000 * 512, rel=1e-3)
    assert [schedule.shape(step).batch for step in range(3)] == [4096, 4096, 8192]
    for cycle, lr in ((1, 0.8), (2, 0.08), (3, 0.008)):
        phases = [phase for phase in schedule.phases if phase.name == f"cycle {cycle}"]
        assert [phase.long_factor for phase in phases] == [8, 4, 2, 1]
        assert max(phase.steps for phase in phases) - min(phase.steps for phase in phases) <= 3
        assert [schedule(phase.end_step - 1) for phase in phases] == pytest.approx([8 * lr, 4 * lr, 2 * lr, lr])


def test_every_stage_keeps_its_share_of_the_steps() -> None:
    schedule = thesis()
    stages = [(0, 44_000, "cycle 1"), (44_000, 72_000, "cycle 2"), (72_000, 92_000, "cycle 3")]
    for start, end, name in [*stages, (92_000, 112_000, "fine-tune")]:
        steps = sum(phase.steps for phase in schedule.phases if phase.name == name)
        assert steps / schedule.steps == pytest.approx((end - start) / 112_000, rel=2e-3)


def test_long_cycle_only() -> None:
    schedule = thesis(**CYCLES["long"])
    factors = [8, 4, 2, 1] * 3 + [1, 1]
    assert [phase.long_factor for phase in schedule.phases] == factors
    assert all(len(phase.shapes) == 1 and phase.shapes[0].bn_clips == 8 for phase in schedule.phases)
    assert schedule.baseline_steps / schedule.steps == pytest.approx((92 / 112 * 15 / 4 + 20 / 112) / 1.5, rel=1e-3)


def test_short_cycle_only_is_the_baseline_stretched() -> None:
    schedule = thesis(**CYCLES["short"])
    assert schedule.baseline_steps / schedule.steps == pytest.approx(7 / 3 / 1.5, rel=1e-3)
    assert [phase.end_example / 512 for phase in schedule.phases] == pytest.approx(
        [66_000, 108_000, 138_000, 168_000], rel=1e-3
    )
    assert [schedule(phase.end_step - 1) for phase in schedule.phases] == pytest.approx([0.8, 0.08, 0.008, 0.0008])
    assert [schedule.shape(step).size for step in range(4)] == [224, 158, 112, 224]


def test_without_cycles_it_is_the_baseline() -> None:
    schedule = thesis(long_shapes=1, short_shapes=1, epoch_factor=1.0)
    assert schedule.steps == 112_000
    for step in (0, 8_000, 16_000, 43_999, 44_000, 92_000, 111_999):
        assert schedule(step) == pytest.approx(schedule.baseline(step))
        assert schedule.shape(step) == schedule.clips
        assert schedule.first_example(step) == 512 * step


def test_cosine_goes_down_with_the_clips_seen() -> None:
    cosine = CosineSchedule(lr=0.8, steps=112_000)
    schedule = thesis(baseline=cosine)
    for phase in schedule.phases:
        middle = phase.first_step + phase.steps // 2
        seen = schedule.first_example(middle) / schedule.phases[-1].end_example
        assert schedule(middle) == pytest.approx(phase.long_factor * cosine(round(seen * 112_000)), rel=1e-3)
    assert [phase.name for phase in schedule.phases] == [
        name for name in ("cycle 1", "cycle 2", "cycle 3") for _ in range(4)
    ] + ["fine-tune"] * 2
    assert schedule(schedule.steps) == pytest.approx(0, abs=1e-12)


def test_one_long_cycle_over_the_whole_run() -> None:
    schedule = thesis(single_cycle=True)
    assert [phase.long_factor for phase in schedule.phases] == [8, 4, 2, 1]
    assert schedule.baseline_steps / schedule.steps == pytest.approx(5.75 / 1.5, rel=1e-3)
    drop = next(step for step in range(1, schedule.steps) if schedule(step) < schedule(step - 1) / 9)
    assert schedule.first_example(drop) == pytest.approx(1.5 * 44_000 * 512, rel=1e-3)


def test_table_has_the_phases_of_so_many_steps() -> None:
    schedule = kinetics()
    rows = schedule.table(schedule.steps)
    assert [row["phase"] for row in rows] == [phase.name for phase in schedule.phases]
    assert rows[0] == {
        "phase": "cycle 1", "from_step": 0, "to_step": 25_710,
        "from_epoch": 0.0, "to_epoch": pytest.approx(73, abs=0.01), "first_lr": 0.01, "last_lr": pytest.approx(0.8),
        "batch": 512, "frames": 8, "strides": "2-8", "size": 158,
        "short_cycle": "512 x 158 (BN 8), 512 x 158 (BN 8), 1024 x 112 (BN 16)",
    }  # fmt: skip
    assert [row["to_step"] for row in schedule.table(30_000)] == [25_710, 30_000]
    assert schedule.table(schedule.steps + 5)[-1]["to_step"] == schedule.steps + 5


def test_is_a_record_of_itself() -> None:
    schedule = thesis()
    assert pickle.loads(pickle.dumps(schedule)) == schedule  # noqa: S301
    assert json.loads(json.dumps(asdict(schedule)))["baseline"]["drops"] == [44_000, 72_000, 92_000]


@settings(max_examples=60, deadline=None)
@given(
    drops=st.lists(st.integers(1, 2_999), min_size=1, max_size=4, unique=True).map(sorted),
    long_shapes=st.integers(1, 4),
    short_shapes=st.integers(1, 3),
    factor=st.floats(0.3, 3),
    epoch=st.none() | st.integers(1, 5_000),
    single=st.booleans(),
)
def test_clips_add_up_whatever_the_settings(
    drops: list[int], long_shapes: int, short_shapes: int, factor: float, epoch: int | None, single: bool
) -> None:
    baseline = StepSchedule(lr=0.1, drops=tuple(drops))
    schedule = Multigrid(baseline=baseline, baseline_steps=3_000, clips=FULL, long_shapes=long_shapes, epoch=epoch,
                         short_shapes=short_shapes, epoch_factor=factor, single_cycle=single)  # fmt: skip
    seen, work = 0, FULL.frames * FULL.size**2 * FULL.batch
    for step in range(0, schedule.steps):
        assert schedule.first_example(step) == seen
        shape = schedule.shape(step)
        assert shape.batch * shape.frames * shape.size**2 == pytest.approx(work, rel=0.02)
        assert shape.batch % shape.bn_clips == 0
        seen += shape.batch
    slack = sum(shape.batch for shape in schedule.phases[0].shapes) * len(schedule.phases) + (epoch or 0)
    assert seen == pytest.approx(factor * 3_000 * FULL.batch, abs=slack)


def test_what_cannot_work_is_refused() -> None:
    step = StepSchedule(lr=0.1, drops=(50,))
    good = {"baseline": step, "baseline_steps": 3_000, "clips": FULL}
    for others, message in (
        ({"long_shapes": 5}, "long_shapes: expected 1 to 4, got 5"),
        ({"short_shapes": 0}, "short_shapes: expected 1 to 3, got 0"),
        ({"epoch_factor": 0.0}, "epoch_factor: expected a number above 0"),
        ({"clips": replace(FULL, frames=30)}, "divides clips by 4, and they have 30 frames"),
        ({"baseline": replace(step, drops=(3_000,))}, "a rate that drops before step 3000"),
        ({"baseline": CosineSchedule(lr=0.1, steps=50)}, "cosine ends after 50 steps"),
        ({"baseline": replace(step, warmup_steps=5_000)}, "too few for a warm-up over 320000 clips"),
        ({"baseline_steps": 1, "baseline": StepSchedule(lr=0.1), **CYCLES["short"]}, "too few for any cycle"),
    ):
        with pytest.raises(TrainingError, match=message):
            Multigrid(**(good | others))  # type: ignore[arg-type]
