"""Two runs on one bank, started together or one after the other: one works, the other is refused with its name."""

import time

from benchmarks.faults.bank_check import check_complete
from benchmarks.faults.lab import HOGHOF, Lab
from benchmarks.faults.outcome import Outcome

REFUSED = 2


def start_two(lab: Lab) -> list[Outcome]:
    """Every second pair starts together, the others at a random distance below the length of a run."""
    outcome = Outcome(fault="two drivers on one bank", timed="until the second is refused")
    subject, moments = lab.subject("hoghof", HOGHOF), lab.random("two drivers")
    for i in lab.rounds(outcome, 8, 2):
        bank = lab.new_folder("two") / "bank"
        first = lab.start(subject, bank)
        if staggered := i % 2 == 1:
            time.sleep(moments.uniform(0.0, subject.wall_s))
        met = first.exit_status is None
        runs = [first, lab.start(subject, bank)]
        while all(run.exit_status is None for run in runs) and time.monotonic() - first.began < subject.deadline_s:
            time.sleep(0.01)
        refused_after = time.monotonic() - runs[1].began
        ended = [lab.ends(run, 2 * subject.deadline_s, outcome) for run in runs]
        if not all(ended):
            continue
        outcome.videos += subject.count
        refused = [run for run in runs if run.exit_status == REFUSED]
        if met and len(refused) == 1:
            outcome.strike("staggered" if staggered else "together", refused_after)
            [winner] = [run for run in runs if run is not refused[0]]
            outcome.user_sees = lab.quote(refused[0].said, f"Bank .* process {winner.pid} on .*?,")
            if not outcome.user_sees:
                outcome.lost.append(f"the refusal does not name the other run: {refused[0].said[-500:]}")
        elif [run.exit_status for run in runs] == [0, 0]:
            outcome.too_late += 1
        else:
            statuses = [run.exit_status for run in runs]
            outcome.lost.append(f"expected one run to be refused: exit statuses {statuses}: {runs[1].said[-500:]}")
        check_complete(bank, subject, outcome, "after two runs at once")
    return [outcome]
