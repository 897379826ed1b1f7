"""Decoders side by side on the same clips: frames per second of PyAV, decord and OpenCV.

    python -m benchmarks.decode --videos ../shared/videos [--json]

Four jobs: decode only; one frame in eight as RGB at 224 px; every frame as RGB at 224 px; every frame as RGB at
full size. decord and OpenCV convert every frame they read, so what PyAV need not do shows as its gain. The runs
of a clip are interleaved and the median of `--rounds` is taken; the file is read once before.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from pipeline.video.decode import decode
from pipeline.video.frames import DecodeStats
from pipeline.video.geometry import PictureSpec
from pipeline.video.probe import PacketIndex, VideoFacts, probe
from pipeline.video.segments import plan_segments

CLIPS = (
    "v_GGSY1Qvo990.mp4",
    "one-by-one-person-detection.mp4",
    "issue-195-aspect-ratio.mp4",
    "juggle.mp4",
    "slides_talk.mp4",
)
JOBS = {"decode only": (0, None), "1 in 8 at 224": (8, 224), "all at 224": (1, 224), "all full size": (1, None)}
MOST_FRAMES = 400


def pyav(facts: VideoFacts, every: int, short_side: int | None) -> int:
    """Our own decoder."""
    measured, index = facts.measured, probe_index[facts.uri]
    segment = plan_segments(facts.uri, measured, index, 1e9)[0][0]
    spec = PictureSpec(short_side_px=short_side)
    for frame in decode(facts, segment, DecodeStats()):
        if every and frame.index % every == 0:
            frame.picture(spec)
        if frame.index + 1 == MOST_FRAMES:
            return MOST_FRAMES
    return measured.num_frames


def decord(facts: VideoFacts, every: int, short_side: int | None) -> int:
    """decord as its users call it: the reader scales, `next` gives frames in order."""
    import decord as package

    height, width = facts.measured.geometry.picture_hw(PictureSpec(short_side_px=short_side))
    reader = package.VideoReader(facts.uri, num_threads=1, width=width, height=height)
    count = min(len(reader), MOST_FRAMES)
    for i in range(count):
        frame = reader.next()
        if every and i % every == 0:
            frame.asnumpy()
    return count


def opencv(facts: VideoFacts, every: int, short_side: int | None) -> int:
    """cv2.VideoCapture; `grab` skips the conversion of frames nobody wants."""
    height, width = facts.measured.geometry.picture_hw(PictureSpec(short_side_px=short_side))
    capture = cv2.VideoCapture(facts.uri, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    count = 0
    while count < MOST_FRAMES and capture.grab():
        if every and count % every == 0:
            picture = cv2.cvtColor(capture.retrieve()[1], cv2.COLOR_BGR2RGB)
            np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA) if short_side else picture)
        count += 1
    return count


DECODERS: dict[str, Callable[[VideoFacts, int, int | None], int]] = {"pyav": pyav, "decord": decord, "opencv": opencv}
probe_index: dict[str, PacketIndex] = {}


def measure(path: Path, rounds: int) -> list[dict]:
    """Frames per second of every decoder and job on one clip."""
    facts, index = probe(str(path))
    probe_index[facts.uri] = index
    results = []
    for job, (every, short_side) in JOBS.items():
        seconds: dict[str, list[float]] = {name: [] for name in DECODERS}
        frames = {}
        for _ in range(rounds):
            for name, decoder in DECODERS.items():
                began = time.perf_counter()
                frames[name] = decoder(facts, every, short_side)
                seconds[name].append(time.perf_counter() - began)
        rates = {name: frames[name] / statistics.median(times) for name, times in seconds.items()}
        height, width = facts.measured.geometry.stored_hw
        results.append({"clip": path.name, "size": f"{width}x{height}", "job": job, "fps": rates})
    return results


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--videos", type=Path, default=Path("../shared/videos"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    results = [result for name in CLIPS for result in measure(options.videos / name, options.rounds)]
    if options.json:
        print(json.dumps(results, indent=2))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("clip", "stored size", "job"):
        table.add_column(title)
    for name in DECODERS:
        table.add_column(f"{name} fps", justify="right")
    table.add_column("pyav / decord", justify="right")
    table.add_column("pyav / opencv", justify="right")
    for result in results:
        fps = result["fps"]
        ratios = (f"{fps['pyav'] / fps[other]:.2f}" for other in ("decord", "opencv"))
        table.add_row(
            result["clip"], result["size"], result["job"], *(f"{fps[name]:.0f}" for name in DECODERS), *ratios
        )
    Console(width=130).print(table)


if __name__ == "__main__":
    main()
