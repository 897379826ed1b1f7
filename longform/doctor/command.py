"""`longform doctor`: all checks, as a table or JSON."""

import argparse
from collections.abc import Iterable
from dataclasses import asdict
from itertools import groupby

from longform.doctor import machine, packages, places, video
from longform.doctor.finding import OK, PROBLEM, WARNING, Finding, examined
from pipeline import printing

_WORDS = {PROBLEM: "with a problem", WARNING: "with a warning", OK: "in order"}
_STYLES = {OK: "green", WARNING: "yellow", PROBLEM: "bold red"}


def doctor(arguments: argparse.Namespace) -> int:
    """Examine this machine; 1 if there is a problem."""
    findings = [
        *examined(packages.TOPIC, packages.packages),
        *examined(video.TOPIC, video.video),
        *examined(machine.TOPIC, machine.machine),
        *examined(machine.DEVICES, machine.devices),
        *examined(places.RUNNERS, lambda: places.runners(arguments.job_endpoint)),
        *examined(places.WEIGHTS, places.weights),
    ]
    if arguments.bank is not None:
        findings += examined(places.BANK, lambda: places.bank(arguments.bank))
    if arguments.json:
        printing.print_json([asdict(finding) for finding in findings])
    else:
        _print(findings)
    return int(any(finding.status == PROBLEM for finding in findings))


def _print(findings: list[Finding]) -> None:
    from rich.text import Text

    console = printing.console()
    for topic, group in groupby(findings, key=lambda finding: finding.topic):
        console.print(topic, style="bold")
        for finding in group:
            status = Text(f"{finding.status:8}", style=_STYLES[finding.status])
            console.print("  ", status, printing.harmless(f"{finding.check}: {finding.found}"), sep="", soft_wrap=True)
            if finding.advice:
                console.print(" " * 12, printing.harmless(finding.advice), sep="", soft_wrap=True)
    console.print(_summary(finding.status for finding in findings))


def _summary(statuses: Iterable[str]) -> str:
    counted = list(statuses)
    return ", ".join(f"{counted.count(name)} {word}" for name, word in _WORDS.items()) + "."
