"""The `longform` command: the table of subcommands, and how errors are shown. Nothing heavy is imported here."""

import argparse
import importlib
import os
import sys
from collections.abc import Callable, Sequence

import pipeline

EXIT_FAILED_VIDEOS = 1
EXIT_USAGE = 2

Configure = Callable[[argparse.ArgumentParser], None]


def _bank(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bank", metavar="BANK", help="folder or uri of the bank")


def _json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


def _probe(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("videos", nargs="+", metavar="VIDEO", help="video file or uri")
    _json(parser)


def _extract(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="video file, folder (searched to the bottom), pattern such as 'raw/*.mp4', or a CSV or Parquet "
        "list with the columns video_id,uri",
    )
    parser.add_argument("--bank", required=True, metavar="BANK", help="folder or uri of the bank to make or extend")
    parser.add_argument("--preset", default="builtin", help="which stages to run (default: %(default)s)")
    parser.add_argument("--only", action="append", default=[], metavar="STAGE", help="run this stage of the preset "
                        "and those it needs; may be repeated")  # fmt: skip
    parser.add_argument("--stage", action="append", default=[], metavar="NAME", help="add a stage that an installed "
                        "package registers; may be repeated")  # fmt: skip
    parser.add_argument("--set", action="append", default=[], metavar="STAGE.FIELD=VALUE", help="change one setting, "
                        "such as clips.hop_s=0.5 or shots.detectors=content:threshold=30; may be repeated")  # fmt: skip
    parser.add_argument("--workers", type=_at_least_one, default=os.cpu_count() or 1, metavar="N",
                        help="processes at work at once (default: all cores, here %(default)s)")  # fmt: skip
    parser.add_argument("--segment-s", type=float, default=120.0, metavar="S", help="cut long videos into parts of "
                        "about S seconds that are worked on in parallel (default: %(default)g)")  # fmt: skip
    parser.add_argument("--device", default="cpu", metavar="D", help="where networks run (default: %(default)s; "
                        "preset builtin has none)")  # fmt: skip
    parser.add_argument("--decoder", default="pyav", choices=("pyav", "decord"), help="default: %(default)s")
    parser.add_argument("--stall-s", type=float, default=300.0, metavar="S", help="give a video up after S seconds "
                        "without progress (default: %(default)g)")  # fmt: skip
    parser.add_argument("--memory-limit-mb", type=_at_least_one, default=4096, metavar="MB", help="give a video up "
                        "when its process needs more memory (default: %(default)s)")  # fmt: skip
    parser.add_argument("--strict", action="store_true", help="stop at the first video that fails or is damaged")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    parser.add_argument("--verbose", action="store_true", help="show what Beam logs")
    _json(parser)
    parser.epilog = (
        "Run the same command again to go on after a stop, or after adding videos: only what is missing or has "
        "changed is done. Exit status: 0 all videos are in the bank, 1 some failed (the bank holds the others, and "
        "the reasons), 2 nothing could be started. Options behind -- go to Apache Beam, such as "
        "-- --runner=FlinkRunner --flink_master=HOST:8081."
    )


def _inspect(parser: argparse.ArgumentParser) -> None:
    _bank(parser)
    _json(parser)


def _verify(parser: argparse.ArgumentParser) -> None:
    _bank(parser)
    parser.add_argument("--quick", action="store_true", help="check that files are there and whole in size only")
    _json(parser)


def _compact(parser: argparse.ArgumentParser) -> None:
    _bank(parser)
    parser.add_argument("--target-mb", type=_at_least_one, default=256, metavar="MB", help="size of the files to "
                        "make (default: %(default)s)")  # fmt: skip
    _json(parser)


def _window(parser: argparse.ArgumentParser) -> None:
    _bank(parser)
    parser.add_argument("--space", required=True, metavar="S", help="feature space, such as clip.hoghof")
    parser.add_argument("--video", required=True, metavar="V", help="video_id")
    parser.add_argument("--at", type=float, required=True, metavar="T", help="seconds from the first frame")
    parser.add_argument("--before", type=float, default=0.0, metavar="S", help="seconds before T (default: 0)")
    parser.add_argument("--after", type=float, default=0.0, metavar="S", help="seconds after T, excluded (default: 0)")
    _json(parser)


COMMANDS: dict[str, tuple[str, str, Configure]] = {
    "probe": (
        "facts of video files: what the header says, what was measured",
        "pipeline.commands:probe",
        _probe,
    ),
    "extract": ("turn videos into a feature bank", "pipeline.commands:extract", _extract),
    "inspect": ("what a bank holds, and what failed", "pipeline.commands:inspect", _inspect),
    "verify": ("prove that a bank is whole", "pipeline.commands:verify", _verify),
    "compact": ("merge the many small files of a bank into few", "pipeline.commands:compact", _compact),
    "window": ("features of one video around a time", "pipeline.commands:window", _window),
}


def _at_least_one(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1: got {value}")
    return value


def parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    top = argparse.ArgumentParser(
        prog="longform",
        description="Turn videos into Parquet feature banks, and analyse long video on top of them.",
    )
    top.add_argument("--version", action="version", version=f"longform {pipeline.__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (summary, target, configure) in COMMANDS.items():
        sub = commands.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        configure(sub)
        sub.set_defaults(target=target)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    beam_args: list[str] = []
    if words[:1] == ["extract"] and "--" in words:
        place = words.index("--")
        words, beam_args = words[:place], words[place + 1 :]
    arguments = parser().parse_args(_joined(words))
    arguments.beam_args = beam_args
    module, function = arguments.target.split(":")
    from pipeline.bank.errors import BankError
    from pipeline.errors import PipelineError, RunError, StrictStopError

    try:
        return getattr(importlib.import_module(module), function)(arguments)
    except (StrictStopError, RunError) as error:
        print(f"longform {arguments.command}: {error}", file=sys.stderr)
        return EXIT_FAILED_VIDEOS
    except (PipelineError, BankError) as error:
        print(f"longform {arguments.command}: {error}", file=sys.stderr)
        return EXIT_USAGE
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_USAGE


VALUES_THAT_MAY_START_WITH_A_DASH = ("--video", "--at")


def _joined(words: list[str]) -> list[str]:
    """`--video -abc` as `--video=-abc`: ids may begin with a dash, and argparse would take them for options."""
    joined: list[str] = []
    words = list(words)
    while words:
        word = words.pop(0)
        if word in VALUES_THAT_MAY_START_WITH_A_DASH and words:
            word = f"{word}={words.pop(0)}"
        joined.append(word)
    return joined


if __name__ == "__main__":
    sys.exit(main())
