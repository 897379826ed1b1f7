"""Compressed video: what motion explains, and what it costs to get it.

    python -m benchmarks.compressed psnr --videos ../shared/videos [--json FILE] [--only CLIP ...]
    python -m benchmarks.compressed last --videos ../shared/videos [--json FILE]
    python -m benchmarks.compressed speed --videos ../shared/videos [--json FILE] [--rounds N]

psnr    Mean PSNR (dB, RGB) of the I-frame against each P-frame: as it is, and warped by accumulated motion in whole
        pixels (the original's) and in parts of them. Every clip as `longform recompress` writes it, and the stream as
        it came where its vectors can be read, in groups of 12 I- and P-frames at most. A clip counts as moving when its
        sub-pixel motion (mpeg4) is 1/4 px or more in the mean.
last    The same at P-frame 11 of the first four groups of three clips, beside what a script of its own gave that was
        written before this code, from the equations.
speed   Milliseconds for each P-frame at 340x256, on one thread: accumulated motion and residual from decoded pictures
        and vectors (`arrays`), the same with decoding and conversion to RGB (`reader`), and decoding alone. Times of
        the processor, so that what else runs on the machine counts little; medians over the rounds, means of three
        clips.
"""

from __future__ import annotations

import argparse
import functools
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from extractors.compressed.accumulate import Precision, Trace
from extractors.compressed.residual import residual
from pipeline.errors import DecodeError, ProbeError
from pipeline.inputs import is_video_file
from pipeline.video.compressed import CompressedFrame, CompressedReader
from pipeline.video.recoding import Codec, Recoding
from pipeline.video.recompress import recompress

CODECS: tuple[Codec, ...] = ("mpeg4", "h264")
PRECISIONS: tuple[Precision, ...] = ("whole", "sub-pixel")
WAYS = ("no motion", *PRECISIONS)
THREE_CLIPS = ("v_GGSY1Qvo990.mp4", "armwrestling.mp4", "bedroom.mp4")
FROM_A_SCRIPT = {
    "mpeg4": {"no motion": (20.5, 12.7, 18.0), "whole": (26.1, 20.1, 19.9), "sub-pixel": (31.1, 22.8, 21.5)},
    "h264": {"whole": (24.9, 17.9, 19.5), "sub-pixel": (32.2, 20.6, 21.7)},
}
"""PSNR in dB of the three clips at P-frame 11."""
GOP = 12
MOST_GROUPS = 12
"""Groups of a clip that are measured, spread over its length."""
LEAST_MOTION_PX = 0.25
PUBLISHED_MS = {"one thread": 2.87, "several threads": 0.46}
"""Preprocessing of a frame at 340x256 on a Xeon E5-2698 v4 (thesis, section 4.2)."""

Figures = dict[str, float]


def encodings(clip: Path, folder: Path) -> Iterator[tuple[str, Path]]:
    """The clip in streams whose vectors can be read; the one it came in is last."""
    for codec in CODECS:
        path = folder / codec / f"{clip.name}.mp4"
        if not path.exists():
            recompress(str(clip), path, Recoding(codec=codec, gop=GOP))
        yield codec, path
    yield "as it came", clip


