"""The stored results as tables."""

import statistics
from collections.abc import Iterable, Iterator
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.scaling.results import Results
from benchmarks.scaling.runs import Measured

BUDGETS_GB_HOURS = (1, 2, 4, 8, 16, 32, 64)
BUDGET_LOAD, BUDGET_WORKERS = "1,000 of 3 minutes", (1, 2, 16, 64)


def show(results: Results, *, markdown: bool = False) -> None:
    """Print all that there is."""
    console = Console(width=200 if markdown else 150, highlight=False)
    tables = [_speedups(results.runs), _costs(results), _predictions(results), *_simulated(results), _budgets(results)]
    for table in tables:
        if table.row_count:
            table.box = box.MARKDOWN if markdown else None
            console.print(table)
            console.print()


def _table(title: str, *columns: str) -> Table:
    table = Table(pad_edge=False, header_style="bold", title=title, title_justify="left", title_style="")
    for i, column in enumerate(columns):
        table.add_column(column, justify="right" if i > 1 else "left")
    return table


def _speedups(runs: list[Measured]) -> Table:
    table = _table("From 1 to 2 workers, seconds of video per second in the steady state; ! other programs took more "
                   "than 5 %", "preset", "load", "videos", "1 worker", "2 workers", "speed-up", "of whole runs",
                   "busy, 1", "busy, 2", "MB, 1", "MB, 2", "rounds")  # fmt: skip
    for preset, load in dict.fromkeys((run.preset, run.load) for run in runs):
        pairs = list(_pairs(run for run in runs if (run.preset, run.load) == (preset, load)))
        if not pairs:
            continue
        one, two = ([pair[i] for pair in pairs] for i in (0, 1))
        speeds = [statistics.median(run.steady_video_s for run in side) for side in (one, two)]
        table.add_row(
            preset, load, str(one[0].videos), *(f"{speed:.1f}" for speed in speeds),
            f"{statistics.median(b.steady_video_s / a.steady_video_s for a, b in pairs):.2f}",
            f"{statistics.median(a.wall_s / b.wall_s for a, b in pairs):.2f}",
            *(f"{statistics.fmean(share for run in side for share in run.busy):.0%}" for side in (one, two)),
            *(str(max(run.worker_mb for run in side)) for side in (one, two)),
            f"{len(pairs)}{'' if all(run.is_quiet for pair in pairs for run in pair) else ' !'}",
        )  # fmt: skip
    return table


def _pairs(runs: Iterable[Measured]) -> Iterator[tuple[Measured, Measured]]:
    """Runs with one worker and with two, of each round that has both."""
    known = {(run.round, run.workers): run for run in runs}
    for number, workers in sorted(known):
        if workers == 1 and (number, 2) in known:
            yield known[number, 1], known[number, 2]


def _costs(results: Results) -> Table:
    table = _table("Fitted costs, ms (driver call: processor time)", "preset", "step", "a call", "a second of video",
                   "first call")  # fmt: skip
    for preset, costs in results.costs.items():
        for step, cost in costs.steps.items():
            cells = (f"{1000 * value:.2f}" for value in (cost.call_s, cost.second_s, cost.cold_s))
            table.add_row(preset, step, *cells)
        for name, seconds in (("start of a worker", costs.spawn_s), ("driver: start, barrier, end", costs.fixed_s),
                              ("driver: a video", costs.video_s), ("driver: a call", costs.driver_call_s)):  # fmt: skip
            table.add_row(preset, name, f"{1000 * seconds:.2f}")
        table.add_row(preset, "two workers over one", f"x {costs.contention:.3f}")
    return table


def _predictions(results: Results) -> Table:
    table = _table("Simulated beside measured; layout: the time behind the barrier, with calls as long as in the run",
                   "preset", "load", "workers", "measured s", "simulated s", "error", "layout", "workers busy",
                   "simulated", "")  # fmt: skip
    for row in results.predicted:
        table.add_row(
            row["preset"], row["load"], str(row["workers"]), f"{row['wall_s']:.1f}", f"{row['predicted_wall_s']:.1f}",
            f"{row['error']:+.1%}", f"{row['layout_error']:+.1%}", f"{row['busy']:.0%}",
            f"{row['predicted_busy']:.0%}", "fitted" if row["is_fitted"] else "",
        )  # fmt: skip
    return table


def _simulated(results: Results) -> Iterator[Table]:
    """One table a figure; a column for each number of workers."""
    for title, cell in (
        ("Hours of video per hour", lambda row: f"{row['video_hours_per_hour']:.0f}"),
        ("Share of the time in which workers, and the driver, are busy", _shares),
        ("Worker-hours for 100 hours of video", lambda row: f"{_per_100_hours(row, 'worker_hours'):.1f}"),
        ("GB-hours for 100 hours of video", lambda row: f"{_per_100_hours(row, 'gb_hours'):.1f}"),
    ):
        rows: dict[tuple[str, str], list[str]] = {}
        for row in results.simulated:
            rows.setdefault((row["preset"], row["load"]), []).append(cell(row))
        workers = dict.fromkeys(row["workers"] for row in results.simulated)
        table = _table(f"Simulated: {title}", "preset", "load", *(f"{count} w" for count in workers))
        for names, cells in rows.items():
            table.add_row(*names, *cells)
        yield table


def _shares(row: dict[str, Any]) -> str:
    return f"{row['busy']:.0%}, {row['driver_busy']:.0%}"


def _per_100_hours(row: dict[str, Any], name: str) -> float:
    return 100 * row[name] / row["video_hours"]


def _budgets(results: Results) -> Table:
    """Video hours per GB-hour hardly change with the amount of work, once a run is longer than its start."""
    rows = [row for row in results.simulated if row["load"] == BUDGET_LOAD and row["workers"] in BUDGET_WORKERS]
    table = _table(f"Hours of video for a budget of GB-hours, as in {BUDGET_LOAD}", "preset", "workers",
                   *(f"{budget} GB h" for budget in BUDGETS_GB_HOURS))  # fmt: skip
    for row in rows:
        per_gb_hour = row["video_hours"] / row["gb_hours"]
        table.add_row(row["preset"], str(row["workers"]), *(f"{per_gb_hour * gb:.0f}" for gb in BUDGETS_GB_HOURS))
    return table
