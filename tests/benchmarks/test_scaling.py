"""The scaling benchmark: what it reads from a run, the costs it fits, and the run it simulates."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.scaling import __main__ as command
from benchmarks.scaling.costs import Costs, StepCost, fit
from benchmarks.scaling.loads import Load, measured_loads, write_list
from benchmarks.scaling.results import Results
from benchmarks.scaling.runs import Call, Measured, StepSums, busy_shares, measure, phases, steady_speed, sums_of
from benchmarks.scaling.simulation import simulate
from pipeline.errors import InputError, PipelineError
from pipeline.video import segments as segmenter
from pipeline.video.probe import PacketIndex
from tests.pipeline.video.test_segments import measured_of


def step(call_s: float, second_s: float = 0.0, cold_s: float = 0.0) -> StepCost:
    return StepCost(call_s=call_s, second_s=second_s, cold_s=cold_s)


COSTS = Costs(
    steps={
        "probe": step(0.01, 0.001, 0.2),
        "extract": step(0.05, 0.05, 0.1),
        "finish shots": step(0.01, 0.002),
        "publish": step(0.02),
    },
    spawn_s=0.5,
    fixed_s=2.0,
    video_s=0.001,
    driver_call_s=0.001,
    contention=1.0,
    worker_mb=200,
    driver_mb=250,
)


def load(*videos: tuple[int, int], segment_s: int = 120) -> Load:
    return Load(name="of a test", videos=videos, segment_s=segment_s)


def costs(**seconds_of_a_call: float) -> Costs:
    """Nothing costs anything but calls of these steps."""
    free = {name: step(seconds_of_a_call.get(name, 0.0)) for name in COSTS.steps}
    return replace(COSTS, steps=free, spawn_s=0.0, fixed_s=0.0, video_s=0.0, driver_call_s=0.0)


# --- loads -----------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(seconds=st.integers(1, 300), segment_s=st.integers(1, 60))
def test_a_load_is_cut_as_the_segmenter_cuts_it(seconds: int, segment_s: int) -> None:
    pts = np.arange(25 * seconds)
    index = PacketIndex(pts=pts, key_pts=pts[::25], last_duration=1)
    original, segmenter._decodable = segmenter._decodable, lambda uri, cuts, limits: (cuts, 0)
    try:
        found, _ = segmenter.plan_segments("x", measured_of(pts, Fraction(1, 25)), index, segment_s)
    finally:
        segmenter._decodable = original
    expected = load((1, seconds), segment_s=segment_s).segments_of(seconds)
    assert [segment.num_frames / 25 for segment in found] == expected


def test_measured_loads_are_of_one_length_and_one_of_them_of_several_lengths() -> None:
    loads = measured_loads(6)
    assert {loads[name].video_s for name in ("mixed", "long", "short", "tiny")} == {26 * 6}
    mixed = [seconds for length in loads["mixed"].lengths_s for seconds in loads["mixed"].segments_of(length)]
    assert len(set(mixed)) > 1, "a line needs two lengths"


# --- what a run says -------------------------------------------------------------------------------------------


def call(name: str, worker: int, began_s: float, seconds: float, *, spawn_s: float = 0.0) -> Call:
    return Call(step=name, worker=worker, video_s=10.0, began_s=began_s, seconds=seconds, spawn_s=spawn_s)


TWO_WORKERS = [
    call("probe", 1, 1.0, 1.5, spawn_s=1.0),
    call("extract", 1, 3.0, 2.0, spawn_s=0.1),
    call("extract", 2, 3.0, 4.0, spawn_s=1.5),
    call("extract", 1, 5.0, 5.0),
    call("extract", 2, 7.0, 5.0),
    call("publish", 2, 12.0, 1.0),
]


def test_phases_busy_shares_and_the_steady_state() -> None:
    probe, work = phases(TWO_WORKERS)
    assert (probe, work) == ((1.0, 2.5), (3.0, 13.0))
    assert busy_shares(TWO_WORKERS, work) == [1.0, 0.7]
    # from 7 s, when worker 2 is done with its first, to 10 s, when worker 1 is done: 3/5 of two segments
    assert steady_speed(TWO_WORKERS) == pytest.approx((6 + 6) / 3)


def test_a_worker_with_one_segment_is_in_no_steady_state() -> None:
    with pytest.raises(PipelineError, match="larger load"):
        steady_speed(TWO_WORKERS[:3])


def test_the_first_call_of_a_step_counts_apart_without_the_start_of_its_process() -> None:
    found = sums_of(TWO_WORKERS)
    assert found["spawn_s"] == [1.0, 1.5]
    assert found["steps"]["extract"] == StepSums(
        calls=2, x=20.0, y=10.0, xx=200.0, xy=100.0, cold_calls=2, cold_x=20.0, cold_y=2.0 + 2.5
    )


# --- costs -----------------------------------------------------------------------------------------------------


def run_of(name: str, workers: int, videos: int, cost: Costs, slower: float = 1.0) -> Measured:
    """A run whose calls cost exactly that, with two workers all of them `slower` times as much."""
    calls: list[Call] = []
    lengths = [6.0 * (1 + number % 3) for number in range(videos)]
    for worker in range(workers):
        for kind, price in cost.steps.items():
            spawn_s = cost.spawn_s if kind == "probe" else 0.0
            for number, seconds in enumerate(lengths):
                spent_s = slower * (price.of(seconds) + (price.cold_s if not number else 0.0))
                spent_s += 0.0 if number else spawn_s
                calls.append(replace(call(kind, worker, len(calls), spent_s), video_s=seconds, spawn_s=spawn_s))
    return Measured(
        preset="hoghof", load=name, unit_s=6, workers=workers, round=0, videos=videos, video_s=sum(lengths),
        wall_s=cost.fixed_s + cost.video_s * videos + 30.0, probe_s=10.0, work_s=20.0, steady_video_s=1.0,
        busy=[1.0] * workers, calls=len(calls), cpu_s=1.0, driver_cpu_s=cost.driver_call_s * len(calls),
        worker_mb=cost.worker_mb, driver_mb=cost.driver_mb, other_share=0.0, idle_share=0.5, **sums_of(calls),
    )  # fmt: skip


RUNS = [run_of("mixed", 1, 12, COSTS), run_of("mixed", 2, 12, COSTS, slower=1.1), run_of("driver", 2, 300, COSTS)]


def test_fitting_gives_the_costs_back() -> None:
    found = fit("hoghof", RUNS)
    for name, price in COSTS.steps.items():
        assert vars(found.steps[name]) == pytest.approx(vars(price), abs=1e-9)
    for name in ("spawn_s", "fixed_s", "video_s", "driver_call_s"):
        assert getattr(found, name) == pytest.approx(getattr(COSTS, name))
    assert found.contention == pytest.approx(1.1)
    assert (found.worker_mb, found.driver_mb) == (200, 250)


def test_what_was_not_measured_is_named() -> None:
    with pytest.raises(InputError, match="'hoghof' on load 'driver' with 2 workers"):
        fit("hoghof", RUNS[:2])


# --- simulation ------------------------------------------------------------------------------------------------


def test_one_worker_does_one_thing_after_another() -> None:
    outcome = simulate(load((2, 10)), 1, COSTS)
    steps = COSTS.steps
    probe_s = 2 * steps["probe"].of(10) + steps["probe"].cold_s + COSTS.spawn_s
    work_s = sum(2 * price.of(10) + price.cold_s for name, price in steps.items() if name != "probe")
    fixed_s = COSTS.fixed_s + 2 * COSTS.video_s
    # the driver's part in a call delays the end only where no other call waits for the worker
    assert outcome.wall_s == pytest.approx(fixed_s + probe_s + work_s, abs=12 * COSTS.driver_call_s)
    assert outcome.call_s == pytest.approx(work_s)


def test_segments_of_one_video_reach_all_workers_and_its_last_steps_one() -> None:
    video = load((1, 80), segment_s=10)
    prices = costs(extract=1.0, publish=3.0)
    assert simulate(video, 1, prices).wall_s == pytest.approx(8 + 3)
    assert simulate(video, 8, prices).wall_s == pytest.approx(1 + 3)
    assert simulate(video, 64, prices).wall_s == pytest.approx(1 + 3)
    assert simulate(video, 8, prices).busy == pytest.approx((8 + 3) / (8 * 4))


def test_nothing_is_cut_before_all_videos_are_read() -> None:
    assert simulate(load((3, 10)), 2, costs(probe=1.0, extract=1.0)).wall_s == pytest.approx(2 + 2)


def test_a_bundle_does_its_jobs_one_after_another() -> None:
    """17 jobs in the 16 bundles of two workers: the one left over is dealt to the first bundle."""
    assert simulate(load((17, 10)), 2, costs(extract=1.0)).wall_s == pytest.approx(9)
    assert simulate(load((17, 10)), 32, costs(extract=1.0)).wall_s == pytest.approx(1)


def test_a_driver_that_has_its_hands_full_sets_the_pace() -> None:
    slow = replace(costs(extract=1.0), driver_call_s=0.5)
    outcome = simulate(load((1000, 10)), 64, slow)
    assert outcome.work_s == pytest.approx(3 * 1000 * 0.5, rel=0.01)
    assert outcome.driver_busy == pytest.approx(1.0, abs=0.01)
    assert outcome.busy < 0.05


def test_more_than_one_worker_cost_each_other_what_was_measured() -> None:
    prices = replace(costs(extract=1.0), contention=1.25)
    assert simulate(load((8, 10)), 1, prices).wall_s == pytest.approx(8.0)
    assert simulate(load((8, 10)), 2, prices).wall_s == pytest.approx(5.0)
    assert simulate(load((8, 10)), 2, prices, slower=2.0).wall_s == pytest.approx(8.0)


@settings(deadline=None, max_examples=60)
@given(
    videos=st.lists(st.tuples(st.integers(1, 6), st.integers(1, 60)), min_size=1, max_size=4),
    segment_s=st.integers(5, 30),
    workers=st.sampled_from([1, 2, 3, 8]),
)
def test_no_run_is_faster_than_its_work_allows_or_slower_than_one_worker(
    videos: list[tuple[int, int]], segment_s: int, workers: int
) -> None:
    work = load(*videos, segment_s=segment_s)
    prices = replace(COSTS, steps={name: replace(price, cold_s=0.0) for name, price in COSTS.steps.items()},
                     spawn_s=0.0, driver_call_s=0.0)  # fmt: skip
    outcome, alone = simulate(work, workers, prices), simulate(work, 1, prices)
    assert outcome.call_s == pytest.approx(alone.call_s), "the same work"
    assert outcome.call_s / workers <= outcome.work_s * (1 + 1e-9)
    assert outcome.wall_s <= alone.wall_s * (1 + 1e-9)
    assert 0 < outcome.busy <= 1 + 1e-9


# --- results and the command -----------------------------------------------------------------------------------


def test_results_come_back_from_their_file_and_give_a_prediction_for_each_kind_of_run(tmp_path: Path) -> None:
    results = Results(runs=list(RUNS))
    results.simulate()
    results.write(tmp_path / "results.json")
    assert Results.read(tmp_path / "results.json") == results
    assert {(row["load"], row["workers"]) for row in results.predicted} == {("mixed", 1), ("mixed", 2)}
    many = [row for row in results.simulated if row["load"] == "10,000 of 10 seconds"]
    assert [row["workers"] for row in many] == [1, 2, 4, 8, 16, 32, 64]
    for row in many:
        mb = row["workers"] * COSTS.worker_mb + COSTS.driver_mb
        assert row["gb_hours"] == pytest.approx(mb / 1024 * row["wall_s"] / 3600)


def test_a_run_beside_other_programs_does_not_count_and_is_replaced() -> None:
    results = Results()
    results.put(replace(RUNS[0], other_share=0.4))
    assert results.counted(contended=False) == []
    with pytest.raises(InputError, match="No run counts"):
        results.simulate()
    results.put(RUNS[0])
    assert results.counted(contended=False) == results.runs == [RUNS[0]]


def test_a_machine_at_work_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "load_of_others", lambda: 0.5)
    assert command.main(["measure", "--json", str(tmp_path / "results.json")]) == 1
    assert "Other programs use 50% of the processors" in capsys.readouterr().err
    assert not (tmp_path / "results.json").exists()
    assert command.main(["measure", "--contended"]) == 1
    assert "--json of its own" in capsys.readouterr().err


def test_measuring_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, str, str, int]] = []
    breaks = {3, 4}

    def measured(folder: Path, number: int, preset: str, name: str, workers: int) -> Measured:
        if len(asked) in breaks:
            breaks.remove(len(asked))
            raise PipelineError("broken off")
        asked.append((number, preset, name, workers))
        return replace(RUNS[0], round=number, preset=preset, load=name, workers=workers, unit_s=command.UNIT_S[preset])

    monkeypatch.setattr(command, "load_of_others", lambda: 0.0)
    monkeypatch.setattr(command, "_measured", measured)
    path = tmp_path / "results.json"
    for _ in range(2):
        with pytest.raises(PipelineError, match="broken off"):
            command.measure_all(path, rounds=2, minutes=1, contended=False)
    command.measure_all(path, rounds=2, minutes=1, contended=False)
    assert asked == list(command.wanted(2)), "each once"


def test_a_real_run_is_taken_apart(tmp_path: Path) -> None:
    small = load((3, 2))
    facts = measure(small, write_list(small, tmp_path), preset="hoghof", options=("--only", "shots"), workers=1)
    found = Measured(preset="hoghof", load="small", unit_s=2, workers=1, round=0, **facts)
    assert (found.videos, found.video_s, found.calls) == (3, 6.0, 3 * 4)
    assert list(found.steps) == ["probe", "extract", "finish shots", "publish"]
    assert all(sums.calls == 2 and sums.cold_calls == 1 for sums in found.steps.values())
    assert 0 < found.probe_s + found.work_s < found.wall_s
    assert 0 < found.driver_cpu_s < found.cpu_s
    assert 0.5 < found.busy[0] <= 1
    assert found.worker_mb > 50
    assert 0 <= found.idle_share <= 1
