"""`longform train|eval clips`: their options. Nothing heavy is imported here."""

from __future__ import annotations

import argparse

from longform.clip_training.presets import PRESETS
from longform.training.recipes import Recipe

LAYOUTS = ("auto", "paths", "kinetics", "ssv2", "charades", "frames", "ucf101", "hmdb51")
MULTIGRID = ("off", "long", "short", "both")
DEFAULT_PRESET = "kinetics"
FULL_WIDTH = 64


def configure_train(parser: argparse.ArgumentParser) -> None:
    """Add the options of `longform train clips`."""
    parser.add_argument("--recipe", dest="preset", choices=PRESETS, default=DEFAULT_PRESET, metavar="NAME",
                        help=f"published way to train: {', '.join(PRESETS)} (default: %(default)s)")  # fmt: skip
    parser.add_argument("--list", metavar="FILE", help="labelled videos to train on")
    parser.add_argument("--val", metavar="FILE", help="labelled videos to measure with")
    _add_data(parser)
    parser.add_argument("--model", metavar="NET", help="backbone (default: %(default)s)")
    parser.add_argument("--weights", metavar="W", help="what it starts from: a weight card, a file of a network with "
                        "or without non-local blocks, an image network, or 'untrained' (default: random weights where "
                        "the recipe has them, else there is none)")  # fmt: skip
    parser.add_argument("--width", type=int, default=FULL_WIDTH, metavar="N", help="channels after the stem; less "
                        "makes a small network (default: %(default)s)")  # fmt: skip
    parser.add_argument("--clip", metavar="TxS", help="frames of a clip, at the fast rate, and their distance "
                        "(default: %(default)s)")  # fmt: skip
    parser.add_argument("--size", type=int, metavar="PX", help="side of the training crop; pictures scale with it "
                        "(default: %(default)s)")  # fmt: skip
    parser.add_argument("--dropout", type=float, metavar="P", help="before the classifier (default: %(default)s)")
    parser.add_argument("--epochs", type=float, metavar="X", help="length instead of --steps; warm-up and drops scale "
                        "with it (default: %(default)s)")  # fmt: skip
    parser.add_argument("--multigrid", choices=MULTIGRID, default="off", help="cycles of larger batches of smaller "
                        "clips (default: %(default)s)")  # fmt: skip
    parser.add_argument("--precise-batches", type=int, metavar="N", help="batches that make normalisation precise "
                        "before it is measured; 0 for running statistics (default: %(default)s)")  # fmt: skip
    parser.add_argument("--max-unreadable", type=float, default=0.05, metavar="X", help="share of the videos that may "
                        "be damaged: replaced, and named in unreadable.csv (default: %(default)s)")  # fmt: skip
    parser.set_defaults(batch=None, steps=None, lr=None)
    parser.description = (
        f"{parser.description} Rates and times of a recipe follow the batch and the number of videos, unless options "
        "say otherwise."
    )


def configure_eval(parser: argparse.ArgumentParser) -> None:
    """Add the options of `longform eval clips`."""
    parser.add_argument("--checkpoint", required=True, metavar="W", help="file in the folder of a run, or a weight "
                        "card")  # fmt: skip
    parser.add_argument("--val", required=True, metavar="FILE", help="labelled videos to measure with")
    _add_data(parser)
    parser.add_argument("--clips", type=int, metavar="N", help="of each video (default: as published)")
    parser.add_argument("--crops", type=int, choices=(1, 3), help="of each clip (default: as published)")
    parser.add_argument("--combine", choices=("mean", "max"), help="of the views (default: as published)")
    parser.add_argument("--short-side", type=int, metavar="PX", help="of the pictures (default: as published)")


def _add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--videos", metavar="DIR", help="folder that the videos are in (default: that of the list)")
    parser.add_argument("--frames", metavar="DIR", help="folder of extracted pictures, for lists of Charades")
    parser.add_argument("--layout", choices=LAYOUTS, default="auto", help="of the lists; ucf101 and hmdb51 must be "
                        "named (default: %(default)s)")  # fmt: skip
    parser.add_argument("--split", type=int, choices=(1, 2, 3), default=1, help="of hmdb51, whose --list and --val are "
                        "the folder of all lists (default: %(default)s)")  # fmt: skip
    parser.add_argument("--classes", metavar="FILE", help="names of the classes by number: a file, or kinetics-400 and "
                        "its like (default: those that the training list has)")  # fmt: skip
    parser.add_argument("--allow-missing", action="store_true", help="go on without videos that are not there")


CLIPS = Recipe(
    summary="clip backbones on labelled videos, as published or by multigrid",
    configure=configure_train,
    settings="longform.clip_training.training:settings",
    task="longform.clip_training.training:task",
    configure_eval=configure_eval,
    evaluate="longform.clip_training.evaluation:evaluate",
)
