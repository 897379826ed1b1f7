"""Job services and worker pools of Beam on this machine."""

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

POOL = "apache_beam.runners.worker.worker_pool_main"
PYTHON_FOLDER = Path(sys.executable).parent
PATIENCE_S = 180


def environment(python_folder: Path = PYTHON_FOLDER) -> dict[str, str]:
    """For a worker pool: it starts its workers as `python`, whichever comes first on its path."""
    return os.environ | {"PATH": f"{python_folder}{os.pathsep}{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}


def free_port() -> int:
    """A port that nobody listens on, below those that an outgoing connection may be given before it is used."""
    while True:
        port = secrets.choice(range(10_000, 30_000))
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("localhost", port))
            return port


def wait_for(port: int) -> None:
    wait_until(lambda: listens(port), f"a service listens on port {port}")


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("localhost", port)) == 0


def wait_until(happened: Callable[[], object], what: str) -> None:
    """On a slow and busy machine, too."""
    end = time.monotonic() + PATIENCE_S
    while not happened():
        if time.monotonic() > end:
            pytest.fail(f"not within {PATIENCE_S} s: {what}")
        time.sleep(0.1)


@contextmanager
def started(module: str, *words: str, log: Path, python_folder: Path = PYTHON_FOLDER) -> Iterator[subprocess.Popen]:
    """A module at work in a process group of its own, which is killed at the end with all in it."""
    with log.open("ab") as output:
        service = subprocess.Popen(
            [sys.executable, "-m", module, *words],
            env=environment(python_folder),
            cwd=log.parent,  # not this repository, which Python would find longform in
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            yield service
        finally:
            kill(service)


def kill(service: subprocess.Popen) -> None:
    """SIGKILL to all processes of a service, as when its machine or container dies."""
    if service.returncode is None:
        os.killpg(service.pid, signal.SIGKILL)
        service.wait()
