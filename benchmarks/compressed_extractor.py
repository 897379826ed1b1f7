"""The whole extractor of compressed video against decoding all frames and running an RGB network.

    python -m benchmarks.compressed_extractor --videos ../shared/videos [--json FILE] [--groups N]
    python -m benchmarks.compressed_extractor --show FILE

Milliseconds for each frame of a video at 340x256, MPEG-4 in groups of 12, on one thread: of the decoder with everything
up to the networks' input, and of the networks (full size, on 224 px). Times of the processor, so that what else runs on
the machine counts little.

preset compressed   a feature for each group: the I-frame through ResNet-152, one P-frame through two ResNet-18
I-frames            the same without motion and residual
CoViAR, all frames  every I-frame through ResNet-152, every P-frame through two ResNet-18 (thesis, Tables 4.3 and 4.4)
RGB, all frames     every frame decoded, and through ResNet-152
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import av
import cv2
import torch
from rich.console import Console
from rich.table import Table

from extractors.backbones.base import Backbone
from extractors.compressed.views import Code, centre, clip_of, code_of, squeezed
from extractors.coviar_source import stream_source
from extractors.runtime import Runtime
from longform.published_coviar import SPEED
from pipeline.features.compressed import CompressedConfig
from pipeline.video.compressed import CompressedReader
from pipeline.video.recompress import Recoding, recompress

CLIPS = ("v_GGSY1Qvo990.mp4", "armwrestling.mp4", "bedroom.mp4")
GOP = 12
SIZE = 224
POSITION = CompressedConfig().positions[0]

Work = tuple[str, Code]
"""A stream, and what its network looks at."""


def preset_compressed(path: Path, groups: int) -> Iterator[Work]:
    """As `longform extract --preset compressed` reads a file."""
    with CompressedReader(str(path)) as reader:
        for gop in reader.gops[:groups]:
            frame = reader.read(gop.index, min(POSITION, gop.length - 1))
            for stream in ("iframe", "motion", "residual"):
                yield stream, code_of(frame, stream)


def iframes(path: Path, groups: int) -> Iterator[Work]:
    """The first picture of each group."""
    with CompressedReader(str(path)) as reader:
        for gop in reader.gops[:groups]:
            yield "iframe", code_of(reader.read(gop.index, 0), "iframe")


def coviar_everywhere(path: Path, groups: int) -> Iterator[Work]:
    """Every I-frame, and motion and residual of every P-frame."""
    with CompressedReader(str(path)) as reader:
        for gop in reader.gops[:groups]:
            for frame in reader.walk(gop.index):
                for stream in ("motion", "residual") if frame.position else ("iframe",):
                    yield stream, code_of(frame, stream)


def rgb_everywhere(path: Path, groups: int) -> Iterator[Work]:
    """Every frame as a picture, from a plain decoder."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"
        for number, frame in enumerate(container.decode(stream)):
            if number == groups * GOP:
                return
            yield "iframe", frame.to_ndarray(format="rgb24")


WAYS: dict[str, Callable[[Path, int], Iterator[Work]]] = {
    "preset compressed": preset_compressed,
    "I-frames": iframes,
    "CoViAR, all frames": coviar_everywhere,
    "RGB, all frames": rgb_everywhere,
}


def measure(videos: Path, groups: int) -> dict[str, Any]:
    """Milliseconds for each frame of the video, mean over clips: `input_ms` and `networks_ms`."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    runtime = Runtime()
    networks = {
        stream: runtime.prepare(stream_source(stream, "untrained").build())
        for stream in ("iframe", "motion", "residual")
    }
    for stream, network in networks.items():
        _run(network, runtime, stream, torch.zeros(SIZE, SIZE, network.input_channels).byte().numpy())
    totals = {way: [0.0, 0.0] for way in WAYS}
    with tempfile.TemporaryDirectory() as folder:
        for name in CLIPS:
            path = Path(folder, name)
            recompress(str(videos / name), path, Recoding(gop=GOP))
            for way, read in WAYS.items():
                for place, seconds in enumerate(_timed(read(path, groups), networks, runtime)):
                    totals[way][place] += seconds
    frames = len(CLIPS) * groups * GOP
    ways = {
        way: {"input_ms": 1e3 * reading / frames, "networks_ms": 1e3 * computing / frames}
        for way, (reading, computing) in totals.items()
    }
    return {"clips": list(CLIPS), "groups": groups, "ways": ways}


def _timed(works: Iterator[Work], networks: dict[str, Backbone], runtime: Runtime) -> tuple[float, float]:
    """Seconds of the processor for the input, and for the networks."""
    reading = computing = 0.0
    while True:
        start = time.process_time()
        work = next(works, None)
        if work is None:
            return reading + time.process_time() - start, computing
        stream, code = work
        crop = centre(squeezed(code, SIZE), SIZE)
        ready = time.process_time()
        _run(networks[stream], runtime, stream, crop)
        reading, computing = reading + ready - start, computing + time.process_time() - ready


def _run(network: Backbone, runtime: Runtime, stream: str, crop: Code) -> None:
    with torch.inference_mode():
        network.embed(runtime.to(clip_of([crop], stream)[None]))


def show(found: dict[str, Any]) -> None:
    """A line for each way; the thesis's figures below."""
    table = Table("", "input ms", "networks ms", "together ms", "frames/s", "to RGB", box=None)
    whole = {way: figures["input_ms"] + figures["networks_ms"] for way, figures in found["ways"].items()}
    for way, figures in found["ways"].items():
        ratio = whole["RGB, all frames"] / whole[way]
        table.add_row(way, f"{figures['input_ms']:.2f}", f"{figures['networks_ms']:.1f}", f"{whole[way]:.1f}",
                      f"{1e3 / whole[way]:.0f}", f"{ratio:.1f}x faster")  # fmt: skip
    console = Console(width=120)
    console.print(table)
    published = "; ".join(
        f"{row.system} {row.preprocess:g} ms before and {row.sequential:g} ms in the networks" for row in SPEED
    )
    console.print(f"Published (Table 4.4; networks on a P100, one thread before them): {published}.")


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, or show what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=Path, help="folder of clips")
    parser.add_argument("--groups", type=int, default=4, metavar="N", help="of each clip (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--show", type=Path, metavar="FILE", help="show figures that were written, without running")
    options = parser.parse_args(argv)
    if options.show:
        show(json.loads(options.show.read_text()))
        return
    if options.videos is None:
        parser.error("--videos or --show is needed")
    found = measure(options.videos, options.groups)
    show(found)
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
