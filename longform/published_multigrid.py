"""Multigrid training in Wu, "Towards Long-Form Video Understanding" (PhD thesis, 2022), chapter 6: what was trained and
how, and the figures of Tables 6.1 to 6.10. Table 6.3 is a network, I3D, which is there Slow-only with 16 frames.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from longform.clip_training.multigrid import Multigrid
from longform.clip_training.shapes import StepShape
from longform.training.schedules import CosineSchedule, StepSchedule


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A network on a data set, and the baseline's training."""

    model: str
    """For `build_backbone`."""
    options: Mapping[str, Any] = field(default_factory=dict)
    clips: StepShape
    schedule: StepSchedule | CosineSchedule
    steps: int
    videos: int
    """In the training set; approximate, as printed."""


@dataclass(frozen=True, kw_only=True)
class TrainingRow:
    """One row of a table: a training and what came of it."""

    table: str
    page: int
    setting: str
    """Key of `SETTINGS`."""
    name: str
    """In the table's words."""
    multigrid: Mapping[str, Any] | None = None
    """Settings of `Multigrid` over the defaults; None for a baseline."""
    steps_of: Mapping[str, Any] | None = None
    """Trained for as many steps as this multigrid training of the same setting, instead of a number of epochs."""
    steps_ratio: float | None = None
    """Steps of the full baseline over those of this training, where printed."""
    speedup: float | None = None
    """Wall-clock time of the full baseline over that of this training; on P100 GPUs."""
    accuracy: float
    """Top-1 accuracy, or mAP on Charades, in percent."""
    top5: float | None = None
    std: float | None = None
    """Standard deviation of `accuracy` over 5 runs."""


STEPWISE = StepSchedule(lr=0.8, drops=(44_000, 72_000, 92_000), warmup_steps=16_000, warmup_lr=0.002)
KINETICS_VIDEOS = 240_000

SLOWFAST = Setting(
    model="slowfast_8x8_r50",
    clips=StepShape(batch=512, frames=32, stride=2, max_stride=2, size=224, short_side=(256, 340), bn_clips=8),
    schedule=STEPWISE,
    steps=112_000,
    videos=KINETICS_VIDEOS,
)
"""Section 6.2."""

I3D = Setting(
    model="slow_8x8_r50",
    options={"sampling": "16x4"},
    clips=StepShape(batch=256, frames=16, stride=4, max_stride=4, size=224, short_side=(256, 340), bn_clips=8),
    schedule=StepSchedule(lr=0.04, drops=(37_500, 75_000)),
    steps=100_000,
    videos=KINETICS_VIDEOS,
)
"""Section 6.2.4."""

SSV2 = Setting(
    model="slowfast_8x8_r50",
    options={"sampling": "16x8", "num_classes": 174},
    clips=StepShape(batch=16, frames=64, stride=1, max_stride=1, size=224, short_side=(256, 340), bn_clips=8),
    schedule=StepSchedule(lr=0.03, drops=(150_000, 190_000), warmup_steps=2_000, warmup_lr=0.0001),
    steps=230_000,
    videos=169_000,
)
"""Section 6.4."""

