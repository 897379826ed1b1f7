"""SIGKILL to one of two worker pools of the portable runner, with all that runs in it."""

import os
import random
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from benchmarks.faults.bank_check import check_complete, check_present
from benchmarks.faults.kills import place_of
from benchmarks.faults.lab import FAREWELL_S, HOGHOF, Extraction, Lab, Subject, is_worker_child, processes_of
from benchmarks.faults.outcome import Outcome

STALL_S = 10.0
"""--stall-s of the runs, which end after twice as long without a sign of their workers."""
POOLS = 2
_START_S = 180.0


class Pools:
    """A job service for two worker pools, each in a session of its own, and the options that send a run there."""

    def __init__(self, log: Path, environment: dict[str, str]) -> None:
        self._log = log
        binaries = Path(sys.executable).parent
        self._environment = environment | {"PATH": f"{binaries}{os.pathsep}{environment['PATH']}"}
        self._ports = [_free_port() for _ in range(POOLS)]
        self._jobs, self._front = _free_port(), _free_port()
        self._pools: list[subprocess.Popen] = []

    @property
    def options(self) -> list[str]:
        """For `longform extract`."""
        service = [f"--job_endpoint=localhost:{self._jobs}", f"--environment_config=localhost:{self._front}"]
        return ["--stall-s", f"{STALL_S:g}", "--", "--runner=PortableRunner", "--environment_type=EXTERNAL", *service]

    @contextmanager
    def running(self) -> Iterator["Pools"]:
        """Everything at work; all of it is ended in the end."""
        with ExitStack() as stack:
            self._pools = [self._start_pool(port) for port in self._ports]
            for i in range(POOLS):
                stack.callback(self.kill, i)
            real = [f"localhost:{port}" for port in self._ports]
            ports = ["--port", str(self._jobs), "--pool-port", str(self._front)]
            service = self._start(["pipeline.pools", *ports, *real])
            stack.callback(_end, service)
            for port in (*self._ports, self._jobs):
                _wait_for(port)
            yield self

    def kill(self, number: int) -> None:
        """SIGKILL to a pool and all in it."""
        _end(self._pools[number])

    def restart(self, number: int) -> None:
        """Start a killed pool again, where it was."""
        self._pools[number] = self._start_pool(self._ports[number])
        _wait_for(self._ports[number])

    def are_quiet(self) -> bool:
        """Whether no child that touches videos is left in any pool, within some seconds."""
        leave = time.monotonic() + FAREWELL_S
        while any(is_worker_child(process) for pool in self._pools for process in processes_of(pool.pid)):
            if time.monotonic() > leave:
                return False
            time.sleep(0.1)
        return True

    def _start_pool(self, port: int) -> subprocess.Popen:
        return self._start(["apache_beam.runners.worker.worker_pool_main", f"--service_port={port}"])

    def _start(self, words: Sequence[str]) -> subprocess.Popen:
        with open(self._log, "ab") as log:
            command = [sys.executable, "-m", *words]
            return subprocess.Popen(command, env=self._environment, stdout=log, stderr=log, start_new_session=True)


def _end(service: subprocess.Popen) -> None:
    with suppress(ProcessLookupError):
        os.killpg(service.pid, signal.SIGKILL)
    service.wait()


def _free_port() -> int:
    """A port that nobody listens on, below those that an outgoing connection may be given before it is used."""
    while True:
        port = secrets.choice(range(10_000, 30_000))
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("localhost", port))
            return port


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("localhost", port)) == 0:
                return
        time.sleep(0.1)
    raise RuntimeError(f"No service of Beam began to listen within {_START_S:g} s.")


def kill_pools(lab: Lab) -> list[Outcome]:
    """First an undisturbed run over both pools; then runs in which one of them dies, each gone on with after it."""
    outcome = Outcome(
        fault=f"SIGKILL of one of two worker pools (--stall-s {STALL_S:g})", timed="until the run has given up"
    )
    subject, moments = lab.subject("hoghof", HOGHOF), lab.random("pool")
    with Pools(lab.new_folder("pools") / "log.txt", lab.environment({})).running() as pools:
        bank = lab.new_folder("pools") / "bank"
        run = lab.start(subject, bank, pools.options)
        if not lab.ends(run, 2 * subject.deadline_s, outcome) or run.exit_status != 0:
            outcome.lost.append(f"an undisturbed run over two pools ended with {run.exit_status}: {run.said[-500:]}")
            return [outcome]
        check_complete(bank, subject, outcome, "over two pools")
        length_s = time.monotonic() - run.began
        for _ in lab.rounds(outcome, 3, 1):
            _kill_one(lab, subject, pools, moments, length_s, outcome)
    return [outcome]


def _kill_one(
    lab: Lab, subject: Subject, pools: Pools, moments: random.Random, length_s: float, outcome: Outcome
) -> None:
    bank = lab.new_folder("pool") / "bank"
    run = lab.start(subject, bank, pools.options)
    if run.ends_within(moments.uniform(0.35, 0.9) * length_s):
        outcome.too_late += 1
        return
    number, place, killed = moments.randrange(POOLS), place_of(bank, subject.count), time.monotonic()
    pools.kill(number)
    if lab.ends(run, subject.deadline_s + 4 * STALL_S, outcome):
        _judge(lab, subject, bank, run, outcome, place, time.monotonic() - killed)
    if not pools.are_quiet():
        outcome.left_over.append(f"children at work in a pool {FAREWELL_S:g} s after the end of the run")
    pools.restart(number)
    again = lab.start(subject, bank, pools.options)
    if lab.ends(again, 2 * subject.deadline_s, outcome):
        if again.exit_status != 0:
            outcome.lost.append(f"the run after the kill ended with {again.exit_status}: {again.said[-500:]}")
        check_complete(bank, subject, outcome, "after the next run")


def _judge(
    lab: Lab, subject: Subject, bank: Path, run: Extraction, outcome: Outcome, place: str, seconds: float
) -> None:
    """A run that lost a worker must say so; one that did not need the pool any more has not been struck."""
    if run.exit_status == 0:
        outcome.too_late += 1
        return
    outcome.strike(place, seconds)
    outcome.videos += subject.count
    outcome.user_sees = lab.quote(run.said, r"longform extract: .*?\.") or outcome.user_sees
    if "Traceback" in run.said or not outcome.user_sees:
        outcome.lost.append(f"the run ended with {run.exit_status}, not saying why: {run.said[-500:]}")
    if (bank / "bank.json").exists():
        check_present(bank, subject, outcome, "after the loss of a pool")
