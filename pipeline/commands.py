"""The subcommands: parsed options to one library call, and its result as text or JSON."""

import argparse
import logging
import os
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NoReturn

from pipeline import printing
from pipeline.progress import hours
from pipeline.run_tables import print_run, print_times

if TYPE_CHECKING:
    from pipeline.bank.verify import VerifyReport
    from pipeline.config import ExtractConfig
    from pipeline.plan import Plan
    from pipeline.video.limits import VideoLimits

MOST_DIFFERENCES = 20
MOST_GAPS = 4
LEAST_SHARE = 0.02
"""Of the time of all workers: what took less is left out behind a run, and shown by `inspect --run`."""


def probe(options: argparse.Namespace) -> int:
    from pipeline.errors import ProbeError
    from pipeline.video.probe import probe as read_facts

    limits = _video_limits(options)
    results, failed = [], 0
    for uri in options.videos:
        try:
            facts, index = read_facts(uri, limits)
        except ProbeError as error:
            failed += 1
            results.append({"uri": uri, "error": str(error)})
            continue
        measured = asdict(facts.measured)
        clock, geometry = measured.pop("clock"), measured.pop("geometry")
        height, width = facts.measured.geometry.display_hw
        measured |= {"start_pts": clock["start_pts"], "time_base": str(clock["time_base"])}
        measured |= {"width": width, "height": height, "key_frames": len(index.key_pts)}
        measured |= {"rotation_deg": geometry["rotation_deg"], "pixel_aspect": str(geometry["pixel_aspect"])}
        results.append({"uri": uri, "header": asdict(facts.header), "measured": measured})
    if options.json:
        printing.print_json(results)
    else:
        for result in results:
            _print_facts(result)
    return 1 if failed else 0


def _print_facts(result: dict) -> None:
    console = printing.console()
    if "error" in result:
        console.print(printing.lines(result["error"], style="red"))
        return
    console.print(printing.harmless(result["uri"]), style="bold")
    table = printing.table("", "header says", "measured")
    header, measured = result["header"], result["measured"]
    for key in [*header, *(key for key in measured if key not in header)]:
        printing.add_row(table, key, *("" if group.get(key) is None else group[key] for group in (header, measured)))
    console.print(table)


def plan(options: argparse.Namespace) -> int:
    from extractors.runtime import Runtime
    from pipeline.plan import plan as estimate

    _set_up_logging(verbose=False)
    found = estimate(
        options.inputs,
        _config(options),
        workers=options.workers,
        on_gpu=Runtime(device=options.device).torch_device.type != "cpu",
        samples=options.samples,
        sample_s=options.sample_s,
        seed=options.seed,
    )
    if options.json:
        printing.print_json(asdict(found))
    else:
        _print_plan(found)
    return 0


def _print_plan(plan: "Plan") -> None:
    console = printing.console()
    rows = printing.table("", ">estimate", ">low", ">high")
    for name, estimate in (("time", plan.hours), ("time of the device", plan.gpu_hours)):
        if estimate is not None:
            printing.add_row(rows, name, *map(_duration, (estimate.value, estimate.low, estimate.high)))
    size = plan.bytes
    printing.add_row(rows, "MB of bank", *(f"{x / 1e6:.1f}" for x in (size.value, size.low, size.high)))
    basis = printing.table("measured on", ">from s", ">seconds", ">s per s", ">kB per s")
    for excerpt in plan.sample:
        cost_s, kilobytes = excerpt.wall_s / excerpt.seconds, excerpt.bytes / excerpt.seconds / 1e3
        printing.add_row(basis, excerpt.video_id, f"{excerpt.start_s:.1f}", f"{excerpt.seconds:.1f}",
                         f"{cost_s:.3f}", f"{kilobytes:.2f}")  # fmt: skip
    console.print(f"{plan.videos} videos, {_duration(plan.video_hours)} by their headers, {plan.workers} workers")
    console.print(rows)
    console.print()
    console.print(basis)
    console.print(f"start-up {plan.start_up_s:.1f} s, {plan.video_s:.2f} s a video; one worker at a time was measured")
    console.print("low to high holds the true figure with a chance of 90 %, if the excerpts stand for the corpus")
    if plan.no_duration:
        console.print(f"without a duration in the header, taken to be as long as the others: {plan.no_duration}")
    for title, refused in (("cannot be opened", plan.unreadable), ("drawn, but not extracted", plan.not_sampled)):
        for video_id, why in refused.items():
            console.print(printing.lines(f"{title}: {video_id}: {why}", style="red"))


