"""Run the experiment, or write its tables.

    python -m benchmarks.lfb            all conditions and seeds; about 40 minutes of one core; goes on where it was
    python -m benchmarks.lfb --quick    a small one, in about a minute, to see that it works; its figures mean nothing
    python -m benchmarks.lfb --tables   README.md and its plots, from the stored results

Results are stored in benchmarks/results/lfb.json, those of --quick nowhere, unless --json names a file.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import torch
from rich.console import Console

from benchmarks.lfb.conditions import TASKS, conditions
from benchmarks.lfb.experiment import Sizes, run, splits
from benchmarks.lfb.results import Results

STORED = Path(__file__).parent.parent / "results" / "lfb.json"
QUICK = Sizes(train_videos=8, val_videos=4, steps=0.02)
SEEDS = 5


def measure(results: Results, path: Path | None, seeds: int, console: Console) -> None:
    """Run what is not in the results yet; each is written when it is there."""
    for seed in range(seeds):
        for task in TASKS:
            missing = [one for one in conditions() if one.task is task and not results.has(one.name, seed)]
            if not missing:
                continue
            with tempfile.TemporaryDirectory() as folder:
                train, val = splits(task, Path(folder), seed, results.sizes)
            for condition in missing:
                measured = run(condition, train, val, seed, results.sizes)
                results.add(condition.name, seed, measured)
                if path is not None:
                    results.write(path)
                console.print(
                    f"seed {seed}  {condition.name:24}  {measured['value']:5.1f}  {measured['seconds']:.0f} s"
                )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="little data and few steps, stored only with --json")
    parser.add_argument("--tables", action="store_true", help="write README.md and plots from the stored results")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--json", type=Path, help="file of the results")
    options = parser.parse_args()
    path: Path | None = options.json or (None if options.quick else STORED)
    if options.tables:
        from benchmarks.lfb.tables import write_readme

        write_readme(Results.read(path or STORED))
        return 0
    torch.set_num_threads(1)
    results = Results.read_or_new(path, QUICK if options.quick else Sizes())
    measure(results, path, options.seeds, Console())
    return 0


if __name__ == "__main__":
    sys.exit(main())
