"""The `longform` command: the table of subcommands, and how errors are shown. Nothing heavy is imported here."""

import argparse
import importlib
import os
import sys
from collections.abc import Callable, Sequence

import pipeline
from pipeline.video.limits import STANDARD_LIMITS

EXIT_FAILED_VIDEOS = 1
EXIT_USAGE = 2

Configure = Callable[[argparse.ArgumentParser], None]


def _bank(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bank", metavar="BANK", help="folder or uri of the bank")


def _json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


def _video_limits(parser: argparse.ArgumentParser) -> None:
    """The largest video that is opened; docs/security.md says what for."""
    limits = STANDARD_LIMITS
    parser.add_argument("--max-pixels", type=_at_least_one, default=limits.max_pixels, metavar="N",
                        help="refuse videos whose pictures have more (default: %(default)s, 8192 x 8192)")  # fmt: skip
    parser.add_argument("--max-duration-s", type=float, default=limits.max_duration_s, metavar="S",
                        help="refuse longer videos (default: %(default)g, 100 hours)")  # fmt: skip
    parser.add_argument("--max-frames", type=_at_least_one, default=limits.max_frames, metavar="N",
                        help="refuse videos of more frames (default: %(default)s)")  # fmt: skip


def _probe(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("videos", nargs="+", metavar="VIDEO", help="video file or uri")
    _video_limits(parser)
    _json(parser)


def _network(parser: argparse.ArgumentParser) -> None:
    """Options of every command that runs a network."""
    parser.add_argument("--device", default="cpu", metavar="D", help="where networks run: cpu, cuda, cuda:1, mps or "
                        "auto; for extract cuda:all too, dealt out to workers (default: %(default)s)")  # fmt: skip
    parser.add_argument("--precision", default="fp32", choices=("fp32", "bf16"), help="default: %(default)s")
    parser.add_argument("--compile", action="store_true", help="compile networks with torch.compile: slow to start, "
                        "then faster on a GPU")  # fmt: skip


def _what_to_extract(parser: argparse.ArgumentParser, number_of_inputs: str = "+") -> None:
    """Inputs and stages, of `extract` and of `plan`."""
    parser.add_argument(
        "inputs",
        nargs=number_of_inputs,
        metavar="INPUT",
        help="video file, folder (searched to the bottom), pattern such as 'raw/*.mp4', or a CSV or Parquet "
        "list with the columns video_id,uri",
    )
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
    parser.add_argument("--weights", action="append", default=[], metavar="[ROLE=]W", help="for presets with "
                        "networks: a checkpoint of longform weights list, a weight file, or 'untrained' (default: "
                        "the preset's own); for preset text hf:FOLDER or hf:OWNER/NAME; with several networks say "
                        "which: people=W; may be repeated")  # fmt: skip
    _network(parser)
    parser.add_argument("--inference", default="auto", choices=("own", "shared", "auto"), help="who runs networks: "
                        "each worker its own copy, or one process for each device for all workers; auto is shared on "
                        "a GPU with several workers, else own (default: %(default)s)")  # fmt: skip
    parser.add_argument("--decoder", default="pyav", choices=("pyav", "nvdec", "decord"), help="nvdec has an NVIDIA "
                        "card decode, and never the processor (default: %(default)s)")  # fmt: skip
    parser.add_argument("--stall-s", type=float, default=300.0, metavar="S", help="give a video up after S seconds "
                        "without progress (default: %(default)g)")  # fmt: skip
    parser.add_argument("--memory-budget", type=_bytes, metavar="SIZE", help="memory of all workers together, such as "
                        "16G or 800M; each has its share, and a video whose process needs more is given up (default: "
                        "4G for each worker)")  # fmt: skip
    _video_limits(parser)


def _plan(parser: argparse.ArgumentParser) -> None:
    _what_to_extract(parser)
    parser.add_argument("--samples", type=_at_least_one, default=5, metavar="N", help="excerpts to really extract "
                        "(default: %(default)s)")  # fmt: skip
    parser.add_argument("--sample-s", type=float, default=20.0, metavar="S", help="seconds of each "
                        "(default: %(default)g)")  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="which excerpts (default: %(default)s)")
    _json(parser)


def _extract(parser: argparse.ArgumentParser) -> None:
    _what_to_extract(parser, number_of_inputs="*")
    parser.add_argument("--bank", required=True, metavar="BANK", help="folder or uri of the bank to make or extend")
    parser.add_argument("--strict", action="store_true", help="stop at the first video that fails or is damaged")
    parser.add_argument("--repair", action="store_true", help="instead, extract again the videos of which longform "
                        "verify finds something damaged; INPUT only where they have moved")  # fmt: skip
    parser.add_argument("--retry", action="append", default=[], metavar="KIND", help="instead, extract again the "
                        "videos that failed so: stage=decode, class=Crashed or all; may be repeated; INPUT only where "
                        "they have moved")  # fmt: skip
    parser.add_argument("--quiet", action="store_true", help="no progress")
    parser.add_argument("--log", metavar="FILE", help="add a line of JSON for every step of every video")
    parser.add_argument("--trace", metavar="FILE", help="write what every process did when, for ui.perfetto.dev or "
                        "chrome://tracing")  # fmt: skip
    parser.add_argument("--verbose", action="store_true", help="show what Beam logs")
    _json(parser)
    parser.epilog = (
        "Run the same command again to go on after a stop, or after adding videos: only what is missing or has "
        "changed is done. Exit status: 0 all videos are in the bank, 1 some failed (the bank holds the others, and "
        "the reasons), 2 nothing could be started. Options behind -- go to Apache Beam, such as "
        "-- --runner=FlinkRunner --job_endpoint=HOST:8099; docs/running has each runner."
    )


def _inspect(parser: argparse.ArgumentParser) -> None:
    _bank(parser)
    parser.add_argument("--run", metavar="RUN", help="instead, what a run did, what failed and where its time went: "
                        "its name, or last")  # fmt: skip
    _json(parser)


def _verify(parser: argparse.ArgumentParser) -> None:
    _bank(parser)
    parser.add_argument("--quick", action="store_true", help="check that files are there and whole in size only")
    parser.add_argument("--against", metavar="OTHER", help="instead, say whether OTHER is the same bank: the same rows "
                        "and values of every video, whatever the files")  # fmt: skip
    parser.add_argument("--tolerance", type=float, default=0.0, metavar="X", help="with --against: how much floating "
                        "point values may differ (default: %(default)g)")  # fmt: skip
    _json(parser)


def _compact(parser: argparse.ArgumentParser) -> None:
    _bank(parser)
    parser.add_argument("--target-mb", type=_at_least_one, default=256, metavar="MB", help="size of the files to "
                        "make (default: %(default)s)")  # fmt: skip
    _json(parser)


def _window(parser: argparse.ArgumentParser) -> None:
    _bank(parser)
    parser.add_argument("--space", required=True, metavar="S", help="feature space, such as clip.slowfast_compact")
    parser.add_argument("--video", required=True, metavar="V", help="video_id")
    parser.add_argument("--at", type=float, required=True, metavar="T", help="seconds from the first frame")
    parser.add_argument("--before", type=float, default=0.0, metavar="S", help="seconds before T (default: 0)")
    parser.add_argument("--after", type=float, default=0.0, metavar="S", help="seconds after T, excluded (default: 0)")
    _json(parser)


def _doctor(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--bank", metavar="BANK", help="look at this bank too")
    parser.add_argument("--job-endpoint", metavar="HOST:PORT", help="see whether this job server of Beam answers")
    _json(parser)


EXPORTS = ("lvu", "lfb-ava", "lfb-epic-verb", "lfb-epic-noun", "lfb-charades")
IMPORTS = (*EXPORTS, "lvu-ava")


def _interchange(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--space", metavar="S", help="feature space (default: that of the format)")
    parser.add_argument("--frame-list", action="append", default=[], metavar="LIST", help="lfb: frame list of a "
                        "split, which says what video a number means; one for each file, in their order")  # fmt: skip
    parser.add_argument("--start-second", type=_not_negative, default=0, metavar="N", help="lfb-ava: second of the "
                        "film that is 0 s in the bank (default: %(default)s)")  # fmt: skip
    _json(parser)


def _import(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("format", choices=IMPORTS, metavar="FORMAT", help=", ".join(IMPORTS))
    parser.add_argument("files", nargs="+", metavar="FILE", help="files of that format; for lvu folders too")
    parser.add_argument("--bank", required=True, metavar="BANK", help="folder or uri of the bank to make or extend")
    _interchange(parser)


def _export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("format", choices=EXPORTS, metavar="FORMAT", help=", ".join(EXPORTS))
    _bank(parser)
    parser.add_argument("-o", "--output", required=True, metavar="DIR", help="folder to write")
    parser.add_argument("--split", default="train", choices=("train", "val"), help="lfb: name of the file "
                        "(default: %(default)s)")  # fmt: skip
    parser.add_argument("--task", action="append", default=[], metavar="T", help="lvu: write instance_meta_T.pkl "
                        "(default: all); may be repeated")  # fmt: skip
    _interchange(parser)


def _complexity(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("models", nargs="*", metavar="MODEL", help="names of networks (default: all)")
    _json(parser)


def _count(parser: argparse.ArgumentParser) -> None:
    sets = parser.add_subparsers(dest="dataset", required=True, metavar="DATASET")
    ava = sets.add_parser("ava", help="frame lists of AVA, and the boxes to train on")
    ava.add_argument("--ground-truth", nargs="+", metavar="FILE", help="ava_train_v2.1.csv")
    ava.add_argument("--boxes", nargs="+", metavar="FILE", help="ava_train_predicted_boxes.csv")
    epic = sets.add_parser("epic", help="segments of EPIC-KITCHENS-55 or -100")
    for name in ("train", "val", "test", "test-seen", "test-unseen"):
        epic.add_argument(f"--{name}", metavar="FILE", help=f"segments of the split {name}")
    charades = sets.add_parser("charades", help="videos and actions, or frame lists, of Charades")
    for name in ("train", "test"):
        charades.add_argument(f"--{name}", metavar="FILE", help=f"Charades_v1_{name}.csv")
    for dataset in (ava, charades):
        dataset.add_argument("--train-frames", metavar="FILE", help="frame list of training")
        dataset.add_argument("--val-frames", metavar="FILE", help="frame list of validation")
    for dataset in (ava, epic, charades):
        _json(dataset)


def _weights(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="every known checkpoint, and which of them are here")
    fetch = actions.add_parser("fetch", help="download checkpoints, and check them")
    fetch.add_argument("names", nargs="+", metavar="NAME", help="name of a checkpoint, as listed")
    add = actions.add_parser("add", help="take a file that was downloaded by hand")
    add.add_argument("name", metavar="NAME", help="name of the checkpoint, as listed")
    add.add_argument("file", metavar="FILE", help="the downloaded file")
    verify = actions.add_parser("verify", help="check the files that are here against their sha256")
    verify.add_argument("names", nargs="*", metavar="NAME", help="checkpoints to check (default: all that are here)")
    for action in (listing, fetch, add, verify):
        action.add_argument("--store", metavar="DIR", help="folder of the files (default: $LONGFORM_WEIGHTS, else "
                            "longform/weights in the user's cache folder)")  # fmt: skip
        _json(action)


def _classify(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("videos", nargs="+", metavar="VIDEO", help="video file or uri")
    parser.add_argument("--model", metavar="MODEL", help="network (default: that of the weights)")
    parser.add_argument("--weights", required=True, metavar="W", help="name of a checkpoint (see longform weights "
                        "list), a weight file, or 'untrained'")  # fmt: skip
    parser.add_argument("--classes", metavar="LIST", help="class names: kinetics-400, kinetics-600 or a file with one "
                        "name a line (default: those of the weights)")  # fmt: skip
    parser.add_argument("--clips", type=_at_least_one, default=10, metavar="N", help="clips over the length of the "
                        "video (default: %(default)s)")  # fmt: skip
    parser.add_argument("--crops", type=int, default=3, choices=(1, 3), help="crops of a clip (default: %(default)s)")
    parser.add_argument("--combine", default="mean", choices=("mean", "max"), help="how the scores of the views of a "
                        "video become one (default: %(default)s)")  # fmt: skip
    parser.add_argument("--top", type=_at_least_one, default=5, metavar="K", help="classes to print "
                        "(default: %(default)s)")  # fmt: skip
    _network(parser)
    _json(parser)


def _parity(parser: argparse.ArgumentParser) -> None:
    _bank(parser)
    parser.add_argument("--space", required=True, metavar="S", help="feature space, such as clip.slowfast_8x8_r50")
    parser.add_argument("--against", required=True, metavar="FILE", help="their features: .npy (clips, dim) of one "
                        "video, in order of time")  # fmt: skip
    parser.add_argument("--video", metavar="V", help="video_id (default: the only video, or the name of FILE)")
    parser.add_argument("--clips", type=_at_least_one, default=4, metavar="N", help="clips to compute again with each "
                        "suspected difference (default: %(default)s)")  # fmt: skip
    parser.add_argument("--weights", metavar="W", help="where the weights are now, if the bank's name for them does "
                        "not lead there any more")  # fmt: skip
    _json(parser)


def _report(parser: argparse.ArgumentParser) -> None:
    _bank(parser)
    parser.add_argument("-o", "--output", required=True, metavar="PAGE", help="HTML file to write")
    parser.add_argument("--video", metavar="V", help="video_id: a page of this video only")
    parser.add_argument("--space", metavar="S", help="feature space to map (default: all)")
    parser.add_argument("--max-videos", type=_at_least_one, default=100, metavar="N", help="videos with a time line; "
                        "the others are in the list only (default: %(default)s)")  # fmt: skip
    parser.add_argument("--pictures", type=_not_negative, default=1200, metavar="N", help="most pictures on the page, "
                        "0 for none (default: %(default)s)")  # fmt: skip
    parser.add_argument("--explain", nargs="+", default=[], metavar="FILE", help="show what predictions attended to: "
                        "files of longform eval lfb-... --explain")  # fmt: skip
    parser.add_argument("--masked", nargs="+", default=[], metavar="FILE", help="show what was expected of masked "
                        "people: files of longform eval ot-pretrain --masked-view")  # fmt: skip
    _json(parser)


def _sql(parser: argparse.ArgumentParser) -> None:
    _bank(parser)
    parser.add_argument("query", metavar="SELECT", help="a query over the tables videos, shots, detections, tracks and "
                        'the spaces, such as "clip.slowfast_compact" in double quotes')  # fmt: skip
    parser.add_argument("--format", choices=("table", "csv", "json", "parquet"), help="form of the answer (default: by "
                        "the name of FILE, else a table)")  # fmt: skip
    parser.add_argument("-o", "--output", metavar="FILE", help="write the answer there")
    parser.add_argument("--allow-files", action="store_true", help="let the query read files outside the bank")
    _json(parser)


def _index(parser: argparse.ArgumentParser) -> None:
    _bank(parser)
    parser.add_argument("--space", required=True, metavar="S", help="feature space")
    parser.add_argument("--type", metavar="T", help="hnsw, flat, ivf, pq or a FAISS factory string (default: hnsw, or "
                        "that of the index there is)")  # fmt: skip
    parser.add_argument("--metric", choices=("cosine", "l2"), help="default: cosine, or that of the index there is")
    parser.add_argument("--rebuild", action="store_true", help="make it anew instead of adding what is new")
    parser.add_argument("--device", default="cpu", metavar="D", help="where it is made: cpu, or with faiss-gpu cuda or "
                        "cuda:1 (default: %(default)s)")  # fmt: skip
    _json(parser)


def _search(parser: argparse.ArgumentParser) -> None:
    _bank(parser)
    parser.add_argument("--space", required=True, metavar="S", help="feature space")
    parser.add_argument("--video", metavar="V", help="video_id of the query")
    parser.add_argument("--at", type=float, metavar="T", help="moment of that video, in seconds")
    parser.add_argument("--track", type=int, metavar="ID", help="track of that video")
    parser.add_argument("--vector", metavar="FILE", help="query from an .npy file, (dim,) or (n, dim)")
    parser.add_argument("--text", metavar="WORDS", help="query in words, for a space of preset text")
    parser.add_argument("--weights", metavar="hf:FOLDER", help="where the model of the space is now, for --text "
                        "(default: where it was)")  # fmt: skip
    parser.add_argument("-k", type=_at_least_one, default=10, metavar="K", help="answers (default: %(default)s)")
    parser.add_argument("--in", dest="within", action="append", default=[], metavar="VIDEO", help="only in this video; "
                        "may be repeated")  # fmt: skip
    parser.add_argument("--from", dest="start", type=float, default=float("-inf"), metavar="S", help="not before S")
    parser.add_argument("--to", dest="end", type=float, default=float("inf"), metavar="S", help="before S")
    parser.add_argument("--label", action="append", default=[], metavar="NAME", help="only detections of this class; "
                        "may be repeated")  # fmt: skip
    parser.add_argument("--min-score", type=float, default=float("-inf"), metavar="X", help="least detection score")
    parser.add_argument("--exclude-near", type=float, metavar="S", help="leave out S seconds around the query's moment")
    parser.add_argument("--exact", action="store_true", help="compare every row, without an index")
    parser.add_argument("--stale", choices=("ok",), help="answer from an index that does not know all of the bank")
    _json(parser)


def _by(target: str) -> Configure:
    """Options that a function of another module adds; `longform` may not be imported by name from this layer."""

    def configure(parser: argparse.ArgumentParser) -> None:
        module, function = target.split(":")
        getattr(importlib.import_module(module), function)(parser)

    return configure


COMMANDS: dict[str, tuple[str, str, Configure]] = {
    "doctor": (
        "what of this installation works, and what to do about the rest",
        "longform.doctor.command:doctor",
        _doctor,
    ),
    "probe": (
        "facts of video files: what the header says, what was measured",
        "pipeline.commands:probe",
        _probe,
    ),
    "plan": ("what extracting will cost: hours and bytes, from a measured sample", "pipeline.commands:plan", _plan),
    "extract": ("turn videos into a feature bank", "pipeline.commands:extract", _extract),
    "recompress": (
        "write videos anew as streams whose motion can be read",
        "pipeline.recompress_command:run",
        _by("pipeline.recompress_command:configure"),
    ),
    "inspect": ("what a bank holds, and what failed", "pipeline.commands:inspect", _inspect),
    "verify": ("prove that a bank is whole", "pipeline.commands:verify", _verify),
    "compact": ("merge the many small files of a bank into few", "pipeline.commands:compact", _compact),
    "window": ("features of one video around a time", "pipeline.commands:window", _window),
    "sql": ("ask the tables of a bank with SQL", "longform.sql_command:sql", _sql),
    "index": ("make a feature space quick to search", "longform.search_command:index", _index),
    "search": (
        "the moments most like a moment, a track, a vector or a text",
        "longform.search_command:search",
        _search,
    ),
    "report": ("one HTML page of a bank or a video, to look at", "longform.report.command:report", _report),
    "classify": ("what happens in a video: its top classes, and when", "longform.classify:classify", _classify),
    "train": (
        "train a model by a recipe",
        "longform.train_command:train",
        _by("longform.training.recipes:configure_train"),
    ),
    "eval": (
        "measure a model on a data set",
        "longform.train_command:evaluate",
        _by("longform.training.recipes:configure_eval"),
    ),
    "lvu": ("the nine LVU tasks from one bank", "longform.lvu_command:lvu", _by("longform.lvu_command:configure")),
    "count": (
        "how much of a data set is there, beside the published counts",
        "longform.datasets.counts:count",
        _count,
    ),
    "import": ("read feature files of other projects into a bank", "longform.import_command:import_files", _import),
    "export": ("write a bank as files of other projects", "longform.import_command:export_files", _export),
    "weights": ("list, download and check the weights of networks", "longform.weights:weights", _weights),
    "complexity": (
        "parameters and multiply-adds of networks, beside the published figures",
        "longform.complexity:complexity",
        _complexity,
    ),
    "parity": (
        "compare features of a bank with another tool's, and name the step that differs",
        "longform.parity:parity",
        _parity,
    ),
}


def _at_least_one(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1: got {value}")
    return value


def _bytes(text: str) -> int:
    """`16G`, `800M` as bytes."""
    units = {"M": 20, "G": 30, "T": 40}
    number, unit = text[:-1], text[-1:].upper()
    if unit not in units or not number.replace(".", "", 1).isdecimal() or float(number) == 0:
        raise argparse.ArgumentTypeError(f"must be a number with M, G or T, such as 16G: got {text!r}")
    return int(float(number) * 2 ** units[unit])


def _not_negative(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"must not be negative: got {value}")
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
    from extractors.errors import ExtractorError
    from pipeline.bank.errors import BankError
    from pipeline.errors import PipelineError, RunError, StrictStopError

    try:
        return getattr(importlib.import_module(module), function)(arguments)
    except (StrictStopError, RunError) as error:
        print(f"longform {arguments.command}: {error}", file=sys.stderr)
        return EXIT_FAILED_VIDEOS
    except (PipelineError, BankError, ExtractorError) as error:
        print(f"longform {arguments.command}: {error}", file=sys.stderr)
        return EXIT_USAGE
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_USAGE


VALUES_THAT_MAY_START_WITH_A_DASH = ("--video", "--at", "--in", "--text")


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
