"""Every fault of the benchmark, injected at least once: nothing lost, doubled or left over, and no hang."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.faults.__main__ import FAULTS, read
from benchmarks.faults.lab import REPOSITORY


@pytest.mark.parametrize("name", FAULTS)
def test_it_does_no_harm(name: str, tmp_path: Path) -> None:
    stored = tmp_path / "faults.json"
    command = [sys.executable, "-m", "benchmarks.faults", "--quick", "--only", name, "--json", str(stored)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=1500)
    assert done.returncode == 0, done.stdout + done.stderr
    assert all(outcome.times or outcome.impossible for outcome in read(stored))
