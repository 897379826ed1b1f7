"""Whole examples from generated videos: the right frames, boxes and labels, and the same ones for the same seed."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from torch import Tensor

from extractors.errors import ConfigError
from longform.datasets.ava_key_frames import AvaKeyFrame
from longform.datasets.charades import CharadesAction, CharadesVideo, frame_list
from longform.datasets.epic import EpicSegment
from longform.datasets.frame_reader import VideoFrames
from longform.lfb.samples import ClipShape, clip_frames
from longform.lfb.samples_clips import ava_example, charades_example, epic_example
from longform.lfb.samples_views import View
from tests.longform.numbered import STEP, numbered_video

SHAPE = ClipShape(num_frames=4, stride=2)
EPIC_SEGMENT = EpicSegment(segment_id="0", participant=1, video="P01_01", start_s=0.5, stop_s=1.5, verb=3, noun=8)


def numbers(clip: Tensor) -> list[int]:
    """What the frames of a clip show, in its middle."""
    middle = clip[0, :, clip.shape[2] // 2, clip.shape[3] // 2]
    return ((middle * 0.225 + 0.45) * 255 / STEP).round().int().tolist()


def reader(folder: Path, video: str, num_frames: int, fps: int, start_s: float = 0) -> VideoFrames:
    numbered_video(folder / "v.mov", num_frames, fps=Fraction(fps), size_hw=(48, 80))
    return VideoFrames({video: str(folder / "v.mov")}, fps=fps, start_s=start_s)


def test_a_key_frame_of_ava(tmp_path: Path) -> None:
    """The cut begins at second 900: second 902 is frame 60."""
    labels = np.zeros((1, 80), bool)
    labels[0, 11] = True
    key_frame = AvaKeyFrame(video="a", second=902, boxes=np.array([[0.25, 0.25, 0.75, 0.5]]), labels=labels)
    frames = reader(tmp_path, "a", 63, 30)
    example = ava_example(key_frame, frames, shape=SHAPE)
    assert (example.video, example.centre_frame, numbers(example.clip)) == ("a", 60, [56, 58, 60, 62])
    assert example.clip.shape == (3, 4, 256, 256)
    assert example.boxes_px is not None
    assert example.boxes_px.tolist() == [pytest.approx([106.5 - 85, 64, 319.5 - 85, 128], abs=0.8)]
    assert example.labels.tolist() == labels.astype(float).tolist()
    drawn = [ava_example(key_frame, frames, np.random.default_rng(seed), shape=SHAPE) for seed in (1, 1, 2)]
    assert {numbers(example.clip)[2] for example in drawn} == {60}
    assert drawn[0].clip.shape == (3, 4, 224, 224)
    boxes = [example.boxes_px.tolist() for example in drawn if example.boxes_px is not None]
    assert boxes[0] == boxes[1] != boxes[2]


def test_a_segment_of_epic(tmp_path: Path) -> None:
    frames = reader(tmp_path, "P01_01", 60, 30)
    example = epic_example(EPIC_SEGMENT, frames, shape=SHAPE, view=View(short_side_px=224, position=0))
    assert (example.centre_frame, numbers(example.clip), example.labels) == (30, [26, 28, 30, 32], (3, 8))
    assert example.clip.shape == (3, 4, 224, 224)
    centres = set()
    for seed in range(30):
        drawn = epic_example(EPIC_SEGMENT, frames, np.random.default_rng(seed), shape=SHAPE)
        assert numbers(drawn.clip) == clip_frames(drawn.centre_frame, SHAPE, 60).tolist()
        centres.add(drawn.centre_frame)
    assert len(centres) > 15
    assert min(centres) >= 15
    assert max(centres) <= 45


def test_a_video_of_charades(tmp_path: Path) -> None:
    actions = (
        CharadesAction(class_id=5, start_s=0, end_s=1),
        CharadesAction(class_id=9, start_s=1.5, end_s=9),
    )
    (listed,) = frame_list([CharadesVideo(video="c", length_s=2, actions=actions)], {"c": 48}).values()
    frames = reader(tmp_path, "c", 48, 24)
    tested = charades_example("c", listed, frames, centre=5, shape=SHAPE)
    assert numbers(tested.clip) == [1, 3, 5, 7]
    assert np.flatnonzero(tested.labels).tolist() == [5, 9]
    found = set()
    for seed in range(40):
        drawn = charades_example("c", listed, frames, np.random.default_rng(seed), shape=SHAPE)
        inside = range(drawn.centre_frame - 4, drawn.centre_frame + 3)
        expected = [c for c, shown in ((5, range(24)), (9, range(36, 48))) if set(inside) & set(shown)]
        assert np.flatnonzero(drawn.labels).tolist() == expected
        assert 4 <= drawn.centre_frame <= 44
        found.add(tuple(expected))
    assert found == {(5,), (9,), ()}


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    action = CharadesAction(class_id=5, start_s=0, end_s=1)
    (listed,) = frame_list([CharadesVideo(video="c", length_s=2, actions=(action,))], {"c": 47}).values()
    frames = reader(tmp_path, "c", 48, 24)
    with pytest.raises(ConfigError, match="'c' has 48 frames, and 47 with labels"):
        charades_example("c", listed, frames, centre=3)
    (listed,) = frame_list([CharadesVideo(video="c", length_s=2, actions=(action,))], {"c": 48}).values()
    with pytest.raises(ConfigError, match="give one of them"):
        charades_example("c", listed, frames)
