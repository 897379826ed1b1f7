"""`longform recompress`: prepare videos for features of the compressed stream."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import printing
from pipeline.errors import ConfigError, InputError, PipelineError
from pipeline.video.recoding import BEST_QUALITY, ORIGINAL_GOP, ORIGINAL_SIZE, QUALITIES, Recoding

if TYPE_CHECKING:
    from pipeline.jobs import VideoSource


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    width, height = ORIGINAL_SIZE
    parser.add_argument("inputs", nargs="+", metavar="VIDEO", help="video file, folder, pattern, or list as of extract")
    parser.add_argument("-o", "--output", required=True, metavar="DIR", help="folder to write; a file for each video, "
                        "named by its id")  # fmt: skip
    parser.add_argument("--size", default=f"{width}x{height}", metavar="WxH", help="size to write, whatever the aspect "
                        "was, or 'same' (default: %(default)s)")  # fmt: skip
    parser.add_argument("--gop", type=int, default=ORIGINAL_GOP, metavar="N", help="pictures of a group: an I-frame "
                        "and its P-frames (default: %(default)s)")  # fmt: skip
    parser.add_argument("--codec", default="mpeg4", choices=tuple(QUALITIES), help="mpeg4 as in CoViAR's code, or "
                        "h264, whose vectors are finer (default: %(default)s)")  # fmt: skip
    best = ", ".join(f"{quality} for {codec}" for codec, quality in BEST_QUALITY.items())
    parser.add_argument("--quality", type=int, metavar="Q", help="quantiser of mpeg4, 1 to 31, or rate factor of h264, "
                        f"0 to 51; small is good (default: {best})")  # fmt: skip
    parser.add_argument("--overwrite", action="store_true", help="write files that are there already anew")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


def run(options: argparse.Namespace) -> int:
    """Write all videos; a bad one costs itself. Status 1 if there was one."""
    recoding = Recoding(codec=options.codec, size=_size(options.size), gop=options.gop, quality=options.quality)
    results = []
    for path, video in _targets(options.inputs, Path(options.output)).items():
        results.append(_one(video, path, recoding, overwrite=options.overwrite))
        if not options.json:
            print(_line(results[-1]), flush=True)
    if options.json:
        printing.print_json(results)
    return int(any("error" in result for result in results))


def _size(text: str) -> tuple[int, int] | None:
    if text == "same":
        return None
    width, cross, height = text.partition("x")
    if not (cross and width.isdecimal() and height.isdecimal()):
        raise ConfigError(f"--size must be WIDTHxHEIGHT, such as 340x256, or 'same': got {text!r}.")
    return int(width), int(height)


def _targets(inputs: list[str], folder: Path) -> dict[Path, VideoSource]:
    """Where each video goes: its id with `.mp4` for the ending it has."""
    from pipeline.inputs import VIDEO_ENDINGS, find_videos

    targets: dict[Path, VideoSource] = {}
    for video in find_videos(inputs).videos:
        name = Path(video.video_id)
        path = folder / f"{name.stem if name.suffix.lower() in VIDEO_ENDINGS else name}.mp4"
        other = targets.setdefault(path, video)
        if other is not video:
            raise InputError(f"{other.uri!r} and {video.uri!r} would both be written to {str(path)!r}. Convert them in "
                             "two runs with two output folders.")  # fmt: skip
        if path.resolve() == Path(video.uri).resolve():
            raise InputError(f"{video.uri!r} would be written over itself. Choose another output folder.")
    return targets


def _one(video: VideoSource, path: Path, recoding: Recoding, *, overwrite: bool) -> dict:
    from pipeline.video.recompress import recompress

    result: dict = {"video_id": video.video_id, "uri": video.uri, "path": str(path)}
    if path.exists() and not overwrite:
        return result | {"written": False}
    try:
        done = recompress(video.uri, path, recoding)
    except (PipelineError, OSError) as error:
        return result | {"error": f"{type(error).__name__}: {error}"}
    return result | {"written": True, "num_frames": done.num_frames, "bytes": done.bytes, "damage": done.damage}


def _line(result: dict) -> str:
    name = result["video_id"]
    if "error" in result:
        return printing.harmless(f"{name}: FAILED: {result['error']}")
    if not result["written"]:
        return printing.harmless(f"{name}: is there already ({result['path']}); --overwrite writes it anew")
    damage = f"; damaged: {result['damage']}" if result["damage"] else ""
    return printing.harmless(f"{name}: {result['num_frames']} frames, {result['bytes'] / 1e6:.2f} MB{damage}")
