"""From pixels to nine tasks on a CPU, by documented commands: films of the synthetic world, bank, pre-training, table.

    python -m benchmarks.lvu.from_pixels --out DIR [--films N] [--seeds N] [--json FILE]
    python -m benchmarks.lvu.from_pixels --show FILE

runs the commands of `COMMANDS` in turn and prints them; stopped, it goes on where it was. Beside the models stand
chance, and the oracle on what the classifier reads from the bank (`synthetic.film_ceilings`). Epochs and rate were
chosen on the validation films of genre and relationship.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from longform.datasets.lvu import TASKS, LvuTask, read_split
from longform.object_transformer.lvu_table import nine_task_table
from longform.training.recipes import Score

NETWORK = "--width 64 --layers 2 --heads 4 --dropout 0"

LVU = (
    "longform lvu --bank {out}/bank --annotations {out}/films/lvu_1.0 --min-score {min_score} "
    "--pretrained {out}/pretraining/final.safetensors --model object-transformer --model average-pool "
    "--epochs {epochs} --lr {lr} --seeds {seeds} --test-stride 15 --mask-at-test off {network} --quiet "
)
"""Nine tasks take two commands, so that both cores work."""

HALVES = {
    "lvu-1": "--task relationship --task way_speaking --task scene --task like_ratio --task view_count",
    "lvu-2": "--task director --task genre --task writer --task year",
}

COMMANDS: Mapping[str, tuple[str, ...]] = {
    "render": ("python -m benchmarks.lvu.synthetic --videos {films} --seconds {shortest} {longest} --out {out}/films",),
    "extract": (
        "longform extract {out}/films/videos.csv --bank {out}/bank --only tracks "
        "--set people.rate_hz=0.333333 --set tracks.max_gap_s=4 --quiet",
    ),
    "classifier": ("python -m benchmarks.lvu.synthetic.film_teacher --films {out}/films --bank {out}/bank",),
    "pre-train": (
        "longform train ot-pretrain --bank {out}/bank --classifier {out}/films/teacher.safetensors "
        "--min-score {min_score} --steps {steps} --batch 16 --lr {lr} {network} --out {out}/pretraining "
        "--quiet",
    ),
    "nine tasks": tuple(f"{LVU} {tasks} --out {{out}}/{name}" for name, tasks in HALVES.items()),
    "ceilings": (
        "python -m benchmarks.lvu.synthetic.film_ceilings --films {out}/films --bank {out}/bank "
        "--min-score {min_score} --json {out}/ceilings.json",
    ),
}
"""Commands of one step run side by side.

People are looked for every 3 s, as in banks of the world, and linked over as long; tracks are all that is needed of the
preset's stages. HOG boxes under 0.6 are mostly false alarms.
"""


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much is made and trained."""

    films: int = 300
    """Labelled; 60 % of them train."""
    shortest: float = 60.0
    longest: float = 90.0
    steps: int = 1000
    """Of pre-training."""
    epochs: int = 120
    lr: float = 1e-3
    """Of pre-training and of the nine tasks."""
    seeds: int = 3
    min_score: float = 0.6


def run(out: Path, sizes: Sizes) -> dict[str, Any]:
    """Run all commands of a folder from the first one on that is not done yet.

    Returns:
        the report, as `benchmarks/results/lvu_from_pixels.json` has it.
    Raises:
        CalledProcessError: a command failed; what it printed is above.
    """
    out.mkdir(parents=True, exist_ok=True)
    log = out / "steps.json"
    steps: dict[str, Any] = json.loads(log.read_text(encoding="utf-8")) if log.exists() else {}
    is_stale = False
    for name in COMMANDS:
        commands = _commands(name, out, sizes)
        is_stale = is_stale or name not in steps or steps[name]["commands"] != commands
        if is_stale:
            print(*(f"$ {command}" for command in commands), sep="\n", file=sys.stderr, flush=True)
            steps[name] = {"commands": commands, **_timed(commands)}
            log.write_text(json.dumps(steps, indent=1) + "\n", encoding="utf-8")
    return {
        "command": "python -m benchmarks.lvu.from_pixels --out DIR",
        "sizes": asdict(sizes),
        "machine": {"processor": platform.machine(), "threads": torch.get_num_threads()},
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "steps": {name: {**steps[name], "commands": _commands(name, Path("DIR"), sizes)} for name in COMMANDS},
        "ceilings": json.loads((out / "ceilings.json").read_text(encoding="utf-8")),
        "chance": {task.name: chance(out / "films" / "lvu_1.0", task) for task in TASKS.values()},
        "results": [
            json.loads(line) for name in HALVES for line in (out / name / "results.jsonl").read_text().splitlines()
        ],
    }