SETTINGS: Mapping[str, Setting] = {
    "SlowFast": SLOWFAST,
    "SlowFast T=16": replace(
        SLOWFAST, options={"sampling": "8x4", "alpha": 2}, clips=replace(SLOWFAST.clips, frames=16)
    ),
    "SlowFast T=64": replace(SLOWFAST, options={"sampling": "16x8"}, clips=replace(SLOWFAST.clips, frames=64)),
    "SlowFast 320": replace(SLOWFAST, clips=replace(SLOWFAST.clips, size=320, short_side=(366, 486))),
    "SlowFast R101": replace(SLOWFAST, model="slowfast_8x8_r101"),
    "SlowFast cosine": replace(
        SLOWFAST, schedule=CosineSchedule(lr=0.8, steps=112_000, warmup_steps=16_000, warmup_lr=0.002)
    ),
    "I3D": I3D,
    "I3D-NL": replace(I3D, options={**I3D.options, "nonlocal_blocks": 5, "nonlocal_form": "dot_product"}),
    "I3D 1 GPU": replace(
        I3D,
        options={},
        clips=replace(I3D.clips, batch=8, frames=8, stride=8, max_stride=8, short_side=(256, 256)),
        schedule=StepSchedule(lr=0.00125, drops=(600_000, 1_000_000)),
        steps=1_200_000,
    ),
    "SSv2": SSV2,
    "Charades": replace(
        SSV2,
        options={"sampling": "16x8", "num_classes": 157},
        schedule=StepSchedule(lr=0.0375, drops=(20_000, 24_000)),
        steps=28_000,
        videos=8_000,
    ),
}
"""By the name of the network or data set. Not printed, and here: for crops of 320 px, short sides in the same
proportion; for Charades, the batch of PySlowFast's configuration, no warm-up, and about 8000 training videos."""

DEFAULT: Mapping[str, Any] = {}
FEWER_LONG = "1-shape (short cycle only)", "2-shape", "3-shape", "4-shape (default)"


def multigrid_of(setting: Setting, settings: Mapping[str, Any]) -> Multigrid:
    """A setting's multigrid training. Raises TrainingError for settings that cannot work."""
    return Multigrid(baseline=setting.schedule, baseline_steps=setting.steps, clips=setting.clips, **settings)


def _pair(
    table: str, page: int, setting: str, speedup: float, baseline: tuple[float, float], multigrid: tuple[float, float]
) -> tuple[TrainingRow, TrainingRow]:
    """Baseline and default multigrid: top-1 and top-5."""
    place: dict[str, Any] = {"table": table, "page": page, "setting": setting}
    return (
        TrainingRow(**place, name="baseline", accuracy=baseline[0], top5=baseline[1]),
        TrainingRow(**place, name="multigrid", multigrid=DEFAULT, speedup=speedup,
                    accuracy=multigrid[0], top5=multigrid[1]),
    )  # fmt: skip


def _by_epochs(
    table: str, page: int, setting: str, baseline: tuple[float, float], rows: Mapping[float, tuple[float, ...]]
) -> tuple[TrainingRow, ...]:
    """Baseline, then for each epoch factor a shorter baseline and multigrid.

    Args:
        rows: epoch factor -> speed-up of the shorter baseline, its accuracy and deviation; the same of multigrid.
    """
    place: dict[str, Any] = {"table": table, "page": page, "setting": setting}
    found = [TrainingRow(**place, name="baseline", accuracy=baseline[0], std=baseline[1])]
    for factor, (ratio, shorter, shorter_std, speedup, accuracy, std) in rows.items():
        epochs = {"epoch_factor": factor}
        found += [
            TrainingRow(**place, name=f"baseline, 1/{ratio:g}", steps_of=epochs, steps_ratio=ratio,
                        speedup=ratio, accuracy=shorter, std=shorter_std),
            TrainingRow(**place, name=f"multigrid, {factor:.1f}x epochs", multigrid=epochs,
                        steps_ratio=ratio, speedup=speedup, accuracy=accuracy, std=std),
        ]  # fmt: skip
    return tuple(found)


def _i3d(
    setting: str, baseline: tuple[float, float], shorter: tuple[float, float], speedup: float, ours: tuple[float, float]
) -> tuple[TrainingRow, ...]:
    first, last = _pair("6.4", 79, setting, speedup, baseline, ours)
    middle = replace(first, name="baseline, 1/3.3", steps_of=DEFAULT, steps_ratio=3.3, speedup=3.3,
                     accuracy=shorter[0], top5=shorter[1])  # fmt: skip
    return first, middle, replace(last, steps_ratio=3.3)


