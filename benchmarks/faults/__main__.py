"""Injects faults into runs of `longform extract`, and shows what they cost.

    python -m benchmarks.faults                    everything; by estimate 20 minutes on two quiet cores
    python -m benchmarks.faults --quick            each fault once or twice, on few videos
    python -m benchmarks.faults --only bit-rot     some faults
    python -m benchmarks.faults --show benchmarks/results/faults.json

Prints the table of docs/reliability.md, and below it where the faults struck. The exit status is 1 if anything was
lost, doubled, left over or hung, or if a fault never struck.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from benchmarks.faults import (
    bit_rot,
    clock_jumps,
    corrupt_files,
    disk_full,
    in_worker,
    kills,
    object_store,
    out_of_memory,
    pool_killed,
    table,
    two_drivers,
)
from benchmarks.faults.lab import Lab
from benchmarks.faults.outcome import Outcome

FAULTS: dict[str, Callable[[Lab], list[Outcome]]] = {
    "driver-killed": kills.kill_drivers,
    "child-killed": kills.kill_children,
    "pool-killed": pool_killed.kill_pools,
    "in-worker": in_worker.break_in_worker,
    "disk-full": disk_full.fill_disks,
    "file-too-large": disk_full.limit_files,
    "object-store": object_store.disturb_answers,
    "corrupt-files": corrupt_files.corrupt_files,
    "out-of-memory": out_of_memory.exhaust_device,
    "clock-jumps": clock_jumps.move_clocks,
    "two-drivers": two_drivers.start_two,
    "bit-rot": bit_rot.damage_banks,
}
"""What `--only` can name; each gives one or more rows of the table."""


def main() -> int:
    """Inject, print and store."""
    options = _parser().parse_args()
    if options.show:
        _print(read(options.show))
        return 0
    known = stored(options.json, options.seed, options.quick) if options.json else {}
    found: dict[str, list[Outcome]] = {}
    with tempfile.TemporaryDirectory(prefix="longform-faults-") as folder:
        lab = Lab(Path(folder).resolve(), options.seed, options.quick)
        try:
            for name in options.only or FAULTS:
                found[name] = known[name] if name in known else _inject(lab, name, options.json)
        finally:
            lab.end_runs()
    outcomes = [outcome for rows in found.values() for outcome in rows]
    _print(outcomes)
    return 0 if all(outcome.is_good for outcome in outcomes) else 1


def _inject(lab: Lab, name: str, path: Path | None) -> list[Outcome]:
    print(f"{time.strftime('%H:%M:%S')}  {name}, seed {lab.seed}", file=sys.stderr, flush=True)
    began = time.monotonic()
    outcomes = FAULTS[name](lab)
    if path:
        store(path, lab, name, outcomes, time.monotonic() - began)
    return outcomes


def _parser() -> argparse.ArgumentParser:
    description = (__doc__ or "").splitlines()[0]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description=description)
    parser.add_argument("--quick", action="store_true", help="few faults and videos, for tests")
    parser.add_argument("--only", nargs="+", choices=FAULTS, metavar="NAME", help=", ".join(FAULTS))
    parser.add_argument("--seed", type=int, default=20_261_121, help="of moments and places (default: %(default)s)")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="store the outcomes; what FILE holds of this seed is not done again"
    )
    parser.add_argument("--show", type=Path, metavar="FILE", help="print stored outcomes, and do nothing else")
    return parser


def _print(outcomes: list[Outcome]) -> None:
    print(table.markdown(outcomes))
    print()
    print(table.details(outcomes))


def store(path: Path, lab: Lab, name: str, outcomes: list[Outcome], wall_s: float) -> None:
    """Add the outcomes of a fault to those in a file, with what they depend on."""
    faults = json.loads(path.read_text())["faults"] if path.exists() else {}
    faults[name] = {
        "wall_s": round(wall_s),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "outcomes": [asdict(outcome) for outcome in outcomes],
    }
    in_order = {known: faults[known] for known in FAULTS if known in faults}
    path.write_text(json.dumps({"seed": lab.seed, "quick": lab.quick, "faults": in_order}, indent=1) + "\n")


def read(path: Path) -> list[Outcome]:
    """Stored outcomes."""
    faults = json.loads(path.read_text())["faults"]
    return [outcome for entry in faults.values() for outcome in _outcomes(entry)]


def stored(path: Path, seed: int, quick: bool) -> dict[str, list[Outcome]]:
    """What a file holds of a run that was stopped. Exits if it is another run."""
    if not path.exists():
        return {}
    facts = json.loads(path.read_text())
    if (facts["seed"], facts["quick"]) != (seed, quick):
        sys.exit(f"{path} is of seed {facts['seed']}{' --quick' * facts['quick']}. Give another --json, or delete it.")
    return {name: _outcomes(entry) for name, entry in facts["faults"].items()}


def _outcomes(entry: dict) -> list[Outcome]:
    return [Outcome(**outcome) for outcome in entry["outcomes"]]


if __name__ == "__main__":
    sys.exit(main())
