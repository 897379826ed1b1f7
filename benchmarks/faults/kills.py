"""SIGKILL to the driver, and to the children that touch videos, at random moments of a run."""

import random
import signal
import time
from pathlib import Path

import psutil

from benchmarks.faults.bank_check import check_present, failures, ok_videos, run_again
from benchmarks.faults.lab import HOGHOF, MOST_LATE, Extraction, Lab
from benchmarks.faults.log import Step, failed_steps
from benchmarks.faults.outcome import Outcome

KILLS_IN_SERIES = 3
"""A bank is killed so often on its way, each run going on where the one before was."""


def kill_drivers(lab: Lab) -> list[Outcome]:
    """Runs are killed at moments spread over their usual length; what is in the bank must be right each time."""
    outcome = Outcome(fault="SIGKILL of the driver", timed="until the last of its processes is gone")
    subject, moments = lab.subject("hoghof", HOGHOF), lab.random("driver")
    kills = lab.times(24, 2)
    while outcome.times < kills and outcome.too_late < MOST_LATE:
        bank = lab.new_folder("driver") / "bank"
        for _ in range(min(KILLS_IN_SERIES, kills - outcome.times)):
            run = lab.start(subject, bank)
            if run.ends_within(moments.uniform(0.05, 0.95) * subject.wall_s):
                outcome.too_late += 1
                break
            run.kill()
            if run.exit_status != -signal.SIGKILL:
                outcome.too_late += 1
                break
            place = place_of(bank, subject.count)
            outcome.strike(place, lab.must_be_empty(run, outcome))
            outcome.videos += subject.count
            if (bank / "bank.json").exists():
                check_present(bank, subject, outcome, f"killed {place}")
        run_again(lab, outcome, subject, bank)
    outcome.user_sees = "nothing; the same command again goes on"
    return [outcome]


def place_of(bank: Path, videos: int) -> str:
    """How far a run is, by what it has written."""
    if not (bank / "bank.json").exists():
        return "before bank.json"
    done = len(ok_videos(bank))
    if done == videos:
        return "behind the last video"
    if done:
        return "between first and last video"
    return "before the first video" if any((bank / "_staging").glob("*/*/plan.json")) else "before the first step"


def kill_children(lab: Lab) -> list[Outcome]:
    """In each run several children are killed, one after another, at work or between two steps."""
    outcome = Outcome(fault="SIGKILL of a worker child", timed="until the run has it as a failed step")
    subject, moments = lab.subject("hoghof", HOGHOF), lab.random("child")
    for _ in lab.rounds(outcome, 4, 1):
        folder = lab.new_folder("child")
        bank, log = folder / "bank", folder / "log.jsonl"
        run = lab.start(subject, bank, ["--log", str(log)])
        sent = _send_kills(run, moments, lab.times(5, 2), pause_s=subject.wall_s / 8)
        if not lab.ends(run, subject.deadline_s, outcome):
            continue
        outcome.videos += subject.count
        _count_strikes(outcome, sent, failed_steps(log))
        _check_failures(outcome, bank)
        outcome.user_sees = outcome.user_sees or lab.quote(run.said, "Crashed: .*")
        check_present(bank, subject, outcome, "in the run of the kills")
        run_again(lab, outcome, subject, bank)
    return [outcome]


def _send_kills(run: Extraction, moments: random.Random, kills: int, pause_s: float) -> dict[int, float]:
    """When each process was killed, by its id."""
    sent: dict[int, float] = {}
    while len(sent) < kills and not run.ends_within(moments.uniform(0.2, 1.8) * pause_s):
        if children := run.children():
            victim = moments.choice(children)
            try:
                victim.kill()
            except psutil.NoSuchProcess:
                continue
            sent[victim.pid] = time.time()
    return sent


def _count_strikes(outcome: Outcome, sent: dict[int, float], steps: list[Step]) -> None:
    """A kill struck if the step of that process failed; a child that had nothing to do any more costs nothing."""
    for process, killed in sent.items():
        struck = [step for step in steps if step.process == process]
        if not struck:
            outcome.too_late += 1
        for step in struck:
            outcome.strike(f"in {step.step}", step.time - killed)


def _check_failures(outcome: Outcome, bank: Path) -> None:
    for video_id, failure in failures(bank).items():
        if "the process died of SIGKILL" not in failure:
            outcome.lost.append(f"{video_id} failed by something else than the kill: {failure}")
