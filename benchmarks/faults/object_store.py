"""A bank on S3 whose server fails, answers late, or goes away in the middle of a run."""

import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.faults.bank_check import check_complete, check_present, ok_videos, run_again
from benchmarks.faults.lab import SHOTS, Lab, Subject
from benchmarks.faults.outcome import Outcome
from benchmarks.faults.s3_server import CREDENTIALS, ERRORS, NEVER_S, RESET, Choice, Fault, FlakyS3
from pipeline.bank.errors import NotABankError
from pipeline.bank.filesystem import ATTEMPTS_VARIABLE

KINDS = (*ERRORS, RESET)
ERRORS_SHARE, DELAYS_SHARE = 0.05, 0.02
"""Of all requests."""
LONGEST_DELAY_S = 3.0
ATTEMPTS_IN_OUTAGE = {ATTEMPTS_VARIABLE: "4"}
"""Else each request is tried for 90 s."""


def disturb_answers(lab: Lab) -> list[Outcome]:
    """Errors that pass, slow answers, and an outage; the bank must be the one made on a local disk."""
    errors = Outcome(fault="S3: errors 500 and 503, connections reset", timed="the whole run")
    delays = Outcome(fault=f"S3: answers late by up to {LONGEST_DELAY_S:g} s, or never", timed="the whole run")
    outages = Outcome(
        fault="S3: every request fails from some moment on",
        timed="from then on until the run gives up",
    )
    subject = lab.subject("shots", SHOTS)
    try:
        server = FlakyS3(lab.random("s3 answers"))
    except ImportError as error:
        for outcome in (errors, delays, outages):
            outcome.impossible = f"the local server is not installed ({error})"
        return [errors, delays, outages]
    with server.running(), _credentials():
        for i in lab.rounds(errors, 3, 1):
            requests = _run(lab, subject, server, f"errors{i}", some_errors, errors)
        for i in lab.rounds(delays, 2, 1):
            choose = Silence() if i == 0 and not lab.quick else some_delays
            _run(lab, subject, server, f"delays{i}", choose, delays)
        for i in lab.rounds(outages, 4, 1):
            _outage(lab, subject, server, f"outage{i}", requests, outages)
    return [errors, delays, outages]


@contextmanager
def _credentials() -> Iterator[None]:
    """For this process and those that it starts."""
    before = {name: os.environ.get(name) for name in CREDENTIALS}
    os.environ.update(CREDENTIALS)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def some_errors(draws: random.Random) -> Fault:
    """Some requests fail."""
    return draws.choice(KINDS) if draws.random() < ERRORS_SHARE else None


def some_delays(draws: random.Random) -> Fault:
    """Some requests are answered late."""
    return draws.uniform(0.2, LONGEST_DELAY_S) if draws.random() < DELAYS_SHARE else None


class Silence:
    """As `some_delays`, and one early request is not answered before the client gives up waiting."""

    def __init__(self) -> None:
        self._left = 100

    def __call__(self, draws: random.Random) -> Fault:
        self._left -= 1
        return NEVER_S if self._left == 0 else some_delays(draws)


class Outage:
    """Every request fails behind the first `good` ones."""

    def __init__(self, good: int) -> None:
        self._good = good
        self.began: float | None = None

    def __call__(self, draws: random.Random) -> Fault:
        self._good -= 1
        if self._good >= 0:
            return None
        self.began = self.began or time.monotonic()
        return draws.choice(KINDS)


def _run(lab: Lab, subject: Subject, server: FlakyS3, name: str, choose: Choice, outcome: Outcome) -> int:
    """A run that must bear what the server does. How many requests it sent."""
    bank = server.uri(name)
    server.served.clear()
    before, server.choose = server.requests, choose
    run = lab.start(subject, bank)
    ended = lab.ends(run, 4 * subject.deadline_s, outcome)
    server.choose = lambda draws: None
    sent = server.requests - before
    if not ended:
        return sent
    for kind, times in server.served.items():
        outcome.strike(kind, time.monotonic() - run.began, times)
    outcome.videos += subject.count
    if run.exit_status != 0:
        outcome.lost.append(f"the run ended with {run.exit_status}: {run.said[-500:]}")
    noise = ", and lines of Arrow's about retries" if "retry = " in run.said else ""
    outcome.user_sees = f"nothing but a longer run{noise}"
    check_complete(bank, subject, outcome, name)
    return sent


def _outage(lab: Lab, subject: Subject, server: FlakyS3, name: str, usual_requests: int, outcome: Outcome) -> None:
    """A run that must give up by itself; the next one, when the server is back, goes on."""
    bank, outage = server.uri(name), Outage(lab.random(name).randrange(usual_requests))
    server.choose = outage
    run = lab.start(subject, bank, environment=ATTEMPTS_IN_OUTAGE)
    ended = lab.ends(run, 4 * subject.deadline_s, outcome)
    server.choose = lambda draws: None
    if ended and run.exit_status == 0:
        outcome.too_late += 1
    elif ended:
        outcome.videos += subject.count
        outcome.strike(_how_far(bank, subject, outcome), time.monotonic() - (outage.began or run.began))
        outcome.user_sees = lab.quote(run.said, r"(The run broke off|Cannot use).*?AWS Error \w+") or outcome.user_sees
        if "AWS Error" not in run.said or "Traceback" in run.said:
            outcome.lost.append(f"{name}: the run ended with {run.exit_status}, not saying why: {run.said[-500:]}")
    run_again(lab, outcome, subject, bank)


def _how_far(bank: str, subject: Subject, outcome: Outcome) -> str:
    """When the server is back: what the run had made, which must be right."""
    try:
        check_present(bank, subject, outcome, "after the outage")
    except NotABankError:
        return "before bank.json"
    done = len(ok_videos(bank))
    return "before the first video" if not done else "between first and last video"
