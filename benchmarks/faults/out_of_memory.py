"""Batches of clips that do not fit into the memory of their device."""

import re
import time

from benchmarks.faults import plugins
from benchmarks.faults.bank_check import check_complete, failures
from benchmarks.faults.lab import SHOTS, Lab
from benchmarks.faults.outcome import Outcome
from benchmarks.faults.small_device import BATCH, MOST_CLIPS

OPTIONS = (*SHOTS, "--only", "small_device", "--stage", "small_device", "--segment-s", "1")


def exhaust_device(lab: Lab) -> list[Outcome]:
    """Of batches of 8 clips from 1 to 7 fit; the run must halve them, say so, and make the same bank."""
    outcome = Outcome(fault="out of memory on a batch (stand-in for a GPU)", timed="the whole run")
    subject = lab.subject("small-device", OPTIONS, environment=plugins.install(lab.folder / "site"))
    sizes = lab.random("out-of-memory").sample(range(1, BATCH), lab.times(7, 1))
    for most in sizes:
        bank = lab.new_folder("small-device") / "bank"
        run = lab.start(subject, bank, environment={MOST_CLIPS: str(most)})
        if not lab.ends(run, subject.deadline_s, outcome):
            continue
        outcome.user_sees = lab.quote(run.said, ".*did not fit.*")
        halved = re.match(r"\d+", outcome.user_sees)
        if halved:
            outcome.strike(f"{most} of {BATCH} clips fit:", time.monotonic() - run.began, times=int(halved[0]))
        outcome.videos += subject.count
        outcome.lost += [f"{video_id}: {why}" for video_id, why in failures(bank).items()]
        check_complete(bank, subject, outcome, f"where {most} clips fit")
    return [outcome]
