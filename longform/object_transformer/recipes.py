"""What `longform train` and `longform eval` do with Object Transformers: `ot-pretrain` and `ot-ava`."""

from __future__ import annotations

import argparse

from longform.object_transformer.options import add_bank_options, add_model_options
from longform.training.recipes import Recipe

SHORT_TERM = "checkpoint of the short-term model, whose last layer turns features into actions"


def _configure_pretrain(parser: argparse.ArgumentParser) -> None:
    add_bank_options(parser)
    parser.add_argument("--classifier", required=True, metavar="W", help=f"file or name of the {SHORT_TERM}")
    parser.add_argument("--object-classifier", metavar="W", help="the same of the object detector, for --objects")
    parser.add_argument("--compatibility", action="store_true", help="draw two spans of each video, and train to tell "
                        "them from those of other videos")  # fmt: skip
    parser.add_argument("--tokens", choices=("boxes", "frames"), default="boxes", help="frames: one token a second, "
                        "the frame-based baseline (default: %(default)s)")  # fmt: skip
    parser.add_argument("--mask-loss", choices=("code", "thesis"), default="code", help="code: a divergence of each "
                        "action by itself, of objects of the distribution; thesis: cross-entropy of distributions "
                        "(default: %(default)s)")  # fmt: skip
    parser.add_argument("--held-out", type=float, default=0.02, metavar="P", help="part of the videos to measure on "
                        "(default: %(default)s)")  # fmt: skip
    parser.add_argument("--max-videos", type=int, metavar="N", help="train on N videos, chosen by the seed "
                        "(default: all)")  # fmt: skip
    add_model_options(parser)
    parser.set_defaults(steps=308_000, batch=16, lr=1e-4)


def _configure_pretrain_evaluation(parser: argparse.ArgumentParser) -> None:
    add_bank_options(parser)
    parser.add_argument("--checkpoint", required=True, metavar="FILE", help="weights of ot-pretrain")
    parser.add_argument("--classifier", required=True, metavar="W", help=f"file or name of the {SHORT_TERM}")
    parser.add_argument("--classes", default="ava-80", metavar="LIST", help="names of the actions: a list of ours, or "
                        "a file with one a line (default: %(default)s)")  # fmt: skip
    parser.add_argument("--mask-loss", choices=("code", "thesis"), default="code", help="that of the training, which "
                        "decides how scores come from logits (default: %(default)s)")  # fmt: skip
    parser.add_argument("--video", action="append", default=[], metavar="V", help="only this video; may be repeated "
                        "(default: all)")  # fmt: skip
    parser.add_argument("--masked-view", metavar="FILE", help="write what was expected of each masked person as JSON, "
                        "for longform report --masked")  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the numbers of tracks "
                        "(default: %(default)s)")  # fmt: skip
    add_model_options(parser)


PRETRAIN = Recipe(
    summary="pre-train an Object Transformer: masked people, and compatible spans",
    configure=_configure_pretrain,
    settings="longform.object_transformer.pretraining:settings",
    task="longform.object_transformer.pretraining:task",
    configure_eval=_configure_pretrain_evaluation,
    evaluate="longform.object_transformer.masked_view:evaluate",
)


def _add_action_data(parser: argparse.ArgumentParser) -> None:
    add_bank_options(parser)
    parser.add_argument("--annotations", required=True, metavar="CSV", help="actions of boxes: AVA's ground truth, or "
                        "the csv of LVU's AVA data")  # fmt: skip
    parser.add_argument("--start-second", type=int, default=0, metavar="S", help="second of the film at which the "
                        "bank's videos begin; 900 for cut films (default: %(default)s)")  # fmt: skip
    parser.add_argument("--prefix", default="", metavar="TEXT", help="what the bank puts before the names of videos, "
                        "such as GT_ (default: nothing)")  # fmt: skip


def _configure_ava(parser: argparse.ArgumentParser) -> None:
    _add_action_data(parser)
    parser.add_argument("--pretrained", required=True, metavar="FILE", help="weights of ot-pretrain, or the released "
                        "ones for AVA; 'untrained' for none")  # fmt: skip
    parser.add_argument("--classifier", required=True, metavar="W", help=f"file or name of the {SHORT_TERM}")
    add_model_options(parser)
    parser.set_defaults(steps=2_200, batch=32, lr=1e-4)


def _configure_ava_evaluation(parser: argparse.ArgumentParser) -> None:
    _add_action_data(parser)
    parser.add_argument("--checkpoint", required=True, metavar="FILE", help="weights of ot-ava")
    parser.add_argument("--label-map", required=True, metavar="PBTXT", help="AVA's evaluated classes")
    parser.add_argument("--excluded", metavar="CSV", help="AVA's excluded timestamps")
    parser.add_argument("--repeats", type=int, default=10, metavar="N", help="drawings of what is masked, of each "
                        "centred span (default: %(default)s)")  # fmt: skip
    parser.add_argument("--context-only", action="store_true", help="leave the box's own feature out")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of what is masked (default: %(default)s)")
    parser.add_argument("-o", "--output", metavar="CSV", help="write the detections in the official format")
    add_model_options(parser)


AVA = Recipe(
    summary="train an Object Transformer's last layers on actions of people (AVA)",
    configure=_configure_ava,
    settings="longform.object_transformer.pretraining:settings",
    task="longform.object_transformer.actions:task",
    configure_eval=_configure_ava_evaluation,
    evaluate="longform.object_transformer.actions:evaluate",
)