def _duration(in_hours: float) -> str:
    return hours(3600 * in_hours)


def _video_limits(options: argparse.Namespace) -> "VideoLimits":
    from pipeline.video.limits import VideoLimits

    return VideoLimits(
        max_pixels=options.max_pixels, max_duration_s=options.max_duration_s, max_frames=options.max_frames
    )


def _config(options: argparse.Namespace) -> "ExtractConfig":
    from pipeline.isolation import Limits
    from pipeline.presets import NetworkOptions, build_config

    is_elsewhere = _is_elsewhere(options)
    inference, inference_processes = _inference(options, is_elsewhere)
    return build_config(
        options.preset,
        only=options.only,
        extra=options.stage,
        settings=options.set,
        networks=NetworkOptions(
            weights=tuple(options.weights),
            device=options.device,
            precision=options.precision,
            compile=options.compile,
            inference=inference,
            elsewhere=is_elsewhere,
        ),
        segment_s=options.segment_s,
        decoder=options.decoder,
        limits=Limits.shared(options.memory_budget, options.workers + inference_processes, stall_s=options.stall_s),
        video_limits=_video_limits(options),
    )


def _is_elsewhere(options: argparse.Namespace) -> bool:
    """Whether the workers are on other machines, or may be."""
    if not options.beam_args:
        return False
    from pipeline.runners import LOCAL, runner_name

    return runner_name(options.beam_args) not in LOCAL


def _inference(options: argparse.Namespace, is_elsewhere: bool) -> tuple[str, int]:
    """`own` or `shared`, with `auto` decided, and how many inference processes a worker process has."""
    from pipeline.errors import ConfigError
    from pipeline.presets import OWN, SHARED

    is_linux, is_auto = sys.platform == "linux", options.inference == "auto"
    if options.inference == SHARED and not is_linux:
        raise ConfigError("--inference shared needs Linux: it hands memory without a name from process to process.")
    gains_nothing = options.device == "cpu" or options.workers == 1 or not is_linux
    if options.inference == OWN or (is_auto and gains_nothing):
        return OWN, 0
    from extractors.runtime import Runtime

    runtime = Runtime(device=options.device, elsewhere=is_elsewhere)
    if is_auto and runtime.torch_device.type == "cpu":
        return OWN, 0
    return SHARED, min(options.workers, runtime.num_devices)


def extract(options: argparse.Namespace) -> int:
    from pipeline.extract import extract as run_extract

    _set_up_logging(options.verbose)
    config = _config(options)
    _leave_cleanly_on_signals(options.bank)
    report = run_extract(
        options.inputs,
        options.bank,
        config,
        workers=options.workers,
        strict=options.strict,
        quiet=options.quiet,
        repair=options.repair,
        retry=options.retry,
        log=options.log,
        trace=options.trace,
        beam_args=options.beam_args,
    )
    if options.json:
        facts = asdict(report)
        printing.print_json(facts | facts.pop("metrics") | {"speed": report.speed})
    else:
        _print_report(report, options.bank)
    return 1 if report.failed or report.still_damaged else 0


def _set_up_logging(verbose: bool) -> None:
    """Beam logs every exception with its traceback; what a user must know is said by the command itself."""
    logging.basicConfig(level=logging.INFO)
    if not verbose:
        logging.disable(logging.CRITICAL)  # Beam sets levels of its own
        warnings.simplefilter("ignore")


def _leave_cleanly_on_signals(bank: str) -> None:
    """End all processes at once on Ctrl-C or SIGTERM; the bank needs no goodbye, it is whole at every moment.

    A thread waits for the signal's number on a socket. Python's own handlers run in the main thread only, which
    sleeps in a lock of Beam's, and a signal that comes just before it falls asleep would wait with it (seen once
    in some ten stops).
    """
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=_leave, args=(ours, theirs, bank), daemon=True).start()