def _commands(name: str, out: Path, sizes: Sizes) -> list[str]:
    return [template.format(out=out, network=NETWORK, **asdict(sizes)) for template in COMMANDS[name]]


def _timed(commands: Sequence[str]) -> dict[str, float]:
    """Minutes of the clock, and of work of all processes that the commands started, side by side."""
    before, began = _worked_s(), time.perf_counter()
    processes = [subprocess.Popen(_program(command), stdout=sys.stderr) for command in commands]
    for command, status in zip(commands, [process.wait() for process in processes], strict=True):
        if status:
            raise subprocess.CalledProcessError(status, command)
    return {"minutes": (time.perf_counter() - began) / 60, "cpu_minutes": (_worked_s() - before) / 60}


def _program(command: str) -> list[str]:
    words = shlex.split(command)
    words[:1] = [sys.executable, "-m", "pipeline.cli"] if words[0] == "longform" else [sys.executable]
    return words


def _worked_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def chance(annotations: Path, task: LvuTask) -> float:
    """What guessing reaches: 100 / classes, or the squared error on the test videos of the mean training target."""
    if not task.is_regression:
        return 100 / len(task.classes)
    train, test = ([video.label for video in read_split(annotations, task.name, split)] for split in ("train", "test"))
    return float(np.mean((np.array(test) - np.mean(train)) ** 2))


def show(report: Mapping[str, Any], console: Console) -> None:
    """The table of the nine tasks, what the pixels lost, and the time."""
    console.print(nine_task_table(list(_scores(report))))
    lost = report["ceilings"]
    console.print(f"{lost['films']} test films; cuts {lost['cuts']}")
    for name in ("people", "read"):
        console.print(f"{name}: " + ", ".join(f"{key} {value:.1f}" for key, value in lost[name].items()))
    for name, step in report["steps"].items():
        console.print(f"{name}: {step['minutes']:.1f} min, {step['cpu_minutes']:.1f} of work")


def _scores(report: Mapping[str, Any]) -> Iterator[Score]:
    names = ("task", "metric", "value", "std_error", "seeds", "num_videos", "num_missing")
    for row in report["results"]:
        more = {"model": row["model"], "masked_at_test": row["masked_at_test"]}
        yield Score(**{name: row[name] for name in names}, more=more)
    for model, values in (("chance", report["chance"]), ("oracle on the bank", report["ceilings"]["oracle"])):
        for task, value in values.items():
            metric = "mse" if TASKS[task].is_regression else "top1"
            yield Score(
                task=task,
                metric=metric,
                value=value,
                num_videos=report["ceilings"]["films"],
                num_missing=0,
                more={"model": model, "masked_at_test": False},
            )


def main() -> None:
    """Run what is not done yet, or show stored results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="folder of films, bank and results")
    parser.add_argument("--films", type=int, default=Sizes.films, help="default: %(default)s")
    parser.add_argument("--seconds", type=float, nargs=2, default=(Sizes.shortest, Sizes.longest))
    parser.add_argument("--steps", type=int, default=Sizes.steps, help="of pre-training (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=Sizes.epochs, help="default: %(default)s")
    parser.add_argument("--seeds", type=int, default=Sizes.seeds, help="default: %(default)s")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there")
    parser.add_argument("--show", type=Path, metavar="FILE", help="show stored results, run nothing")
    options = parser.parse_args()
    if (options.out is None) == (options.show is None):
        parser.error("expected --out to run, or --show for stored results")
    if options.show:
        report = json.loads(options.show.read_text(encoding="utf-8"))
    else:
        shortest, longest = options.seconds
        sizes = Sizes(
            films=options.films,
            shortest=shortest,
            longest=longest,
            steps=options.steps,
            epochs=options.epochs,
            seeds=options.seeds,
        )
        report = run(options.out, sizes)
        if options.json:
            options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    show(report, Console(highlight=False, markup=False, width=160))


if __name__ == "__main__":
    main()
