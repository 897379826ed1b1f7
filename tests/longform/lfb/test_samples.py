"""Clips, their centres and labels, and the examples of a step."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from extractors.errors import ConfigError
from longform.datasets.charades import frame_list, read_videos
from longform.datasets.epic import EpicSegment
from longform.datasets.frame_lists import ListedFrames
from longform.lfb.samples import (
    LFB_CLIPS,
    ClipShape,
    charades_centre,
    charades_test_centres,
    clip_frames,
    clip_labels,
    drawn_examples,
    epic_centre,
    shuffled_examples,
    video_labels,
)


def test_frames_of_a_clip() -> None:
    """Section 7 of the fact sheet: centre - 32 … centre + 30, step 2, clamped; Charades 125 frames."""
    ava = clip_frames(60, LFB_CLIPS["ava"], 27_030)
    assert ava.tolist() == list(range(28, 92, 2))
    charades = clip_frames(300, LFB_CLIPS["charades"], 700)
    assert (charades[0], charades[-1], len(charades)) == (236, 360, 32)
    clamped = clip_frames(10, LFB_CLIPS["epic"], 30)
    assert clamped.tolist() == [0] * 11 + list(range(0, 30, 2)) + [29] * 6
    with pytest.raises(ConfigError, match="expected at least 1"):
        ClipShape(num_frames=0)


def test_examples_are_a_function_of_seed_and_step() -> None:
    first = drawn_examples(1000, 16, seed=1, step=7)
    assert first.tolist() == drawn_examples(1000, 16, seed=1, step=7).tolist()
    others = [drawn_examples(1000, 16, seed=s, step=t).tolist() for s, t in ((1, 8), (2, 7))]
    assert first.tolist() not in others
    many = np.concatenate([drawn_examples(10, 100, seed=0, step=step) for step in range(100)])
    counts = np.bincount(many, minlength=10)
    assert len(counts) == 10
    assert (abs(counts - 1000) < 150).all()  # 5 standard deviations


def test_every_video_comes_once_an_epoch() -> None:
    steps = [shuffled_examples(10, 4, seed=3, step=step) for step in range(10)]
    drawn = np.concatenate(steps).reshape(4, 10)
    assert [sorted(epoch) for epoch in drawn.tolist()] == [list(range(10))] * 4
    assert len({tuple(epoch) for epoch in drawn.tolist()}) == 4
    assert shuffled_examples(10, 4, seed=3, step=6).tolist() == steps[6].tolist()
    assert sorted(np.bincount(shuffled_examples(3, 7, seed=0, step=0))) == [2, 2, 3]


def test_centres_of_a_segment() -> None:
    segment = EpicSegment(segment_id="0", participant=1, video="v", start_s=0.14, stop_s=0.31, verb=0, noun=0)
    assert segment.frames == (4, 9)
    assert epic_centre(segment, None) == 6
    rng = np.random.default_rng(0)
    assert {epic_centre(segment, rng) for _ in range(200)} == set(range(4, 10))


def test_centres_in_a_video_of_charades() -> None:
    shape = ClipShape(num_frames=4, stride=4)
    rng = np.random.default_rng(0)
    assert {charades_centre(20, shape, rng) for _ in range(300)} == set(range(8, 13))
    assert {charades_centre(16, shape, rng) for _ in range(20)} == {8}
    assert {charades_centre(15, shape, rng) for _ in range(20)} == {7}
    assert charades_test_centres(100) == [5, 15, 25, 35, 45, 55, 65, 75, 85, 95]
    assert charades_test_centres(721, 3) == [120, 360, 601]


def test_labels_of_a_clip_are_those_of_all_frames_inside() -> None:
    video = ListedFrames(
        paths=[str(i) for i in range(6)],
        labels=np.array([4, 2, 4, 1], np.int32),
        label_starts=np.array([0, 1, 1, 3, 3, 4, 4]),
    )
    assert [video.classes(i, i).tolist() for i in range(6)] == [[4], [], [2, 4], [], [1], []]
    assert np.flatnonzero(clip_labels(video, np.array([1, 3]), 5)).tolist() == [2, 4]
    assert np.flatnonzero(clip_labels(video, np.array([3, 5]), 5)).tolist() == [1]
    assert not clip_labels(video, np.array([5, 5]), 5).any()
    assert np.flatnonzero(video_labels(video, 5)).tolist() == [1, 2, 4]


def test_labels_of_a_real_video(shared: Path) -> None:
    """46GP8: c092 from 11.9 to 21.2 s, c147 from 0 to 12.6 s."""
    videos = read_videos(shared / "annotations/charades/Charades_v1_train_sample.csv")
    (video,) = frame_list(videos[:1], {"46GP8": 596}).values()
    shape = LFB_CLIPS["charades"]
    at = {second: clip_frames(24 * second, shape, 596) for second in (5, 11, 12, 18, 24)}
    labels = {second: np.flatnonzero(clip_labels(video, frames, 157)).tolist() for second, frames in at.items()}
    assert labels == {5: [147], 11: [92, 147], 12: [92, 147], 18: [92], 24: []}