def _leave(signals: socket.socket, _keep_open: socket.socket, bank: str) -> NoReturn:
    from pipeline.isolation import close_all
    from pipeline.watch import end_all

    number = signals.recv(1)[0]
    close_all(for_good=True)
    end_all()
    clear_bar = "\r\x1b[2K\x1b[?25h" if sys.stderr.isatty() else ""
    message = (
        f"{clear_bar}Stopped. What was finished is in {bank}, and it is whole. Run the same command again to go on."
    )
    os.write(2, f"{message}\n".encode())  # past the progress bar, which would draw itself again
    os._exit(128 + number)


def _print_report(report: Any, bank: str) -> None:
    console = printing.console()
    failures = printing.table("failed", "stage", "error")
    for failure in report.failures:
        printing.add_row(failures, failure["video_id"], failure["stage"], printing.lines(failure["error"]))
    damage = printing.table("damaged, readable part kept", "what is missing", "from - to")
    for entry in report.damaged:
        printing.add_row(damage, entry["video_id"], entry["damage"], _gaps(entry["gaps"]))
    broken = printing.table("still damaged", "file", "what is wrong")
    for problem in report.still_damaged:
        printing.add_row(broken, problem["video_id"], problem["path"], printing.lines(problem["message"]))
    for table in (damage, failures, broken):
        if table.row_count:
            console.print(table)
            console.print()
    rows = ", ".join(
        f"{name.removeprefix('rows.').removeprefix('features/')} {count}"
        for name, count in sorted(report.counters.items())
        if name.startswith("rows.")
    )
    new = report.videos - report.up_to_date
    console.print(
        f"{report.videos} videos: {report.ok} ok, {report.failed} failed; {report.up_to_date} were up to date"
    )
    if new:
        console.print(
            f"{hours(3600 * report.hours)} of video in {hours(report.wall_s)}, {report.speed:.1f}x real time"
            + (f"; rows written: {rows}" if rows else "")
        )
        decoded, shown = report.counters.get("frames_decoded", 0), report.counters.get("frames_in_video", 0)
        if shown:
            console.print(f"{decoded} frames decoded for {shown} frames of video ({decoded / shown:.3f})")
    if halved := report.counters.get("batches_halved"):
        console.print(f"{halved} times a batch of clips did not fit into the memory of its device and was halved")
    if report.ignored:
        console.print(f"{len(report.ignored)} files are no videos: {_some(report.ignored)}")
    console.print(f"bank: {printing.harmless(bank)}" + (f"; run: {report.run}" if report.run else ""))
    print_times(report.metrics, least_share=LEAST_SHARE)


def _gaps(gaps: Sequence[dict] | None) -> str:
    """Spans of time without pictures, in seconds; of many the first."""
    if gaps is None:
        return ""
    spans = [f"{gap['start_s']:.2f} - {gap['end_s']:.2f} s" for gap in gaps[:MOST_GAPS]]
    return ", ".join(spans) + (f" and {len(gaps) - MOST_GAPS} more" if len(gaps) > MOST_GAPS else "")


def _some(paths: tuple[str, ...]) -> str:
    names = [printing.harmless(os.path.basename(path)) for path in paths]
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")


def inspect(options: argparse.Namespace) -> int:
    from pipeline.bank.inspect import inspect as read_counts

    if options.run is not None:
        return _inspect_run(options)
    facts = read_counts(options.bank)
    if options.json:
        printing.print_json(facts)
        return 0
    console = printing.console()
    ok, failed = facts["videos"]["ok"], facts["videos"]["failed"]
    console.print(f"{ok} videos ok, {failed} failed; {hours(3600 * facts['hours'])} of video; "
                  f"{facts['files']} files, {facts['bytes'] / 1e6:.1f} MB")  # fmt: skip
    table = printing.table("table or space", ">rows", ">dim")
    for name, rows in facts["tables"].items():
        printing.add_row(table, name, rows, "")
    for name, space in facts["spaces"].items():
        printing.add_row(table, name, space["rows"], space["dim"])
    console.print(table)
    for title, entries, columns in (
        ("failures", facts["failures"], ("video_id", "stage", "error")),
        ("damaged", [entry | {"gaps": _gaps(entry["gaps"])} for entry in facts["damaged"]],
         ("video_id", "damage", "gaps")),
    ):  # fmt: skip
        if entries:
            listing = printing.table(*columns)
            for entry in entries:
                printing.add_row(listing, *(entry[column] for column in columns))
            console.print(f"\n{title}", style="bold")
            console.print(listing)
    return 0


