"""Published hyperparameters of CoViAR, of its released code (README.md and train.py) and of Wu's thesis, section 4.2.

Nothing heavy is imported here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

STREAMS = ("iframe", "motion", "residual")
DATASETS = ("ucf101", "hmdb51")
SOURCES = ("code", "thesis")
WEIGHT_DECAY = 1e-4
"""Not of biases."""
ADAM_EPS = 1e-3
VIDEOS = {"ucf101": 9537, "hmdb51": 3570}
"""Of the first training list."""
FUSION = {"iframe": 2.0, "motion": 1.0, "residual": 1.0}
"""Weights of the streams' scores in their sum."""


@dataclass(frozen=True, kw_only=True)
class Hyperparameters:
    """Of Adam, for one stream on one data set."""

    lr: float
    """Of the classifier; pre-trained layers have less, see `lr_factor`."""
    batch: int
    """Videos of a step, all GPUs together."""
    drops: tuple[int, ...]
    """Epochs from which the learning rate is a tenth of what it was."""
    epochs: int

    def fitted(self, *, videos: int, batch: int | None, lr: float | None, steps: int | None) -> FittedToData:
        """In steps, for so many videos. The rate does not follow the batch: Adam's published rates do not either.

        An epoch is as many draws as there are videos. Given `steps`, drops keep their share of them.
        """
        count = batch or self.batch
        total = steps or max(1, self.epochs * videos // count)
        drops = sorted({round(total * drop / self.epochs) for drop in self.drops} - {0})
        return FittedToData(lr=self.lr if lr is None else lr, batch=count, steps=total, drops=tuple(drops))


@dataclass(frozen=True, kw_only=True)
class FittedToData:
    """Hyperparameters that count in steps."""

    lr: float
    batch: int
    steps: int
    drops: tuple[int, ...]


_CODE: Mapping[tuple[str, str], Hyperparameters] = {
    ("hmdb51", "iframe"): Hyperparameters(lr=3e-4, batch=40, drops=(55, 110, 165), epochs=220),
    ("hmdb51", "motion"): Hyperparameters(lr=5e-3, batch=80, drops=(120, 200, 280), epochs=360),
    ("hmdb51", "residual"): Hyperparameters(lr=1e-3, batch=80, drops=(120, 180, 240), epochs=300),
    ("ucf101", "iframe"): Hyperparameters(lr=3e-4, batch=80, drops=(150, 270, 390), epochs=510),
    ("ucf101", "motion"): Hyperparameters(lr=1e-2, batch=80, drops=(150, 270, 390), epochs=510),
    ("ucf101", "residual"): Hyperparameters(lr=5e-3, batch=80, drops=(150, 270, 390), epochs=510),
}

_THESIS_LR, _THESIS_BATCH = 1e-3, 40
"""The thesis divides by 10 where accuracy stands still and does not say when: the epochs here are the code's."""


def published(dataset: str, stream: str, *, source: str) -> Hyperparameters:
    """Those of `code` or `thesis` for a data set of `DATASETS`."""
    of_code = _CODE[dataset, stream]
    return of_code if source == "code" else replace(of_code, lr=_THESIS_LR, batch=_THESIS_BATCH)


def lr_factor(parameter: str, stream: str, *, source: str) -> float:
    """What multiplies the learning rate of a parameter of `CoviarNetwork`, by its name.

    The classifier is new: 1. In the code the layers before the first block of the motion and residual networks have
    0.1, and all that comes from ImageNet 0.01. In the thesis all pre-trained layers have 0.01, so what is new has 1.
    """
    if parameter.startswith("head."):
        return 1.0
    if source == "thesis":
        is_new = parameter.startswith("data_bn.") or (stream == "motion" and parameter == "slow.stem.conv.weight")
        return 1.0 if is_new else 0.01
    is_first = parameter.startswith(("data_bn.", "slow.stem."))
    return 0.1 if is_first and stream != "iframe" else 0.01
