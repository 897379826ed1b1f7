"""Chosen frames are the right ones, each decoded once, with as little decoding as the file allows."""

from fractions import Fraction
from pathlib import Path

import pytest

from longform.chosen_frames import chosen_frames
from pipeline.errors import DecodeError
from pipeline.video.frames import DecodeStats
from pipeline.video.geometry import PictureSpec
from pipeline.video.probe import probe
from tests.longform.numbered import STEP, numbered_video, spoil

RGB = PictureSpec()


def numbers(path: Path, wanted: list[int], stats: DecodeStats | None = None) -> list[tuple[int, int, int]]:
    """`(index asked for, index of the frame, number it shows)` of every chosen frame."""
    facts, index = probe(str(path))
    found = chosen_frames(facts, index, wanted, stats)
    return [(asked, frame.index, round(float(frame.picture(RGB).mean()) / STEP)) for asked, frame in found]


@pytest.mark.parametrize("wanted", [[0], [3, 4, 9], [79], list(range(80)), [0, 40, 79]])
def test_every_wanted_frame_comes_once_in_order(tmp_path: Path, wanted: list[int]) -> None:
    numbered_video(tmp_path / "a.mov", 80, fps=Fraction(2))
    assert numbers(tmp_path / "a.mov", wanted) == [(i, i, i) for i in wanted]


def test_what_lies_between_is_not_decoded(tmp_path: Path) -> None:
    numbered_video(tmp_path / "a.mov", 80, fps=Fraction(2))
    stats = DecodeStats()
    assert numbers(tmp_path / "a.mov", [1, 2, 41, 78], stats) == [(i, i, i) for i in (1, 2, 41, 78)]
    assert stats.frames_decoded <= 3 + 2 + 19


def test_no_picture_is_made_of_frames_that_nobody_wants(clips: Path) -> None:
    facts, index = probe(str(clips / "nasa_13013.mp4"))
    stats = DecodeStats()
    for _, frame in chosen_frames(facts, index, [5, 70, 71], stats):
        frame.picture(RGB)
    assert stats.pictures_converted == 3


def test_a_frame_that_cannot_be_decoded_is_replaced_by_the_one_before(tmp_path: Path) -> None:
    numbered_video(tmp_path / "a.mov", 30)
    spoil(tmp_path / "a.mov", [10, 11, 29])
    found = numbers(tmp_path / "a.mov", [9, 10, 11, 12, 28, 29])
    assert found == [(9, 9, 9), (10, 9, 9), (11, 9, 9), (12, 12, 12), (28, 28, 28), (29, 28, 28)]


def test_a_real_file_with_one_damaged_packet(clips: Path) -> None:
    facts, index = probe(str(clips / "corrupted.mp4"))
    found = [(asked, frame.index) for asked, frame in chosen_frames(facts, index, list(range(50)))]
    assert found == [(i, 29 if i == 30 else i) for i in range(50)]


def test_a_video_without_one_picture_is_refused(tmp_path: Path) -> None:
    numbered_video(tmp_path / "a.mov", 5)
    facts, index = probe(str(tmp_path / "a.mov"))
    spoil(tmp_path / "a.mov", range(5))
    with pytest.raises(DecodeError, match="none of 5 frames could be decoded"):
        list(chosen_frames(facts, index, [1, 2]))
