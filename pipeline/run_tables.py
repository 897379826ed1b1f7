"""A run in a terminal: what it did, what failed, and where its time went."""

from pipeline import printing
from pipeline.progress import hours
from pipeline.run_record import RunMetrics, RunRecord, Timing


def print_run(record: RunRecord) -> None:
    """Everything that is known of a run."""
    console = printing.console()
    end = record.ended or "not ended: it is at work, or was killed"
    where = f"process {record.pid} on {record.host}"
    for name, value in (
        ("run", record.run),
        ("state", record.state + (f": {record.error}" if record.error else "")),
        ("time", f"{record.started} to {end}"),
        ("by", f"{record.runner}, {record.workers} workers, {where}; preset {record.preset}"),
        ("videos", ", ".join(f"{count} {what.replace('_', ' ')}" for what, count in record.videos.items())),
    ):
        console.print(f"{name:7}{printing.harmless(value)}")
    if record.wall_s and record.video_s:
        speed = record.video_s / record.wall_s
        console.print(f"{'':7}{hours(record.video_s)} of video in {hours(record.wall_s)}, {speed:.1f}x real time")
    if record.failures:
        failures = printing.table("stage that failed", "error", ">videos")
        for kind in record.failures:
            printing.add_row(failures, kind["stage"], kind["class"], kind["videos"])
        console.print()
        console.print(failures)
    if record.metrics.counters:
        counters = printing.table("counted", ">")
        for name, count in sorted(record.metrics.counters.items()):
            if not name.startswith("ms."):
                printing.add_row(counters, name, count)
        console.print()
        console.print(counters)
    print_times(record.metrics)


def print_times(metrics: RunMetrics, least_share: float = 0.0) -> None:
    """Steps, and below each what its time went into, from `least_share` of the time of all workers on."""
    if not metrics.steps:
        return
    console = printing.console()
    rows = printing.table("time of workers", ">calls", ">sum s", ">share", ">mean s", ">min s", ">max s")
    total_s = sum(timing.sum_s for timing in metrics.steps.values()) or 1.0
    for step, timing in _longest(metrics.steps, least_share * total_s):
        printing.add_row(rows, step, *_cells(timing, total_s))
        for stage, part in _longest(metrics.stages.get(step, {}), least_share * total_s):
            printing.add_row(rows, f"  {stage}", *_cells(part, total_s))
    console.print()
    console.print(rows)


def _longest(timings: dict[str, Timing], least_s: float) -> list[tuple[str, Timing]]:
    kept = [entry for entry in timings.items() if entry[1].sum_s >= least_s]
    return sorted(kept, key=lambda entry: -entry[1].sum_s)


def _cells(timing: Timing, total_s: float) -> tuple[str, ...]:
    seconds = (f"{value:.3f}" for value in (timing.mean_s, timing.min_s, timing.max_s))
    return (str(timing.calls), f"{timing.sum_s:.2f}", f"{100 * timing.sum_s / total_s:.1f} %", *seconds)
