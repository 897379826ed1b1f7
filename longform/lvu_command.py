"""`longform lvu`: the nine tasks of LVU from one bank."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from longform.object_transformer.options import add_bank_options, add_model_options, sizes_of, spaces_of

if TYPE_CHECKING:
    from longform.object_transformer.lvu import LvuSettings, RunResult
    from longform.training.recipes import Score

ALL = "all"
TASK_NAMES = (
    "relationship",
    "way_speaking",
    "scene",
    "like_ratio",
    "view_count",
    "director",
    "genre",
    "writer",
    "year",
)
"""Those of `longform.datasets.lvu.TASKS`, which the parser must not import."""
MODELS = ("object-transformer", "short-term", "average-pool", "max-pool", "video-bert")
MASKS = {"on": (True,), "off": (False,), "both": (True, False)}
GRID_EPOCHS, GRID_BATCHES = (5, 10, 20), (16, 32)
"""The thesis names the batches; its epochs are not published."""
NAMES_SHOWN = 5


def configure(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    add_bank_options(parser)
    parser.add_argument("--annotations", required=True, metavar="DIR", help="folder lvu_1.0 with the split files")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder of the results; go on there after a stop")
    parser.add_argument("--task", action="append", choices=(ALL, *TASK_NAMES), metavar="TASK", help="may be repeated: "
                        f"{', '.join(TASK_NAMES)} (default: all)")  # fmt: skip
    parser.add_argument("--model", action="append", choices=(ALL, *MODELS), metavar="MODEL", help="may be repeated: "
                        f"{', '.join(MODELS)} or all (default: {MODELS[0]})")  # fmt: skip
    parser.add_argument("--pretrained", metavar="FILE", help="weights of ot-pretrain, or released ones, to start from")
    parser.add_argument("--pretrained-frames", metavar="FILE", help="the same for video-bert: weights of ot-pretrain "
                        "--tokens frames")  # fmt: skip
    parser.add_argument("--seeds", type=int, default=5, metavar="N", help="runs of each setting (default: %(default)s)")
    parser.add_argument("--grid", action="store_true", help="choose epochs of "
                        f"{', '.join(map(str, GRID_EPOCHS))} and batch of 16, 32 on validation")  # fmt: skip
    parser.add_argument("--epochs", type=int, default=10, metavar="N", help="without --grid (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=16, metavar="N", help="without --grid (default: %(default)s)")
    parser.add_argument("--lr", type=float, default=2e-5, metavar="X", help="learning rate (default: %(default)s)")
    parser.add_argument("--labels", type=int, metavar="N", help="train on N videos of each task, chosen by the seed "
                        "(default: all)")  # fmt: skip
    parser.add_argument("--mask-at-test", choices=tuple(MASKS), default="both", help="measure transformers with masked "
                        "boxes, as the released code does, without, or both (default: %(default)s)")  # fmt: skip
    parser.add_argument("--test-stride", type=int, default=1, metavar="S", help="seconds between the spans that are "
                        "measured (default: %(default)s)")  # fmt: skip
    parser.add_argument("--keep-weights", action="store_true", help="keep the weights of every run")
    parser.add_argument("--published", metavar="JSON", help="show the figures of this file below ours, such as "
                        "benchmarks/lvu/published.json")  # fmt: skip
    add_model_options(parser)
    parser.add_argument("--device", default="cpu", metavar="D", help="cpu, cuda, cuda:1, mps or auto "
                        "(default: %(default)s)")  # fmt: skip
    parser.add_argument("--precision", default="fp32", choices=("fp32", "bf16"), help="default: %(default)s")
    parser.add_argument("--workers", type=int, default=0, metavar="N", help="processes that read examples "
                        "(default: %(default)s)")  # fmt: skip
    parser.add_argument("--quiet", action="store_true", help="no progress")
    parser.add_argument("--json", action="store_true", help="print one line of JSON for each result instead of a table")


def lvu(options: argparse.Namespace) -> int:
    """Run the command. Raises what reading the bank, the split files and the weights, and training raise."""
    from longform.object_transformer.lvu import RESULTS, LvuRuns, scores
    from pipeline.bank import FeatureBank

    settings = _settings(options)
    bank = FeatureBank.open(options.bank)
    out = Path(options.out)
    runs = LvuRuns(bank, spaces_of(options, bank), Path(options.annotations), settings, out,
                   cache_bytes=options.cache_gb * 1e9)  # fmt: skip
    results = list(_reported(runs.results(), len(list(settings.plan())), options.quiet))
    found = scores(results)
    (out / RESULTS).write_text("".join(f"{score.to_json()}\n" for score in found), encoding="utf-8")
    _name_missing(results)
    if options.json:
        print("".join(f"{score.to_json()}\n" for score in found), end="")
    else:
        _print_table(found, options.published)
    return 0


def _settings(options: argparse.Namespace) -> LvuSettings:
    from longform.object_transformer.fine_tuning import TestSettings
    from longform.object_transformer.lvu import LvuSettings
    from longform.training.errors import TrainingError

    for name in ("seeds", "epochs", "batch", "test_stride"):
        if getattr(options, name) < 1:
            raise TrainingError(f"--{name.replace('_', '-')}: expected 1 or more, got {getattr(options, name)}.")
    if options.labels is not None and options.labels < 1:
        raise TrainingError(f"--labels: expected 1 or more, got {options.labels}.")
    files = {"object-transformer": options.pretrained, "video-bert": options.pretrained_frames}
    return LvuSettings(
        tasks=_chosen(options.task, TASK_NAMES, TASK_NAMES),
        models=_chosen(options.model, MODELS, MODELS[:1]),  # type: ignore[arg-type]
        epochs=GRID_EPOCHS if options.grid else (options.epochs,),
        batches=GRID_BATCHES if options.grid else (options.batch,),
        seeds=options.seeds,
        lr=options.lr,
        pretrained={name: file for name, file in files.items() if file is not None},  # type: ignore[misc]
        labels=options.labels,
        network=sizes_of(options),
        test=TestSettings(masked=MASKS[options.mask_at_test], stride=options.test_stride),
        device=options.device,
        precision=options.precision,
        workers=options.workers,
        keep_weights=options.keep_weights,
    )


def _chosen(named: Sequence[str] | None, every: tuple[str, ...], default: tuple[str, ...]) -> tuple[str, ...]:
    if not named:
        return default
    return every if ALL in named else tuple(dict.fromkeys(named))


def _reported(results: Iterable[RunResult], count: int, quiet: bool) -> Iterator[RunResult]:
    """The results, with a line for each as it comes."""
    for number, result in enumerate(results, 1):
        if not quiet:
            values = ", ".join(f"{name} {value:.4g}" for name, value in result.values.items())
            print(f"{number}/{count} {result.key.name}: {values} ({result.seconds:.1f} s)", file=sys.stderr, flush=True)
        yield result


def _name_missing(results: Sequence[RunResult]) -> None:
    """On standard error, the videos of each task that have no boxes; all of them are in the files of the runs."""
    of_task = {result.key.task: result.missing for result in results}
    for task, missing in of_task.items():
        for split, names in missing.items():
            if names:
                shown = ", ".join(names[:NAMES_SHOWN]) + (", ..." if len(names) > NAMES_SHOWN else "")
                print(f"{task}, {split}: {len(names)} videos are not in the bank or have no box: {shown}",
                      file=sys.stderr)  # fmt: skip


def _print_table(found: Sequence[Score], published: str | None) -> None:
    from rich.console import Console

    from longform.object_transformer.lvu_table import nine_task_table, published_systems

    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console = Console(highlight=False, markup=False, width=200)
    console.print(nine_task_table(found, published_systems(Path(published)) if published else ()))
