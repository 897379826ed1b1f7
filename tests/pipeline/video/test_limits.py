"""Hostile files meet limits, with an error that says which, before anything large is made of them."""

import os
import re
from pathlib import Path

import av
import pytest

from pipeline.errors import ConfigError, LimitError, ProbeError
from pipeline.isolation import Child, Limits
from pipeline.sample.encode import Coding
from pipeline.sample.samples import make_clip
from pipeline.video.decode import decode
from pipeline.video.frames import DecodeStats
from pipeline.video.limits import VideoLimits
from pipeline.video.probe import probe
from pipeline.video.segments import plan_segments
from pipeline.video.source import LEAD_ELSEWHERE, open_video
from tests.pipeline.video.hostile import MAKERS, two_billion_frames


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Ten frames of 64 x 48."""
    path = tmp_path_factory.mktemp("limits") / "clip.mp4"
    make_clip(path, seconds=0.4, size_hw=(48, 64), shots=1)
    return str(path)


@pytest.mark.parametrize("name", MAKERS)
def test_a_hostile_file_is_refused_with_the_reason(tmp_path: Path, name: str) -> None:
    make, words = MAKERS[name]
    make(tmp_path / name)
    with pytest.raises(ProbeError, match=re.escape(words)) as caught:
        probe(str(tmp_path / name))
    assert name in str(caught.value)


def test_libav_itself_would_follow_a_list(tmp_path: Path) -> None:
    """Or the test above would prove nothing."""
    MAKERS["concat.mp4"][0](tmp_path / "concat.mp4")
    with av.open(f"file:{tmp_path / 'concat.mp4'}") as container:
        assert container.format.name in LEAD_ELSEWHERE
        assert next(container.decode(video=0)).width == 64


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (VideoLimits(max_pixels=64 * 48 - 1), "has pictures of 64 x 48; the limit is 3071 pixels (--max-pixels)"),
        (VideoLimits(max_frames=9), "has more than 9 frames, the limit (--max-frames)"),
        (VideoLimits(max_duration_s=0.39), "lasts 0.4 s by its timestamps; the limit is 0.39 s (--max-duration-s)"),
    ],
)
def test_each_limit_is_exact(clip: str, limits: VideoLimits, words: str) -> None:
    with pytest.raises(LimitError, match=re.escape(words)):
        probe(clip, limits)
    assert probe(clip, VideoLimits(max_pixels=64 * 48, max_frames=10, max_duration_s=0.4))[0].measured.num_frames == 10


@pytest.mark.parametrize("codec", ["mpeg4", "mjpeg", "libvpx-vp9", "ffv1", "mpeg2video"])
def test_the_limit_of_pixels_holds_for_codecs_that_know_their_size_in_different_places(
    tmp_path: Path, codec: str
) -> None:
    make_clip(tmp_path / "clip.mkv", seconds=0.2, size_hw=(48, 64), shots=1, coding=Coding(codec=codec))
    with pytest.raises(ProbeError, match=r"3071 pixels.*--max-pixels"):
        probe(str(tmp_path / "clip.mkv"), VideoLimits(max_pixels=64 * 48 - 1))


def test_pictures_that_grow_in_mid_stream_are_not_decoded(tmp_path: Path) -> None:
    """Two transport streams behind each other are one: the second half is larger than the limit."""
    for name, size_hw in (("small", (48, 64)), ("large", (480, 640))):
        make_clip(tmp_path / f"{name}.ts", seconds=1, size_hw=size_hw, shots=1, coding=Coding(codec="mpeg2video"))
    joined = tmp_path / "joined.ts"
    joined.write_bytes((tmp_path / "small.ts").read_bytes() + (tmp_path / "large.ts").read_bytes())

    def sizes(max_pixels: int) -> set[int]:
        limits, stats = VideoLimits(max_pixels=max_pixels), DecodeStats()
        with open_video(str(joined), limits) as (container, stream):
            found = set()
            for packet in container.demux(stream):
                try:
                    found |= {frame.width for frame in packet.decode()}
                except av.error.FFmpegError as error:
                    stats.record_error(str(error), None)
            assert bool(stats.first_error) == (640 not in found)
            return found

    assert sizes(640 * 480) == {64, 640}
    assert sizes(640 * 480 - 1) == {64}


def test_decode_keeps_the_limit(clip: str) -> None:
    facts, index = probe(clip)
    (segment,), _ = plan_segments(clip, facts.measured, index, 100.0)
    with pytest.raises(LimitError):
        next(decode(facts, segment, DecodeStats(), limits=VideoLimits(max_pixels=100)))


def test_an_index_of_two_billion_frames_ends_in_an_error_within_the_memory_limit(tmp_path: Path) -> None:
    two_billion_frames(tmp_path / "frames.mp4")
    child = Child()
    try:
        answer = child.call(
            "pipeline.video.probe:probe", (str(tmp_path / "frames.mp4"),), Limits(stall_s=60, max_rss_bytes=1 << 30)
        )
    finally:
        child.end()
    assert answer.error is not None
    assert answer.error.error_class in ("ProbeError", "LimitError", "MemoryLimit", "MemoryError"), answer.error
    assert answer.peak_rss_bytes < 2 << 30


@pytest.mark.parametrize("name", ["/dev/zero", "/dev/urandom"])
def test_a_device_without_an_end_is_no_file(name: str) -> None:
    with pytest.raises(ProbeError, match="is not a regular file"):
        probe(name)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(ProbeError, match="is not a regular file"), open_video(str(tmp_path / "pipe.mp4")):
        pass


def test_a_file_that_grows_while_it_is_read_is_not_followed(
    clip: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    growing = tmp_path / "growing.mp4"
    growing.write_bytes(Path(clip).read_bytes())

    def write_more(stage: str) -> None:
        with growing.open("ab") as file:
            file.write(b"more")

    monkeypatch.setattr("pipeline.video.probe.beat", write_more)
    with pytest.raises(ProbeError, match="grew while it was read"):
        probe(str(growing))


@pytest.mark.parametrize("uri", ["http://127.0.0.1:9/a.mp4", "ftp://127.0.0.1/a.mp4", "data://a"])
def test_addresses_that_no_filesystem_reads_say_so(uri: str) -> None:
    with pytest.raises(ProbeError, match=r"no installed filesystem of Apache Beam reads"):
        probe(uri)


def test_names_that_mean_something_to_others_are_only_names(clip: str, tmp_path: Path) -> None:
    for name in (
        "concat:a.mp4",
        "data:,x.mp4",
        "-i.mp4",
        "a%03d.mp4",
        "pipe:0",
        "q\"uote'.mp4",
        "new\nline\x1b[31m.mp4",
    ):
        (tmp_path / name).write_bytes(Path(clip).read_bytes())
        assert probe(str(tmp_path / name))[0].measured.num_frames == 10


@pytest.mark.parametrize("name", ["max_pixels", "max_duration_s", "max_frames"])
def test_a_limit_must_let_something_through(name: str) -> None:
    with pytest.raises(ConfigError, match=f"--{name.replace('_', '-')} must be above 0: got 0"):
        VideoLimits(**{name: 0})
