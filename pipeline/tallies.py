"""Counts that a stage makes while it works, beside its rows: they become counters of the run."""

from collections import Counter

_counts: Counter[str] = Counter()


def tally(name: str, by: int = 1) -> None:
    """Count something of the segment that this process works on."""
    _counts[name] += by


def taken() -> dict[str, int]:
    """What was counted since the last call, without zeros."""
    counts = {name: count for name, count in _counts.items() if count}
    _counts.clear()
    return counts
