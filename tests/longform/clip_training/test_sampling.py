"""Frames of clips, against loops written from the descriptions of the originals."""

import math

import numpy as np
import pytest

from longform.clip_training.sampling import MIDDLE, SAMPLINGS, ClipInfo, clip_frames
from longform.training.errors import TrainingError

CASES = [
    (300, 30.0, 32, 2),
    (250, 25.0, 32, 2),
    (299, 59.94, 8, 8),
    (10, 30.0, 32, 2),
    (1, 24.0, 4, 16),
    (64, 30, 64, 1),
]


def timed(count: int, fps: float, frames: int, stride: int, u: float) -> list[int]:
    span = math.ceil(stride * (frames - 1) / 30 * fps)
    start = u * max(count - span, 0)
    chosen = []
    for i in range(frames):
        place = start + (span - 1) * i / (frames - 1)
        chosen.append(int(min(max(place, 0), count - 1)))
    return chosen


def strided(count: int, fps: float, frames: int, stride: int, u: float) -> list[int]:
    last_start = max(count - 1 - (frames - 1) * stride, 0)
    start = min(int(u * (last_start + 1)), last_start)
    return [min(start + i * stride, count - 1) for i in range(frames)]


def wrapped(count: int, fps: float, frames: int, stride: int, u: float) -> list[int]:
    last_start = max(count - frames * stride, 0)
    start = min(int(u * (last_start + 1)), last_start)
    return [(start + i * stride) % count for i in range(frames)]


@pytest.mark.parametrize("loop", [timed, strided, wrapped])
@pytest.mark.parametrize("case", CASES)
def test_frames_equal_a_loop(loop, case) -> None:
    count, fps, frames, stride = case
    for u in np.random.default_rng(0).random(50):
        draws = np.full(frames, u)
        found = clip_frames(loop.__name__, ClipInfo(num_frames=count, fps=fps), frames, stride, draws)
        expected = loop(count, fps, frames, stride, u)
        if loop is timed:  # the loop adds in another order, which may fall on the other side of a whole number
            assert np.abs(found - expected).max() <= 1
            assert (found == expected).mean() > 0.9
        else:
            assert found.tolist() == expected
        assert found.min() >= 0
        assert found.max() < count


@pytest.mark.parametrize("count", [1, 3, 8, 9, 117, 1000])
def test_one_frame_of_each_segment(count: int) -> None:
    info, rng = ClipInfo(num_frames=count, fps=12.0), np.random.default_rng(1)
    seen: list[set[int]] = [set() for _ in range(8)]
    for _ in range(400):
        for part, frame in enumerate(clip_frames("segments", info, 8, 1, rng.random(8)).tolist()):
            seen[part].add(frame)
    for part, frames in enumerate(seen):
        first, last = round((count - 1) / 8 * part), round((count - 1) / 8 * (part + 1))
        assert frames <= set(range(first, last + 1))
        assert {first, last} <= frames or last - first > 50


def test_every_start_is_drawn_and_equally_often() -> None:
    info, rng = ClipInfo(num_frames=20, fps=30.0), np.random.default_rng(2)
    for name in ("strided", "wrapped"):
        starts = [int(clip_frames(name, info, 4, 4, rng.random(4))[0]) for _ in range(4000)]
        counts = np.bincount(starts)
        assert len(counts) == {"strided": 20 - 12, "wrapped": 20 - 15}[name]
        assert counts.min() > 0.8 * 4000 / len(counts)


def test_the_rate_of_the_video_counts_where_it_should() -> None:
    slow, fast = ClipInfo(num_frames=150, fps=15.0), ClipInfo(num_frames=600, fps=60.0)
    draws = np.zeros(16)
    spans = {name: [np.ptp(clip_frames(name, info, 16, 2, draws)) for info in (slow, fast)] for name in SAMPLINGS}
    assert spans["timed"] == [14, 59]
    assert spans["strided"] == spans["wrapped"] == [30, 30]


def test_the_middle_of_a_video() -> None:
    for name in SAMPLINGS:
        frames = clip_frames(name, ClipInfo(num_frames=301, fps=30.0), 8, 4, np.full(8, MIDDLE))
        assert abs(frames.mean() - 150) < 3, name


def test_errors() -> None:
    info = ClipInfo(num_frames=0, fps=30.0)
    with pytest.raises(TrainingError, match=r"No sampling is called 'random'.*timed, strided, wrapped, segments"):
        clip_frames("random", info, 8, 1, np.zeros(8))
    with pytest.raises(TrainingError, match="without frames"):
        clip_frames("timed", info, 8, 1, np.zeros(8))
