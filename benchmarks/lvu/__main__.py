"""The experiment of README.md, and its tables and plots.

python -m benchmarks.lvu --out experiment --json benchmarks/results/lvu.json     runs what is not done yet
python -m benchmarks.lvu --show benchmarks/results/lvu.json --plots plots        from stored results alone
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.lvu.plots import svg
from longform.datasets.lvu import TASKS
from longform.object_transformer.lvu_table import nine_task_table, published_systems
from longform.training.recipes import Score

PUBLISHED = Path(__file__).with_name("published.json")
COLUMNS = 100
DIGITS = {task.name: 2 if task.is_regression else 1 for task in TASKS.values()}


def main() -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="folder of the experiment")
    parser.add_argument("--part", action="append", help="run only this part; may be repeated. Processes with parts or "
                        "tasks of their own may share a folder that has the world")  # fmt: skip
    parser.add_argument("--task", action="append", choices=tuple(TASKS), help="run only this task; may be repeated")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there")
    parser.add_argument("--show", type=Path, metavar="FILE", help="results to show, without running anything")
    parser.add_argument("--plots", type=Path, metavar="DIR", help="write SVG pictures there")
    parser.add_argument("--published", action="store_true", help="show the published figures too (real films)")
    options = parser.parse_args()
    if (options.out is None) == (options.show is None):
        parser.error("expected --out to run, or --show for stored results")
    report = json.loads(options.show.read_text(encoding="utf-8")) if options.show else _run(parser, options)
    _print_tables(report, published_systems(PUBLISHED) if options.published else [])
    if options.plots:
        _write_plots(report, options.plots)
    return 0


def _run(parser: argparse.ArgumentParser, options: argparse.Namespace) -> dict[str, Any]:
    from benchmarks.lvu.experiment import PARTS, ExperimentSettings, experiment

    parts = options.part or list(PARTS)
    if not set(parts) <= set(PARTS):
        parser.error(f"--part {', '.join(parts)}: expected some of {', '.join(PARTS)}")
    settings = ExperimentSettings(tasks=tuple(options.task or TASKS))
    report = experiment(options.out, settings, lambda text: print(text, file=sys.stderr, flush=True), parts)
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return report


def _print_tables(report: dict[str, Any], published: list[dict[str, Any]]) -> None:
    console = Console(highlight=False, markup=False, width=COLUMNS)
    for title, rows in _tables(report).items():
        console.print(title, style="bold")
        console.print(nine_task_table([_score(row) for row in rows], published, DIGITS))
        published = []


def _tables(report: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The rows of each table, chance and oracle first, by its title. OT: Object Transformer."""
    settings, tables = report["settings"], {}
    for few, masked in ((False, False), (False, True), (True, False)):
        rows = [row for row in report["results"] if (row["few"], row["masked_at_test"]) == (few, masked)]
        if rows:
            title = f"{rows[0]['num_videos_train']} labelled movies, {settings['seeds']} seeds"
            of_task = {row["task"]: row for row in rows}
            known = [
                {**of_task[row["task"]], **row, "std_error": None}
                for row in report["references"]
                if row["task"] in of_task
            ]
            tables[title + (", masked at test" if masked else "")] = rows if masked else [*known, *rows]
    return tables


def _score(row: dict[str, Any]) -> Score:
    names = ("task", "metric", "value", "std_error", "seeds", "num_videos", "num_missing")
    more = {"model": row["system"].replace("object-transformer", "OT"), "masked_at_test": False}
    return Score(**{name: row[name] for name in names}, more=more)


def _write_plots(report: dict[str, Any], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for title, rows in _tables(report).items():
        name = "few-labels" if rows[-1]["few"] else "masked-at-test" if rows[-1]["masked_at_test"] else "all-labels"
        (folder / f"{name}.svg").write_text(svg(rows, title), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
