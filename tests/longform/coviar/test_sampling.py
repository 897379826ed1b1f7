"""Frames and places against the rules of the released code, written as loops."""

from __future__ import annotations

import numpy as np
import pytest

from longform.coviar.sampling import Address, address, central_frames, drawn_frames

STREAMS = ("iframe", "motion", "residual")


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("num_frames", [29, 30, 100, 301])
def test_every_frame_of_a_segment_is_drawn_and_no_other(stream: str, num_frames: int) -> None:
    rng = np.random.default_rng(0)
    draws = np.array([drawn_frames(num_frames, stream, 3, rng) for _ in range(3000)])
    shift = 0 if stream == "iframe" else 1
    length = (num_frames - shift - 1) / 3
    for segment in range(3):
        first, end = round(length * segment) + shift, round(length * (segment + 1)) + shift
        assert set(draws[:, segment]) == set(range(first, end))


@pytest.mark.parametrize(("stream", "expected"), [("iframe", [6, 18, 30]), ("motion", [7, 19, 30])])
def test_the_middles_of_segments(stream: str, expected: list[int]) -> None:
    """37 frames: segments of 36 / 3 = 12 for I-frames; of 35 / 3 from frame 1 on otherwise: 5.83, 17.5, 29.17."""
    assert central_frames(37, stream, 3) == expected


def test_tests_look_at_25_middles() -> None:
    assert central_frames(151, "iframe", 25) == [round(6 * (s + 0.5)) for s in range(25)]
    assert central_frames(152, "residual", 25) == [round(6 * (s + 0.5)) + 1 for s in range(25)]


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("num_frames", [1, 2, 3, 4, 5])
def test_short_videos_give_as_many_frames(stream: str, num_frames: int) -> None:
    rng = np.random.default_rng(1)
    for segments in (3, 25):
        for frames in (drawn_frames(num_frames, stream, segments, rng), central_frames(num_frames, stream, segments)):
            assert len(frames) == segments
            assert all(0 <= frame < num_frames for frame in frames)
            assert stream == "iframe" or num_frames == 1 or 0 not in frames


def test_a_place_counts_groups_of_any_length() -> None:
    lengths = (4, 1, 3)
    assert [address(frame, lengths, "iframe") for frame in range(8)] == (
        4 * [Address(0, 0)] + [Address(1, 0)] + 3 * [Address(2, 0)]
    )
    assert [address(frame, lengths, "motion") for frame in range(8)] == [
        Address(0, 0), Address(0, 1), Address(0, 2), Address(0, 3),
        Address(0, 3), Address(1, 0), Address(2, 1), Address(2, 2),
    ]  # fmt: skip


def test_with_twelve_frames_a_place_is_that_of_the_released_code() -> None:
    for frame in range(1, 60):
        gop, position = (frame // 12, frame % 12) if frame % 12 else (frame // 12 - 1, 11)
        assert address(frame, (12,) * 5, "residual") == Address(gop, position)
