"""Windows of chosen frames from video files: the right ones, with the pixels that the rest of the project sees."""

import math
from pathlib import Path

import av
import numpy as np
import pytest

from longform.chosen_frames import chosen_frames
from longform.clip_training import video_reading
from longform.clip_training.augmentation import CropRule, PlaceWindow, Window
from longform.clip_training.labels import ClassLabels
from longform.clip_training.sources import FrameArrays, VideoFiles
from longform.clip_training.video_reading import read_index, read_windows, stored_window
from longform.training.errors import TrainingError
from pipeline.errors import DecodeError, ProbeError
from pipeline.video.geometry import Geometry, PictureSpec
from pipeline.video.probe import probe
from tests.longform.clip_training.films import numbered_film, write_film

CLIPS = [
    "armwrestling.mp4", "makeup.avi", "nasa_13013.mp4", "nasa_13013_vfr.mp4", "nasa_13013_rotated.mp4",
    "video_90.mov", "video_180.mov", "video_270.mov", "unordered.mov", "delayed_start.mp4",
    "discard_first_keyframe.mp4", "sine_stereo_mp2.mpg", "no_duration.webm", "var_fps_video.mp4", "corrupted.mp4",
    "testsrc2_odd_height_and_width_vp9.mp4", "fades.mp4",
]  # fmt: skip
ODD = "testsrc2_odd_height_and_width_vp9.mp4"


@pytest.mark.parametrize("name", CLIPS)
def test_real_clips_have_the_frames_that_probe_finds(shared: Path, name: str) -> None:
    uri = str(shared / "videos" / name)
    facts, expected = probe(uri)
    index = read_index(uri)
    assert index.pts.tolist() == expected.pts.tolist()
    assert index.key_pts.tolist() == expected.key_pts.tolist()
    assert (index.fps, index.is_timed) == (facts.measured.fps, facts.measured.is_timed)


