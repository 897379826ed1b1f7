"""What a second worker brings, measured; what 64 bring, simulated from the measured costs.

    python -m benchmarks.scaling measure [--minutes 6]    runs of 1 and 2 workers in turns; goes on where it was
    python -m benchmarks.scaling simulate                 fits the costs, predicts the measured runs and larger ones
    python -m benchmarks.scaling show                     the stored tables

`measure` starts on a machine that has nothing else to do. A run during which other programs took more than 5 % of the
processors is stored as one that does not count, and measured again by the next call. `--contended` starts anyway and
lets such runs count; results are then marked and go to the file that `--json` names. docs/scaling.md has the model.
"""

import argparse
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.scaling.loads import measured_loads, write_list
from benchmarks.scaling.results import Results
from benchmarks.scaling.runs import MOST_OTHER_SHARE, Measured, load_of_others, measure
from benchmarks.scaling.tables import show
from pipeline.errors import InputError, PipelineError

STORED = Path(__file__).parent.parent / "results" / "scaling.json"

UNIT_S = {"hoghof": 6, "builtin": 4, "compressed": 2}
"""By preset; a load has 26 units of video."""

OPTIONS = {"compressed": ("--weights", "untrained")}
"""Untrained networks cost what trained ones do."""

DRIVER_OPTIONS = ("--only", "shots")
"""Of load `driver`: the cheapest calls there are."""

Cell = tuple[str, str, int]

FIRST_ROUND: tuple[tuple[str, str, tuple[int, ...]], ...] = (
    ("hoghof", "mixed", (1, 2)),
    ("hoghof", "driver", (2,)),
    ("hoghof", "long", (1, 2)),
    ("hoghof", "short", (1, 2)),
    ("builtin", "mixed", (1, 2)),
    ("builtin", "short", (1, 2)),
    ("compressed", "mixed", (1, 2)),
    ("compressed", "short", (1, 2)),
    ("hoghof", "tiny", (1, 2)),
    ("hoghof", "half hour", (2,)),
)
"""Preset, load and numbers of workers, in order of worth."""

ONCE = ("half hour",)


def wanted(rounds: int) -> Iterator[tuple[int, str, str, int]]:
    """Round, preset, load and workers of every run to make."""
    for number in range(rounds):
        for preset, load, workers in FIRST_ROUND:
            if number == 0 or load not in ONCE:
                yield from ((number, preset, load, count) for count in workers)


def measure_all(path: Path, *, rounds: int, minutes: float, contended: bool) -> None:
    """Make the runs that are missing, until the time is over; each is stored when it is there.

    Raises InputError on a machine that other programs use, unless `contended`.
    """
    if not contended and (share := load_of_others()) > MOST_OTHER_SHARE:
        raise InputError(
            f"Other programs use {share:.0%} of the processors, at most {MOST_OTHER_SHARE:.0%} may. Wait for them, or "
            "take --contended and a --json of its own: such runs are marked."
        )
    results, until = Results.read(path), time.monotonic() + 60 * minutes
    results.machine = {"cores": os.cpu_count(), "system": platform.platform(), "python": platform.python_version()}
    with tempfile.TemporaryDirectory(prefix="longform-scaling-") as folder:
        for number, preset, name, workers in [*wanted(rounds)] * 2:  # again for those that did not count
            counted = {run.key for run in results.counted(contended=contended)}
            if (preset, name, UNIT_S[preset], workers, number) in counted:
                continue
            if time.monotonic() > until:
                print("The time is over; the same command goes on.")
                return
            run = _measured(Path(folder), number, preset, name, workers)
            results.put(run)
            results.write(path)
            _say(run)


def _measured(folder: Path, number: int, preset: str, name: str, workers: int) -> Measured:
    load = measured_loads(UNIT_S[preset])[name]
    options = DRIVER_OPTIONS if name == "driver" else OPTIONS.get(preset, ())
    facts = measure(load, write_list(load, folder), preset=preset, options=options, workers=workers)
    return Measured(preset=preset, load=name, unit_s=UNIT_S[preset], workers=workers, round=number, **facts)


def _say(run: Measured) -> None:
    print(f"round {run.round}  {run.preset:10} {run.load:9} {run.workers} workers  {run.wall_s:6.1f} s  "
          f"{run.steady_video_s:6.1f} s of video per second  others {run.other_share:4.0%}, idle {run.idle_share:4.0%}"
          f"{'' if run.is_quiet else '  does not count'}", flush=True)  # fmt: skip


def main(words: Sequence[str] | None = None) -> int:
    """Measure, simulate or show."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("measure", "simulate", "show"))
    parser.add_argument("--json", type=Path, default=STORED, metavar="FILE", help="results (default: the stored ones)")
    parser.add_argument("--rounds", type=int, default=2, help="measure: of all runs (default: %(default)s)")
    parser.add_argument("--minutes", type=float, default=6.0, help="measure: begin no run after (default: %(default)g)")
    parser.add_argument("--contended", action="store_true", help="use runs beside other programs too")
    parser.add_argument("--markdown", action="store_true", help="print tables for a page")
    options = parser.parse_args(words)
    try:
        if options.contended and options.json == STORED:
            raise InputError("--contended needs a --json of its own: the stored results are of a quiet machine.")
        if options.command == "measure":
            measure_all(options.json, rounds=options.rounds, minutes=options.minutes, contended=options.contended)
        results = Results.read(options.json)
        if not results.runs:
            raise InputError(f"{options.json} holds no runs yet: python -m benchmarks.scaling measure.")
        if options.command == "simulate":
            results.simulate(contended=options.contended)
            results.write(options.json)
        show(results, markdown=options.markdown)
    except PipelineError as error:
        print(f"benchmarks.scaling: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
