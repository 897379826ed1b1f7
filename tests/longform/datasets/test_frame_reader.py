"""Frames by number at the data set's rate, from pictures and from videos of other rates."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from longform.datasets.frame_lists import HEADER, read_frame_lists
from longform.datasets.frame_reader import FramePictures, VideoFrames
from pipeline.errors import DecodeError, InputError
from tests.longform.numbered import STEP, numbered_video, spoil


def numbers(pictures: list[np.ndarray]) -> list[int]:
    return [round(float(picture.mean()) / STEP) for picture in pictures]


@pytest.fixture
def pictures(tmp_path: Path) -> FramePictures:
    """Video `a` with 4 frames, redder by 40 each."""
    (tmp_path / "a").mkdir()
    lines = [HEADER]
    for number in range(4):
        red = np.zeros((12, 16, 3), np.uint8)
        red[..., 2] = 40 * number
        cv2.imwrite(str(tmp_path / f"a/a_{number + 1:06d}.png"), red)
        lines.append(f'a 0 {number} a/a_{number + 1:06d}.png ""')
    (tmp_path / "list.csv").write_text("\n".join(lines))
    return FramePictures(read_frame_lists(tmp_path / "list.csv"), tmp_path)


def test_pictures_in_the_order_asked_for_as_rgb(pictures: FramePictures) -> None:
    assert pictures.num_frames("a") == 4
    read = pictures.read("a", [0, 3, 3, 1])
    assert [picture[0, 0].tolist() for picture in read] == [[0, 0, 0], [120, 0, 0], [120, 0, 0], [40, 0, 0]]
    assert read[0].shape == (12, 16, 3)
    assert not read[0].flags.writeable


def test_what_is_not_there_is_named(pictures: FramePictures, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"No video 'b' in the frame list \(1 videos\)"):
        pictures.num_frames("b")
    for index in (-1, 4):
        with pytest.raises(InputError, match=rf"'a' has no frame {index}; expected 0 to 3"):
            pictures.read("a", [index])
    (tmp_path / "a/a_000002.png").unlink()
    with pytest.raises(InputError, match=r"a_000002\.png' cannot be read: No such file"):
        pictures.read("a", [1])
    (tmp_path / "a/a_000003.png").write_bytes(b"no picture")
    with pytest.raises(DecodeError, match=r"a_000003\.png' is no picture \(10 bytes\)"):
        pictures.read("a", [2])


@pytest.mark.parametrize(
    ("fps", "expected"),
    [
        (Fraction(30), [0, 1, 2, 3, 29, 59]),
        (Fraction(60), [0, 2, 4, 6, 58]),
        (Fraction(15), [0, 0, 1, 1, 14]),
        (Fraction(25), [0, 1, 1, 2, 24]),
        (Fraction(30000, 1001), [0, 1, 2, 3, 29, 59]),
    ],
)
def test_frames_of_a_video_at_30_a_second(tmp_path: Path, fps: Fraction, expected: list[int]) -> None:
    """Frame i is on screen at i / 30 s. Numbers shown are those of the video's own frames.

    At 25 a second, frame 1 (33 ms) is the video's frame 1 (40 ms): it begins within a quarter of its 40 ms.
    """
    numbered_video(tmp_path / "v.mov", 60, fps=fps)
    reader = VideoFrames({"v": str(tmp_path / "v.mov")}, fps=30)
    assert reader.num_frames("v") == round(60 / fps * 30)
    assert numbers(reader.read("v", [0, 1, 2, 3, 29, 59][: len(expected)])) == expected


def test_a_film_is_read_from_its_start_second(tmp_path: Path) -> None:
    numbered_video(tmp_path / "film.mov", 80, fps=Fraction(10))
    reader = VideoFrames({"v": str(tmp_path / "film.mov")}, fps=10, start_s=3, duration_s=4)
    assert reader.num_frames("v") == 40
    assert numbers(reader.read("v", [39, 0, 0])) == [69, 30, 30]
    cut = VideoFrames({"v": str(tmp_path / "film.mov")}, fps=10, start_s=900)
    with pytest.raises(InputError, match=r"film\.mov' lasts 8\.0 s, and frame 0 is at 900 s\. .* start_s=0"):
        cut.num_frames("v")


def test_a_damaged_frame_is_not_replaced(tmp_path: Path) -> None:
    numbered_video(tmp_path / "v.mov", 10)
    spoil(tmp_path / "v.mov", [4])
    reader = VideoFrames({"v": str(tmp_path / "v.mov")}, fps=30)
    assert numbers(reader.read("v", [3, 5])) == [3, 5]
    with pytest.raises(DecodeError, match=r"v\.mov': frame 4 cannot be decoded"):
        reader.read("v", [3, 4])


def test_a_real_video_equals_its_own_frames(clips: Path) -> None:
    """nasa_13013.mp4 has 29.97 frames a second: frame i of 30 a second is its frame i, for the first half minute."""
    reader = VideoFrames({"v": str(clips / "nasa_13013.mp4")}, fps=30)
    own = VideoFrames({"v": str(clips / "nasa_13013.mp4")}, fps=30, start_s=1 / 30)
    assert reader.num_frames("v") == 390
    first, second = reader.read("v", [0, 1])
    assert (own.read("v", [0])[0] == second).all()
    assert (first != second).any()
