"""How fast clips are read for training: decoded straight to their size, against whole pictures that are resized.

    python -m benchmarks.clip_loading --videos DIR --frames 32 --stride 2 --size 112

Both read the same frames of the same videos at the same places, with one thread. Processor time counts, so that other
work on the machine does not. `direct` is `longform.clip_training.sources.VideoFiles`: decoding begins at the last key
frame before the clip, and the window is cut before it is scaled and converted. `whole` is what a loader does that
knows nothing of the clip: every frame up to its end as a whole RGB picture, then a crop and a resize.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

from longform.clip_training.augmentation import CropRule, PlaceWindow
from longform.clip_training.labels import ClassLabels
from longform.clip_training.sampling import clip_frames
from longform.clip_training.sources import Pixels, VideoFiles, cut
from pipeline import printing
from pipeline.inputs import find_videos
from pipeline.video.source import open_video

Read = Callable[[VideoFiles, int, NDArray[np.int64], PlaceWindow], Pixels]


def read_direct(source: VideoFiles, index: int, frames: NDArray[np.int64], place: PlaceWindow) -> Pixels:
    """A clip as training reads it."""
    return source.read(index, frames, place)


def read_whole(source: VideoFiles, index: int, frames: NDArray[np.int64], place: PlaceWindow) -> Pixels:
    """The same clip from whole pictures, decoded from the start of the video."""
    with open_video(source.name(index)) as (container, stream):
        stream.codec_context.thread_count = 1
        stream.thread_type = "NONE"
        pictures: dict[int, Pixels] = {}
        for number, picture in enumerate(container.decode(stream)):
            pictures[number] = np.asarray(picture.to_ndarray(format="rgb24"), np.uint8)
            if number == frames.max():
                break
    return cut((pictures[frame] for frame in frames.tolist()), len(frames), place)


def measure(read: Read, source: VideoFiles, clips: int, frames: int, stride: int, size: int) -> float:
    """Clips a second of processor time, of `clips` clips of each video."""
    rng, rule = np.random.default_rng(0), CropRule()
    jobs = []
    for index in range(len(source)):
        for _ in range(clips):
            chosen = clip_frames("timed", source.clip(index), frames, stride, rng.random(frames))
            jobs.append((index, chosen, rule.drawn(size, (size * 8 // 7, size * 10 // 7), rng)))
    began = time.process_time()
    for job in jobs:
        read(source, *job)
    return len(jobs) / (time.process_time() - began)


def main(words: Sequence[str] | None = None) -> None:
    """Prints a row for each way to read."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", required=True, nargs="+", metavar="PATH", help="files or folders")
    parser.add_argument("--frames", type=int, default=32, metavar="T")
    parser.add_argument("--stride", type=int, default=2, metavar="S")
    parser.add_argument("--size", type=int, default=224, metavar="PX")
    parser.add_argument("--clips", type=int, default=4, metavar="N", help="of each video")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(words)
    cv2.setNumThreads(1)
    videos = [video.uri for video in find_videos(options.videos).videos]
    source = VideoFiles(videos, ClassLabels([0] * len(videos), 1))
    run = partial(measure, source=source, clips=options.clips, frames=options.frames, stride=options.stride,
                  size=options.size)  # fmt: skip
    rates = {"direct": run(read_direct), "whole": run(read_whole)}
    if options.json:
        print(json.dumps({"clips_per_s": rates, "ratio": rates["direct"] / rates["whole"]}))
        return
    table = printing.table("read", ">clips/s", ">times as fast")
    for name, rate in rates.items():
        printing.add_row(table, name, f"{rate:.1f}", f"{rate / rates['whole']:.2f}")
    printing.console().print(table)


if __name__ == "__main__":
    main()
