"""A run in simulated time: jobs over workers as `pipeline/run.py` and Beam's local runner lay them out.

    start of the driver
    probe     every video                                                    each phase: its jobs dealt out in turn to
    barrier   nothing is cut before all videos are read                      8 bundles per worker; a bundle is a thread
    work      extract each segment; what completes a video goes on with it   of the driver that makes one call after
              through the finish steps and publish                           another, and calls queue for a free worker
    end

Calls queue in the order in which they come. Behind each call the driver has something to do, one call at a time: a
Python process runs one thread. Workers have a core each, and nothing else shares it.
"""

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from benchmarks.scaling.costs import Costs
from benchmarks.scaling.loads import Load
from pipeline.runners import BUNDLES_PER_WORKER

FINISH, PUBLISH = "finish ", "publish"

Step = tuple[str, float]
"""Name of a step, and seconds of video that it is about."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a simulated run takes."""

    wall_s: float
    work_s: float
    """Behind the barrier."""
    busy: float
    """Share of `work_s` in which a worker has a call, mean of all workers."""
    driver_busy: float
    """Share of `work_s` in which the driver has something to do."""
    call_s: float
    """Seconds of all calls behind the barrier."""
    slower: float
    """By what all calls were multiplied."""


@dataclass
class _Worker:
    free_s: float
    warm: set[str] = field(default_factory=set)
    busy_s: float = 0.0


@dataclass
class _Driver:
    free_s: float = 0.0
    busy_s: float = 0.0


@dataclass
class _Video:
    seconds: float
    segments_left: int


class _Run:
    def __init__(self, load: Load, workers: int, costs: Costs, slower: float) -> None:
        self._load, self._costs, self._slower = load, costs, slower
        self._bundles = BUNDLES_PER_WORKER * workers
        self._workers = [_Worker(free_s=0.0) for _ in range(workers)]
        self._driver = _Driver()

    def outcome(self) -> Outcome:
        lengths = self._load.lengths_s
        serial_s = self._costs.fixed_s + self._costs.video_s * len(lengths)
        probed_s = self._phase([self._probe(lengths[i :: self._bundles]) for i in range(self._bundles)], 0.0)
        busy_before_s, driver_before_s = self._busy_s, self._driver.busy_s
        ended_s = self._phase(self._extractions(lengths), probed_s)
        work_s, call_s = ended_s - probed_s, self._busy_s - busy_before_s
        return Outcome(
            wall_s=serial_s + ended_s,
            work_s=work_s,
            busy=call_s / work_s / len(self._workers),
            driver_busy=(self._driver.busy_s - driver_before_s) / work_s,
            call_s=call_s,
            slower=self._slower,
        )

    @property
    def _busy_s(self) -> float:
        return sum(worker.busy_s for worker in self._workers)

    def _probe(self, lengths: Sequence[int]) -> Iterator[Step]:
        for seconds in lengths:
            yield "probe", seconds

    def _extractions(self, lengths: Sequence[int]) -> list[Iterator[Step]]:
        jobs = []
        for seconds in lengths:
            segments = self._load.segments_of(seconds)
            video = _Video(seconds, len(segments))
            jobs += [(video, segment_s) for segment_s in segments]
        return [self._extract(jobs[i :: self._bundles]) for i in range(self._bundles)]

    def _extract(self, jobs: Sequence[tuple[_Video, float]]) -> Iterator[Step]:
        for video, segment_s in jobs:
            yield "extract", segment_s
            video.segments_left -= 1
            if not video.segments_left:
                for step in self._costs.steps:
                    if step.startswith(FINISH) or step == PUBLISH:
                        yield step, video.seconds

    def _phase(self, bundles: Sequence[Iterator[Step]], began_s: float) -> float:
        """When the last bundle is done. Events are `(time, bundle, whether it waits for the driver)`."""
        events = [(began_s, number, False) for number in range(len(bundles))]
        ended_s = began_s
        while events:
            now, number, waits_for_driver = heapq.heappop(events)
            if waits_for_driver:
                heapq.heappush(events, (self._drive(now), number, False))
            elif (step := next(bundles[number], None)) is not None:
                heapq.heappush(events, (self._call(now, *step), number, True))
            else:
                ended_s = max(ended_s, now)
        return ended_s

    def _drive(self, now: float) -> float:
        self._driver.free_s = max(now, self._driver.free_s) + self._costs.driver_call_s
        self._driver.busy_s += self._costs.driver_call_s
        return self._driver.free_s

    def _call(self, now: float, step: str, video_s: float) -> float:
        """When a call asked for now is answered: by a free worker, best one that has worked, or the next to be free."""
        free = [worker for worker in self._workers if worker.free_s <= now]
        worker = (
            max(free, key=lambda each: len(each.warm)) if free else min(self._workers, key=lambda each: each.free_s)
        )
        cost = self._costs.steps[step]
        seconds = cost.of(video_s) + (0.0 if step in worker.warm else cost.cold_s)
        seconds = seconds * self._slower + (0.0 if worker.warm else self._costs.spawn_s)
        worker.warm.add(step)
        worker.free_s = max(now, worker.free_s) + seconds
        worker.busy_s += seconds
        return worker.free_s


def simulate(load: Load, workers: int, costs: Costs, *, slower: float | None = None) -> Outcome:
    """A run of a load with so many workers of one driver.

    Args:
        slower: multiplies the time of all calls; without it, what two workers on one machine cost each other for more
            than one worker, as if each two shared a machine like that one.
    """
    if slower is None:
        slower = costs.contention if workers > 1 else 1.0
    return _Run(load, workers, costs, slower).outcome()
