"""Write a synthetic world: rendered films, or with `--bank` a feature bank at once.

python -m benchmarks.lvu.synthetic --videos 40 --out films
python -m benchmarks.lvu.synthetic --bank --videos 600 --unlabelled 1000 --out world
"""

import argparse
import sys
from pathlib import Path

from benchmarks.lvu.synthetic.banks import WorldConfig, write_bank_world
from benchmarks.lvu.synthetic.films import FilmConfig, write_films
from pipeline.errors import PipelineError


def main() -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--videos", type=int, default=40, help="movies with labels (default: 40)")
    parser.add_argument("--seconds", type=float, nargs=2, metavar=("MIN", "MAX"), help="shortest and longest movie")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--bank", action="store_true", help="write a bank, not films")
    parser.add_argument("--unlabelled", type=int, default=0, help="with --bank: further movies without labels")
    parser.add_argument("--feature-dim", type=int, help="with --bank: channels of the features (default: 2304)")
    options = parser.parse_args()
    if not options.bank and (options.unlabelled or options.feature_dim):
        parser.error("--unlabelled and --feature-dim need --bank")
    given = {"videos": options.videos, "seed": options.seed}
    if options.seconds:
        given["seconds"] = tuple(options.seconds)
    try:
        if not options.bank:
            write_films(options.out, FilmConfig(**given))
            print(f"{options.out}: {options.videos} films in videos, labels in lvu_1.0")
            return 0
        if options.feature_dim:
            given["feature_dim"] = options.feature_dim
        world = write_bank_world(options.out, WorldConfig(**given, unlabelled=options.unlabelled))
    except PipelineError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{options.out}: {world.bank.name}, {world.annotations.name}, {world.teacher.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
