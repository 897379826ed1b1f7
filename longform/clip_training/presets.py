"""The published ways to train clip backbones, by name. Nothing heavy is imported here.

Sources: configurations of facebookresearch/SlowFast and Feichtenhofer et al. (ICCV 2019); facebookresearch/
video-nonlocal-net and Wang et al. (CVPR 2018); Xie et al. (ECCV 2018).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from longform.training.errors import TrainingError

KINETICS_VIDEOS = 240_436
"""Training videos of Kinetics-400 behind the configurations of SlowFast."""


@dataclass(frozen=True, kw_only=True)
class Preset:
    """One way to train. Times are in `unit`; rates are for the published batch."""

    summary: str
    model: str
    options: Mapping[str, Any] = field(default_factory=dict)
    """Of the network's builder."""
    start: str | None = None
    """Weight card or words for what it starts from; None for random weights."""
    batch: int = 64
    lr: float
    unit: str = "epochs"
    length: float
    drops: tuple[float, ...] | None = None
    """When the rate is divided by ten; None for half a cosine."""
    warmup: float = 0.0
    warmup_lr: float = 0.0
    weight_decay: float = 1e-4
    videos: int = KINETICS_VIDEOS
    """Of the published training list."""
    size: int = 224
    short_side: tuple[int, int] = (256, 320)
    sampling: str = "timed"
    flip: bool = True
    inverse: bool = False
    square: bool = False
    frozen_norm: bool = False
    bn_clips: int = 8
    precise_batches: int = 200
    test_clips: int = 10
    test_crops: int = 3
    test_combine: str = "mean"
    test_size: int = 256
    """Short side of the pictures, and side of the crops."""
    test_crop: int | None = None
    """Side of the crops, where it is another."""
    test_sampling: str | None = None
    """A name in `extractors.clips.views.SAMPLINGS`; None for that of the same data in training."""

    def fitted(
        self, *, videos: int, batch: int | None, lr: float | None, steps: int | None, epochs: float | None
    ) -> Fitted:
        """The preset for another batch, list or length: rates in proportion to the batch, times in proportion to all.

        Raises:
            TrainingError: a number is not above 0, or both `steps` and `epochs` are given.
        """
        for name, value in (("batch", batch), ("lr", lr), ("steps", steps), ("epochs", epochs), ("videos", videos)):
            if value is not None and not value > 0:
                raise TrainingError(f"--{name} {value}: expected a number above 0.")
        if steps is not None and epochs is not None:
            raise TrainingError("--steps and --epochs both say how long to train: give one of them.")
        batch = batch or self.batch
        unit_steps = videos / batch if self.unit == "epochs" else self.batch / batch
        length = steps or (epochs * videos / batch if epochs else self.length * unit_steps)
        stretch = length / self.length
        rate = lr or self.lr * batch / self.batch
        return Fitted(
            batch=batch,
            lr=rate,
            steps=max(1, round(length)),
            drops=None if self.drops is None else _rising(round(drop * stretch) for drop in self.drops),
            warmup_steps=round(self.warmup * stretch),
            warmup_lr=self.warmup_lr * rate / self.lr,
        )


def _rising(drops: Iterable[int]) -> tuple[int, ...]:
    """Drops of a run so short that some fall on one step: one after the other."""
    found: list[int] = []
    for drop in drops:
        found.append(max(drop, found[-1] + 1 if found else 1))
    return tuple(found)


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """Numbers of a run, in steps."""

    batch: int
    lr: float
    steps: int
    drops: tuple[int, ...] | None
    warmup_steps: int
    warmup_lr: float


_COSINE = Preset(
    summary="SlowFast on Kinetics-400: half a cosine over 196 epochs",
    model="slowfast_8x8_r50",
    lr=0.1,
    length=196,
    warmup=34,
    warmup_lr=0.01,
)
_STEPWISE = dataclasses.replace(
    _COSINE,
    summary="the same in steps, as for multigrid training: 239 epochs, a tenth at 94, 154 and 196",
    length=239,
    drops=(94, 154, 196),
)
_NONLOCAL = Preset(
    summary="the non-local paper on Kinetics-400, 32x2 from ImageNet: 400 k steps, a tenth at 150 k and 300 k",
    model="i3d_nl_r50",
    options={"sampling": "32x2"},
    start="an ImageNet ResNet-50, such as resnet50_imagenet of torchvision",
    lr=0.01,
    unit="steps",
    length=400_000,
    drops=(150_000, 300_000),
    sampling="wrapped",
)

