"""Pictures are of the frames asked for, one of every shot first, and never of another video."""

import base64
from pathlib import Path

import cv2
import numpy as np
import pytest

from longform.report.collect import Shots
from longform.report.frames import Pictures, Source, choose_frames, find_source, take_pictures, thinned
from pipeline.video.probe import probe
from tests.longform.numbered import STEP, numbered_video


def shots(*borders: int) -> Shots:
    starts, ends = list(borders[:-1]), list(borders[1:])
    times = [start / 10 for start in borders]
    return Shots(start_s=times[:-1], end_s=times[1:], start_frame=starts, end_frame=ends, found=True)


def source(path: Path) -> Source:
    found = find_source(str(path), probe(str(path))[0].measured.sha256)
    assert not isinstance(found, str)
    return found


def test_a_shot_shows_the_frame_with_detections_nearest_to_its_middle() -> None:
    assert choose_frames(shots(0, 10, 30, 40), [2, 3, 12, 24, 29], 10.0, 3) == [3, 24, 34]


def test_what_is_left_goes_to_frames_with_detections_then_to_one_a_second() -> None:
    assert choose_frames(shots(0, 60), [0, 10, 20, 30], 10.0, 100) == [0, 10, 20, 30, 40, 50]
    assert choose_frames(shots(0, 60), [], 10.0, 100) == [0, 10, 29, 40, 50]


def test_frames_asked_for_come_first_with_half_of_the_room() -> None:
    borders, detected, asked = shots(0, 100, 200, 300), [50, 150, 250], [7, 20, 120]
    assert choose_frames(borders, detected, 10.0, 6, asked) == [7, 20, 50, 120, 150, 250]
    assert choose_frames(borders, detected, 10.0, 4, asked) == [7, 50, 120, 250]
    assert choose_frames(borders, detected, 10.0, 3, [50, 150, 250]) == [50, 150, 250]
    assert choose_frames(borders, detected, 10.0, 0, asked) == []


def test_a_video_without_frames_has_no_pictures() -> None:
    assert choose_frames(shots(0, 0), [], 10.0, 100) == []


@pytest.mark.parametrize("most", [0, 1, 2, 5, 17])
def test_never_more_than_asked(most: int) -> None:
    chosen = choose_frames(shots(*range(0, 1010, 10)), list(range(0, 1000, 3)), 25.0, most)
    assert len(chosen) == most == len(set(chosen))
    assert chosen == sorted(chosen)


def test_pictures_show_the_frames_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "film.mov"
    numbered_video(path, 60, size_hw=(36, 64))
    pictures = take_pictures(source(path), [3, 21, 59], page_pictures=3)
    assert pictures.frame == [3, 21, 59]
    assert pictures.at_s == pytest.approx([0.1, 0.7, 59 / 30], abs=1e-3)
    for frame, data in zip(pictures.frame, pictures.data, strict=True):
        head, text = data.split(",")
        assert head == "data:image/jpeg;base64"
        image = cv2.imdecode(np.frombuffer(base64.b64decode(text), np.uint8), cv2.IMREAD_COLOR)
        assert image.shape == (36, 64, 3)
        assert np.abs(image.astype(int) - STEP * frame).max() <= 1


def test_pictures_are_small_where_there_are_many(tmp_path: Path) -> None:
    path = tmp_path / "film.mov"
    numbered_video(path, 2, size_hw=(360, 640))
    widths = []
    for page_pictures in (10, 1000):
        (data,) = take_pictures(source(path), [0], page_pictures=page_pictures).data
        raw = np.frombuffer(base64.b64decode(data.split(",")[1]), np.uint8)
        widths.append(cv2.imdecode(raw, cv2.IMREAD_COLOR).shape[1])
    assert widths == [480, 320]


def test_a_video_that_is_gone_changed_or_broken_is_not_a_source(tmp_path: Path) -> None:
    path = tmp_path / "film.mov"
    gone = find_source(str(path), None)
    numbered_video(path, 5)
    changed = find_source(str(path), "0" * 64)
    path.write_bytes(b"no video")
    broken = find_source(str(path), None)
    for why, word in ((gone, "No file at"), (changed, "changed since"), (broken, "opened as a video")):
        assert isinstance(why, str)
        assert word in why


def test_a_video_that_vanishes_in_between_has_a_note(tmp_path: Path) -> None:
    numbered_video(tmp_path / "film.mov", 5)
    found = source(tmp_path / "film.mov")
    (tmp_path / "film.mov").unlink()
    pictures = take_pictures(found, [0], page_pictures=1)
    assert pictures.data == []
    assert pictures.note is not None
    assert pictures.note.startswith("No pictures: ")


def test_pictures_without_room_are_left_out_evenly_and_counted() -> None:
    all_of_them = Pictures(at_s=[float(i) for i in range(10)], frame=list(range(10)), data=["x" * 100] * 10)
    assert thinned(all_of_them, 1000) == all_of_them
    kept = thinned(all_of_them, 520)
    assert kept.frame == [0, 2, 4, 7, 9]
    assert kept.note == "5 of 10 pictures were left out to keep the page small."
    assert thinned(all_of_them, 0).data == []
