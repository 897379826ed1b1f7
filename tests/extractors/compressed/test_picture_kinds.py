"""Kinds read from the first bytes equal the decoder's, for every packet of real and of generated streams."""

from __future__ import annotations

from pathlib import Path

import av
import pytest
from av.codec.context import Flags
from av.video.frame import PictureType

from extractors.compressed.picture_kinds import CODECS, CodedPicture, coded_picture, nal_length_bytes
from pipeline.sample.encode import Coding
from pipeline.video.gops import single_pictures
from tests.pipeline.video.moving import pan_film, write


def kinds(path: Path, most: int = 300) -> list[tuple[CodedPicture | None, str]]:
    """Of every packet that gives a picture: what was read, and what the decoder says."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        context.flags |= Flags.copy_opaque
        stream.thread_type = "NONE"
        read, found = [], []
        for packet in [*single_pictures(container.demux(stream), stream)][:most]:
            read.append(
                coded_picture(
                    context.codec.canonical_name,
                    memoryview(packet),
                    is_key=packet.is_keyframe,
                    length_bytes=nal_length_bytes(context.extradata),
                )
            )
            packet.opaque = [len(read) - 1]
            found += context.decode(packet)
        found += context.decode(None)
        return [(read[frame.opaque[0]], PictureType(frame.pict_type).name) for frame in found]


REAL = (
    "bikes.mp4",
    "armwrestling.mp4",
    "makeup.avi",
    "S001C001P001R001A001_rgb.avi",
    "discard_first_keyframe.mp4",
    "sine_stereo_mp2.mpg",
    "testsrc2_mpeg4.avi",
    "flipping_a_pancake.mkv",
    "asl/learn.mkv",
    "unordered.mov",
)


@pytest.mark.parametrize("name", REAL)
def test_kinds_of_real_clips(clips: Path, name: str) -> None:
    pairs = kinds(clips / name)
    assert len(pairs) > 3
    assert [picture.kind if picture else None for picture, _ in pairs] == [kind for _, kind in pairs]


GENERATED = {
    "a.mp4": Coding(codec="libx264", gop=12, bframes=3, options={"x264-params": "b-pyramid=2:open-gop=1:slices=4"}),
    "a.ts": Coding(codec="libx264", gop=12, bframes=2),
    "b.avi": Coding(codec="mpeg4", gop=12, bframes=2),
    "a.mpg": Coding(codec="mpeg2video", gop=12, bframes=2),
    "b.mpg": Coding(codec="mpeg1video", gop=12, bframes=2),
    "c.avi": Coding(codec="h263p", gop=12),
    "d.avi": Coding(codec="wmv2", gop=12),
    "e.avi": Coding(codec="msmpeg4", gop=12),
    "a.flv": Coding(codec="flv", gop=12),
}


@pytest.mark.parametrize("name", GENERATED)
def test_kinds_and_references_of_generated_streams(tmp_path: Path, name: str) -> None:
    pairs = kinds(write(tmp_path / name, pan_film(30), GENERATED[name]).path)
    assert len(pairs) == 30
    assert [picture.kind if picture else None for picture, _ in pairs] == [kind for _, kind in pairs]
    assert {kind for _, kind in pairs} == ({"I", "P", "B"} if GENERATED[name].bframes else {"I", "P"})
    assert all(picture.is_reference for picture, kind in pairs if picture and kind != "B")
    if GENERATED[name].bframes:
        assert not all(picture.is_reference for picture, _ in pairs if picture)


@pytest.mark.parametrize(
    "codec", sorted(CODECS - {"flv1", "msmpeg4v1", "msmpeg4v2", "msmpeg4v3", "wmv1", "wmv2", "h263"})
)
def test_packets_without_a_picture(codec: str) -> None:
    for data in (b"", b"\x00", b"\x00\x00\x01", b"\x00\x00\x01\x09\xf0", bytes(40)):
        for length_bytes in (0, 4):
            assert coded_picture(codec, memoryview(data), is_key=True, length_bytes=length_bytes) is None
