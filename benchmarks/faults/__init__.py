"""What a run bears: faults injected into real runs, and what they cost. `python -m benchmarks.faults --help`."""
