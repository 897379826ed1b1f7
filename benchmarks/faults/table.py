"""The table of outcomes, as Markdown: in docs/reliability.md it stands as it is printed."""

from collections.abc import Iterable, Sequence

from benchmarks.faults.outcome import Outcome

COLUMNS = ("fault", "struck", "videos", "lost", "doubled", "left over", "hangs", "longest, s", "what the user sees")


def markdown(outcomes: Iterable[Outcome]) -> str:
    """A table with a row for each outcome."""
    rows = [COLUMNS, ("---",) * len(COLUMNS), *map(_cells, outcomes)]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows)


def _cells(outcome: Outcome) -> Sequence[str]:
    if outcome.impossible:
        return (outcome.fault, "0", *("-",) * 6, f"not injected here: {outcome.impossible}")
    harms = (outcome.lost, outcome.duplicated, outcome.left_over, outcome.hangs)
    longest = "" if outcome.longest_s is None else f"{outcome.longest_s:g}"
    counts = (str(outcome.times), str(outcome.videos), *(str(len(harm)) for harm in harms), longest)
    return (outcome.fault, *counts, outcome.user_sees)


def details(outcomes: Iterable[Outcome]) -> str:
    """Of each outcome where it struck, what the seconds are, and whatever harm it did."""
    lines = []
    for outcome in outcomes:
        places = ", ".join(f"{place} {count}" for place, count in sorted(outcome.struck.items()))
        late = f"; {outcome.too_late} more came too late" if outcome.too_late else ""
        lines.append(f"{outcome.fault}: {places or 'not struck'}{late}; seconds: {outcome.timed}")
        for name in ("lost", "duplicated", "left_over", "hangs"):
            lines += [f"    {name}: {harm}" for harm in getattr(outcome, name)]
    return "\n".join(lines)
