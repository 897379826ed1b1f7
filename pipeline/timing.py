"""Where the time of a call goes: seconds by stage, and spans of time for a trace.

A step says at every change what it is at, through `isolation.beat` or `counted_as`; the time up to the next change
belongs to that stage. Stages take turns many times a second, so spans are not single turns: the turns of a stage
within a slice of `SLICE_S` are drawn as one span, and the spans of a slice one behind the other.
"""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

SLICE_S = 0.5
BETWEEN = "start"
"""What a call is at before it says anything: starting the process, imports, handing over the job."""


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time, in seconds since 1970."""

    name: str
    start_s: float
    duration_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Times:
    """What a call took."""

    stage_s: dict[str, float] = field(default_factory=dict)
    """Seconds by stage; their sum is the length of the call."""
    spans: tuple[Span, ...] = ()


class StageClock:
    """Adds up the time between changes of stage."""

    def __init__(self, *, keeps_spans: bool) -> None:
        self._totals: dict[str, float] = {}
        self._spans: list[Span] = []
        self._keeps_spans = keeps_spans
        self._stage, self._since = BETWEEN, time.perf_counter()
        self._epoch = time.time() - self._since
        self._begin_slice()

    def switch(self, stage: str) -> str:
        """From now on `stage` is at work; the stage that was before."""
        now, before = time.perf_counter(), self._stage
        self._totals[before] = self._totals.get(before, 0.0) + now - self._since
        self._stage, self._since = stage, now
        if now >= self._slice_end:
            self._end_slice()
        return before

    def stop(self) -> Times:
        """The times up to now."""
        self.switch(BETWEEN)
        if self._keeps_spans:
            self._end_slice()
        return Times(stage_s=dict(self._totals), spans=tuple(self._spans))

    def _begin_slice(self) -> None:
        self._slice_start, self._before_slice = self._since, dict(self._totals)
        self._slice_end = self._since + SLICE_S if self._keeps_spans else math.inf

    def _end_slice(self) -> None:
        start_s = self._epoch + self._slice_start
        for stage, total_s in self._totals.items():
            duration_s = total_s - self._before_slice.get(stage, 0.0)
            if duration_s > 0:
                self._spans.append(Span(stage, start_s, duration_s))
                start_s += duration_s
        self._begin_slice()


_clock: StageClock | None = None


def start(*, keeps_spans: bool) -> None:
    """Begin to time a call of this process."""
    global _clock
    _clock = StageClock(keeps_spans=keeps_spans)


def stop() -> Times:
    """End the call that `start` began."""
    global _clock
    clock, _clock = _clock, None
    return clock.stop() if clock is not None else Times()


def switch(stage: str) -> None:
    """Say that `stage` is at work from now on; nothing where no call is timed."""
    if _clock is not None:
        _clock.switch(stage)


@contextmanager
def counted_as(stage: str) -> Iterator[None]:
    """Count the time of a block as that of `stage`, then go on with the stage before."""
    clock = _clock
    if clock is None:
        yield
        return
    before = clock.switch(stage)
    try:
        yield
    finally:
        clock.switch(before)
