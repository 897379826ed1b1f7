"""CoViAR's streams and their sums on generated videos, beside the thesis's Tables 4.1 and 4.2.

    python -m benchmarks.coviar --out DIR           videos, trainings and tests; goes on where it was
    python -m benchmarks.coviar --show              the stored results
    python -m benchmarks.coviar --out DIR --quick   a small one, to see that it works; means nothing

Results are stored in benchmarks/results/coviar.json, those of --quick nowhere, unless --json names a file.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.lfb.results import Estimate
from longform.published_coviar import ACCUMULATION, STREAM_ACCURACY
from pipeline import printing
from pipeline.errors import InputError

if TYPE_CHECKING:
    from benchmarks.coviar.experiment import Sizes

STORED = Path(__file__).parent.parent / "results" / "coviar.json"
SIZES = "sizes.json"
COLUMNS = ("I", "M", "R", "I+M", "I+R", "M+R", "I+M+R")
PARTS = ("motion", "appearance")
"""Of a class; how often the motion stream is right about each."""
NAMES = {"accumulated": "accumulated", "original": "original", "sub-pixel": "accumulated, sub-pixel"}
"""Lines of the table by kind of vectors."""


def run(folder: Path, sizes: Sizes, seeds: list[int]) -> None:
    """Do what is not in the folder yet."""
    import numpy as np

    from benchmarks.coviar.experiment import measure, prepare, runs

    _settle(folder, sizes)
    start = time.process_time()
    prepare(folder / "videos", sizes)
    print(f"videos: {time.process_time() - start:.0f} s of CPU", flush=True)
    for seed in seeds:
        for stream, vectors in runs():
            path = folder / f"{seed}-{stream}-{vectors}.npy"
            if path.exists():
                continue
            start = time.process_time()
            scores = measure(folder / "videos", path.with_suffix(""), sizes, stream, vectors, seed)
            np.save(path, scores)
            shutil.rmtree(path.with_suffix(""))
            print(f"seed {seed}  {stream:9} {vectors:12} {time.process_time() - start:.0f} s of CPU", flush=True)


def _settle(folder: Path, sizes: Sizes) -> None:
    """Raises InputError for a folder with results of other sizes."""
    path, ours = folder / SIZES, json.dumps(asdict(sizes))
    folder.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        path.write_text(ours)
    elif path.read_text() != ours:
        raise InputError(f"{path} is of other sizes: {path.read_text()}; these are {ours}. Give another --out.")


def collected(folder: Path, sizes: Sizes, seeds: list[int]) -> dict[str, Any]:
    """Accuracy in percent of every stream and sum, by vectors and seed; of the motion stream, its two parts."""
    import numpy as np

    from benchmarks.coviar.experiment import ACCUMULATED, VECTORS, labels, parts_right, runs, split
    from longform.coviar.evaluation import accuracies
    from longform.coviar.hyperparameters import FUSION

    results = []
    for seed in seeds:
        scores = {key: np.load(folder / f"{seed}-{key[0]}-{key[1]}.npy") for key in runs()}
        known = labels(sizes)
        truth = [known[number] for number in split(sizes, seed)[1]]
        iframe = scores["iframe", ACCUMULATED]
        for vectors in VECTORS:
            streams = {"iframe": iframe, "motion": scores["motion", vectors], "residual": scores["residual", vectors]}
            top1 = accuracies(streams, truth, FUSION)
            parts = parts_right(streams["motion"], truth, sizes)
            results.append({"seed": seed, "vectors": vectors, "top1": top1, "parts_of_m": parts})
    return {"sizes": asdict(sizes), "runs": results}


def show(results: dict[str, Any]) -> None:
    """A line for each kind of vectors, means over the seeds with standard errors; the thesis's lines below."""
    table = printing.table("", *(f">{name}" for name in (*COLUMNS, *(f"{part} by M" for part in PARTS))))
    columns = {vectors: _columns(results, vectors) for vectors in NAMES}
    for vectors, name in NAMES.items():
        printing.add_row(table, name, *(str(Estimate.of(column)) for column in columns[vectors]))
    for vectors in ("accumulated", "sub-pixel"):
        pairs = zip(columns[vectors], columns["original"], strict=True)
        gains = [[one - other for one, other in zip(*pair, strict=True)] for pair in pairs]
        printing.add_row(table, f"{NAMES[vectors]}: gain", *(str(Estimate.of(gain)) for gain in gains))
    thesis = [next(row for row in STREAM_ACCURACY if (row.dataset, row.split) == ("ucf101", "1")), ACCUMULATION[0]]
    for row in thesis:
        figures = (row.iframe, row.motion, row.residual, row.iframe_motion, row.iframe_residual, None, row.all)
        name = f"UCF101, thesis, {'accumulated' if row.accumulated else 'original'}"
        printing.add_row(table, name, *("" if figure is None else f"{figure:.1f}" for figure in figures))
    console = printing.console()
    sizes = results["sizes"]
    classes = len(sizes["motions"]) * len(sizes["appearances"])
    console.print(table)
    console.print(
        f"Top-1 accuracy in % of {classes} classes ({len(sizes['motions'])} motions x {len(sizes['appearances'])} "
        f"appearances) on {sizes['test_videos']} of {sizes['videos']} generated videos, mean and standard error over "
        f"{len({run['seed'] for run in results['runs']})} seeds; sums are 2 I + 1 M + 1 R."
    )


def _columns(results: dict[str, Any], vectors: str) -> list[list[float]]:
    """The figures of each column of the table, by seed."""
    runs = sorted((run for run in results["runs"] if run["vectors"] == vectors), key=lambda run: run["seed"])
    of_streams = [[run["top1"][name] for run in runs] for name in COLUMNS]
    return [*of_streams, *([run["parts_of_m"][part] for run in runs] for part in PARTS)]


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder of the videos and trainings")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], metavar="N", help="(default: 0 1 2)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the results are stored")
    parser.add_argument("--quick", action="store_true", help="few videos and steps, stored only with --json")
    parser.add_argument("--show", action="store_true", help="print the stored results")
    options = parser.parse_args()
    path: Path | None = options.json or (None if options.quick else STORED)
    if options.show:
        show(json.loads((path or STORED).read_text()))
        return 0
    if options.out is None:
        parser.error("give --out DIR, or --show")
    import torch

    from benchmarks.coviar.experiment import QUICK, Sizes

    torch.set_num_threads(1)
    sizes = QUICK if options.quick else Sizes()
    run(options.out, sizes, options.seeds)
    results = collected(options.out, sizes, options.seeds)
    if path is not None:
        path.write_text(json.dumps(results, indent=2) + "\n")
    show(results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
