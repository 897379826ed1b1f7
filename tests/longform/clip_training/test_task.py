"""Training of a clip backbone: what it sees, what it learns, and that a restart changes nothing."""

import dataclasses
import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from longform.clip_training.augmentation import CropRule
from longform.clip_training.examples import ClipReader, planned
from longform.clip_training.labels import ClassLabels
from longform.clip_training.networks import network_to_train
from longform.clip_training.shapes import FixedShape, StepShape
from longform.clip_training.sources import ClipSource, FrameArrays, VideoFiles
from longform.clip_training.task import ClipEvaluation, ClipTask
from longform.training import atomic
from longform.training.errors import TrainingError
from longform.training.loop import train
from longform.training.schedules import CosineSchedule
from longform.training.settings import TrainSettings
from pipeline.errors import InputError
from tests.longform.clip_training.films import moving_square, write_film
from tests.longform.training.test_restart import Death, outcome

torch.set_num_threads(1)
SHAPE = StepShape(batch=16, frames=6, stride=1, max_stride=1, size=28, short_side=(28, 32), bn_clips=8)


def sides(count: int) -> ClassLabels:
    return ClassLabels([index % 2 for index in range(count)], 2)


def arrays(count: int, first_seed: int = 0) -> FrameArrays:
    return FrameArrays([moving_square(bool(i % 2), first_seed + i // 2) for i in range(count)], sides(count))


def files(folder: Path, count: int, first_seed: int = 0) -> VideoFiles:
    films = (moving_square(bool(i % 2), first_seed + i // 2) for i in range(count))
    paths = [str(write_film(folder / f"{i}.mp4", film)) for i, film in enumerate(films)]
    return VideoFiles(paths, sides(count))


def task_of(
    source: ClipSource,
    val: ClipSource,
    shape: StepShape = SHAPE,
    steps: int = 40,
    precise: int = 4,
    lr: float = 0.1,
    **more: Any,
) -> ClipTask:
    torch.manual_seed(0)
    model = network_to_train("fast_4x16_r50", num_classes=source.num_classes, weights=None, width=4, dropout=0.0)
    train_reader, val_reader = (
        ClipReader(source=each, sampling="timed", crops=CropRule(flip=False)) for each in (source, val)
    )
    schedule = FixedShape(CosineSchedule(lr=lr, steps=steps, warmup_steps=steps // 12, warmup_lr=0.01), shape)
    return ClipTask(
        model, train_reader, val_reader, schedule, ClipEvaluation(shape=shape, precise_batches=precise), **more
    )


def settings(task: ClipTask, **changes: Any) -> TrainSettings:
    schedule: Any = task._schedule
    given = {"steps": schedule.schedule.steps, "schedule": schedule, "weight_decay": 1e-4, "quiet": True, **changes}
    return TrainSettings(**given)


def test_learns_motion_from_files_that_one_frame_does_not_show(tmp_path: Path) -> None:
    """Films come in pairs that are one the other's mirror in time, around a frame that both have."""
    source, val = files(tmp_path / "train", 48), files(tmp_path / "val", 24, 1000)
    clip = dataclasses.replace(SHAPE, frames=8)
    task = task_of(source, val, clip, steps=60, lr=0.3)
    report = train(task, settings(task), tmp_path / "clips")
    assert report.metrics["top1"] > 0.9
    assert report.metrics["missing"] == 0
    still = task_of(source, val, dataclasses.replace(SHAPE, frames=1), steps=12)
    assert train(still, settings(still), tmp_path / "stills").metrics["top1"] == 0.5


def test_a_restart_at_any_write_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Normalisation over groups and its precise statistics included."""
    calls = fatal = 0

    def sync(path: Path) -> None:
        nonlocal calls
        calls += 1
        if calls == fatal:
            raise Death

    monkeypatch.setattr(atomic, "_sync", sync)
    source, val = arrays(12), arrays(6, 1000)
    shape = dataclasses.replace(SHAPE, batch=8, bn_clips=4, size=16, short_side=(16, 20), frames=4, max_stride=2)

    def run(folder: Path) -> None:
        task = task_of(source, val, shape, steps=7, precise=2)
        train(task, settings(task, evaluate_every=3, checkpoint_every=2, log_every=2, seed=5), folder)

    run(tmp_path / "undisturbed")
    expected, writes = outcome(tmp_path / "undisturbed"), calls
    statistics = [name for name in expected["weights"] if name.endswith("running_var")]
    assert statistics
    for fatal in range(2, writes + 1, 9):
        calls, folder = 0, tmp_path / str(fatal)
        with pytest.raises(Death):
            run(folder)
        run(folder)
        assert outcome(folder) == expected, fatal


def test_workers_change_nothing(tmp_path: Path) -> None:
    source, val = files(tmp_path / "train", 8), files(tmp_path / "val", 5, 1000)
    shape = dataclasses.replace(SHAPE, batch=4, size=16, short_side=(16, 20), frames=4)
    results = []
    for workers in (0, 2):
        task = task_of(source, val, shape, steps=6, precise=2, workers=workers)
        report = train(task, settings(task, workers=workers), tmp_path / f"run{workers}")
        results.append((report.metrics, [value.numpy().tobytes() for value in task.model.state_dict().values()]))
    assert results[0] == results[1]


def test_each_video_once_an_epoch_whatever_the_batches() -> None:
    first, seen = 0, []
    for batch in itertools.islice(itertools.cycle((3, 8, 2, 13)), 20):
        shape = dataclasses.replace(SHAPE, batch=batch)
        examples = planned(10, first, shape, seed=4)
        assert [example.shape for example in examples] == [shape] * batch
        seen += [example.index for example in examples]
        first += batch
    epochs = [seen[start : start + 10] for start in range(0, 120, 10)]
    assert all(Counter(epoch) == Counter(range(10)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 10


def test_the_plan_follows_the_schedule() -> None:
    task = task_of(arrays(10), arrays(2))
    seen = [example.index for step in range(5) for example in task.plan(step)]
    assert Counter(seen) == dict.fromkeys(range(10), 8)


def test_the_stride_is_drawn_for_each_clip() -> None:
    film = np.repeat(np.arange(64, dtype=np.uint8)[:, None, None, None], 3, 3) * np.ones((1, 8, 8, 1), np.uint8)
    reader = ClipReader(source=FrameArrays([film], ClassLabels([0], 1)), sampling="strided")
    shape = dataclasses.replace(SHAPE, frames=4, stride=2, max_stride=5, size=8, short_side=(8, 8))
    example = planned(1, 0, shape, 0)[0]
    strides = Counter(
        int(np.diff(reader.drawn(example, seed).pixels[:, 0, 0, 0].astype(int))[0]) for seed in range(400)
    )
    assert set(strides) == {2, 3, 4, 5}
    assert min(strides.values()) > 60


def with_damaged(folder: Path, count: int, damaged: set[int]) -> VideoFiles:
    source = files(folder, count)
    for index in damaged:
        Path(source.name(index)).write_bytes(b"no video")
    return source


def test_unreadable_videos_are_replaced_counted_and_named(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    source = with_damaged(tmp_path / "train", 10, {3})
    shape = dataclasses.replace(SHAPE, batch=5, frames=4, size=16, short_side=(16, 16), bn_clips=5)
    named = tmp_path / "unreadable.csv"
    runs = []
    for name in ("a", "b"):
        task = task_of(source, arrays(2), shape, steps=4, precise=0, max_unreadable=0.2, unreadable_path=named)
        task_settings = settings(task) if name == "a" else settings(task, workers=1)
        train(task, dataclasses.replace(task_settings, log_every=4), tmp_path / name)
        runs.append([value.numpy().tobytes() for value in task.model.state_dict().values()])
    assert runs[0] == runs[1]
    assert named.read_text().count("3.mp4") == 2
    assert len(named.read_text().splitlines()) == 2
    assert capfd.readouterr().err.count("Cannot be read, and is replaced by other videos: ") == 1
    header, row = (line.split(",") for line in (tmp_path / "a" / "log.csv").read_text().splitlines())
    assert float(dict(zip(header, row, strict=True))["replaced"]) == pytest.approx(2 / 20)


def test_too_many_unreadable_videos_end_the_run(tmp_path: Path) -> None:
    task = task_of(with_damaged(tmp_path / "train", 10, {0, 1, 2}), arrays(2), steps=4, max_unreadable=0.2)
    with pytest.raises(TrainingError, match=r"3 of 10 videos cannot be read, more than the 2 that --max-unreadable"):
        train(task, settings(task), tmp_path / "run")
    reader = ClipReader(source=with_damaged(tmp_path / "all", 4, {0, 1, 2, 3}), sampling="timed")
    with pytest.raises(InputError, match=r"None of 10 videos in a row can be read; the last: .*mp4"):
        reader.drawn(planned(4, 0, SHAPE, 0)[0], 0)


def test_unreadable_videos_are_missing_in_validation(tmp_path: Path) -> None:
    task = task_of(arrays(4), with_damaged(tmp_path, 5, {1, 4}), precise=1)
    task.model.eval()
    with torch.no_grad():
        assert task.evaluate()["missing"] == 2


class Several:
    """Labels of which a clip can have any number."""

    num_classes, is_multiple = 3, True

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count

    def of(self, index: int, first: int, last: int, fps: float) -> np.ndarray:
        return np.array([index % 2, 1 - index % 2, last >= 15], np.float32)


def test_several_classes_a_clip(tmp_path: Path) -> None:
    films = [moving_square(bool(i % 2), i) for i in range(8)]
    source = FrameArrays(films, Several(8))
    shape = dataclasses.replace(SHAPE, batch=4, frames=4, size=16, short_side=(16, 16), bn_clips=4)
    task = task_of(source, source, shape, steps=3, precise=1)
    batch = task.collate([task.read(example, 1) for example in task.plan(0)])
    assert batch.labels.shape == (4, 3)
    logits = torch.randn(4, 3)
    by_class = [torch.nn.functional.binary_cross_entropy(logits[:, c].sigmoid(), batch.labels[:, c]) for c in range(3)]
    assert torch.allclose(task.loss(logits, batch.labels), torch.stack(by_class).mean())
    report = train(task, settings(task), tmp_path)
    assert report.metric == "mAP"
    assert 0 <= report.metrics["mAP"] <= 1


def test_norms_are_not_decayed_and_everything_is_trained() -> None:
    task = task_of(arrays(2), arrays(2))
    others, norms = task.parameter_groups()
    assert norms["weight_decay"] == 0
    assert all(parameter.ndim == 1 for parameter in norms["params"])
    assert len(others["params"]) + len(norms["params"]) == len(list(task.model.parameters()))
    assert sum(parameter.ndim == 1 for parameter in others["params"]) == 1  # the classifier's bias


def test_pixels_are_normalised_as_the_network_wants() -> None:
    task = task_of(arrays(2), arrays(2))
    batch = task.collate([task.read(example, 1) for example in task.plan(0)[:2]])
    clips = task._clips(batch.pixels)
    assert clips.shape == (2, 3, 6, 28, 28)
    expected = (batch.pixels[1, 3, 5, 7].double() / 255 - 0.45) / 0.225
    assert torch.allclose(clips[1, :, 3, 5, 7].double(), expected, atol=1e-5)