_S3D = Preset(
    summary="S3D",
    model="s3dg",
    lr=0.1,
    unit="steps",
    length=10_000,
    drops=(),
    short_side=(256, 256),
    sampling="strided",
    square=True,
    bn_clips=6,
    precise_batches=0,
    test_clips=1,
    test_crops=1,
    test_crop=224,
    test_sampling="all",
)

PRESETS: dict[str, Preset] = {
    "kinetics": _COSINE,
    "kinetics-4x16": dataclasses.replace(_COSINE, summary="the same, SlowFast 4x16", model="slowfast_4x16_r50"),
    "kinetics-slow": dataclasses.replace(_COSINE, summary="the same, the Slow pathway alone", model="slow_8x8_r50"),
    "kinetics-paper": dataclasses.replace(
        _COSINE,
        summary="as the SlowFast paper says: 1024 clips a step, lr 1.6, warm-up of 8 k steps",
        batch=1024,
        lr=1.6,
        warmup=34.07,
        warmup_lr=0.01,
    ),
    "kinetics-stepwise": _STEPWISE,
    "kinetics-imagenet": Preset(
        summary="I3D and its like from ImageNet: 118 epochs, a tenth at 44 and 88",
        model="i3d_r50",
        start="an ImageNet ResNet-50",
        lr=0.01,
        length=118,
        drops=(44, 88),
    ),
    "charades": Preset(
        summary="SlowFast 16x8 on Charades from Kinetics-400: 57 epochs, a tenth at 41 and 49",
        model="slowfast_8x8_r50",
        options={"sampling": "16x8"},
        start="slowfast_8x8_r50_k400",
        batch=16,
        lr=0.0375,
        length=57,
        drops=(41, 49),
        warmup=4,
        warmup_lr=1e-4,
        videos=7811,
        short_side=(256, 340),
        sampling="strided",
        inverse=True,
        test_combine="max",
    ),
    "ssv2": Preset(
        summary="SlowFast 16x8 on Something-Something v2 from Kinetics-400: 22 epochs, a tenth at 14 and 18",
        model="slowfast_8x8_r50",
        options={"sampling": "16x8"},
        start="slowfast_8x8_r50_k400",
        batch=16,
        lr=0.03,
        length=22,
        drops=(14, 18),
        warmup=0.19,
        warmup_lr=1e-4,
        weight_decay=1e-6,
        videos=168_913,
        sampling="segments",
        flip=False,
        inverse=True,
        test_clips=1,
        test_crops=1,
    ),
    "nonlocal": _NONLOCAL,
    "nonlocal-8x8": dataclasses.replace(
        _NONLOCAL, summary="the same on every fourth frame, 8x8", options={"sampling": "8x8"}
    ),
    "nonlocal-long": dataclasses.replace(
        _NONLOCAL,
        summary="the same on clips of 128 frames, from the 32x2 network, normalisation frozen",
        options={"sampling": "128x1"},
        start="the 32x2 network without its non-local blocks",
        batch=16,
        lr=0.0025,
        frozen_norm=True,
    ),
    "nonlocal-charades": dataclasses.replace(
        _NONLOCAL,
        summary="the non-local paper on Charades: R101, 128 frames, 200 k steps, a tenth every 75 k",
        model="i3d_nl_r101",
        options={"sampling": "128x1"},
        start="the same network on Kinetics-400",
        batch=8,
        lr=0.00125,
        length=200_000,
        drops=(75_000, 150_000),
        sampling="strided",
        frozen_norm=True,
        test_combine="max",
    ),
    "s3d": dataclasses.replace(
        _S3D,
        summary="S3D on Mini-Kinetics-200: 80 k steps of 336 clips, a tenth at 60 k and 70 k",
        batch=336,
        length=80_000,
        drops=(60_000, 70_000),
    ),
    "s3d-ssv1": dataclasses.replace(
        _S3D, summary="S3D on Something-Something: 10 k steps of 96 clips", batch=96, length=10_000, flip=False
    ),
    "s3d-transfer": dataclasses.replace(
        _S3D,
        summary="S3D from Kinetics to UCF101 or HMDB51: 8 k steps of 48 clips, a tenth at 6 k",
        start="s3dg on Kinetics-400",
        batch=48,
        lr=0.01,
        length=8_000,
        drops=(6_000,),
    ),
}


def preset_named(name: str) -> Preset:
    """One of `PRESETS`. Raises TrainingError for another name."""
    if name not in PRESETS:
        raise TrainingError(f"--recipe {name}: expected one of {', '.join(PRESETS)}.")
    return PRESETS[name]
