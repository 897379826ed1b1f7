"""`python -m benchmarks.motions`: write a data set of generated videos."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.motions.classes import LABELS, MOTIONS
from benchmarks.motions.dataset import DataSet, write_data_set


def main() -> None:
    """Read the options and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.motions", description="Write generated videos (H.264) "
                                     "and lists train.csv, val.csv, test.csv, classes.txt. Run it again to go on "
                                     "after a stop.")  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--videos", type=int, required=True, metavar="N", help="all splits together: 70 %% train, "
                        "10 %% val, 20 %% test")  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="(default: %(default)s)")
    parser.add_argument("--size", type=int, default=112, help="side of the pictures, px (default: %(default)s)")
    parser.add_argument("--frames", type=int, default=48, help="per video, at 30 a second (default: %(default)s)")
    parser.add_argument("--labels", choices=LABELS, default="motion", help="(default: %(default)s)")
    parser.add_argument("--motions", type=_motions, default=MOTIONS, metavar="A,B,...", help="only these; labels keep "
                        f"their numbers. All: {', '.join(MOTIONS)}")  # fmt: skip
    parser.add_argument("--workers", type=int, default=1, help="processes (default: %(default)s)")
    options = parser.parse_args()
    data = DataSet(videos=options.videos, motions=options.motions, seed=options.seed, size=options.size,
                   frames=options.frames)  # fmt: skip
    write_data_set(data, options.out, labels=options.labels, workers=options.workers)


def _motions(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    unknown = [name for name in names if name not in MOTIONS]
    if unknown:
        raise argparse.ArgumentTypeError(f"no motion is called {', '.join(unknown)}")
    return names


if __name__ == "__main__":
    main()
