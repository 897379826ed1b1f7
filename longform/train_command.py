"""`longform train` and `longform eval`: a recipe's model trained, or measured."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from longform.training.errors import TrainingError
from longform.training.loop import BEST, FINAL, TrainReport
from longform.training.loop import train as run
from longform.training.recipes import RECIPES, Recipe, Score, load
from longform.training.seeds import seed_everything
from longform.training.settings import TrainSettings
from pipeline import printing

EXIT_INTERRUPTED = 130


def train(options: argparse.Namespace) -> int:
    """Run the command. Raises what `longform.training.loop.train` and the recipe raise."""
    recipe: Recipe = load(RECIPES[options.recipe])
    settings: TrainSettings = load(recipe.settings)(options)
    if options.show_schedule:
        _print_schedule(settings.schedule.table(settings.steps), as_json=options.json)
        return 0
    if options.out is None:
        raise TrainingError("A run needs a folder: expected --out DIR (or --show-schedule, which trains nothing).")
    seed_everything(options.seed)
    try:
        report = run(load(recipe.task)(options), settings, Path(options.out))
    except KeyboardInterrupt:
        print(f"Stopped. Run the same command again to go on from the last checkpoint in {options.out}.",
              file=sys.stderr)  # fmt: skip
        return EXIT_INTERRUPTED
    if os.environ.get("RANK", "0") == "0":
        _print_report(report, as_json=options.json)
    return 0


def evaluate(options: argparse.Namespace) -> int:
    """Run the command: one line of JSON for each score, or a table."""
    recipe: Recipe = load(RECIPES[options.recipe])
    if recipe.evaluate is None:
        raise TrainingError(f"Recipe {options.recipe!r} has no evaluation of its own.")
    scores: Sequence[Score] = load(recipe.evaluate)(options)
    if options.json:
        for score in scores:
            print(score.to_json())
        return 0
    table = printing.table("", "metric", ">value", ">std error", ">seeds", ">videos", ">missing")
    for score in scores:
        error = "" if score.std_error is None else f"{score.std_error:.4f}"
        cells = (score.task or score.dataset or "", score.metric, f"{score.value:.4f}", error)
        printing.add_row(table, *cells, score.seeds, score.num_videos, score.num_missing)
    printing.console().print(table)
    return 0


def _print_schedule(rows: Sequence[Mapping[str, Any]], *, as_json: bool) -> None:
    if as_json:
        printing.print_json(list(rows))
        return
    columns = list(dict.fromkeys(name for row in rows for name in row))
    table = printing.table(*(f">{name}" for name in columns))
    for row in rows:
        printing.add_row(table, *(_cell(row.get(name, "")) for name in columns))
    printing.console().print(table)


def _print_report(report: TrainReport, *, as_json: bool) -> None:
    if as_json:
        printing.print_json(asdict(report))
        return
    console = printing.console()
    console.print(f"{report.steps_now} of {report.steps} steps in {report.seconds:.1f} s")
    metrics = ", ".join(f"{name} {value:.4g}" for name, value in report.metrics.items())
    console.print(printing.harmless(f"{metrics}: {report.folder / FINAL}"))
    if report.best_step is not None:
        best = f"best {report.metric} {report.best_value:.4g} at step {report.best_step}"
        console.print(printing.harmless(f"{best}: {report.folder / BEST}"))


def _cell(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
