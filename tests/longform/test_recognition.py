"""A video's clips hold the frames that the sampling names, with exact times, and memory holds few of them."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from torch import Tensor

from extractors.clips.input import ClipInput
from extractors.clips.views import uniform_clips
from extractors.runtime import Runtime
from longform import recognition
from longform.recognition import VideoScores, Views, recognise_video
from pipeline.errors import ProbeError
from pipeline.sample.encode import audio_only
from tests.longform.numbered import Reader, numbered_video, spoil

PLAIN = {"short_side_px": 36, "crop_px": 36, "mean": (0.0,) * 3, "std": (1.0,) * 3}
SPEC = ClipInput(num_frames=8, stride=2, **PLAIN)


def recognised(path: Path, spec: ClipInput = SPEC, views: Views | None = None) -> VideoScores:
    runtime = Runtime()
    network = runtime.prepare(Reader(spec.num_frames))
    return recognise_video(str(path), network, spec, runtime, views or Views())


@pytest.mark.parametrize("num_frames", [17, 40, 80])
@pytest.mark.parametrize("sampling", ["pyslowfast", "nonlocal", "charades", "even", "segments"])
def test_every_clip_sees_the_frames_of_its_sampling(tmp_path: Path, sampling: str, num_frames: int) -> None:
    numbered_video(tmp_path / "a.mov", num_frames)
    spec = ClipInput(num_frames=8, stride=2, sampling=sampling, **PLAIN)
    expected = uniform_clips(num_frames, 30.0, spec, 10)
    found = recognised(tmp_path / "a.mov", spec)
    assert [clip.scores.tolist() for clip in found.clips] == np.unique(expected, axis=0).tolist()
    np.testing.assert_allclose(found.scores, expected.mean(0), rtol=1e-6)


def test_the_maximum_over_views(tmp_path: Path) -> None:
    numbered_video(tmp_path / "a.mov", 60)
    found = recognised(tmp_path / "a.mov", views=Views(combine="max"))
    assert found.scores.tolist() == uniform_clips(60, 30.0, SPEC, 10).max(0).tolist()


def test_times_are_those_of_the_first_and_last_frame_at_a_variable_rate(tmp_path: Path) -> None:
    pts = np.cumsum([0, *[20, 20, 60, 40, 40, 80, 20] * 8]).tolist()
    written = numbered_video(tmp_path / "a.mov", len(pts), pts=[500 + p for p in pts], time_base=Fraction(1, 1000))
    seconds = [float((p - written.pts[0]) * written.time_base) for p in written.pts]
    found = recognised(tmp_path / "a.mov")
    for clip in found.clips:
        first, last = int(clip.scores[0]), int(clip.scores[-1])
        assert clip.start_s == pytest.approx(seconds[first], abs=1e-9)
        assert clip.end_s == pytest.approx([*seconds[1:], found.duration_s][last], abs=1e-9)
    assert len(found.clips) == 10


def test_a_clip_that_goes_round_ends_with_the_video(tmp_path: Path) -> None:
    numbered_video(tmp_path / "a.mov", 40)
    spec = ClipInput(num_frames=8, stride=2, sampling="nonlocal", **PLAIN)
    found = recognised(tmp_path / "a.mov", spec)
    last = found.clips[-1]
    assert last.scores.tolist() == [36, 38, 0, 2, 4, 6, 8, 10]
    assert (last.start_s, last.end_s) == pytest.approx((1.2, found.duration_s))


def test_a_video_shorter_than_a_clip_is_seen_once(tmp_path: Path) -> None:
    numbered_video(tmp_path / "a.mov", 3)
    runtime = Runtime()
    network = runtime.prepare(Reader(8))
    found = recognise_video(str(tmp_path / "a.mov"), network, SPEC, runtime, Views())
    (clip,) = found.clips
    assert clip.scores.tolist() == [0, 2, 2, 2, 2, 2, 2, 2]
    assert network.clips_seen == 3  # crops
    assert (clip.start_s, clip.end_s) == pytest.approx((0.0, 0.1))


def test_one_frame(tmp_path: Path) -> None:
    numbered_video(tmp_path / "a.mov", 1)
    assert recognised(tmp_path / "a.mov").scores.tolist() == [0] * 8


def test_frames_that_cannot_be_decoded_are_counted(tmp_path: Path) -> None:
    numbered_video(tmp_path / "a.mov", 60)
    spoil(tmp_path / "a.mov", [2])
    found = recognised(tmp_path / "a.mov")
    assert found.frames_replaced == 1
    assert found.clips[0].scores[1] == 1


@pytest.mark.parametrize("name", ["video_90.mov", "testsrc2_odd_height_and_width_vp9.mp4", "nasa_13013_vfr.mp4"])
def test_rotated_odd_and_uneven_clips_are_read(clips: Path, name: str) -> None:
    spec = ClipInput(num_frames=8, stride=2, short_side_px=64, crop_px=64)
    found = recognised(clips / name, spec, Views(clips=2))
    assert np.isfinite(found.scores).all()
    assert found.clips[-1].end_s <= found.duration_s + 1e-9


def test_few_frames_are_held_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    numbered_video(tmp_path / "a.mov", 85)
    alive: list[int] = []
    most = 0

    class Counted:
        def __init__(self, number: int) -> None:
            alive.append(number)
            self.number = number

        def __del__(self) -> None:
            alive.remove(self.number)

    plain = recognition.scaled

    def counting(frame: np.ndarray, spec: ClipInput) -> Tensor:
        nonlocal most
        picture = plain(frame, spec)
        picture.counted = Counted(len(alive))  # type: ignore[attr-defined]
        most = max(most, len(alive))
        return picture

    monkeypatch.setattr(recognition, "scaled", counting)
    recognised(tmp_path / "a.mov", views=Views(clips=5))
    assert 8 <= most <= 2 * 8


def test_what_is_no_video_is_refused(tmp_path: Path) -> None:
    audio_only(tmp_path / "a.mp3")
    (tmp_path / "b.mp4").write_bytes(b"")
    with pytest.raises(ProbeError, match="no video stream"):
        recognised(tmp_path / "a.mp3")
    with pytest.raises(ProbeError, match="is empty"):
        recognised(tmp_path / "b.mp4")