def _inspect_run(options: argparse.Namespace) -> int:
    from pipeline.run_record import read_run

    record = read_run(options.bank, options.run)
    if options.json:
        printing.print_json(asdict(record))
    else:
        print_run(record)
    return 0


def verify(options: argparse.Namespace) -> int:
    from pipeline.bank.verify import verify as check

    if options.against is not None:
        return _compare(options)
    report = check(options.bank, quick=options.quick)
    if options.json:
        more = {"whole": report.is_whole, "videos_to_extract": report.videos_to_extract}
        printing.print_json(asdict(report) | more)
        return 0 if report.is_whole else 1
    for problem in report.problems:
        print(printing.harmless(f"{problem.path}: {problem.message}"))
    _print_warnings(report)
    state = "whole" if report.is_whole else f"NOT whole: {len(report.problems)} problems"
    counted = f"{report.videos} videos, {report.files} files, {report.rows} rows"
    print(f"{printing.harmless(options.bank)} is {state} ({counted})")
    if report.videos_to_extract:
        print(f"extract again: {printing.harmless(', '.join(report.videos_to_extract))}")
    if not report.is_whole:
        print("`longform extract --repair --bank BANK` does it, with the options of the run that made the bank")
    return 0 if report.is_whole else 1


def _print_warnings(report: "VerifyReport") -> None:
    left = [warning for warning in report.warnings if warning.kind in ("unreferenced_file", "unfinished_work")]
    if left:
        print(f"{len(left)} files that no video names, left by a stopped run; compact removes them")
    for warning in report.warnings:
        if warning.kind == "foreign_file":
            print(printing.harmless(f"{warning.path}: {warning.message}"))
    unsealed = [warning for warning in report.warnings if warning.kind == "no_checksum"]
    if unsealed:
        print(printing.harmless(f"{len(unsealed)} files such as {unsealed[0].path}: {unsealed[0].message}"))


def _compare(options: argparse.Namespace) -> int:
    from pipeline.bank.compare import compare

    report = compare(options.bank, options.against, options.tolerance)
    if options.json:
        printing.print_json(asdict(report) | {"same": report.is_same})
        return 0 if report.is_same else 1
    for difference in report.differences[:MOST_DIFFERENCES]:
        place = f"{difference.video_id}, {difference.table}" if difference.video_id else difference.table
        print(printing.harmless(f"{place}: {difference.message}"))
    if len(report.differences) > MOST_DIFFERENCES:
        print(f"and {len(report.differences) - MOST_DIFFERENCES} more; --json lists all")
    state = "the same bank" if report.is_same else f"NOT the same bank: {len(report.differences)} differences"
    print(f"{printing.harmless(options.bank)} and {printing.harmless(options.against)} are {state} ({report.videos} "
          f"videos, {report.rows} rows; largest difference of a value {report.max_difference:g})")  # fmt: skip
    return 0 if report.is_same else 1


def compact(options: argparse.Namespace) -> int:
    from pipeline.bank.compact import compact as merge

    report = merge(options.bank, target_mb=options.target_mb)
    if options.json:
        printing.print_json(asdict(report))
    else:
        print(f"{report.files_before} files became {report.files_after} ({report.bytes_after / 1e6:.1f} MB)")
    return 0


def window(options: argparse.Namespace) -> int:
    from pipeline.bank.reader import FeatureBank

    bank = FeatureBank.open(options.bank)
    found = bank.window(options.space, options.video, options.at, before_s=options.before, after_s=options.after)
    if options.json:
        printing.print_json(found.to_json(), indent=None)
        return 0
    console = printing.console()
    table = printing.table(">time s", ">track", "box", "feature")
    for i, at_s in enumerate(found.times):
        box = "" if found.boxes is None else " ".join(f"{side:.3f}" for side in found.boxes[i])
        track = "" if found.track_ids is None or found.track_ids[i] < 0 else found.track_ids[i]
        head = " ".join(f"{value:+.3f}" for value in found.features[i][:6])
        printing.add_row(table, f"{at_s:.3f}", track, box, f"{head} ... |{found.features.shape[1]}|")
    console.print(table)
    console.print(f"{len(found.times)} items of {printing.harmless(options.space)}")
    return 0
