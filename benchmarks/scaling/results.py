"""The stored results: measured runs, and what the simulation made of them."""

import json
import statistics
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.scaling.costs import Costs, fit
from benchmarks.scaling.loads import SIMULATED, Load, measured_loads
from benchmarks.scaling.runs import Measured
from pipeline.errors import InputError

WORKERS = (1, 2, 4, 8, 16, 32, 64)


@dataclass
class Results:
    """Of one machine."""

    machine: dict[str, Any] = field(default_factory=dict)
    runs: list[Measured] = field(default_factory=list)
    costs: dict[str, Costs] = field(default_factory=dict)
    """By preset, fitted to the runs."""
    predicted: list[dict[str, Any]] = field(default_factory=list)
    """Each kind of run that was measured beside its simulation. `error` is of `wall_s`; `layout_error` of the time
    behind the barrier, simulated with calls as long, on the whole, as those of the run were."""
    simulated: list[dict[str, Any]] = field(default_factory=list)
    """Runs that this machine cannot make."""

    @classmethod
    def read(cls, path: Path) -> "Results":
        """What the file holds; nothing where there is none."""
        if not path.exists():
            return cls()
        facts = json.loads(path.read_text(encoding="utf-8"))
        runs = [Measured.parsed(run) for run in facts["runs"]]
        costs = {preset: Costs.parsed(cost) for preset, cost in facts["costs"].items()}
        return cls(**facts | {"runs": runs, "costs": costs})

    def write(self, path: Path) -> None:
        """Into the file, whole or not at all."""
        new = path.with_suffix(".new")
        new.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")
        new.replace(path)

    def put(self, run: Measured) -> None:
        """Add a run, in place of one of the same kind and round that did not count."""
        self.runs = [other for other in self.runs if other.key != run.key] + [run]

    def counted(self, *, contended: bool) -> list[Measured]:
        """Runs on a quiet machine; with `contended`, all."""
        return [run for run in self.runs if run.is_quiet or contended]

    def simulate(self, *, contended: bool = False) -> None:
        """Fit the costs and fill `predicted` and `simulated`. Raises InputError where runs are missing."""
        runs = self.counted(contended=contended)
        if not runs:
            raise InputError(
                "No run counts: python -m benchmarks.scaling measure, on a machine with nothing else to do."
            )
        self.costs = {preset: fit(preset, runs) for preset in dict.fromkeys(run.preset for run in runs)}
        self.predicted = list(_predictions(runs, self.costs))
        self.simulated = [
            _simulated(preset, load, workers, cost)
            for preset, cost in self.costs.items()
            for load in SIMULATED
            for workers in WORKERS
        ]


def _predictions(runs: Iterable[Measured], costs: dict[str, Costs]) -> Iterable[dict[str, Any]]:
    from benchmarks.scaling.simulation import simulate  # loads Beam

    alike: dict[tuple, list[Measured]] = {}
    for run in runs:
        if run.load != "driver":  # not of the whole preset
            alike.setdefault((run.preset, run.load, run.workers, run.unit_s), []).append(run)
    for (preset, name, workers, unit_s), measured in sorted(alike.items()):
        load, cost = measured_loads(unit_s)[name], costs[preset]
        outcome = simulate(load, workers, cost)
        wall_s = statistics.fmean(run.wall_s for run in measured)
        call_s = statistics.fmean(run.call_s for run in measured)
        as_slow = simulate(load, workers, cost, slower=outcome.slower * call_s / outcome.call_s)
        yield {
            "preset": preset, "load": name, "workers": workers, "is_fitted": name == "mixed",
            "wall_s": wall_s, "predicted_wall_s": outcome.wall_s, "error": outcome.wall_s / wall_s - 1,
            "layout_error": as_slow.work_s / statistics.fmean(run.work_s for run in measured) - 1,
            "busy": statistics.fmean(share for run in measured for share in run.busy), "predicted_busy": outcome.busy,
        }  # fmt: skip


def _simulated(preset: str, load: Load, workers: int, costs: Costs) -> dict[str, Any]:
    from benchmarks.scaling.simulation import simulate

    outcome = simulate(load, workers, costs)
    hours, gb = outcome.wall_s / 3600, (workers * costs.worker_mb + costs.driver_mb) / 1024
    return {
        "preset": preset, "load": load.name, "workers": workers, "video_hours": load.video_s / 3600,
        "wall_s": outcome.wall_s, "busy": outcome.busy, "driver_busy": outcome.driver_busy,
        "video_hours_per_hour": load.video_s / outcome.wall_s,
        "worker_hours": workers * hours, "gb_hours": gb * hours,
    }  # fmt: skip
