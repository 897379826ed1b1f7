"""Train one network on generated videos by the baseline and by multigrid, and take the time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.motions.classes import MotionClass
from benchmarks.multigrid.timing import Spent, TimedTask, Times
from benchmarks.multigrid.videos import videos_of
from extractors.backbones.base import Backbone
from longform.clip_training.augmentation import CropRule
from longform.clip_training.examples import ClipReader
from longform.clip_training.multigrid import CYCLES, Multigrid
from longform.clip_training.networks import network_to_train
from longform.clip_training.shapes import ClipSchedule, FixedShape, StepShape
from longform.clip_training.sources import FrameArrays
from longform.clip_training.task import ClipEvaluation, ClipTask
from longform.training.loop import train
from longform.training.schedules import StepSchedule
from longform.training.seeds import seed_everything
from longform.training.settings import TrainSettings

MOTIONS = tuple("pan_left pan_right tilt_up tilt_down zoom_in zoom_out camera_clockwise camera_anticlockwise".split())
"""The camera moves over a checked scene: only the motion tells the classes apart."""
APPEARANCE = "checks"

BASELINE, SHORTER = "baseline", "baseline, fewer steps"
CONDITIONS = (BASELINE, SHORTER, "short cycle", "long cycle", "both cycles")
"""`SHORTER` has as many steps as the training with both cycles, as the second baselines of the thesis."""


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much data and training, and of what."""

    train_videos: int = 1600
    test_videos: int = 640
    video_frames: int = 48
    video_px: int = 64
    network: str = "fast_4x16_r50"
    width: int = 8
    batch: int = 8
    frames: int = 16
    stride: int = 3
    crop_px: int = 45
    least_side_px: int = 51
    lr: float = 0.01
    weight_decay: float = 1e-4
    steps: int = 4200
    drops: tuple[float, ...] = (0.45, 0.75, 0.9)
    """Shares of the steps after which the learning rate is a tenth."""
    warmup: float = 0.05
    """Share of the steps."""
    precise_batches: int = 25

    @property
    def clips(self) -> StepShape:
        """The baseline's."""
        return StepShape(
            batch=self.batch,
            frames=self.frames,
            stride=self.stride,
            max_stride=self.stride,
            size=self.crop_px,
            short_side=(self.least_side_px, self.video_px),
            bn_clips=self.batch,
        )

    def baseline(self, steps: int) -> StepSchedule:
        """The baseline's learning rate in a run of so many steps."""
        return StepSchedule(
            lr=self.lr,
            drops=tuple(round(share * steps) for share in self.drops),
            warmup_steps=round(self.warmup * steps),
            warmup_lr=self.lr / 10,
        )

    def schedule(self, condition: str) -> tuple[ClipSchedule, int]:
        """Schedule and steps of one of `CONDITIONS`."""
        if condition == BASELINE:
            return FixedShape(self.baseline(self.steps), self.clips), self.steps
        if condition == SHORTER:
            _, steps = self.schedule("both cycles")
            return FixedShape(self.baseline(steps), self.clips), steps
        cycles = CYCLES[condition.split()[0]]
        schedule = Multigrid(
            baseline=self.baseline(self.steps),
            baseline_steps=self.steps,
            clips=self.clips,
            long_shapes=cycles["long_shapes"],
            short_shapes=cycles["short_shapes"],
        )
        return schedule, schedule.steps


QUICK = Sizes(train_videos=64, test_videos=16, video_frames=24, stride=3, width=2, steps=120, precise_batches=2)


class Videos:
    """Training and test videos of a seed, made once."""

    def __init__(self, sizes: Sizes, seed: int) -> None:
        def made(split: int, count: int) -> FrameArrays:
            classes = [MotionClass(motion, APPEARANCE) for motion in MOTIONS]
            return videos_of(classes, count, seed=[seed, split], frames=sizes.video_frames, size=sizes.video_px)

        self.train, self.test = made(0, sizes.train_videos), made(1, sizes.test_videos)


def run(
    condition: str, videos: Videos, folder: Path, sizes: Sizes, *, seed: int, device: str = "cpu"
) -> dict[str, Any]:
    """Train in an empty folder, and measure once at the end: top-1 in percent, work and times."""
    schedule, steps = sizes.schedule(condition)
    seed_everything(seed)
    task = TimedTask(_task(network(sizes), videos, schedule, sizes, seed))
    settings = TrainSettings(
        steps=steps, schedule=schedule, weight_decay=sizes.weight_decay, seed=seed, device=device,
        checkpoint_every=steps, quiet=True,
    )  # fmt: skip
    report = train(task, settings, folder)
    return {
        "condition": condition,
        "seed": seed,
        "top1": 100 * report.metrics["top1"],
        "clips": schedule.first_example(steps),
        **_times(task.times),
    }


def network(sizes: Sizes) -> Backbone:
    """The network at the start, its random weights drawn from torch's generator."""
    options: dict[str, Any] = {"width": sizes.width, "dropout": 0.0, "sampling": f"{sizes.frames}x{sizes.stride}"}
    return network_to_train(sizes.network, num_classes=len(MOTIONS), weights=None, **options)


def _task(model: Backbone, videos: Videos, schedule: ClipSchedule, sizes: Sizes, seed: int) -> ClipTask:
    """Clips are never mirrored: directions are classes."""
    crops = CropRule(flip=False)
    return ClipTask(
        model,
        ClipReader(source=videos.train, sampling="strided", crops=crops),
        ClipReader(source=videos.test, sampling="strided", crops=crops),
        schedule,
        ClipEvaluation(shape=sizes.clips, precise_batches=sizes.precise_batches),
        seed=seed,
    )


def _times(times: Times) -> Mapping[str, Any]:
    def plain(spent: Spent) -> dict[str, float]:
        return {"cpu_s": round(spent.cpu_s, 2), "wall_s": round(spent.wall_s, 2)}

    by_shape = [
        {"batch": shape.batch, "frames": shape.frames, "size": shape.size, "steps": spent.times, **plain(spent)}
        for shape, spent in times.steps.items()
    ]
    training = Spent(sum(spent.cpu_s for spent in times.steps.values()), sum(s.wall_s for s in times.steps.values()))
    return {
        "steps": sum(spent.times for spent in times.steps.values()),
        "training": plain(training),
        "reading": plain(times.reading),
        "evaluation": plain(times.evaluation),
        "by_shape": by_shape,
    }
