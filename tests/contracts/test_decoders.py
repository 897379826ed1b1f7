"""One contract for every decoder: exact times, right pictures, split equals unsplit, on every kind of video."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import DecodeError
from pipeline.sample.encode import Coding, encode
from pipeline.sample.patterns import moving_bars
from pipeline.video.decode import BACKENDS, decode
from pipeline.video.frames import DecodeStats, Frame
from pipeline.video.geometry import PictureSpec
from pipeline.video.probe import VideoFacts, probe
from pipeline.video.segments import Segment, plan_segments

SIZE_HW = (96, 160)
VFR_PTS = list(np.cumsum([0, *[20, 20, 60, 40, 40, 80, 20] * 8]))


@dataclass(frozen=True, kw_only=True)
class Case:
    """A kind of video, and what a decoder must make of it."""

    suffix: str = ".mp4"
    coding: Coding = Coding(gop=12)
    num_frames: int = 50
    size_hw: tuple[int, int] = SIZE_HW
    pts: list[int] | None = None
    decord: bool = True
    """decord can read it."""


CASES = {
    "h264": Case(),
    "b_frames": Case(coding=Coding(gop=12, bframes=3)),
    "open_gop": Case(coding=Coding(gop=12, bframes=3, options={"x264-params": "open-gop=1"})),
    "variable_rate": Case(pts=VFR_PTS),
    "late_start": Case(pts=[1000 + 40 * i for i in range(50)]),
    "rotated_90": Case(coding=Coding(gop=12, rotation=90)),
    "rotated_180": Case(coding=Coding(gop=12, rotation=180)),
    "rotated_270": Case(coding=Coding(gop=12, rotation=270), suffix=".mov"),
    "odd_size": Case(suffix=".webm", coding=Coding(codec="libvpx-vp9", gop=12), size_hw=(97, 161)),
    "ten_bit": Case(coding=Coding(codec="libx265", pix_fmt="yuv420p10le", gop=12)),
    "444": Case(coding=Coding(pix_fmt="yuv444p", gop=12)),
    "matroska": Case(suffix=".mkv"),
    "transport_stream": Case(suffix=".ts", coding=Coding(gop=12, bframes=2), decord=False),
    "avi_mpeg4": Case(suffix=".avi", coding=Coding(codec="mpeg4", gop=12)),
    "mjpeg": Case(suffix=".avi", coding=Coding(codec="mjpeg")),
    "ffv1": Case(suffix=".mkv", coding=Coding(codec="ffv1")),
    "with_audio": Case(coding=Coding(gop=12, audio=True)),
    "one_frame": Case(num_frames=1),
    "all_key_frames": Case(coding=Coding(gop=1)),
    "16_pixels": Case(suffix=".mkv", coding=Coding(codec="ffv1"), size_hw=(16, 16), decord=False),
}
RGB = PictureSpec()
CARD = Path("/dev/nvidiactl")


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, np.ndarray, tuple]]:
    """Each case as `(path, frames as they are to be shown, seconds of each frame)`."""
    folder = tmp_path_factory.mktemp("decoders")
    made = {}
    for name, case in CASES.items():
        count = len(case.pts) if case.pts else case.num_frames
        frames = np.stack(list(moving_bars(num_frames=count, size_hw=case.size_hw)))
        written = encode(
            frames,
            folder / f"{name}{case.suffix}",
            pts=[int(pts) for pts in case.pts] if case.pts else None,
            time_base=Fraction(1, 1000) if case.pts else None,
            coding=case.coding,
        )
        seconds = tuple(float((pts - written.pts[0]) * written.time_base) for pts in written.pts)
        made[name] = (written.path, frames, seconds)
    return made


def _facts(path: Path, segment_s: float) -> tuple[VideoFacts, list[Segment]]:
    facts, index = probe(str(path))
    return facts, plan_segments(str(path), facts.measured, index, segment_s)[0]


def _frames(facts: VideoFacts, segment: Segment, backend: str) -> list[Frame]:
    return list(decode(facts, segment, DecodeStats(), backend=backend))


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    if request.param == "decord":
        pytest.importorskip("decord")
    if request.param == "nvdec" and not CARD.exists():
        pytest.skip("no NVIDIA card")
    return request.param


@pytest.mark.parametrize("name", CASES)
def test_times_and_pictures(name: str, backend: str, videos: dict) -> None:
    if backend == "decord" and not CASES[name].decord:
        pytest.skip("decord does not read this")
    path, shown, seconds = videos[name]
    facts, segments = _facts(path, 1e9)
    frames = _frames(facts, segments[0], backend)
    assert [frame.index for frame in frames] == list(range(len(shown)))
    np.testing.assert_allclose([frame.at_s for frame in frames], seconds, atol=1e-3)
    assert [frame.previous_pts for frame in frames] == [None, *(frame.pts for frame in frames[:-1])]
    for frame, truth in zip(frames, shown, strict=True):
        picture = frame.picture(RGB)
        assert picture.shape == truth.shape
        assert np.abs(picture.astype(int) - truth).mean() < 12, f"frame {frame.index} shows another picture"


@pytest.mark.parametrize("name", CASES)
def test_split_run_gives_the_same_frames(name: str, backend: str, videos: dict) -> None:
    if backend == "decord" and not CASES[name].decord:
        pytest.skip("decord does not read this")
    path = videos[name][0]
    facts, whole = _facts(path, 1e9)
    _, parts = _facts(path, 0.5)
    if CASES[name].num_frames > 12 and facts.measured.is_timed:
        assert len(parts) > 1, "the case must really be split"
    together = [f for part in parts for f in _frames(facts, part, backend) if part.owns(f.pts)]
    reference = _frames(facts, whole[0], backend)
    assert [(f.index, f.pts, f.previous_pts) for f in together] == [(f.index, f.pts, f.previous_pts) for f in reference]
    for one, other in zip(together, reference, strict=True):
        np.testing.assert_array_equal(one.picture(RGB), other.picture(RGB))


def test_pictures_are_made_once_and_only_when_asked_for(backend: str, videos: dict) -> None:
    facts, segments = _facts(videos["h264"][0], 1e9)
    stats = DecodeStats()
    small, gray = PictureSpec(width_px=80), PictureSpec(format="gray", short_side_px=48)
    for frame in decode(facts, segments[0], stats, backend=backend):
        if frame.index % 10 == 0:
            assert frame.picture(small) is frame.picture(PictureSpec(width_px=80))
            assert frame.picture(small).shape == (48, 80, 3)
            assert frame.picture(gray).shape == (48, 80)
            with pytest.raises(ValueError, match="read-only"):
                frame.picture(gray)[0, 0] = 0
    assert stats.frames_decoded == 50
    assert stats.pictures_converted == 2 * 5


def test_bgr_is_rgb_backwards(backend: str, videos: dict) -> None:
    facts, segments = _facts(videos["h264"][0], 1e9)
    frame = next(iter(decode(facts, segments[0], DecodeStats(), backend=backend)))
    rgb, bgr = frame.picture(RGB), frame.picture(PictureSpec(format="bgr24"))
    assert np.abs(rgb.astype(int) - bgr[..., ::-1]).max() <= 1


def test_a_damaged_packet_costs_its_own_frames(clips: Path) -> None:
    facts, segments = _facts(clips / "corrupted.mp4", 1e9)
    stats = DecodeStats()
    frames = list(decode(facts, segments[0], stats))
    assert (len(frames), stats.frames_lost, stats.first_error_s) == (49, 1, pytest.approx(3.0))
    assert frames[-1].index == 49
    with pytest.raises(DecodeError, match="Use --decoder pyav"):
        _frames(facts, segments[0], "decord")


def test_burned_in_time_code_is_the_frame_index(clips: Path) -> None:
    """timecode_25fps.mp4 shows HH:MM:SS:FF: a frame reached through a cut at 10 s is the one of a straight run."""
    facts, whole = _facts(clips / "timecode_25fps.mp4", 1e9)
    _, parts = _facts(clips / "timecode_25fps.mp4", 8.0)
    assert len(parts) == 2
    wanted = parts[1].start_frame + 7
    straight = next(f for f in decode(facts, whole[0], DecodeStats()) if f.index == wanted)
    jumped = next(f for f in decode(facts, parts[1], DecodeStats()) if f.index == wanted)
    np.testing.assert_array_equal(straight.picture(RGB), jumped.picture(RGB))


def test_every_real_clip_decodes_the_same_in_parts(clips: Path) -> None:
    small = PictureSpec(format="gray", width_px=64)
    split = 0
    for path in sorted(p for p in clips.rglob("*") if p.suffix not in {".md", ".csv", ""}):
        facts, whole = _facts(path, 1e9)
        _, parts = _facts(path, 2.0)
        split += len(parts) > 1
        if path.name == "slides_talk.mp4":
            parts = parts[:3]
        end = parts[-1].end_pts

        def seen(segment: Segment, facts: VideoFacts, end: int) -> list[tuple[int, int, int]]:
            frames = []
            for frame in decode(facts, segment, DecodeStats()):
                if frame.pts >= end:
                    break
                frames.append((frame.index, frame.pts, int(frame.picture(small).sum())))
            return frames

        together = [entry for part in parts for entry in seen(part, facts, part.end_pts)]
        assert together == seen(whole[0], facts, end), path.name
    assert split > 15