def warped_by(frame: CompressedFrame) -> NDArray[np.uint8]:
    """The I-frame of a P-frame, moved by its motion."""
    assert frame.iframe is not None
    rows, columns = np.indices(frame.motion.shape[:2])
    if frame.motion.dtype == np.int32:
        return frame.iframe[rows - frame.motion[..., 1], columns - frame.motion[..., 0]]
    source = np.dstack([columns, rows]).astype(np.float32) - frame.motion
    return cv2.remap(frame.iframe, source, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def predicted(frame: CompressedFrame, fine: CompressedFrame) -> Figures:
    """PSNR of what the I-frame says of a P-frame, read in whole and in sub-pixels, by way of warping."""
    assert frame.iframe is not None
    assert frame.residual is not None
    whole = warped_by(frame)
    picture = whole + frame.residual
    ways = zip(WAYS, (frame.iframe, whole, warped_by(fine)), strict=True)
    return {way: psnr(prediction, picture) for way, prediction in ways}


def psnr(one: NDArray, other: NDArray) -> float:
    """In dB; equal pictures count 99."""
    error = float(np.mean((one.astype(np.float32) - other.astype(np.float32)) ** 2))
    return 10 * np.log10(255**2 / error) if error else 99.0


def measure_stream(path: Path) -> Figures:
    """Means over the P-frames of a stream."""
    figures: dict[str, list[float]] = {way: [] for way in (*WAYS, "motion_px", "intra_share")}
    with CompressedReader(str(path), max_gop=GOP) as reader, CompressedReader(str(path), max_gop=GOP) as finer:
        groups = np.unique(np.linspace(0, len(reader.gops) - 1, MOST_GROUPS).round().astype(int)).tolist()
        for group in groups:
            for frame, fine in zip(reader.walk(group), finer.walk(group, precision="sub-pixel"), strict=True):
                if not frame.position:
                    continue
                for way, value in predicted(frame, fine).items():
                    figures[way].append(value)
                figures["motion_px"].append(float(np.linalg.norm(fine.motion, axis=-1).mean()))
                figures["intra_share"].append(frame.intra_share)
    means = {name: round(statistics.fmean(values), 3) for name, values in figures.items() if values}
    return means | {"groups": len(groups), "p_frames": len(figures["whole"])}


def run_psnr(options: argparse.Namespace) -> dict:
    """Figures by clip and stream; clips without a picture, or streams without vectors, are named with the reason."""
    clips = [path for path in sorted(options.videos.rglob("*")) if is_video_file(path)]
    if options.only:
        clips = [path for path in clips if path.name in options.only]
    found: dict[str, dict] = {}
    with tempfile.TemporaryDirectory() as folder:
        for clip in clips:
            streams: dict[str, Figures | str] = {}
            try:
                for name, path in encodings(clip, Path(folder)):
                    try:
                        streams[name] = measure_stream(path)
                    except DecodeError as error:
                        streams[name] = str(error).replace(str(path), path.name)
            except ProbeError as error:
                streams["unreadable"] = str(error).replace(str(clip), clip.name)
            found[str(clip.relative_to(options.videos))] = streams
            print(clip.name, flush=True)
    return found


def show_psnr(found: dict) -> None:
    """A line for each clip and stream; what moves and is not closer when warped is marked."""
    table = Table("clip", "stream", "moves px", "no motion dB", "whole dB", "sub-pixel dB", "intra", box=None)
    worse = []
    for clip, streams in found.items():
        for stream, figures in streams.items():
            if isinstance(figures, str) or not figures["p_frames"]:
                table.add_row(clip, stream, "" if isinstance(figures, dict) else figures.split(",")[0])
                continue
            values = [figures[way] for way in WAYS]
            table.add_row(clip, stream, f"{figures['motion_px']:.2f}", *(f"{value:.1f}" for value in values),
                          f"{figures['intra_share']:.2f}")  # fmt: skip
            if moves(streams) and min(values[1:]) <= values[0]:
                worse.append(f"{clip} ({stream})")
    console = Console(width=150)
    console.print(table)
    console.print(f"{sum(map(moves, found.values()))} of {len(found)} clips move; not closer when warped: "
                  f"{', '.join(worse) or 'none of them'}")  # fmt: skip


def moves(streams: dict) -> bool:
    """Whether a clip counts as moving."""
    figures = streams.get("mpeg4")
    return isinstance(figures, dict) and figures.get("motion_px", 0.0) >= LEAST_MOTION_PX


def run_last(options: argparse.Namespace) -> dict:
    """PSNR at P-frame 11, mean over four groups, by codec and way of warping: one figure for each of three clips."""
    found: dict[str, dict[str, list[float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for codec in CODECS:
            found[codec] = {way: [] for way in WAYS}
            for name in THREE_CLIPS:
                path = Path(folder, codec, f"{name}.mp4")
                recompress(str(options.videos / name), path, Recoding(codec=codec, gop=GOP))
                for way, values in _last_of_groups(path).items():
                    found[codec][way].append(round(values, 2))
    return found


def _last_of_groups(path: Path) -> Figures:
    with CompressedReader(str(path)) as reader:
        figures = [
            predicted(reader.read(group, GOP - 1), reader.read(group, GOP - 1, precision="sub-pixel"))
            for group in range(4)
        ]
    return {way: statistics.fmean(one[way] for one in figures) for way in WAYS}


def show_last(found: dict) -> None:
    """Figures, and those of the script in brackets."""
    table = Table("stream", "warped", *THREE_CLIPS, box=None)
    for codec, ways in found.items():
        for way, values in ways.items():
            known = FROM_A_SCRIPT[codec].get(way)
            cells = [f"{value:.1f}" + (f" ({known[i]})" if known else "") for i, value in enumerate(values)]
            table.add_row(codec, way, *cells)
    Console(width=120).print(table)


def run_speed(options: argparse.Namespace) -> dict:
    """Milliseconds for each P-frame, by codec and precision; medians over rounds and clips."""
    cv2.setNumThreads(1)
    found: dict[str, dict[str, Figures]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for codec in CODECS:
            paths = []
            for name in THREE_CLIPS:
                paths.append(Path(folder, codec, f"{name}.mp4"))
                recompress(str(options.videos / name), paths[-1], Recoding(codec=codec, gop=GOP))
            found[codec] = {"decoding alone": {"ms": _median(paths, decode_alone, options.rounds)}}
            for precision in PRECISIONS:
                arrays = _median(paths, functools.partial(trace_arrays, precision), options.rounds)
                reader = _median(paths, functools.partial(read_all, precision), options.rounds)
                found[codec][precision] = {"arrays_ms": arrays, "reader_ms": reader}
    return found


def _median(paths: Sequence[Path], work: Callable[[Path], float], rounds: int) -> float:
    return statistics.fmean(statistics.median(work(path) for _ in range(rounds)) for path in paths)


def decode_alone(path: Path) -> float:
    """Milliseconds for each picture of a plain decoder, without vectors and without RGB."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"
        start = time.thread_time()
        count = sum(1 for _ in container.decode(stream))
        return 1e3 * (time.thread_time() - start) / count


def read_all(precision: Precision, path: Path) -> float:
    """Milliseconds for each picture, from the file to motion and residual."""
    with CompressedReader(str(path)) as reader:
        start = time.thread_time()
        count = sum(1 for _ in reader.walk_all(precision=precision))
        return 1e3 * (time.thread_time() - start) / count


def trace_arrays(precision: Precision, path: Path) -> float:
    """Milliseconds for each P-frame, from pictures and vectors to motion and residual."""
    groups = _decoded_groups(path)
    start = time.thread_time()
    count = 0
    for pictures in groups:
        trace = Trace(pictures[0][0].shape[:2], precision)
        for picture, vectors in pictures[1:]:
            trace.advance(vectors)
            trace.motion()
            residual(picture, pictures[0][0], trace)
            count += 1
    return 1e3 * (time.thread_time() - start) / count


def _decoded_groups(path: Path) -> list[list[tuple[NDArray[np.uint8], NDArray | None]]]:
    """RGB and vectors of the pictures of each group."""
    groups: list[list[tuple[NDArray[np.uint8], NDArray | None]]] = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"
        stream.codec_context.flags2 |= av.codec.context.Flags2.export_mvs
        for frame in container.decode(stream):
            if frame.key_frame:
                groups.append([])
            vectors = frame.side_data.get("MOTION_VECTORS")
            groups[-1].append((frame.to_ndarray(format="rgb24"), None if vectors is None else vectors.to_ndarray()))
    return groups


def show_speed(found: dict) -> None:
    """A line for each codec and precision."""
    table = Table("stream", "precision", "arrays ms", "reader ms", "decoding alone ms", box=None)
    for codec, figures in found.items():
        for precision in PRECISIONS:
            ms = figures[precision]
            table.add_row(codec, precision, f"{ms['arrays_ms']:.3f}", f"{ms['reader_ms']:.3f}",
                          f"{figures['decoding alone']['ms']:.3f}")  # fmt: skip
    console = Console(width=120)
    console.print(table)
    console.print(f"published: {PUBLISHED_MS['one thread']} ms on one thread of a Xeon E5-2698 v4")


PARTS: dict[str, tuple[Callable[[argparse.Namespace], dict], Callable[[dict], None]]] = {
    "psnr": (run_psnr, show_psnr),
    "last": (run_last, show_last),
    "speed": (run_speed, show_speed),
}


def main(argv: Sequence[str] | None = None) -> None:
    """Run one part, or show what it wrote."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=tuple(PARTS))
    parser.add_argument("--videos", type=Path, help="folder of clips")
    parser.add_argument("--only", nargs="+", metavar="CLIP", help="psnr: these clips only")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="speed: runs of each (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--show", type=Path, metavar="FILE", help="show figures that were written, without running")
    options = parser.parse_args(argv)
    run, show = PARTS[options.part]
    if options.show:
        show(json.loads(options.show.read_text()))
        return
    if options.videos is None:
        parser.error("--videos or --show is needed")
    found = run(options)
    show(found)
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
