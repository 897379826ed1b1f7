"""The table of nine tasks and the plots: what is in them, and that they fit."""

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from rich.console import Console

import benchmarks.lvu
from benchmarks.lvu.plots import svg
from longform.datasets.lvu import TASKS
from longform.object_transformer.lvu_table import nine_task_table, published_systems
from longform.training.recipes import Score

PUBLISHED = Path(benchmarks.lvu.__file__).with_name("published.json")


def score(task: str, model: str, value: float, masked: bool = False) -> Score:
    more = {"model": model, "masked_at_test": masked}
    metric = "mse" if TASKS[task].is_regression else "top1"
    return Score(
        task=task, metric=metric, value=value, std_error=0.25, seeds=5, num_videos=40, num_missing=2, more=more
    )


def rows() -> list[Score]:
    found = [score(task, "max-pool", 50.0) for task in TASKS]
    return [*found, *(score(task, "object-transformer", 61.5, True) for task in TASKS)]


def test_one_screen_beside_the_published_figures() -> None:
    console = Console(width=160)
    with console.capture() as printed:
        console.print(nine_task_table(rows(), published_systems(PUBLISHED)))
    lines = printed.get().splitlines()
    assert len(lines) < 40
    assert lines[2].startswith("object-transformer, masked")
    assert "61.5±0.2" in lines[2]
    assert lines[3].split()[-1] == "40/42"
    assert any("Object Transformer (thesis)" in line and "52.5±1.4" in line and "0.230±0.005" in line for line in lines)


def test_published_figures_name_their_source_and_all_tasks() -> None:
    for system in published_systems(PUBLISHED):
        assert system["source"]
        assert tuple(system["values"]) == tuple(TASKS)


def test_plots_have_a_mark_for_each_result() -> None:
    results: list[dict[str, Any]] = [
        {"system": row.more["model"], "task": row.task, "value": row.value, "std_error": row.std_error}
        for row in rows()
    ]
    tree = ElementTree.fromstring(svg(results, "Nine <tasks>"))
    assert len(tree.findall("{http://www.w3.org/2000/svg}circle")) == len(results)
