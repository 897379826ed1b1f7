"""`longform import` and `longform export`: feature files of other projects, into a bank and out of one."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from longform.interchange import lfb, lvu, lvu_ava
from longform.interchange.bank_import import ImportReport
from longform.interchange.errors import InterchangeError
from longform.interchange.lvu_export import export_lvu
from pipeline import printing
from pipeline.bank.claims import RUN, claim
from pipeline.bank.filesystem import open_location
from pipeline.bank.reader import FeatureBank

NAMED = 10
"""Missing videos and notes that are printed; `--json` has all."""


def import_files(arguments: argparse.Namespace) -> int:
    """Read files into a bank; say what was written, and name what is missing."""
    with claim(*open_location(arguments.bank), RUN):
        report = _import(arguments)
    if arguments.json:
        printing.print_json(asdict(report))
    else:
        _print_import(report)
    return 0


def _import(arguments: argparse.Namespace) -> ImportReport:
    files = [Path(name) for name in arguments.files]
    if arguments.format in (lvu.FORMAT, lvu_ava.FORMAT):
        _refuse(arguments, "frame_list", "start_second")
        read = lvu.import_lvu if arguments.format == lvu.FORMAT else lvu_ava.import_lvu_ava
        return read(files, arguments.bank, space=arguments.space)
    return lfb.import_lfb(
        files,
        arguments.bank,
        arguments.format,
        frame_lists=[Path(name) for name in arguments.frame_list],
        space=arguments.space,
        start_second=arguments.start_second,
    )


def export_files(arguments: argparse.Namespace) -> int:
    """Write a bank in the layout of another project."""
    bank, folder = FeatureBank.open(arguments.bank), Path(arguments.output)
    if arguments.format == lvu.FORMAT:
        _refuse(arguments, "frame_list", "start_second")
        report = export_lvu(bank, folder, space=arguments.space, tasks=arguments.task or ("all",))
    else:
        _refuse(arguments, "task")
        path = folder / f"{arguments.split}_lfb.pkl"
        frame_list = Path(arguments.frame_list[0]) if arguments.frame_list else None
        report = lfb.export_lfb(
            bank,
            arguments.format,
            path,
            frame_list=frame_list,
            space=arguments.space,
            start_second=arguments.start_second,
        )
    if arguments.json:
        printing.print_json({"format": arguments.format, "folder": str(folder), **report})
    else:
        _print_export(report, folder)
    return 0


def _refuse(arguments: argparse.Namespace, *options: str) -> None:
    for option in options:
        if getattr(arguments, option):
            raise InterchangeError(f"--{option.replace('_', '-')} has no meaning for {arguments.format}; leave it out.")


def _print_import(report: ImportReport) -> None:
    rows = ", ".join(f"{table.removeprefix('features/')} {count}" for table, count in sorted(report.rows.items()))
    print(f"{report.videos} videos, {report.up_to_date} were up to date" + (f"; rows written: {rows}" if rows else ""))
    for what, names in report.missing.items():
        if names:
            print(printing.harmless(f"missing {what}: {len(names)} ({_some(names)})"))
    for note in report.notes[:NAMED]:
        print(printing.harmless(note))
    if len(report.notes) > NAMED:
        print(f"and {len(report.notes) - NAMED} more notes; --json has them all")
    print(printing.harmless(f"bank: {report.bank}"))


def _print_export(report: dict[str, Any], folder: Path) -> None:
    counts = [f"{count} {name.replace('_', ' ')}" for name, count in report.items() if isinstance(count, int)]
    print(printing.harmless(f"{', '.join(counts)} in {folder}"))
    if report.get("without_boxes"):
        names = report["without_boxes"]
        print(printing.harmless(f"without boxes, left out: {len(names)} ({_some(names)})"))


def _some(names: list[str]) -> str:
    return ", ".join(names[:NAMED]) + (", ..." if len(names) > NAMED else "")
