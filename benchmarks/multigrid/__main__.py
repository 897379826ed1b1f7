"""Multigrid training: its savings beside the published ones, and an experiment on generated videos.

    python -m benchmarks.multigrid tables                       steps, clips and multiply-adds of Tables 6.1 to 6.10
    python -m benchmarks.multigrid experiment --out DIR         all trainings and seeds; goes on where it was
    python -m benchmarks.multigrid experiment --show            the stored results: table and plot
    python -m benchmarks.multigrid experiment --out DIR --quick a small one, to see that it works; means nothing

Results are stored in benchmarks/results/multigrid.json, those of --quick nowhere, unless --json names a file.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch

from benchmarks.multigrid import tables
from benchmarks.multigrid.experiment import CONDITIONS, QUICK, Sizes, Videos, run
from benchmarks.multigrid.results import Results, plot, show
from longform.training.atomic import replacing
from pipeline.errors import InputError

STORED = Path(__file__).parent.parent / "results" / "multigrid.json"
PLOT = Path(__file__).parent / "accuracy.svg"
SIZES = "sizes.json"


def measure(folder: Path, sizes: Sizes, seeds: Sequence[int], conditions: Sequence[str], device: str) -> None:
    """Train what is not in the folder yet; each result is written when it is there."""
    _settle(folder, sizes)
    for seed in seeds:
        missing = [name for name in conditions if not _result(folder, name, seed).exists()]
        videos = Videos(sizes, seed) if missing else None
        for condition in missing:
            assert videos is not None
            run_folder = _result(folder, condition, seed).with_suffix("")
            shutil.rmtree(run_folder, ignore_errors=True)
            found = run(condition, videos, run_folder, sizes, seed=seed, device=device)
            _write(_result(folder, condition, seed), json.dumps(found))
            seconds = found["training"]
            print(f"seed {seed}  {condition:24} {found['top1']:5.1f} %  {seconds['cpu_s']:6.1f} s of CPU  "
                  f"{seconds['wall_s']:6.1f} s", flush=True)  # fmt: skip


def _settle(folder: Path, sizes: Sizes) -> None:
    """Raises InputError for a folder with results of other sizes."""
    path, ours = folder / SIZES, json.dumps(asdict(sizes))
    folder.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        _write(path, ours)
    if path.read_text() != ours:
        raise InputError(f"{path} is of other sizes: {path.read_text()}; these are {ours}. Give another --out.")


def _write(path: Path, text: str) -> None:
    with replacing(path) as new:
        new.write_text(text)


def _result(folder: Path, condition: str, seed: int) -> Path:
    return folder / f"{seed}-{condition.replace(',', '').replace(' ', '-')}.json"


def collect(folder: Path, sizes: Sizes, path: Path) -> None:
    """Store all results of a folder in one file."""
    found = sorted(path for path in folder.glob("*.json") if path.name != SIZES)
    Results(sizes=sizes, runs=[json.loads(path.read_text()) for path in found]).write(path)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    table = commands.add_parser("tables")
    table.add_argument("--json", action="store_true", help="print JSON instead of a table")
    experiment = commands.add_parser("experiment")
    experiment.add_argument("--out", type=Path, metavar="DIR", help="folder of the trainings")
    experiment.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], metavar="N", help="(default: 0 1 2)")
    experiment.add_argument("--only", nargs="+", default=CONDITIONS, choices=CONDITIONS, metavar="TRAINING",
                            help=f"of {', '.join(map(repr, CONDITIONS))}")  # fmt: skip
    experiment.add_argument("--device", default="cpu", metavar="D", help="cpu, cuda, ... (default: cpu)")
    experiment.add_argument("--json", type=Path, metavar="FILE", help="where the results are stored")
    experiment.add_argument("--steps", type=int, metavar="N", help=f"of the baseline (default: {Sizes().steps})")
    experiment.add_argument("--frames", type=int, metavar="N", help="of the baseline's clips "
                            f"(default: {Sizes().frames})")  # fmt: skip
    experiment.add_argument("--stride", type=int, metavar="N", help="frames between those of the baseline's clips "
                            f"(default: {Sizes().stride})")  # fmt: skip
    experiment.add_argument("--quick", action="store_true", help="little data and few steps, stored only with --json")
    experiment.add_argument("--show", action="store_true", help="print the stored results, and draw their plot")
    options = parser.parse_args()
    if options.command == "tables":
        tables.show(as_json=options.json)
        return 0
    return _experiment(options)


def _experiment(options: argparse.Namespace) -> int:
    path: Path | None = options.json or (None if options.quick else STORED)
    if not options.show:
        if options.out is None:
            raise InputError("The experiment needs a folder: give --out DIR (or --show, which trains nothing).")
        torch.set_num_threads(1)
        sizes = QUICK if options.quick else Sizes()
        given = {name: value for name in ("steps", "frames", "stride") if (value := getattr(options, name)) is not None}
        sizes = replace(sizes, **given)
        measure(options.out, sizes, options.seeds, options.only, options.device)
        if path is None:
            return 0
        collect(options.out, sizes, path)
    results = Results.read(path or STORED)
    show(results)
    if path == STORED:
        PLOT.write_text(plot(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