TABLE_6_1 = (
    TrainingRow(table="6.1", page=75, setting="SlowFast", name="baseline", accuracy=75.6, top5=91.9),
    *(
        TrainingRow(table="6.1a", page=75, setting="SlowFast", name=FEWER_LONG[count - 1], steps_of=DEFAULT,
                    multigrid={"long_shapes": count}, steps_ratio=3.4, speedup=speedup, accuracy=top1, top5=top5)
        for count, speedup, top1, top5 in ((1, 4.0, 74.0, 91.4), (2, 4.3, 75.5, 92.1), (3, 4.4, 76.2, 92.4),
                                           (4, 4.5, 76.4, 92.4))
    ),
    *(
        TrainingRow(table="6.1b", page=75, setting="SlowFast", name=name, steps_of=DEFAULT,
                    multigrid={"short_shapes": count}, steps_ratio=3.4, speedup=speedup, accuracy=top1, top5=top5)
        for count, name, speedup, top1, top5 in ((1, "1-shape (long cycle only)", 4.2, 74.5, 91.6),
                                                 (2, "2-shape", 4.3, 75.5, 92.1), (3, "3-shape (default)", 4.5, 76.4,
                                                                                     92.4))
    ),
)  # fmt: skip
"""All with the steps of the default (caption); its 3.4 is on page 73. Which two shapes a short cycle of two has is not
said: here the larger."""

TABLE_6_10 = (
    TrainingRow(table="6.10", page=85, setting="SlowFast cosine", name="baseline", accuracy=75.8, top5=92.0),
    TrainingRow(table="6.10", page=85, setting="SlowFast cosine", name="single long cycle", accuracy=75.4, top5=92.1,
                multigrid={"single_cycle": True}, speedup=5.2),
    TrainingRow(table="6.10", page=85, setting="SlowFast cosine", name="multiple long cycles", accuracy=75.3, top5=92.1,
                multigrid=DEFAULT, speedup=4.2),
)  # fmt: skip

ROWS: tuple[TrainingRow, ...] = (
    *TABLE_6_1,
    *_pair("6.2a pre-trained", 76, "SlowFast", 4.5, (75.4, 91.9), (76.0, 92.4)),
    *_pair("6.2b", 76, "SlowFast T=16", 4.0, (74.8, 91.4), (75.2, 91.9)),
    *_pair("6.2b", 76, "SlowFast", 4.5, (75.6, 91.9), (76.4, 92.4)),
    *_pair("6.2b", 76, "SlowFast T=64", 5.5, (75.9, 92.1), (77.6, 93.2)),
    *_pair("6.2c", 76, "SlowFast 320", 6.5, (75.1, 91.8), (76.8, 92.8)),
    *_i3d("I3D", (74.4, 91.4), (71.1, 89.9), 3.9, (74.8, 91.7)),
    *_i3d("I3D-NL", (75.5, 92.1), (72.3, 90.6), 3.3, (75.5, 92.4)),
    *_pair("6.5", 81, "I3D 1 GPU", 6.7 / 2.0, (72.5, 90.4), (72.5, 90.4)),
    *_by_epochs("6.6", 82, "SSv2", (60.9, 0.31), {
        1.0: (5.2, 54.6, 0.13, 8.3, 60.0, 0.31),
        1.5: (3.4, 57.3, 0.13, 5.6, 61.2, 0.18),
        2.0: (2.6, 58.7, 0.06, 4.2, 61.7, 0.20),
    }),
    *_by_epochs("6.7", 83, "Charades", (38.0, 0.18), {
        1.0: (5.3, 27.5, 0.15, 8.6, 36.8, 0.31),
        1.5: (3.5, 31.5, 0.26, 5.7, 38.2, 0.06),
        2.0: (2.6, 33.6, 0.13, 4.3, 37.4, 0.15),
    }),
    *_pair("6.8", 84, "SlowFast R101", 4.4, (76.5, 92.4), (77.0, 92.9)),
    TrainingRow(table="6.9", page=85, setting="SlowFast", name="single-cycle", multigrid={"single_cycle": True},
                speedup=5.2, accuracy=74.4, top5=91.8),
    *TABLE_6_10,
)  # fmt: skip
"""In the order of the thesis. Table 6.5 prints days: 6.7 and 2.0. Top-5 of the tables with deviations is left out."""
