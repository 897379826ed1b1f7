"""Weights, the bank, and runners beyond this machine."""

import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

from extractors.weights.cards import CARDS
from extractors.weights.store import Store
from longform.doctor.finding import OK, PROBLEM, WARNING, Finding
from longform.doctor.machine import free_disk
from pipeline.bank import FeatureBank
from pipeline.bank.errors import BankError
from pipeline.bank.filesystem import is_local, open_location

WEIGHTS, BANK, RUNNERS = "weights", "bank", "runners"
CONNECT_S = 3.0


def weights() -> Iterator[Finding]:
    """The folder of weight files, and whether those that are there are unchanged."""
    store = Store()
    yield free_disk(WEIGHTS, "folder", store.folder)
    here = [name for name in CARDS if store.find(name)]
    changed = [check.name for check in store.verify(here) if check.status == "changed"] if here else []
    if changed:
        yield Finding(topic=WEIGHTS, check="files", status=PROBLEM, found=f"changed on disk: {', '.join(changed)}",
                      advice="Delete them, and fetch them again: longform weights fetch NAME. Those of the package "
                      "come back with it: pip install --force-reinstall longform-video")  # fmt: skip
    elif all(CARDS[name].packaged for name in here):
        yield Finding(topic=WEIGHTS, check="files", status=OK, found="those of the package, unchanged",
                      advice="For other networks: longform weights list")  # fmt: skip
    else:
        yield Finding(topic=WEIGHTS, check="files", status=OK, found=f"{len(here)} of {len(CARDS)}, unchanged")


def bank(uri: str) -> Iterator[Finding]:
    """Whether a bank opens, what failed in it, and the room beside it."""
    fs, path = open_location(uri)
    if is_local(fs):
        yield free_disk(BANK, "folder", Path(path))
    try:
        opened = FeatureBank.open(uri)
    except BankError as error:
        yield Finding(topic=BANK, check=uri, status=PROBLEM, found=str(error),
                      advice="Name a bank, or make it: longform extract INPUT --bank BANK")  # fmt: skip
        return
    states = opened.videos().column("status").to_pylist()
    failed = sum(state != "ok" for state in states)
    found = f"{len(states)} videos, {failed} failed, {len(opened.spaces)} spaces"
    if failed:
        yield Finding(topic=BANK, check=uri, status=WARNING, found=found, advice=f"Why: longform inspect {uri}")
    else:
        yield Finding(topic=BANK, check=uri, status=OK, found=found)


def runners(job_endpoint: str | None) -> Iterator[Finding]:
    """Java for the job servers of Flink and Spark, and whether a job endpoint answers."""
    java = shutil.which("java")
    if java:
        yield Finding(topic=RUNNERS, check="java", status=OK, found=java)
    else:
        yield Finding(topic=RUNNERS, check="java", status=OK, found="none; only job servers of Flink and Spark need it")
    if job_endpoint is not None:
        yield _endpoint(job_endpoint)


def _endpoint(address: str) -> Finding:
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        return Finding(topic=RUNNERS, check="job endpoint", status=PROBLEM, found=f"{address!r} is no HOST:PORT",
                       advice="Name it as in --job-endpoint localhost:8099.")  # fmt: skip
    try:
        socket.create_connection((host, int(port)), timeout=CONNECT_S).close()
    except (OSError, OverflowError) as error:
        return Finding(topic=RUNNERS, check="job endpoint", status=PROBLEM, found=f"{address}: {error}",
                       advice="Start the job server, and open its port to this machine.")  # fmt: skip
    return Finding(topic=RUNNERS, check="job endpoint", status=OK, found=f"{address} takes connections")
