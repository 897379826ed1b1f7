"""`python -m benchmarks.builtin_network`: train, export, evaluate."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from extractors.weights.store import PACKAGED

FILE = PACKAGED / "slowfast_compact_motions.safetensors"


def main() -> None:
    """Read the options and do it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.builtin_network", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_train(commands.add_parser("train", help="make the data and train; run it again to go on after a stop"))
    _add_export(commands.add_parser("export", help="make the file of the package from a run's best weights"))
    _add_evaluate(commands.add_parser("evaluate", help="measure the weights beside what needs none"))
    options = parser.parse_args()
    options.run(options)


def _add_train(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="videos, checkpoints, logs")
    parser.add_argument("--videos", type=int, default=5120, help="to generate (default: %(default)s)")
    parser.add_argument("--baseline-steps", type=int, default=1600, metavar="N", help="steps without multigrid; with "
                        "it about a quarter as many (default: %(default)s)")  # fmt: skip
    parser.add_argument("--seed", type=int, default=1, help="(default: %(default)s)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: %(default)s)")
    parser.add_argument("--precision", default="bf16", choices=("fp32", "bf16"), help="(default: %(default)s)")
    parser.add_argument("--workers", type=int, default=0, help="processes that read (default: %(default)s)")
    parser.add_argument("--evaluate-every", type=int, default=100, metavar="STEPS", help="(default: %(default)s)")
    parser.add_argument("--checkpoint-every", type=int, default=25, metavar="STEPS", help="(default: %(default)s)")
    parser.set_defaults(run=_train)


def _train(options: argparse.Namespace) -> None:
    from benchmarks.builtin_network.training import RunOptions, run

    chosen = {name: value for name, value in vars(options).items() if name != "run"}
    report = run(RunOptions(**chosen))
    print(f"{report.metric} {report.best_value} at step {report.best_step}, {report.seconds:.0f} s")


def _add_export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--weights", type=Path, required=True, metavar="FILE", help="best.safetensors of the run, or "
                        "model.safetensors of a checkpoint")  # fmt: skip
    parser.add_argument("--videos", type=Path, required=True, metavar="DIR", help="for generated videos, over which "
                        "statistics are taken")  # fmt: skip
    parser.add_argument("--file", type=Path, default=FILE, help="to write (default: that of the package)")
    parser.set_defaults(run=_export)


def _export(options: argparse.Namespace) -> None:
    from benchmarks.builtin_network.export import export

    print(f"{options.file}: sha256 {export(options.weights, options.videos, options.file)}")
    print("The card in extractors/weights/cards/packaged.py must state the same.")


def _add_evaluate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--videos", type=Path, required=True, metavar="DIR", help="folder of the real clips")
    parser.add_argument("--file", type=Path, default=FILE, help="weights (default: those of the package)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.set_defaults(run=_evaluate)


def _evaluate(options: argparse.Namespace) -> None:
    from benchmarks.builtin_network.evaluation import as_json, as_markdown, evaluate

    figures = as_json(evaluate(options.file, options.videos))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    print(as_markdown(figures))


if __name__ == "__main__":
    main()
