"""The wall clock jumps, back and forth by hours and years, in all processes of a run at once."""

import json
import random
import time
from pathlib import Path

from benchmarks.faults.bank_check import check_complete, run_again
from benchmarks.faults.lab import HOGHOF, Lab
from benchmarks.faults.outcome import Outcome

HOOK = Path(__file__).parent / "clock"
"""Folder with the `sitecustomize` that moves the clock."""
HOUR_S, YEAR_S = 3600.0, 365.25 * 86400
JUMPS_IN_A_RUN = 8


def move_clocks(lab: Lab) -> list[Outcome]:
    """Runs with jumps spread over their usual length."""
    outcome = Outcome(fault="clock jumps by hours and years", timed="the whole run")
    subject, draws = lab.subject("hoghof", HOGHOF), lab.random("clock")
    said_why: list[str] = []
    for _ in lab.rounds(outcome, 6, 1):
        folder = lab.new_folder("clock")
        offsets, seen = _offsets(draws), folder / "seen.txt"
        now = time.monotonic()
        moments = sorted(now + draws.uniform(0.0, subject.wall_s) for _ in offsets)
        facts = {"jumps": list(zip(moments, offsets, strict=True)), "seen": str(seen)}
        run = lab.start(
            subject, folder / "bank", environment={"PYTHONPATH": str(HOOK), "LONGFORM_FAULT_CLOCK": json.dumps(facts)}
        )
        if not lab.ends(run, subject.deadline_s, outcome):
            continue
        for i in sorted({int(line.split()[0]) for line in seen.read_text().splitlines()}):
            outcome.strike(_name(offsets[i] - (offsets[i - 1] if i else 0.0)), time.monotonic() - run.began)
        outcome.videos += subject.count
        if run.exit_status == 0:
            check_complete(folder / "bank", subject, outcome, "with jumps of the clock")
            continue
        said_why.append(lab.quote(run.said, "longform extract: .*"))
        if "Run again" not in said_why[-1]:
            outcome.lost.append(f"the run ended with {run.exit_status}, not saying why: {run.said[-500:]}")
        run_again(lab, outcome, subject, folder / "bank")
    outcome.user_sees = "; ".join(["wrong dates in logs and records", *said_why])
    return [outcome]


def _offsets(draws: random.Random) -> list[float]:
    """Seconds that the clock is wrong by, after each jump: up to two days, or up to ten years."""
    return [
        draws.choice([-1, 1]) * draws.choice([48 * HOUR_S, 10 * YEAR_S]) * draws.random() for _ in range(JUMPS_IN_A_RUN)
    ]


def _name(jump_s: float) -> str:
    unit = "years" if abs(jump_s) > YEAR_S else "hours or days" if abs(jump_s) > HOUR_S else "minutes"
    return f"{'forwards' if jump_s > 0 else 'backwards'} by {unit}"
