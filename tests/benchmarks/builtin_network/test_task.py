"""Training of the network in the package: labels of changed clips, losses, a short run."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from benchmarks.builtin_network.classes import HELD_OUT, MOTION_CLASSES, NO_DIRECTION, TRAINED, labels_of
from benchmarks.builtin_network.task import BuiltinTask, direction_loss, same_video_loss
from benchmarks.builtin_network.training import FULL, schedule
from benchmarks.builtin_network.videos import CHUNK, GeneratedVideos, generated
from benchmarks.builtin_network.views import draw_pair, other_colours
from benchmarks.motions.classes import BACKWARDS, MIRRORED, MotionClass
from benchmarks.motions.dataset import DataSet
from longform.clip_training.networks import network_to_train
from longform.clip_training.shapes import FixedShape, StepShape
from longform.training.loop import train
from longform.training.schedules import StepSchedule
from longform.training.settings import TrainSettings

SMALL = StepShape(batch=4, frames=4, stride=2, max_stride=4, size=32, short_side=(32, 40), bn_clips=4)


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> GeneratedVideos:
    return generated(tmp_path_factory.mktemp("videos"), motions=("walk", "pan_left"), videos=4, seed=1)


def name_of(motion: str, *, mirrored: bool = False, backwards: bool = False) -> str:
    labels = labels_of(MotionClass(motion, "dots"), mirrored=mirrored, backwards=backwards)
    return MOTION_CLASSES[labels.motion]


def test_labels_follow_what_is_shown() -> None:
    assert name_of("pan_left") == "pan_left"
    assert name_of("pan_left", mirrored=True) == name_of("pan_left", backwards=True) == "pan_right"
    assert name_of("pan_left", mirrored=True, backwards=True) == "pan_left"
    assert name_of("walk", mirrored=True) == "walk"
    assert name_of("walk", backwards=True) == "walk backwards"
    assert name_of("shatter", backwards=True) == "assemble"


@pytest.mark.parametrize(
    ("motion", "backwards", "forwards"),
    [("fall", False, 1), ("fall", True, 0), ("assemble", False, 0), ("assemble", True, 1), ("pan_left", False, -1)],
)
def test_the_direction_of_time_is_known_for_one_way_motions(motion: str, backwards: bool, forwards: int) -> None:
    assert labels_of(MotionClass(motion, "dots"), mirrored=False, backwards=backwards).forwards == forwards


def test_no_change_of_a_clip_shows_what_is_held_out() -> None:
    shown = {changed for table in (BACKWARDS, MIRRORED) for motion, changed in table.items() if motion in TRAINED}
    assert not shown & set(HELD_OUT)
    assert not set(MOTION_CLASSES) & set(HELD_OUT)


def test_chunks_are_made_once_and_hold_what_the_data_set_says(tmp_path: Path) -> None:
    made = generated(tmp_path, motions=("walk",), videos=2, seed=3)
    (path,) = tmp_path.iterdir()
    before = path.stat().st_mtime_ns
    again = generated(tmp_path, motions=("walk",), videos=2, seed=3)
    assert path.stat().st_mtime_ns == before
    np.testing.assert_array_equal(made.video(1), again.video(1))
    entries = DataSet(videos=2, motions=("walk",), seed=3).entries()
    assert [again.shown(i) for i in range(2)] == [entry.shown for entry in entries]
    assert CHUNK >= 2


def test_a_pair_is_two_different_clips_of_a_video(videos: GeneratedVideos) -> None:
    pair = draw_pair(videos, 0, SMALL, seed=5)
    first, second = pair.clips
    assert first.shape == second.shape == (4, 32, 32, 3)
    assert (first != second).any()
    np.testing.assert_array_equal(first, draw_pair(videos, 0, SMALL, seed=5).clips[0])


def test_other_colours_keep_what_is_where() -> None:
    clip = np.random.default_rng(0).integers(60, 190, (2, 24, 24, 3), np.uint8)
    for seed in range(5):
        changed = other_colours(clip, np.random.default_rng(seed))
        grey, changed_grey = (x.astype(float).mean(3).ravel() for x in (clip, changed))
        assert np.corrcoef(grey, changed_grey)[0, 1] > 0.8
        assert (changed != clip).any()


def test_the_loss_of_same_videos_is_cross_entropy_over_the_others() -> None:
    torch.manual_seed(0)
    projected = torch.randn(6, 5)
    unit = F.normalize(projected, dim=1)
    expected = []
    for i in range(6):
        others = [j for j in range(6) if j != i]
        logits = torch.stack([unit[i] @ unit[j] for j in others]) / 0.15
        expected.append(F.cross_entropy(logits[None], torch.tensor([others.index((i + 3) % 6)])))
    torch.testing.assert_close(same_video_loss(projected), torch.stack(expected).mean())


def test_clips_without_direction_do_not_count() -> None:
    logits = torch.tensor([2.0, -1.0, 50.0])
    forwards = torch.tensor([1, 0, NO_DIRECTION])
    expected = F.binary_cross_entropy_with_logits(logits[:2], torch.tensor([1.0, 0.0]))
    torch.testing.assert_close(direction_loss(logits, forwards), expected)
    assert direction_loss(logits[2:], forwards[2:]) == 0


def test_the_schedule_has_both_cycles_and_ends_on_the_full_clip() -> None:
    multigrid = schedule(1200)
    shapes = [multigrid.shape(step) for step in range(multigrid.steps)]
    assert {shape.frames for shape in shapes} == {4, 8, 16}
    assert len({shape.size for shape in shapes}) == 3
    assert FULL in shapes[-3:]
    assert all(shape.batch % 2 == 0 for shape in shapes)
    assert multigrid.steps < 1200 / 3


def run(videos: GeneratedVideos, folder: Path, steps: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    network = network_to_train("slowfast_compact", num_classes=len(MOTION_CLASSES), weights=None, width=4, crop_px=32)
    fixed = FixedShape(StepSchedule(lr=1e-3), SMALL)
    task = BuiltinTask(network, videos, videos, fixed, SMALL, precise_batches=2)
    settings = TrainSettings(steps=steps, schedule=fixed, optimiser="adamw", checkpoint_every=2, quiet=True)
    report = train(task, settings, folder)
    assert 0 <= report.metrics["score"] <= 1
    return {name: tensor.clone() for name, tensor in task.model.state_dict().items()}


def test_a_run_trains_every_part(videos: GeneratedVideos, tmp_path: Path) -> None:
    torch.manual_seed(0)
    start = network_to_train("slowfast_compact", num_classes=len(MOTION_CLASSES), weights=None, width=4, crop_px=32)
    whole = run(videos, tmp_path / "whole", 4)
    still = [name for name, tensor in start.named_parameters() if torch.equal(tensor, whole[f"backbone.{name}"])]
    assert not still
    assert all(tensor.isfinite().all() for tensor in whole.values())
