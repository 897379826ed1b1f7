"""What `longform train` and `longform eval` can do: the table of recipes. Nothing heavy is imported here.

A recipe lives in a light module of its package as a `Recipe`; the functions that need torch are named, and imported
when they run.
"""

import argparse
import importlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

RECIPES: dict[str, str] = {
    "clips": "longform.clip_training.recipes:CLIPS",
    "lfb-ava": "longform.lfb.recipes:AVA",
    "lfb-epic-verb": "longform.lfb.recipes:EPIC_VERB",
    "lfb-epic-noun": "longform.lfb.recipes:EPIC_NOUN",
    "lfb-charades": "longform.lfb.recipes:CHARADES",
    "ot-pretrain": "longform.object_transformer.recipes:PRETRAIN",
    "ot-ava": "longform.object_transformer.recipes:AVA",
    "coviar": "longform.coviar.recipes:COVIAR",
}
"""Name of each recipe, and the `module:attribute` of its `Recipe`."""

LOOP_OPTIONS = frozenset(
    "command target beam_args out steps seed device precision workers evaluate_every checkpoint_every log json quiet "
    "show_schedule".split()
)
"""Names of options that are no settings of a recipe."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One thing that can be trained, and how it is measured."""

    summary: str
    """One line of help."""
    configure: Callable[[argparse.ArgumentParser], None]
    """Adds the recipe's own options of `longform train`, and sets its defaults of the shared ones by `set_defaults`:
    `steps`, `batch` and `lr` at least."""
    settings: str
    """`module:function` from the options to `TrainSettings` (see `settings_from`); reads no data it can do without."""
    task: str
    """`module:function` from the options to a `Task`; torch is seeded before."""
    configure_eval: Callable[[argparse.ArgumentParser], None] | None = None
    """Adds the recipe's options of `longform eval`."""
    evaluate: str | None = None
    """`module:function` from the options to a list of `Score`."""


@dataclass(frozen=True, kw_only=True)
class Score:
    """One line of the answer of `longform eval`: a metric on a data set, or on one of its tasks."""

    metric: str
    value: float
    num_videos: int
    num_missing: int
    """Videos of the split that could not be measured; they are not in `num_videos`."""
    dataset: str | None = None
    task: str | None = None
    std_error: float | None = None
    """Standard error of the mean over the seeds; None for one seed."""
    seeds: int = 1
    more: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of the JSON."""

    def to_json(self) -> str:
        """One line of JSON."""
        named = {name: value for name, value in (("dataset", self.dataset), ("task", self.task)) if value is not None}
        fields = ("metric", "value", "std_error", "seeds", "num_videos", "num_missing")
        return json.dumps({**named, **{name: getattr(self, name) for name in fields}, **self.more}, ensure_ascii=False)


def load(target: str) -> Any:
    """What a `module:attribute` names."""
    module, attribute = target.split(":")
    return getattr(importlib.import_module(module), attribute)


class _Help(argparse.HelpFormatter):
    """Says `as published` for what the recipe takes from its paper unless told otherwise."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default is None and action.help:
            return action.help.replace("%(default)s", "as published")
        return action.help


def configure_train(parser: argparse.ArgumentParser) -> None:
    """Give `longform train` a subcommand for each recipe."""
    recipes = parser.add_subparsers(dest="recipe", required=True, metavar="RECIPE")
    for name, target in RECIPES.items():
        recipe: Recipe = load(target)
        sub = recipes.add_parser(
            name, help=recipe.summary, description=_sentence(recipe.summary), formatter_class=_Help
        )
        add_loop_options(sub)
        recipe.configure(sub)
        sub.epilog = "Run the same command again to go on after a stop; the weights are those of a run without it."


def configure_eval(parser: argparse.ArgumentParser) -> None:
    """Give `longform eval` a subcommand for each recipe that can be measured."""
    recipes = parser.add_subparsers(dest="recipe", required=True, metavar="RECIPE")
    for name, target in RECIPES.items():
        recipe: Recipe = load(target)
        if recipe.configure_eval is not None:
            sub = recipes.add_parser(name, help=recipe.summary, description=_sentence(recipe.summary))
            _add_machine_options(sub)
            recipe.configure_eval(sub)


def _sentence(summary: str) -> str:
    return f"{summary[0].upper()}{summary[1:]}."


def add_loop_options(parser: argparse.ArgumentParser) -> None:
    """The options that all recipes share."""
    parser.add_argument("--out", metavar="DIR", help="folder of the run: checkpoints, logs, the best weights")
    parser.add_argument("--steps", type=int, metavar="N", help="optimiser steps (default: %(default)s)")
    parser.add_argument("--batch", type=int, metavar="N", help="examples of a step, all processes together "
                        "(default: %(default)s)")  # fmt: skip
    parser.add_argument("--lr", type=float, metavar="X", help="base learning rate (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="decides everything random "
                        "(default: %(default)s)")  # fmt: skip
    parser.add_argument("--evaluate-every", type=int, default=0, metavar="N", help="steps between evaluations "
                        "(default: at the end only)")  # fmt: skip
    parser.add_argument("--checkpoint-every", type=int, default=1000, metavar="N", help="steps between checkpoints "
                        "(default: %(default)s)")  # fmt: skip
    parser.add_argument("--log", choices=("tensorboard",), help="write TensorBoard files beside the CSV")
    parser.add_argument("--show-schedule", action="store_true", help="print the schedule and train nothing")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    _add_machine_options(parser)
    add_workers_option(parser)


def _add_machine_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="cpu", metavar="D", help="cpu, cuda, cuda:1, mps or auto "
                        "(default: %(default)s)")  # fmt: skip
    parser.add_argument("--precision", default="fp32", choices=("fp32", "bf16"), help="default: %(default)s")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


def add_workers_option(parser: argparse.ArgumentParser) -> None:
    """For training, and for evaluations that read ahead."""
    parser.add_argument("--workers", type=int, default=0, metavar="N", help="processes that read examples "
                        "(default: %(default)s)")  # fmt: skip
