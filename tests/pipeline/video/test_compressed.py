"""Reading compressed streams: equal to the equations, exact in every container, and clear about what cannot be read."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import av
import numpy as np
import pytest

from extractors.compressed.accumulate import Trace
from pipeline.errors import ConfigError, DecodeError, PipelineError, ProbeError
from pipeline.sample.encode import Coding, audio_only
from pipeline.video.compressed import CompressedFrame, CompressedReader
from pipeline.video.probe import probe
from tests.extractors.compressed.slow_reference import Field, sub_pixel, whole
from tests.pipeline.video.moving import (
    PREDICTED,
    SIDE_PX,
    SPEED_PX,
    decode_plainly,
    pan_film,
    square_film,
    write,
    write_mpeg4,
)


def same(one: CompressedFrame, other: CompressedFrame) -> bool:
    """Whether two frames are equal in all they hold."""
    arrays = ("iframe", "motion", "residual")
    facts = ("gop", "position", "frame", "pts", "at_s", "intra_share")
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in arrays) and all(
        getattr(one, name) == getattr(other, name) for name in facts
    )


def stream(tmp_path: Path, codec: str) -> Path:
    """A film with motion of all kinds, in groups of 12."""
    if codec == "mpeg4":
        return write_mpeg4(tmp_path / "pan.mp4", pan_film(15))
    return write(tmp_path / "pan.mp4", pan_film(15)).path


@pytest.mark.parametrize("codec", ["mpeg4", "h264"])
def test_bitstreams_equal_the_equations(tmp_path: Path, codec: str) -> None:
    path = stream(tmp_path, codec)
    plain = decode_plainly(path)[:12]
    fields = [Field.of(vectors, (64, 80)) for _, vectors, _ in plain[1:]]
    pictures = [picture for *_, picture in plain]
    with CompressedReader(str(path)) as reader:
        frames = list(reader.walk(0))
        finer = list(reader.walk(0, precision="sub-pixel"))
    for t in (1, 4, 11):
        motion, residual = whole(fields[:t], pictures[: t + 1])
        np.testing.assert_array_equal(frames[t].motion, motion)
        np.testing.assert_array_equal(frames[t].residual, residual)
        np.testing.assert_array_equal(frames[t].iframe, pictures[0])
        np.testing.assert_allclose(finer[t].motion, sub_pixel(fields[:t], (64, 80)), atol=1e-4)
    assert np.abs(motion).max() > 20
    assert (finer[11].motion != finer[11].motion.round()).any()


@pytest.mark.parametrize("codec", ["mpeg4", "h264"])
def test_a_moving_square_has_moved_by_its_speed(tmp_path: Path, codec: str) -> None:
    frames = square_film(12)
    path = write_mpeg4(tmp_path / "s.mp4", frames) if codec == "mpeg4" else write(tmp_path / "s.mp4", frames).path
    with CompressedReader(str(path)) as reader:
        for precision in ("whole", "sub-pixel"):
            for t, frame in enumerate(reader.walk(0, precision=precision)):
                left, top = 16 + SPEED_PX[0] * t, 16 + SPEED_PX[1] * t
                inner = frame.motion[top + 8 : top + SIDE_PX - 8, left + 8 : left + SIDE_PX - 8]
                assert (np.median(inner, (0, 1)) == (4 * t, 2 * t)).all()
                assert (inner == (4 * t, 2 * t)).all(-1).mean() > 0.9
                assert not frame.motion[:, 128:].any()


def test_iframe_and_residual_make_the_frame_on_a_real_clip(clips: Path) -> None:
    path = clips / "v_GGSY1Qvo990.mp4"
    pictures = [picture for *_, picture in decode_plainly(path)[:40]]
    with CompressedReader(str(path)) as reader:
        for t, frame in enumerate(reader.walk(0)):
            if t == len(pictures):
                break
            rows, columns = np.indices(frame.motion.shape[:2])
            warped = frame.iframe[rows - frame.motion[..., 1], columns - frame.motion[..., 0]]
            np.testing.assert_array_equal(warped + frame.residual, pictures[t])


def test_without_accumulation_motion_and_residual_lead_to_the_frame_before(tmp_path: Path) -> None:
    path = stream(tmp_path, "mpeg4")
    plain = decode_plainly(path)
    with CompressedReader(str(path)) as reader:
        single, first = reader.read(0, 5, accumulate=False), reader.read(0, 1, accumulate=False)
        walked = list(reader.walk(0, accumulate=False))
        accumulated = reader.read(0, 1)
    motion, residual = whole([Field.of(plain[5][1], (64, 80))], [plain[4][2], plain[5][2]])
    np.testing.assert_array_equal(single.motion, motion)
    np.testing.assert_array_equal(single.residual, residual)
    np.testing.assert_array_equal(single.iframe, plain[0][2])
    assert same(single, walked[5])
    np.testing.assert_array_equal(first.motion, accumulated.motion)


CONTAINERS = {
    "h264.mp4": PREDICTED,
    "h264.ts": PREDICTED,
    "b_frames.mp4": Coding(codec="libx264", gop=12, bframes=2, options={"x264-params": "b-pyramid=2:open-gop=1"}),
    "b_frames.avi": Coding(codec="libx264", gop=12, bframes=2),
    "mpeg4.avi": Coding(codec="mpeg4", gop=12, bframes=2),
    "mpeg4.m4v": Coding(codec="mpeg4", gop=12),
    "mpeg2.mpg": Coding(codec="mpeg2video", gop=12, bframes=2),
    "mpeg1.mpg": Coding(codec="mpeg1video", gop=12),
    "flv1.flv": Coding(codec="flv", gop=12),
    "h263.avi": Coding(codec="h263p", gop=12),
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_any_order_of_reading_gives_what_one_decoding_of_the_file_gives(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, pan_film(40), CONTAINERS[name]).path
    plain = decode_plainly(path)
    with CompressedReader(str(path)) as reader:
        assert reader.num_frames == 40 == len(plain)
        walked = list(reader.walk_all())
        assert [frame.frame for frame in walked] == [i for i, (kind, *_) in enumerate(plain) if kind != "B"]
        trace, reference = Trace((64, 80)), plain[0][2]
        for frame in walked:
            kind, vectors, picture = plain[frame.frame]
            assert (frame.position == 0) == (kind == "I")
            if kind == "I":
                trace.restart()
                reference = picture
            elif vectors is not None:  # a plain decoder gives none for the last picture of MPEG-1, 2 and 4
                trace.advance(vectors)
                np.testing.assert_array_equal(frame.motion, trace.motion())
            assert frame.intra_share < 1
            np.testing.assert_array_equal(frame.iframe, reference)
            rows, columns = np.indices((64, 80))
            warped = frame.iframe[rows - frame.motion[..., 1], columns - frame.motion[..., 0]]
            np.testing.assert_array_equal(warped + frame.residual, picture)
        order = np.random.default_rng(0).permutation(len(walked))[:8]
        for frame in [walked[-1], walked[0], *(walked[i] for i in order)]:
            assert same(reader.read(frame.gop, frame.position), frame)


def test_times_are_those_of_the_frames(tmp_path: Path, clips: Path) -> None:
    for path in (clips / "nasa_13013_vfr.mp4", clips / "test_non_zero_start.mp4", clips / "makeup.avi"):
        facts, index = probe(str(path))
        with CompressedReader(str(path)) as reader:
            assert reader.num_frames == facts.measured.num_frames
            assert reader.duration_s == pytest.approx(facts.measured.duration_s)
            for gop in reader.gops:
                times = [facts.measured.clock.seconds(int(index.pts[frame])) for frame in gop.frames]
                np.testing.assert_allclose(gop.times_s, times)
                assert (gop.start_s, gop.length) == (times[0], len(times))
            assert reader.gops[-1].end_s == reader.duration_s


def test_only_what_is_needed_is_decoded(tmp_path: Path) -> None:
    b_frames = write(tmp_path / "b.avi", pan_film(40), CONTAINERS["mpeg4.avi"]).path
    for path, pictures in ((stream(tmp_path, "mpeg4"), 8), (b_frames, 3)):
        with CompressedReader(str(path)) as reader:
            assert reader.pictures_decoded == 0
            frame = reader.read(0, pictures - 1)
            assert frame.position == pictures - 1
            assert reader.pictures_decoded == pictures


def test_streams_with_b_frames_read_twice_are_equal(clips: Path) -> None:
    runs = []
    for threads in (1, 1, 4):
        with CompressedReader(str(clips / "bikes.mp4"), threads=threads) as reader:
            assert reader._stream.thread_type.name in ("NONE", "SLICE")
            runs.append(list(reader.walk_all(with_pictures=False)))
    assert len(runs[0]) == 75
    for run in runs[1:]:
        assert all(same(one, other) for one, other in zip(runs[0], run, strict=True))


def test_long_groups_are_cut_on_demand(tmp_path: Path) -> None:
    path = write(tmp_path / "long.mp4", pan_film(30), Coding(codec="libx264", gop=250, bframes=0)).path
    pictures = [picture for *_, picture in decode_plainly(path)]
    with CompressedReader(str(path)) as reader:
        assert [gop.length for gop in reader.gops] == [30]
    with CompressedReader(str(path), max_gop=12) as reader:
        assert [gop.length for gop in reader.gops] == [12, 12, 6]
        assert [gop.end_s for gop in reader.gops] == pytest.approx([0.48, 0.96, 1.2])
        walked = list(reader.walk_all())
        assert reader.pictures_decoded == 30
        for frame in walked:
            np.testing.assert_array_equal(frame.iframe, pictures[12 * frame.gop])
            assert same(reader.read(frame.gop, frame.position), frame)
            assert reader.locate(frame.frame) == (frame.gop, frame.position)
        assert not walked[12].motion.any()
        assert walked[13].motion.any()
        before = reader.pictures_decoded
        chosen = list(reader.read_groups(range(3), [9, 2]))
        assert reader.pictures_decoded == before + 30
    for group, positions in zip(chosen, ((2, 9), (2, 9), (2, 5)), strict=True):
        assert [frame.position for frame in group] == list(positions)
        assert all(same(frame, walked[12 * frame.gop + frame.position]) for frame in group)


def test_b_frames_are_located_at_the_picture_before(tmp_path: Path) -> None:
    path = write(tmp_path / "b.mp4", pan_film(20), Coding(codec="libx264", gop=12, bframes=2)).path
    kinds = [kind for kind, *_ in decode_plainly(path)]
    with CompressedReader(str(path)) as reader:
        for frame in range(20):
            gop, position = reader.locate(frame)
            assert reader.gops[gop].frames[position] == max(i for i in range(frame + 1) if kinds[i] != "B")
        with pytest.raises(ConfigError, match=r"frames 0\.\.19: got 20"):
            reader.locate(20)


def test_old_444_streams_are_corrected_behind_a_seek_too(clips: Path) -> None:
    with CompressedReader(str(clips / "cockatoo.mp4")) as reader, av.open(str(clips / "cockatoo.mp4")) as container:
        frame = reader.read(1, 2)
        picture = next(itertools.islice(container.decode(video=0), frame.frame, None)).to_ndarray(format="rgb24")
    rows, columns = np.indices(picture.shape[:2])
    warped = frame.iframe[rows - frame.motion[..., 1], columns - frame.motion[..., 0]]
    np.testing.assert_array_equal(warped + frame.residual, picture)
    assert not frame.is_damaged


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_rotated_video_comes_upright_with_its_vectors(tmp_path: Path, turns: int) -> None:
    path = write(tmp_path / "turned.mp4", square_film(12), Coding(**{**vars(PREDICTED), "rotation": 90 * turns})).path
    stored = write(tmp_path / "stored.mp4", square_film(12)).path
    with CompressedReader(str(path)) as reader, CompressedReader(str(stored)) as upright:
        frame, expected = reader.read(0, 11), upright.read(0, 11)
    assert frame.iframe.shape == frame.residual.shape == (128, 160, 3)
    assert np.abs(frame.iframe.astype(int) - expected.iframe).mean() < 4
    at = slice(16 + 22 + 8, 16 + 22 + 24), slice(16 + 44 + 8, 16 + 44 + 24)
    assert (frame.motion[at] == (44, 22)).all(-1).mean() > 0.8


def test_odd_sizes(tmp_path: Path) -> None:
    frames = [np.ascontiguousarray(frame[:121, :145]) for frame in square_film(12)]
    path = write(tmp_path / "odd.avi", frames, Coding(codec="mpeg4", gop=12)).path
    with CompressedReader(str(path)) as reader:
        frame = reader.read(0, 11)
    assert frame.motion.shape == (121, 145, 2)
    assert (frame.motion[16 + 30 : 16 + 46, 16 + 52 : 16 + 68] == (44, 22)).all(-1).mean() > 0.8


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("h265_video.mp4", "hevc"),
        ("no_duration.webm", "vp9"),
        ("av1_video.mkv", "av1"),
        ("hand_gesture_mjpeg.avi", "mjpeg"),
    ],
)
def test_codecs_without_vectors_are_named_with_the_way_out(clips: Path, name: str, codec: str) -> None:
    with pytest.raises(DecodeError, match=rf"{re.escape(name)}.* {codec}, .*longform recompress"):
        CompressedReader(str(clips / name))


def test_interlaced_video_is_refused(tmp_path: Path) -> None:
    coding = Coding(codec="libx264", gop=12, bframes=0, options={"x264-params": "tff=1"})
    path = write(tmp_path / "fields.mp4", pan_film(4), coding).path
    with CompressedReader(str(path)) as reader, pytest.raises(DecodeError, match=r"interlaced.*recompress"):
        reader.read(0, 1)


def test_what_is_no_video_says_so(tmp_path: Path) -> None:
    audio_only(tmp_path / "song.mp4")
    (tmp_path / "text.mp4").write_bytes(b"no video")
    for name in ("song.mp4", "text.mp4", "missing.mp4"):
        with pytest.raises(ProbeError, match=name):
            CompressedReader(str(tmp_path / name))


def test_truncated_files_give_what_is_there(tmp_path: Path) -> None:
    path = write(tmp_path / "whole.ts", pan_film(40)).path
    cut = tmp_path / "cut.ts"
    cut.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    pictures = [picture for *_, picture in decode_plainly(path)]
    with CompressedReader(str(cut)) as reader:
        assert 12 < reader.num_frames < 40
        frames = list(reader.walk(0))
        np.testing.assert_array_equal(frames[11].iframe, pictures[0])
    (tmp_path / "head.mp4").write_bytes(write(tmp_path / "w.mp4", pan_film(4)).path.read_bytes()[:200])
    with pytest.raises(PipelineError, match=r"head\.mp4"):
        CompressedReader(str(tmp_path / "head.mp4"))


def test_pictures_made_up_by_the_decoder_are_marked(tmp_path: Path) -> None:
    path = write(tmp_path / "d.avi", pan_film(36), Coding(codec="mpeg4", gop=12)).path
    data = bytearray(path.read_bytes())
    pictures = [match.start() for match in re.finditer(b"\x00\x00\x01\xb6", data)]
    first, end = pictures[14] + 8, pictures[15] - 12
    data[first:end] = b"\xff" * (end - first)
    path.write_bytes(data)
    with CompressedReader(str(path)) as reader:
        assert [frame.is_damaged for frame in reader.walk_all()] == [14 <= i < 24 for i in range(36)]


def test_a_group_that_does_not_decode_costs_itself(tmp_path: Path) -> None:
    path = write(tmp_path / "d.mp4", pan_film(36)).path
    with av.open(str(path)) as container:
        place = [packet.pos for packet in container.demux(video=0) if packet.size][14]
    data = bytearray(path.read_bytes())
    data[place : place + 4] = b"\x7f\xff\xff\xff"  # the length of the unit
    path.write_bytes(data)
    with CompressedReader(str(path)) as reader:
        with pytest.raises(DecodeError, match=r"d\.mp4"):
            list(reader.walk(1))
        assert [len(list(reader.walk(gop))) for gop in (0, 2)] == [12, 12]
        assert reader.read(1, 1).position == 1


def test_places_that_do_not_exist_are_named(tmp_path: Path) -> None:
    path = stream(tmp_path, "mpeg4")
    with CompressedReader(str(path)) as reader:
        with pytest.raises(ConfigError, match=r"groups of pictures 0\.\.1: got 2"):
            reader.walk(2)
        with pytest.raises(ConfigError, match=r"positions 0\.\.2: got 3"):
            reader.read(1, 3)
        with pytest.raises(ConfigError, match=r"Groups \[0, 1\] .* not decoded from the same key frame"):
            list(reader.read_groups([0, 1], [2]))
        first = reader.walk(0)
        next(first)
        next(reader.walk(1))
        with pytest.raises(RuntimeError, match="Two walks"):
            list(first)
    with pytest.raises(ConfigError, match="max_gop"):
        CompressedReader(str(path), max_gop=0)