@pytest.mark.parametrize("name", [name for name in CLIPS if name not in ("armwrestling.mp4", ODD)])
def test_a_window_has_the_pixels_of_the_displayed_picture(shared: Path, name: str) -> None:
    """Without scaling they are equal, bit for bit, whatever turns the picture and wherever decoding starts."""
    uri = str(shared / "videos" / name)
    facts, packets = probe(uri)
    count = len(packets.pts)
    frames = np.unique([count * 2 // 3, count // 2, min(count // 2 + 1, count - 1)])
    window = Window(top=8, left=10, height=40, width=40, size=40, flip=True)
    found = read_windows(uri, read_index(uri), frames, lambda height, width: window)
    for pixels, (_, frame) in zip(found, chosen_frames(facts, packets, frames.tolist()), strict=True):
        picture = frame.picture(PictureSpec())
        assert np.array_equal(pixels, picture[8:48, 10:50][:, ::-1])


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_a_window_of_the_displayed_picture_in_the_stored_one(turn: int) -> None:
    stored = np.arange(30 * 44).reshape(30, 44)
    geometry = Geometry(stored_hw=(30, 44), pixel_aspect=1, rotation_deg=turn)
    shown = geometry.upright(stored)
    window = Window(top=4, left=6, height=12, width=10, size=8)
    left, top, wide, tall = stored_window(window, geometry)
    expected = shown[4:16, 6:16]
    assert np.array_equal(geometry.upright(stored[top : top + tall, left : left + wide]), expected)


def seen(film: np.ndarray) -> list[int]:
    """Numbers of the frames of a clip of `numbered_film`."""
    return [round((value - 20) / 5) for value in film.mean((1, 2, 3))]


def place(size: int = 32) -> PlaceWindow:
    return CropRule().centre(size, size)


def test_frames_in_any_order_and_several_times(tmp_path: Path) -> None:
    path = write_film(tmp_path / "film.mp4", numbered_film(40))
    frames = np.array([30, 31, 7, 7, 0, 39])
    source = VideoFiles([str(path)], ClassLabels([0], 1))
    assert source.clip(0).num_frames == 40
    assert seen(source.read(0, frames, place())) == frames.tolist()


def test_decoding_starts_at_the_key_frame_before_the_clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(write_film(tmp_path / "film.mp4", numbered_film(40), gop=12))
    index = read_index(path)
    assert len(index.key_pts) == 4
    numbers: list[int] = []
    inner = video_reading._pictures

    def counted(*arguments):
        for number, picture in inner(*arguments):
            numbers.append(number)
            yield number, picture

    monkeypatch.setattr(video_reading, "_pictures", counted)
    assert seen(read_windows(path, index, np.array([27, 29]), place())) == [27, 29]
    assert numbers == [24, 25, 26, 27, 28, 29]


def test_odd_sizes_and_enlarging(tmp_path: Path) -> None:
    path = str(write_film(tmp_path / "odd.mp4", numbered_film(9, 33, 47)))
    assert seen(read_windows(path, read_index(path), np.arange(9), place(64))) == list(range(9))


def test_variable_rates(tmp_path: Path) -> None:
    times = [0, 20, 40, 200, 220, 1000, 1001]
    path = str(write_film(tmp_path / "vfr.mp4", numbered_film(7), times=times))
    index = read_index(path)
    assert len(index.pts) == 7
    assert (np.diff(index.pts) / np.ptp(index.pts) * 1001).round().tolist() == np.diff(times).tolist()
    assert index.fps == pytest.approx(6 / (1001 / 600))
    assert seen(read_windows(path, index, np.arange(7), place())) == list(range(7))


def test_a_scaled_window_shows_what_the_whole_picture_shows(shared: Path) -> None:
    """Cutting before scaling is the same as scaling before cutting, but for rounding at its edge."""
    uri = str(shared / "videos" / "juggle.mp4")
    facts, packets = probe(uri)
    (_, frame), = chosen_frames(facts, packets, [10])  # fmt: skip
    picture = frame.picture(PictureSpec(short_side_px=180)).astype(int)
    left = (picture.shape[1] - 120) // 2
    found = read_windows(uri, read_index(uri), np.array([10]), CropRule().centre(120, 180))[0].astype(int)
    assert np.abs(found - picture[30:150, left : left + 120]).mean() < 3
    assert np.abs(found - picture[34:154, left : left + 120]).mean() > 4


def test_files_that_are_no_video(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "text.mp4").write_text("no video at all")
    with av.open(str(tmp_path / "audio.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        container.mux([*stream.encode(frame), *stream.encode(None)])
    for name, words in (("empty", "cannot be opened"), ("text", "cannot be opened"), ("audio", "no video stream")):
        with pytest.raises(ProbeError, match=f"{name}.mp4.*{words}"):
            read_index(str(tmp_path / f"{name}.mp4"))
    with pytest.raises(ProbeError, match="No file"):
        read_index(str(tmp_path / "absent.mp4"))


def test_truncated_files(tmp_path: Path) -> None:
    """With the index at the end nothing can be read; without an index, all up to where the file breaks off."""
    whole = write_film(tmp_path / "film.mp4", numbered_film(40))
    (tmp_path / "cut.mp4").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(ProbeError, match="cannot be opened"):
        read_index(str(tmp_path / "cut.mp4"))
    stream = write_film(tmp_path / "film.mkv", numbered_film(40))
    path = tmp_path / "cut.mkv"
    path.write_bytes(stream.read_bytes()[: stream.stat().st_size * 3 // 4])
    index = read_index(str(path))
    assert 5 < len(index.pts) < 35
    frames = np.arange(len(index.pts) - 2)
    assert seen(read_windows(str(path), index, frames, place())) == frames.tolist()


def test_a_frame_that_cannot_be_decoded(tmp_path: Path) -> None:
    path = str(write_film(tmp_path / "film.mkv", numbered_film(30)))
    index = read_index(path)
    more = np.append(index.pts, index.pts[-1] + 1000)
    longer = video_reading.VideoIndex(pts=more, key_pts=index.key_pts, fps=30.0, is_timed=True)
    with pytest.raises(DecodeError, match=r"film.mkv': frame 30 of 31 cannot be decoded"):
        read_windows(path, longer, np.array([28, 30]), place())


def test_the_rate_is_the_mean_one(tmp_path: Path) -> None:
    path = str(write_film(tmp_path / "film.mp4", numbered_film(12), fps=25))
    assert math.isclose(read_index(path).fps, 25)


def test_arrays_in_files_are_those_in_memory(tmp_path: Path) -> None:
    film = numbered_film(20)
    np.save(tmp_path / "film.npy", film)
    labels = ClassLabels([0], 1)
    frames = np.array([3, 19, 4])
    mapped, held = FrameArrays.of_files([tmp_path / "film.npy"], labels), FrameArrays([film], labels)
    assert mapped.clip(0) == held.clip(0)
    assert seen(held.read(0, frames, place(24))) == frames.tolist()
    assert np.array_equal(mapped.read(0, frames, place(24)), held.read(0, frames, place(24)))
    with pytest.raises(TrainingError, match="2 videos and 1 labels"):
        FrameArrays([film, film], labels)
