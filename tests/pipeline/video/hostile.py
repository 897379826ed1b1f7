"""Files that mean harm: small, and what they claim is huge; or no videos at all, and they lead to other files."""

import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

from pipeline.sample.encode import Coding
from pipeline.sample.samples import make_clip

SIDE = 32_768
WIDTH, HEIGHT = 64, 48


def _made(path: Path, coding: Coding | None = None) -> bytearray:
    make_clip(path, seconds=0.4, size_hw=(HEIGHT, WIDTH), shots=1, coding=coding)
    return bytearray(path.read_bytes())


def _replaced(content: bytes, old: bytes, new: bytes) -> bytes:
    assert old in content
    return content.replace(old, new)


def huge_avi(path: Path) -> None:
    """Motion JPEG of 32768 x 32768, in the container's header and in that of every picture."""
    content = bytes(_made(path, Coding(codec="mjpeg")))
    marker = b"\xff\xc0\x00\x11\x08"
    content = _replaced(content, marker + struct.pack(">HH", HEIGHT, WIDTH), marker + struct.pack(">HH", SIDE, SIDE))
    path.write_bytes(_replaced(content, struct.pack("<II", WIDTH, HEIGHT), struct.pack("<II", SIDE, SIDE)))


def huge_gif(path: Path) -> None:
    """A canvas of 65535 x 65535."""
    content = _made(path, Coding(codec="gif", pix_fmt="rgb8"))
    content[6:10] = b"\xff\xff\xff\xff"
    path.write_bytes(content)


def huge_shown(path: Path) -> None:
    """Pictures of 64 x 48 with pixels 65000 times as wide as high: 4.2 million x 48 as shown."""
    content = _made(path)
    pasp = b"pasp" + struct.pack(">II", 65_000, 1)
    entry = content.index(b"avc1", content.index(b"stsd"))
    box = struct.pack(">I", 16) + pasp
    end = entry - 4 + struct.unpack(">I", content[entry - 4 : entry])[0]
    assert content.index(b"moov") > content.index(b"mdat"), "no offsets of the data may move"
    content[end:end] = box
    for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"avc1"):
        at = content.index(name, content.index(b"moov")) - 4
        content[at : at + 4] = struct.pack(">I", struct.unpack(">I", content[at : at + 4])[0] + len(box))
    path.write_bytes(content)


def absurdly_long(path: Path) -> None:
    """Ten frames, the last one 300 years after the first."""
    second = 9_467_280_000
    make_clip(path, seconds=0.4, size_hw=(HEIGHT, WIDTH), shots=1, pts=[*range(9), second], time_base=Fraction(1))


def two_billion_frames(path: Path) -> None:
    """An index that claims 2^31 - 1 frames of one byte each."""
    content = _made(path)
    most = 2**31 - 1
    sizes, times, chunks = (content.index(name) + 8 for name in (b"stsz", b"stts", b"stsc"))
    content[sizes : sizes + 8] = struct.pack(">II", 1, most)
    content[times + 4 : times + 8] = struct.pack(">I", most)
    content[chunks + 8 : chunks + 12] = struct.pack(">I", most)
    path.write_bytes(content)


def many_streams(path: Path) -> None:
    """300 streams of sound beside the pictures."""
    import av

    with av.open(str(path), "w", format="matroska") as container:
        video = container.add_stream("mpeg4", rate=25)
        video.width, video.height = WIDTH, HEIGHT
        for _ in range(300):
            container.add_stream("pcm_s16le", rate=8000)
        container.mux(video.encode(av.VideoFrame(WIDTH, HEIGHT, "yuv420p")))
        container.mux(video.encode(None))


def _list_of(text: str) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        other = path.with_name("other")
        if not other.exists():
            _made(other.with_suffix(".ts"))
            other.with_suffix(".ts").rename(other)
        path.write_text(text.format(other=other))

    return make


MAKERS: dict[str, tuple[Callable[[Path], None], str]] = {
    "huge.avi": (huge_avi, "has pictures of 32768 x 32768; the limit is 67108864 pixels (--max-pixels)"),
    "huge.gif": (huge_gif, "has pictures of 65535 x 65535; the limit"),
    "wide.mp4": (huge_shown, "has pictures of 4160000 x 48; the limit"),
    "long.mkv": (absurdly_long, "s by its timestamps; the limit is 360000 s (--max-duration-s)"),
    "streams.mkv": (many_streams, "has 301 streams; at most 256 are read"),
    "hls.mp4": (_list_of("#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile://{other}\n#EXT-X-ENDLIST\n"), "an HLS"),
    "hls.m3u8": (_list_of("#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://127.0.0.1:9/a.ts\n"), "an HLS"),
    "concat.mp4": (_list_of("ffconcat version 1.0\nfile 'other'\n"), "a list of ffconcat"),
    "dash.mp4": (_list_of("<?xml version='1.0'?><MPD><BaseURL>file://{other}</BaseURL></MPD>"), "a DASH manifest"),
    "session.mp4": (_list_of("v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"), "(SDP)"),
}
"""By name: what makes the file, and words of the error."""
