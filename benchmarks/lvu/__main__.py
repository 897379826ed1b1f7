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
from longform.object_transformer.lvu_table import nine_task_table, published_systems
from longform.training.recipes import Score

PUBLISHED = Path(__file__).with_name("published.json")


def main() -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="folder of the experiment")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there")
    parser.add_argument("--show", type=Path, metavar="FILE", help="results to show, without running anything")
    parser.add_argument("--plots", type=Path, metavar="DIR", help="write SVG pictures there")
    parser.add_argument("--published", action="store_true", help="show the published figures too (real films)")
    options = parser.parse_args()
    if (options.out is None) == (options.show is None):
        parser.error("expected --out to run, or --show for stored results")
    if options.show:
        report = json.loads(options.show.read_text(encoding="utf-8"))
    else:
        from benchmarks.lvu.experiment import ExperimentSettings, experiment

        report = experiment(options.out, ExperimentSettings(), lambda text: print(text, file=sys.stderr, flush=True))
        if options.json:
            options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    _print_tables(report["results"], published_systems(PUBLISHED) if options.published else [])
    if options.plots:
        _write_plots(report["results"], options.plots)
    return 0


def _print_tables(rows: list[dict[str, Any]], published: list[dict[str, Any]]) -> None:
    console = Console(highlight=False, markup=False, width=200)
    for title, few in (("All labels", False), ("Few labels", True)):
        chosen = [_score(row) for row in rows if row["few"] is few]
        if chosen:
            console.print(title, style="bold")
            console.print(nine_task_table(chosen, [] if few else published))


def _score(row: dict[str, Any]) -> Score:
    names = ("task", "metric", "value", "std_error", "seeds", "num_videos", "num_missing")
    more = {"model": row["system"], "masked_at_test": row["masked_at_test"]}
    return Score(**{name: row[name] for name in names}, more=more)


def _write_plots(rows: list[dict[str, Any]], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    clean = [row for row in rows if not row["masked_at_test"]]
    for name, few in (("all-labels", False), ("few-labels", True)):
        chosen = [row for row in clean if row["few"] is few]
        if chosen:
            title = f"Nine tasks, {name.replace('-', ' ')}: mean and standard error of {chosen[0]['seeds']} seeds"
            (folder / f"{name}.svg").write_text(svg(chosen, title), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
