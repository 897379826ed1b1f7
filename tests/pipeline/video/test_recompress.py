"""`longform recompress`: groups of the length asked for, all frames at their times, and errors that cost one file."""

from __future__ import annotations

import argparse
import json
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline import recompress_command
from pipeline.errors import ConfigError, InputError
from pipeline.sample.encode import Coding, audio_only, encode
from pipeline.video.compressed import CompressedReader
from pipeline.video.probe import probe
from pipeline.video.recoding import Recoding
from pipeline.video.recompress import recompress
from tests.pipeline.video.moving import PREDICTED, decode_plainly, pan_film, texture, write


def run(*words: str) -> int:
    """The command, as its words."""
    parser = argparse.ArgumentParser()
    recompress_command.configure(parser)
    return recompress_command.run(parser.parse_args(words))


@pytest.mark.parametrize("codec", ["mpeg4", "h264"])
def test_groups_frames_and_size(tmp_path: Path, codec: str) -> None:
    cuts = [frame for seed in range(3) for frame in [texture((96, 120), seed)] * 9]  # encoders like an I-frame at a cut
    source = write(tmp_path / "cuts.mkv", cuts, Coding(codec="libx264", bframes=2)).path
    done = recompress(str(source), tmp_path / "out.mp4", Recoding(codec=codec, gop=10))
    pictures = decode_plainly(done.path)
    assert done.num_frames == len(pictures) == 27
    assert "".join(kind for kind, *_ in pictures) == ("I" + 9 * "P") * 2 + "I" + 6 * "P"
    assert {picture.shape for *_, picture in pictures} == {(256, 340, 3)}
    with CompressedReader(str(done.path)) as reader:
        assert [gop.length for gop in reader.gops] == [10, 10, 7]
    sizes = {(int(v["w"]), int(v["h"])) for _, vectors, _ in pictures[1:10] for v in vectors}
    assert (sizes == {(16, 16)}) == (codec == "mpeg4")


def test_vectors_of_mpeg4_are_those_of_the_original(tmp_path: Path) -> None:
    source = write(tmp_path / "pan.mp4", pan_film(12, (128, 160))).path
    done = recompress(str(source), tmp_path / "out.mp4", Recoding())
    for _, vectors, _ in decode_plainly(done.path)[1:]:
        assert set(vectors["motion_scale"].tolist()) == {2}
        assert set(vectors["w"].tolist()) == set(vectors["h"].tolist()) == {16}
        assert len(vectors) <= 22 * 16


def test_quality_1_is_the_encoder_s_2(tmp_path: Path) -> None:
    source = write(tmp_path / "pan.mp4", pan_film(12)).path
    sizes = [recompress(str(source), tmp_path / "o.mp4", Recoding(quality=q)).bytes for q in (1, 2, 3)]
    assert sizes[0] == sizes[1] > sizes[2]


def test_uneven_times_are_kept(tmp_path: Path) -> None:
    pts = [0, 3003, 9009, 10010, 20020, 21021]
    source = encode(
        pan_film(6), tmp_path / "vfr.mp4", pts=pts, time_base=Fraction(1, 90_000), coding=Coding(codec="libx264")
    ).path
    for codec in ("mpeg4", "h264"):
        done = recompress(str(source), tmp_path / f"{codec}.mp4", Recoding(codec=codec))
        _, index = probe(str(done.path))
        np.testing.assert_array_equal(index.pts, pts)


def test_rotated_video_is_written_upright_and_other_kinds_of_video_are_read(tmp_path: Path) -> None:
    frames = pan_film(6, (64, 96))
    turned = write(tmp_path / "turned.mp4", frames, Coding(**{**vars(PREDICTED), "rotation": 90})).path
    done = recompress(str(turned), tmp_path / "upright.mp4", Recoding(size=None))
    last = decode_plainly(done.path)[-1][2]
    assert last.shape == (64, 96, 3)
    assert np.abs(last.mean(-1) - frames[-1].mean(-1)).mean() < 10  # 47 where it is upside down
    for name, coding in {"a.webm": Coding(codec="libvpx-vp9"), "a.avi": Coding(codec="mjpeg")}.items():
        source = write(tmp_path / name, frames, coding).path
        done = recompress(str(source), tmp_path / "b.mp4", Recoding(gop=3))
        with CompressedReader(str(done.path)) as reader:
            assert [gop.length for gop in reader.gops] == [3, 3]


def test_command_a_bad_file_costs_itself(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    videos, out = tmp_path / "videos", tmp_path / "out"
    for name in ("-dash.mp4", "a/clip.mp4", "b/clip.mp4"):
        (videos / name).parent.mkdir(parents=True, exist_ok=True)
        write(videos / name, pan_film(3))
    audio_only(videos / "song.mp4")
    (videos / "text.mp4").write_bytes(b"no video")
    assert run(str(videos), "-o", str(out), "--size", "64x48", "--json") == 1
    results = {result["video_id"]: result for result in json.loads(capsys.readouterr().out)}
    assert {name: "error" in result for name, result in results.items()} == {
        "-dash.mp4": False, "a~clip.mp4": False, "b~clip.mp4": False, "song.mp4": True, "text.mp4": True,
    }  # fmt: skip
    assert "no video stream" in results["song.mp4"]["error"]
    assert sorted(path.name for path in out.iterdir()) == ["-dash.mp4", "a~clip.mp4", "b~clip.mp4"]
    assert results["-dash.mp4"]["num_frames"] == 3
    with av.open(f"file:{out / 'a~clip.mp4'}") as container:
        assert (container.streams.video[0].width, container.streams.video[0].height) == (64, 48)


def test_command_does_nothing_twice_unless_asked(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    source = write(tmp_path / "clip.mp4", pan_film(3)).path
    words = (str(source), "-o", str(tmp_path / "out"))
    assert run(*words) == 0
    written = (tmp_path / "out/clip.mp4").stat().st_mtime_ns
    assert run(*words) == 0
    assert "is there already" in capsys.readouterr().out
    assert (tmp_path / "out/clip.mp4").stat().st_mtime_ns == written
    assert run(*words, "--overwrite", "--codec", "h264") == 0
    assert (tmp_path / "out/clip.mp4").stat().st_mtime_ns > written


def test_command_loses_no_file(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("clip.mp4", "clip.mkv"):
        write(tmp_path / "in" / name, pan_film(2))
    with pytest.raises(InputError, match=r"clip\.mkv.*clip\.mp4.* both be written"):
        run(str(tmp_path / "in"), "-o", str(tmp_path / "out"))
    with pytest.raises(InputError, match="over itself"):
        run(str(tmp_path / "in/clip.mp4"), "-o", str(tmp_path / "in"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--size", "340"), "'340'"),
        (("--size", "341x256"), "341x256"),
        (("--gop", "0"), "at least 1 picture: got 0"),
        (("--quality", "32"), r"1\.\.31: got 32"),
        (("--codec", "h264", "--quality", "52"), r"0\.\.51: got 52"),
    ],
)
def test_command_names_what_cannot_work(tmp_path: Path, words: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        run("clip.mp4", "-o", str(tmp_path), *words)
