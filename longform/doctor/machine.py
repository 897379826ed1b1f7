"""Cores, memory, disk and devices."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import torch

from longform.doctor.finding import OK, PROBLEM, WARNING, Finding

TOPIC, DEVICES = "machine", "devices"
LEAST_MEMORY = 2 << 30
LEAST_DISK = 5 << 30
CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def machine() -> Iterator[Finding]:
    """Cores, memory and the disk of temporary files."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    yield Finding(topic=TOPIC, check="cores", status=OK, found=f"{cores} to use of {os.cpu_count()}")
    yield _memory()
    yield free_disk(TOPIC, "temporary files", Path(tempfile.gettempdir()))


def _memory() -> Finding:
    total = min(psutil.virtual_memory().total, *_container_limits())
    found = f"{total / 2**30:.1f} GiB"
    if total < LEAST_MEMORY:
        return Finding(topic=TOPIC, check="memory", status=WARNING, found=found,
                       advice="Run with --workers 1; networks need 2 GiB a worker and more.")  # fmt: skip
    return Finding(topic=TOPIC, check="memory", status=OK, found=found)


def _container_limits() -> Iterator[int]:
    for name in CGROUP_LIMITS:
        text = Path(name).read_text().strip() if Path(name).exists() else "max"
        if text.isdigit():
            yield int(text)
    yield 1 << 62


def free_disk(topic: str, check: str, folder: Path) -> Finding:
    """Whether files can be written under `folder` (or its first parent that exists), and how much room there is."""
    place = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    free = shutil.disk_usage(place).free
    found = f"{free / 2**30:.1f} GiB free in {folder}"
    if not os.access(place, os.W_OK):
        return Finding(topic=topic, check=check, status=PROBLEM, found=f"{place} cannot be written to",
                       advice="Choose another folder, or change its permissions.")  # fmt: skip
    if free < LEAST_DISK:
        return Finding(topic=topic, check=check, status=WARNING, found=found, advice="Make room before a long run.")
    return Finding(topic=topic, check=check, status=OK, found=found)


def devices() -> Iterator[Finding]:
    """torch, its CUDA devices (each computes a product), Apple's, and a driver that torch does not see."""
    yield Finding(topic=DEVICES, check="torch", status=OK,
                  found=f"{torch.__version__}, CUDA {torch.version.cuda or 'not built in'}")  # fmt: skip
    count = torch.cuda.device_count()
    for index in range(count):
        yield _cuda(index)
    if not count:
        yield _no_cuda()
    if torch.backends.mps.is_available():
        yield Finding(topic=DEVICES, check="mps", status=OK, found="available")


def _cuda(index: int) -> Finding:
    name = f"cuda:{index}"
    facts = torch.cuda.get_device_properties(index)
    try:
        ones = torch.ones(64, 64, device=name)
        right = bool((ones @ ones == 64).all())
    except RuntimeError as error:
        return Finding(topic=DEVICES, check=name, status=PROBLEM, found=f"{facts.name}: {error}",
                       advice="Install the build of torch for this driver and this card.")  # fmt: skip
    if not right:
        return Finding(topic=DEVICES, check=name, status=PROBLEM, found=f"{facts.name}: a product of matrices is wrong",
                       advice="Do not use this card.")  # fmt: skip
    return Finding(topic=DEVICES, check=name, status=OK, found=f"{facts.name}, {facts.total_memory / 2**30:.0f} GiB")


def _no_cuda() -> Finding:
    driver = shutil.which("nvidia-smi")
    if driver is None:
        return Finding(topic=DEVICES, check="cuda", status=OK, found="no NVIDIA driver; networks run on the CPU")
    listed = subprocess.run([driver, "-L"], capture_output=True, text=True, timeout=10, check=False)
    if listed.returncode or not listed.stdout.strip():
        return Finding(topic=DEVICES, check="cuda", status=OK, found="nvidia-smi shows no card")
    return Finding(topic=DEVICES, check="cuda", status=PROBLEM,
                   found=f"the driver shows {len(listed.stdout.splitlines())} cards, torch none",
                   advice="Install a CUDA build of torch, or a newer driver.")  # fmt: skip
