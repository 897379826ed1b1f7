"""`longform train|eval lfb-ava`, `lfb-epic-verb`, `lfb-epic-noun` and `lfb-charades`: their options.

Nothing heavy is imported here.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial

from longform.lfb.hyperparameters import PUBLISHED_BATCH, SOURCES, published
from longform.training.recipes import Recipe, add_workers_option

OPERATORS = ("none", "nl", "avg", "max", "sto")
WINDOWS_S = {"ava": 60, "epic-verb": 40, "epic-noun": 12, "charades": 10}
"""Length of the window of the bank that a clip reads, published."""
CLIPS = {"ava": "32x2", "epic-verb": "32x2", "epic-noun": "32x2", "charades": "32x4"}
"""Frames x distance, at 30 frames a second, of Charades 24."""
DEFAULT_BACKBONE = "lfb_i3d_nl_r50"
DEFAULT_SIZE_PX = 256
START = {"lfb_i3d_nl_r50": "i3d_nl_r50_k400_lfb", "lfb_i3d_nl_r101": "i3d_nl_r101_k400_lfb"}
"""Weight cards that training starts from."""


def configure_train(parser: argparse.ArgumentParser, *, task: str) -> None:
    """Add the options of `longform train lfb-<task>`."""
    _add_data(parser, task)
    parser.add_argument("--operator", choices=OPERATORS, default="nl", help="what relates a clip to the bank; none: "
                        "the 3D CNN alone, sto: the clip to itself (default: %(default)s)")  # fmt: skip
    parser.add_argument("--layers", type=int, choices=(1, 2, 3), default=2, help="of nl and sto (default: %(default)s)")
    parser.add_argument("--window-s", type=int, default=WINDOWS_S[task], metavar="S", help="seconds of the bank around "
                        "a clip (default: %(default)s)")  # fmt: skip
    parser.add_argument("--causal", action="store_true", help="the window ends where the clip's centre is")
    parser.add_argument("--masked", action="store_true", help="leave empty slots of a window out; the released code "
                        "does not")  # fmt: skip
    parser.add_argument("--weights", metavar="W", help="what the backbone starts from: a weight card, a file, such as "
                        "the best.safetensors of a run, or 'untrained' (default: Kinetics-400; for the second stage of "
                        "charades there is none)")  # fmt: skip
    parser.add_argument("--freeze", choices=("nothing", "backbone"), help="what is not trained (default: nothing; "
                        "backbone for charades with a bank)")  # fmt: skip
    parser.add_argument("--hyperparameters", choices=SOURCES, default="code", help="whose learning rate and weight "
                        "decay, where code and thesis differ (default: %(default)s)")  # fmt: skip
    parser.add_argument("--backbone", default=DEFAULT_BACKBONE, metavar="NET", help="default: %(default)s")
    parser.add_argument("--width", type=int, default=64, metavar="N", help="channels after the stem; less makes a "
                        "small network (default: %(default)s)")  # fmt: skip
    parser.add_argument("--clip", default=CLIPS[task], metavar="TxS", help="frames of a clip, and their distance "
                        "(default: %(default)s)")  # fmt: skip
    parser.add_argument("--size", type=int, default=DEFAULT_SIZE_PX, metavar="PX", help="short side of pictures in "
                        "testing; training scales to 1 to 1.25 times this and crops 7/8 of it "
                        "(default: %(default)s)")  # fmt: skip
    parser.set_defaults(batch=PUBLISHED_BATCH, steps=None, lr=None)
    parser.description = f"{parser.description} {_published_words(task)}"


def configure_eval(parser: argparse.ArgumentParser, *, task: str) -> None:
    """Add the options of `longform eval lfb-<task>`."""
    add_workers_option(parser)
    _add_data(parser, task)
    parser.add_argument("--checkpoint", metavar="W", help="file in the folder of a run, or a released model, such as "
                        "r50_ava_nl_lfb")  # fmt: skip
    parser.add_argument("--results", metavar="FILE", help="measure this file of results instead of a model")
    parser.add_argument("--output", metavar="FILE", help="write results: " + OUTPUTS[task])
    parser.add_argument("--views", choices=("center", "full"), default="full" if task == "charades" else "center",
                        help=VIEWS[task] + " (default: %(default)s)")  # fmt: skip
    parser.add_argument("--explain", metavar="FILE", help="write which moments of the bank each answer came from, JSON")
    parser.add_argument("--explain-video", action="append", default=[], metavar="V", help="only of this video; may "
                        "be repeated")  # fmt: skip
    parser.add_argument("--explain-top", type=int, default=10, metavar="K", help="moments of an answer, the heaviest; "
                        "0 for all (default: %(default)s)")  # fmt: skip
    parser.add_argument("--write-network", metavar="FILE", help="of a model with operator none: write its network as "
                        "longform extract --weights takes it")  # fmt: skip
    parser.add_argument("--batch", type=int, default=8, metavar="N", help="clips at once (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="draws the five features of a second of AVA's "
                        "bank (default: %(default)s)")  # fmt: skip
    if task.startswith("epic"):
        other = "nouns" if task == "epic-verb" else "verbs"
        parser.add_argument("--with", dest="other_results", metavar="FILE", help=f"results of the {other}: measure "
                            "actions too")  # fmt: skip
        parser.add_argument("--prior", choices=("noun_given_verb", "class_frequencies", "none"),
                            default="noun_given_verb", help="of actions (default: %(default)s)")  # fmt: skip
        parser.add_argument("--submission", metavar="FILE", help="write verbs, nouns and actions as the challenge "
                            "takes them, JSON")  # fmt: skip


OUTPUTS = {
    "ava": "the official csv of detections",
    "epic-verb": "an .npz, for --results and --with",
    "epic-noun": "an .npz, for --results and --with",
    "charades": "the official text file",
}
VIEWS = {
    "ava": "full: 3 scales, mirrored or not, 3 crops",
    "epic-verb": "the centre clip either way",
    "epic-noun": "the centre clip either way",
    "charades": "full: 10 clips, 3 crops; center: 3 clips, 3 crops, as while it trains",
}


def _add_data(parser: argparse.ArgumentParser, task: str) -> None:
    parser.add_argument("--annotations", required=True, metavar="DIR", help="folder of the official files, under their "
                        "own names")  # fmt: skip
    pixels = parser.add_mutually_exclusive_group()
    pixels.add_argument("--videos", metavar="DIR", help="folder of the videos, or a CSV with video_id,uri")
    pixels.add_argument("--frames", metavar="DIR", help="folder of extracted pictures")
    parser.add_argument("--bank", metavar="BANK", help="folder or uri of the bank")
    parser.add_argument("--space", metavar="S", help="feature space (default: that of the backbone)")
    parser.add_argument("--allow-missing", action="store_true", help="go on without videos that are not there")
    if task == "ava":
        parser.add_argument("--ava-version", default="2.1", choices=("2.1", "2.2"), help="default: %(default)s")
        parser.add_argument("--start-second", type=int, default=0, choices=(0, 900), help="second of the film at which "
                            "videos and bank begin: 900 for films cut there (default: %(default)s)")  # fmt: skip


def _published_words(task: str) -> str:
    rows = [published(task)] if task != "charades" else [published(task), published(task, second_stage=True)]
    said = "; with a bank ".join(f"{row.steps} steps, lr {row.lr:g}, weight decay {row.weight_decay:g}" for row in rows)
    return (
        f"Published: batch {PUBLISHED_BATCH}, {said}. With another --batch, rate and steps follow the linear rule "
        "unless --lr and --steps say otherwise."
    )


def _recipe(task: str, summary: str) -> Recipe:
    train: Callable[[argparse.ArgumentParser], None] = partial(configure_train, task=task)
    return Recipe(
        summary=summary,
        configure=train,
        settings="longform.lfb.train_settings:settings",
        task="longform.lfb.train_task:training_task",
        configure_eval=partial(configure_eval, task=task),
        evaluate="longform.lfb.evaluation:evaluate",
    )


AVA = _recipe("ava", "actions of people on AVA, with a long-term feature bank")
EPIC_VERB = _recipe("epic-verb", "verbs on EPIC-KITCHENS, with a long-term feature bank")
EPIC_NOUN = _recipe("epic-noun", "nouns on EPIC-KITCHENS, with a long-term feature bank")
CHARADES = _recipe("charades", "actions on Charades, with a long-term feature bank")


def task_of(recipe: str) -> str:
    """The task of a recipe's name: `lfb-ava` is `ava`."""
    return recipe.removeprefix("lfb-")
