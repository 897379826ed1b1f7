"""Time is given to the stage that was at work, and the spans of a trace cover all of it."""

import pytest

from pipeline import timing
from pipeline.timing import BETWEEN, SLICE_S, StageClock


class Clock:
    """Time that passes only when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def perf_counter(self) -> float:
        return self.now

    def time(self) -> float:
        return 1e9 + self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(timing, "time", made)
    return made


def work(stages: StageClock, clock: Clock, turns: list[tuple[str, float]]) -> None:
    for stage, seconds in turns:
        stages.switch(stage)
        clock.now += seconds


def test_turns_of_a_stage_add_up(clock: Clock) -> None:
    stages = StageClock(keeps_spans=False)
    clock.now += 0.25
    work(stages, clock, [("decode", 0.5), ("shots", 0.125)] * 3)
    times = stages.stop()
    assert times.stage_s == {BETWEEN: 0.25, "decode": 1.5, "shots": 0.375}
    assert times.spans == ()


def test_spans_follow_one_another_and_sum_to_the_stages(clock: Clock) -> None:
    stages = StageClock(keeps_spans=True)
    work(stages, clock, [("decode", 1 / 64), ("shots", 1 / 32)] * 64)
    times = stages.stop()
    assert len(times.spans) == pytest.approx(2 * 3.0 / SLICE_S, abs=3)
    end_s = times.spans[0].start_s
    for span in times.spans:
        assert span.start_s == pytest.approx(end_s, abs=1e-6)
        end_s = span.start_s + span.duration_s
    for stage, seconds in times.stage_s.items():
        assert sum(span.duration_s for span in times.spans if span.name == stage) == pytest.approx(seconds)
    assert end_s == pytest.approx(1e9 + clock.now, abs=1e-6)


def test_a_block_is_counted_as_another_stage(clock: Clock) -> None:
    timing.start(keeps_spans=False)
    timing.switch("shots")
    clock.now += 1.0
    with timing.counted_as("write"):
        clock.now += 2.0
    clock.now += 0.25
    with pytest.raises(ZeroDivisionError), timing.counted_as("write"):
        clock.now /= 0
    clock.now += 0.25
    assert timing.stop().stage_s == {BETWEEN: 0.0, "shots": 1.5, "write": 2.0}


def test_nothing_is_timed_outside_of_a_call() -> None:
    timing.switch("shots")
    with timing.counted_as("write"):
        pass
    assert timing.stop().stage_s == {}
