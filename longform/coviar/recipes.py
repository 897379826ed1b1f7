"""`longform train|eval coviar`: its options. Nothing heavy is imported here."""

from __future__ import annotations

import argparse

from longform.coviar.hyperparameters import ADAM_EPS, DATASETS, FUSION, SOURCES, STREAMS
from longform.training.recipes import Recipe

LAYOUTS = ("auto", "paths", "kinetics", "ucf101", "hmdb51")

VECTORS = ("accumulated", "original")
PRECISIONS = ("whole", "sub-pixel")


def _add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--videos", metavar="DIR", help="folder that the videos are in (default: that of the list)")
    parser.add_argument("--layout", choices=LAYOUTS, default="auto", help="of the lists; ucf101 and hmdb51 must be "
                        "named (default: %(default)s)")  # fmt: skip
    parser.add_argument("--split", type=int, choices=(1, 2, 3), default=1, help="of ucf101, for published figures, and "
                        "of hmdb51, whose --list and --val are the folder of all lists "
                        "(default: %(default)s)")  # fmt: skip
    parser.add_argument("--classes", metavar="FILE", help="names of the classes by number (default: those that the "
                        "training list has)")  # fmt: skip
    parser.add_argument("--allow-missing", action="store_true", help="go on without videos that are not there")
    parser.add_argument("--vectors", choices=VECTORS, default=VECTORS[0], help="traced back to the I-frame, or as the "
                        "bitstream has them (default: %(default)s)")  # fmt: skip
    parser.add_argument("--motion-precision", choices=PRECISIONS, default=PRECISIONS[0], help="whole pixels as in the "
                        "released code, or parts of them (default: %(default)s)")  # fmt: skip
    parser.add_argument("--max-gop", type=int, metavar="N", help="cut groups of pictures that are longer than N frames "
                        "(default: as long as they are)")  # fmt: skip
    parser.add_argument("--size", type=int, default=224, metavar="PX", help="side of crops (default: %(default)s)")
    parser.add_argument("--no-flip", action="store_true", help="mirror no picture: for classes that say left or right")
    parser.add_argument("--skip-unreadable", action="store_true", help="leave out videos whose motion cannot be read")


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--stream", choices=STREAMS, required=True, help="what the network sees")
    parser.add_argument("--list", metavar="FILE", help="labelled videos to train on")
    parser.add_argument("--val", metavar="FILE", help="labelled videos to measure with")
    parser.add_argument("--dataset", choices=DATASETS, help="whose published settings apply (default: that of "
                        "--layout, else ucf101)")  # fmt: skip
    _add_data(parser)
    parser.add_argument("--weights", metavar="W", help="what the network starts from: a weight card, a file, or "
                        "'untrained' (default: torchvision's ImageNet network)")  # fmt: skip
    parser.add_argument("--depth", type=int, choices=(18, 34, 50, 101, 152), metavar="N", help="layers: 18, 34, 50, "
                        "101 or 152 (default: 152 for iframe, else 18)")  # fmt: skip
    parser.add_argument("--width", type=int, default=64, metavar="N", help="channels after the stem; less makes a "
                        "small network (default: %(default)s)")  # fmt: skip
    parser.add_argument("--segments", type=int, default=3, metavar="N", help="frames of a video (default: %(default)s)")
    parser.add_argument("--hyperparameters", choices=SOURCES, default="code", help="whose learning rates and batch, "
                        "where code and thesis differ (default: %(default)s)")  # fmt: skip
    parser.add_argument("--draw", choices=("replacement", "epochs"), default="replacement", help="draw every video of "
                        "a step from all, as the released code does, or each once an epoch "
                        "(default: %(default)s)")  # fmt: skip
    parser.add_argument("--no-jitter", action="store_true", help="do not shift the colours of I-frames")
    parser.set_defaults(batch=None, steps=None, lr=None)
    parser.description = (
        f"{parser.description} One network at a time: three runs make the three that longform eval coviar adds. "
        f"Adam, eps {ADAM_EPS:g}."
    )


def _configure_eval(parser: argparse.ArgumentParser) -> None:
    for stream in STREAMS:
        parser.add_argument(f"--{stream}", metavar="W", help=f"weights of the {stream} network: a file of our training "
                            "or of pytorch-coviar's")  # fmt: skip
    parser.add_argument("--val", metavar="FILE", required=True, help="labelled videos to measure with")
    _add_data(parser)
    default = ",".join(f"{weight:g}" for weight in FUSION.values())
    parser.add_argument("--fusion", default=default, metavar="I,M,R", help="weights of the streams' scores in their "
                        "sum (default: %(default)s)")  # fmt: skip
    parser.add_argument(
        "--segments", type=int, default=25, metavar="N", help="frames of a video (default: %(default)s)"
    )
    parser.add_argument("--crops", type=int, default=10, choices=(1, 10), help="of each frame (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=25, metavar="N", help="pictures at once (default: %(default)s)")
    parser.add_argument("--output", metavar="NPZ", help="write the scores of each video")
    parser.add_argument("--write-networks", metavar="DIR", help="write the networks as longform extract --preset "
                        "compressed --weights takes them")  # fmt: skip


COVIAR = Recipe(
    summary="action recognition on compressed video (CoViAR): I-frames, motion vectors, residuals",
    configure=_configure,
    settings="longform.coviar.train_settings:settings",
    task="longform.coviar.task:training_task",
    configure_eval=_configure_eval,
    evaluate="longform.coviar.evaluation:evaluate",
)
