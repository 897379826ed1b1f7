"""The stored results of the experiment: a table, and a plot of accuracy against time."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from typing import Any

from benchmarks.lfb.results import Estimate
from benchmarks.multigrid.experiment import BASELINE, CONDITIONS, Sizes
from pipeline import printing
from pipeline.errors import InputError

COLOURS = dict(zip(CONDITIONS, ("#4c4c4c", "#9e9e9e", "#2ca02c", "#1f77b4", "#c2185b"), strict=True))
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 620, 360, 52, 190, 20, 46
TEXT = 'font-family="sans-serif" font-size="12" fill="#222"'

Run = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Results:
    """Everything that was measured with some sizes."""

    sizes: Sizes
    runs: Sequence[Run]
    """What `benchmarks.multigrid.experiment.run` returns, by condition and seed."""

    @staticmethod
    def read(path: Path) -> Results:
        """Raises InputError if the file has no results."""
        try:
            content = json.loads(path.read_text())
            sizes: dict[str, Any] = {**content["sizes"], "drops": tuple(content["sizes"]["drops"])}
            return Results(sizes=Sizes(**sizes), runs=content["runs"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{path} has no results of the experiment: {error!r}. Run it, or name another file."
            ) from error

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = ",\n".join("    " + json.dumps(run) for run in self.runs)
        path.write_text(f'{{\n  "sizes": {json.dumps(asdict(self.sizes))},\n  "runs": [\n{lines}\n  ]\n}}\n')

    @property
    def conditions(self) -> list[str]:
        """Those that were measured, in the order of the table."""
        return [name for name in CONDITIONS if any(run["condition"] == name for run in self.runs)]

    def of(self, condition: str, value: Callable[[Run], float]) -> Estimate:
        """Mean over the seeds with its standard error."""
        return Estimate.of([value(run) for run in self.runs if run["condition"] == condition])

    def over_baseline(self, condition: str, value: Callable[[Run], float]) -> Estimate:
        """The baseline's value over a condition's, of the same seed, which ran one after the other."""
        by_seed = {run["seed"]: value(run) for run in self.runs if run["condition"] == BASELINE}
        pairs = [(by_seed[run["seed"]], value(run)) for run in self.runs
                 if run["condition"] == condition and run["seed"] in by_seed]  # fmt: skip
        if not pairs:
            raise InputError(f"No seed has both {BASELINE!r} and {condition!r}: run the experiment to its end.")
        return Estimate.of([base / own for base, own in pairs])


def top1(run: Run) -> float:
    return run["top1"]


def training_cpu(run: Run) -> float:
    return run["training"]["cpu_s"]


def training_wall(run: Run) -> float:
    return run["training"]["wall_s"]


def show(results: Results) -> None:
    """Print the table."""
    table = printing.table(
        "training", ">epochs", ">steps", ">fewer", ">top-1 %", ">CPU s", ">faster", ">reading s", ">measuring s",
        ">wall s", ">faster",
    )  # fmt: skip
    for name in results.conditions:
        printing.add_row(table, *_cells(results, name))
    console = printing.console()
    console.print(table)
    console.print(LEGEND, style="dim")


LEGEND = """
Mean over seeds and its standard error. fewer: steps of the baseline over those here. CPU s: of the training process,
all threads, reading included and measuring (with the clips for precise normalisation) not. faster: the baseline's time
over that here, by seed. wall s: the same by the clock, on a machine that others used too."""


def _cells(results: Results, name: str) -> list[str]:
    def mean(value: Callable[[Run], float]) -> float:
        return results.of(name, value).mean

    return [
        name,
        f"{mean(lambda run: run['clips']) / results.sizes.train_videos:.1f}",
        f"{mean(lambda run: run['steps']):.0f}",
        f"{results.over_baseline(name, lambda run: run['steps']).mean:.2f}",
        str(results.of(name, top1)),
        str(results.of(name, training_cpu)),
        _ratio(results.over_baseline(name, training_cpu)),
        f"{mean(lambda run: run['reading']['cpu_s']):.1f}",
        f"{mean(lambda run: run['evaluation']['cpu_s']):.1f}",
        f"{mean(training_wall):.0f}",
        _ratio(results.over_baseline(name, training_wall)),
    ]


def _ratio(estimate: Estimate) -> str:
    return f"{estimate.mean:.2f}" if math.isnan(estimate.error) else f"{estimate.mean:.2f} ± {estimate.error:.2f}"


def plot(results: Results) -> str:
    """SVG: a point for each training, its accuracy over the CPU time it took, with standard errors."""
    points = {name: (results.of(name, training_cpu), results.of(name, top1)) for name in results.conditions}
    most_s = 1.1 * max(seconds.mean for seconds, _ in points.values())
    low = 5 * math.floor(min(_low(accuracy) for _, accuracy in points.values()) / 5 - 0.5)
    high = min(100, 5 * math.ceil(max(_high(accuracy) for _, accuracy in points.values()) / 5 + 0.5))

    def x(seconds: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * seconds / most_s

    def y(percent: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (high - percent) / (high - low)

    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}">',
             '<rect width="100%" height="100%" fill="white"/>']  # fmt: skip
    for tick in range(low, high + 1, 5):
        parts += [_line(LEFT, y(tick), WIDTH - RIGHT, y(tick), "#ddd"), _text(LEFT - 6, y(tick) + 4, str(tick), "end")]
    for tick in range(0, int(most_s) + 1, _round_step(most_s / 6)):
        parts.append(_text(x(tick), HEIGHT - BOTTOM + 16, str(tick), "middle"))
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, "CPU seconds of training", "middle"))
    parts.append(_text(LEFT, TOP - 6, "top-1 accuracy, %", "start"))
    for number, (name, (seconds, accuracy)) in enumerate(points.items()):
        colour, here = COLOURS[name], (x(seconds.mean), y(accuracy.mean))
        parts += [
            _line(here[0], y(_low(accuracy)), here[0], y(_high(accuracy)), colour),
            _line(x(_low(seconds)), here[1], x(_high(seconds)), here[1], colour),
            f'<circle cx="{here[0]:.1f}" cy="{here[1]:.1f}" r="4" fill="{colour}"/>',
            f'<rect x="{WIDTH - RIGHT + 14}" y="{TOP + 20 * number}" width="10" height="10" fill="{colour}"/>',
            _text(WIDTH - RIGHT + 30, TOP + 20 * number + 9, name, "start"),
        ]
    return "\n".join([*parts, "</svg>", ""])


def _low(estimate: Estimate) -> float:
    return estimate.mean if math.isnan(estimate.error) else estimate.low


def _high(estimate: Estimate) -> float:
    return estimate.mean if math.isnan(estimate.error) else estimate.high


def _round_step(least: float) -> int:
    """The next of 1, 2, 5, 10, 20, ..."""
    unit = 10 ** max(0, math.floor(math.log10(max(least, 1))))
    return next(step * unit for step in (1, 2, 5, 10) if step * unit >= least)


def _line(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"/>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {TEXT}>{escape(text)}</text>'
