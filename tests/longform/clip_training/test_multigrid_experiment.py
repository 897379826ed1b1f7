"""The multigrid experiment on generated videos: small trainings, their times and the stored results."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.motions.classes import MotionClass
from benchmarks.multigrid import __main__ as command
from benchmarks.multigrid.experiment import BASELINE, CONDITIONS, QUICK, SHORTER, Sizes, Videos, run
from benchmarks.multigrid.results import Results, plot, show, top1, training_cpu
from benchmarks.multigrid.videos import videos_of
from longform.clip_training.augmentation import CropRule
from longform.clip_training.multigrid import Multigrid
from pipeline.errors import InputError

CLASSES = (MotionClass("pan_left", "dots"), MotionClass("zoom_in", "rings"))

TINY = replace(QUICK, train_videos=16, test_videos=4, video_px=40, crop_px=32, least_side_px=36)


@pytest.fixture(scope="module")
def videos() -> Videos:
    return Videos(TINY, seed=0)


def test_videos_are_those_of_their_seed() -> None:
    def first(seed: int) -> np.ndarray:
        source = videos_of(CLASSES, 2, seed=[seed, 0], frames=2, size=32)
        assert source.labels(1, 0, 1) == 1
        return source.read(0, np.arange(2), CropRule(flip=False).centre(32, 32))

    assert np.array_equal(first(5), first(5))
    assert not np.array_equal(first(5), first(6))


def test_conditions_differ_in_cycles_and_steps() -> None:
    sizes = Sizes()
    found = {name: sizes.schedule(name) for name in CONDITIONS}
    ratios = {name: sizes.steps / steps for name, (_, steps) in found.items()}
    assert (
        ratios[SHORTER] == ratios["both cycles"] > ratios["long cycle"] > ratios["short cycle"] > ratios[BASELINE] == 1
    )
    assert ratios["short cycle"] == pytest.approx(7 / 3 / 1.5, rel=0.01)
    for name, (long_shapes, short_shapes) in {
        "short cycle": (1, 3), "long cycle": (4, 1), "both cycles": (4, 3)
    }.items():  # fmt: skip
        schedule, steps = found[name]
        assert isinstance(schedule, Multigrid)
        assert (schedule.long_shapes, schedule.short_shapes) == (long_shapes, short_shapes)
        assert schedule.first_example(steps) == pytest.approx(1.5 * sizes.steps * sizes.batch, rel=0.03)


def test_a_training_accounts_for_its_steps_and_times(videos: Videos, tmp_path: Path) -> None:
    found = run("both cycles", videos, tmp_path, TINY, seed=1)
    schedule, steps = TINY.schedule("both cycles")
    assert found["steps"] == steps == sum(shape["steps"] for shape in found["by_shape"])
    assert found["clips"] == sum(shape["steps"] * shape["batch"] for shape in found["by_shape"])
    expected = {(shape.batch, shape.frames, shape.size) for shape in map(schedule.shape, range(steps))}
    assert {(shape["batch"], shape["frames"], shape["size"]) for shape in found["by_shape"]} == expected
    spent = {kind: found[kind]["cpu_s"] for kind in ("training", "reading", "evaluation")}
    assert 0 < spent["reading"] < spent["training"]
    assert spent["evaluation"] > 0
    assert sum(shape["cpu_s"] for shape in found["by_shape"]) == pytest.approx(spent["training"], abs=0.1)
    assert 0 <= found["top1"] <= 100


def test_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained: list[tuple[str, int]] = []

    def fake(
        condition: str, videos: Videos, folder: Path, sizes: Sizes, *, seed: int, device: str
    ) -> dict[str, object]:
        trained.append((condition, seed))
        if len(trained) == 3:
            raise KeyboardInterrupt
        return _run(condition, seed, top1=50.0, cpu_s=1.0)

    monkeypatch.setattr("benchmarks.multigrid.__main__.run", fake)
    with pytest.raises(KeyboardInterrupt):
        command.measure(tmp_path / "out", TINY, [0], CONDITIONS, "cpu")
    command.measure(tmp_path / "out", TINY, [0], CONDITIONS, "cpu")
    assert trained == [(CONDITIONS[i], 0) for i in (0, 1, 2, 2, 3, 4)]
    command.collect(tmp_path / "out", TINY, tmp_path / "all.json")
    stored = Results.read(tmp_path / "all.json")
    assert stored.sizes == TINY
    assert stored.conditions == list(CONDITIONS)
    with pytest.raises(InputError, match="other sizes"):
        command.measure(tmp_path / "out", QUICK, [0], CONDITIONS, "cpu")


def _run(condition: str, seed: int, *, top1: float, cpu_s: float) -> dict[str, object]:
    times = {"cpu_s": cpu_s, "wall_s": 2 * cpu_s}
    counts = {"steps": 10, "clips": 80, "by_shape": []}
    return {"condition": condition, "seed": seed, "top1": top1, **counts, "training": times, "reading": times,
            "evaluation": times}  # fmt: skip


def test_ratios_are_of_the_same_seed(capsys: pytest.CaptureFixture[str]) -> None:
    runs = [_run(BASELINE, 0, top1=50, cpu_s=10), _run(BASELINE, 1, top1=60, cpu_s=40),
            _run("both cycles", 0, top1=52, cpu_s=5), _run("both cycles", 1, top1=62, cpu_s=10)]  # fmt: skip
    results = Results(sizes=TINY, runs=runs)
    ratio = results.over_baseline("both cycles", training_cpu)
    assert (ratio.mean, ratio.error) == pytest.approx((3, 1))
    assert results.of("both cycles", top1).mean == pytest.approx(57)
    show(results)
    printed = capsys.readouterr().out
    assert "57.0 ± 5.0" in printed
    assert "3.00 ± 1.00" in printed
    svg = plot(results)
    assert svg.count("<circle") == 2
    with pytest.raises(InputError, match="No seed has both"):
        results.over_baseline("long cycle", top1)


def test_stored_results_are_whole() -> None:
    """What docs/multigrid.md reports: every training with three seeds, of the sizes that a run has now."""
    results = Results.read(command.STORED)
    assert results.sizes == Sizes()
    assert sorted((run["condition"], run["seed"]) for run in results.runs) == sorted(
        (condition, seed) for condition in CONDITIONS for seed in (0, 1, 2)
    )


def test_multigrid_is_as_good_as_the_baseline_and_faster() -> None:
    results = Results.read(command.STORED)
    accuracy = {name: results.of(name, top1) for name in CONDITIONS}
    for name in ("short cycle", "long cycle", "both cycles"):
        assert accuracy[name].mean > accuracy[BASELINE].mean - 1
    assert accuracy[SHORTER].high < accuracy["both cycles"].low
    faster = [results.over_baseline(name, training_cpu).mean for name in ("both cycles", "long cycle", "short cycle")]
    assert faster[0] > 3
    assert faster == sorted(faster, reverse=True)
    assert faster[-1] > 1


def test_what_is_no_result_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    path.write_text(json.dumps({"runs": []}))
    with pytest.raises(InputError, match="has no results of the experiment"):
        Results.read(path)
