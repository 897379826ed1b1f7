"""Whether videos of the usual codecs can be read: a tiny one of each is made and decoded."""

import os
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from longform.doctor.finding import OK, PROBLEM, WARNING, Finding
from pipeline.sample.encode import Coding, encode

TOPIC = "video"
SAMPLES = {
    "h264": ("libx264", ".mp4"),
    "hevc": ("libx265", ".mp4"),
    "vp9": ("libvpx-vp9", ".webm"),
    "av1": ("libsvtav1", ".mkv"),
    "mpeg4": ("mpeg4", ".mp4"),
    "mpeg2video": ("mpeg2video", ".mpg"),
    "mjpeg": ("mjpeg", ".avi"),
}
"""Codec, and the encoder and container of its sample."""

NUM_FRAMES = 6
SIZE_PX = 64


def video() -> Iterator[Finding]:
    """The decoder's version, one finding for each codec, motion vectors and hardware decoding."""
    os.environ.setdefault("SVT_LOG", "1")  # or the AV1 encoder writes its settings to the terminal
    version = ".".join(map(str, av.library_versions["libavcodec"]))
    yield Finding(topic=TOPIC, check="PyAV", status=OK, found=f"{av.__version__} with libavcodec {version}")
    with tempfile.TemporaryDirectory() as folder:
        for codec in SAMPLES:
            yield _codec(codec, Path(folder))
        yield _motion_vectors(Path(folder))
    yield _hardware()


def _codec(codec: str, folder: Path) -> Finding:
    try:
        decoder = av.codec.Codec(codec, "r").name
    except (ValueError, av.FFmpegError):
        return Finding(topic=TOPIC, check=codec, status=PROBLEM, found="no decoder in this build of FFmpeg",
                       advice="Install PyAV from its own wheels: pip install --force-reinstall av")  # fmt: skip
    try:
        path = _sample(codec, folder)
    except (ValueError, av.FFmpegError) as error:
        return Finding(topic=TOPIC, check=codec, status=OK,
                       found=f"decoder {decoder}; not tried, for no sample could be encoded ({error})")  # fmt: skip
    with av.open(str(path)) as container:
        decoded = sum(1 for _ in container.decode(video=0))
    if decoded != NUM_FRAMES:
        return Finding(topic=TOPIC, check=codec, status=PROBLEM, found=f"{decoded} of {NUM_FRAMES} frames decoded",
                       advice="Install PyAV from its own wheels: pip install --force-reinstall av")  # fmt: skip
    return Finding(topic=TOPIC, check=codec, status=OK, found=f"decoded by {decoder}")


def _sample(codec: str, folder: Path) -> Path:
    """A square that moves over noise."""
    encoder, suffix = SAMPLES[codec]
    path = folder / f"{codec}{suffix}"
    if not path.exists():
        ground = np.random.default_rng(0).integers(0, 256, (SIZE_PX, SIZE_PX, 3), dtype=np.uint8)
        frames = np.repeat(ground[None], NUM_FRAMES, axis=0)
        for i, frame in enumerate(frames):
            frame[16:32, 4 * i : 4 * i + 16] = 255
        encode(frames, path, fps=Fraction(25), coding=Coding(codec=encoder, bframes=0))
    return path


def _motion_vectors(folder: Path) -> Finding:
    path = _sample("mpeg4", folder)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.flags2 |= av.codec.context.Flags2.export_mvs
        found = any(frame.side_data.get("MOTION_VECTORS") is not None for frame in container.decode(stream))
    if found:
        return Finding(topic=TOPIC, check="motion vectors", status=OK, found="exported")
    return Finding(topic=TOPIC, check="motion vectors", status=WARNING, found="not exported by this build of FFmpeg",
                   advice="Preset compressed needs them: pip install --force-reinstall av")  # fmt: skip


def _hardware() -> Finding:
    kinds = av.codec.hwaccel.hwdevices_available()
    found = f"built in: {', '.join(sorted(kinds)) or 'none'}"
    return Finding(topic=TOPIC, check="hardware decoders", status=OK, found=found)
