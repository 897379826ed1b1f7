"""A run that dies at any moment and starts again ends as an undisturbed one, bit for bit."""

import csv
import multiprocessing
import os
import random
import signal
import time
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from longform.training import atomic
from longform.training.checkpoints import OPTIMISER
from longform.training.loop import BEST, FINAL, train
from tests.longform.training.tiny import Clusters, settings, train_slowly

KILLS = 3
SEED = 20_261_121
MEASURED = ("seconds_per_step", "examples_per_s")


class Death(BaseException):
    """Stands for SIGKILL in a process that goes on to look at what is left."""


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return [{name: value for name, value in row.items() if name not in MEASURED} for row in csv.DictReader(file)]


def tensors(path: Path) -> dict[str, tuple[list[int], bytes]]:
    with safe_open(str(path), "pt") as file:
        found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (safe_open is no dict)
    return {name: (list(value.shape), value.contiguous().numpy().tobytes()) for name, value in found.items()}


def outcome(run: Path) -> dict[str, object]:
    """Everything of a finished run that must not depend on where it was stopped."""
    last = max((run / "checkpoints").iterdir())
    optimiser = torch.load(last / OPTIMISER, weights_only=True)
    momentum = {index: state["momentum_buffer"].numpy().tobytes() for index, state in optimiser["state"].items()}
    found = {path.relative_to(run).as_posix() for path in run.rglob("*")}
    return {
        "weights": tensors(run / FINAL),
        "best": tensors(run / BEST),
        "momentum": momentum,
        "log": rows(run / "log.csv"),
        "evaluations": rows(run / "evaluations.csv"),
        "state": (last / "state.json").read_text(),
        "files": found,
    }


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    run = tmp_path_factory.mktemp("undisturbed")
    train(Clusters(), settings(), run)
    return outcome(run)


def test_death_at_every_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run dies when it puts something on disk the n-th time, and goes on, for every n."""
    calls = fatal = 0

    def sync(path: Path) -> None:
        nonlocal calls
        calls += 1
        if calls == fatal:
            raise Death

    monkeypatch.setattr(atomic, "_sync", sync)
    short = settings(steps=9)
    train(Clusters(), short, tmp_path / "undisturbed")
    expected, writes = outcome(tmp_path / "undisturbed"), calls
    assert writes > 20
    for fatal in range(1, writes + 1):
        calls, run = 0, tmp_path / str(fatal)
        with pytest.raises(Death):
            train(Clusters(), short, run)
        train(Clusters(), short, run)
        assert outcome(run) == expected, fatal


@pytest.mark.parametrize("workers", [0, 2])
def test_sigkill_at_random_moments(tmp_path: Path, undisturbed: dict[str, object], workers: int) -> None:
    moments, run = random.Random(SEED + workers), tmp_path / "run"
    reached = 0
    for _ in range(KILLS):
        reached = started_and_killed(run, workers, rows_wanted=reached + moments.randint(1, 3), moments=moments)
    last = started(run, workers)
    last.join(300)
    assert last.exitcode == 0
    assert outcome(run) == undisturbed


def started(run: Path, workers: int) -> multiprocessing.process.BaseProcess:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([train_slowly.__module__])
    process = context.Process(target=train_slowly, args=(run, workers))
    process.start()
    return process


def started_and_killed(run: Path, workers: int, rows_wanted: int, moments: random.Random) -> int:
    """Kill a run some moments after its log has so many rows; the number of rows that it leaves."""
    log, deadline = run / "log.csv", time.monotonic() + 300
    process = started(run, workers)
    while not log.exists() or len(rows(log)) < rows_wanted:
        assert time.monotonic() < deadline, "the run makes no progress"
        assert process.is_alive(), "the run must be killed before its end"
        time.sleep(0.002)
    time.sleep(moments.uniform(0.0, 0.05))
    os.kill(process.pid or 0, signal.SIGKILL)
    while is_there(process.pid or 0):
        assert time.monotonic() < deadline, "the run does not die"
        time.sleep(0.002)
    return len(rows(log))


def is_there(pid: int) -> bool:
    """Joining the process would wait for its loader's workers as well."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
