"""One copy of a network for all workers beside a copy for each: time, memory, and whether the banks are equal.

    python -m benchmarks.inference [--model M] [--workers N] [--batch N ...] [--repeats N] [--json FILE]

Runs `longform extract` with a preset of one network on generated videos, in a process of its own, with `--inference
own` and `shared` in turn, so that the load of a shared machine falls on both. Times are medians; start-up is in them,
measured as a run on videos of one frame. Memory is the proportional set size of all processes of a run, summed and
sampled ten times a second: pages that several processes share count once. Clips in flight that no process has mapped
are in no set; there are at most two batches of them for each worker.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from pipeline.presets import OWN, SHARED
from pipeline.sample.samples import make_clip

SAMPLE_S = 0.1
VIDEOS, SECONDS = 6, 12
SIZE_HW = (240, 320)


@dataclass(frozen=True)
class Run:
    """One call of `longform extract`."""

    wall_s: float
    cpu_s: float
    """Of all its processes."""
    pss_mb: float
    """The most at a moment."""
    processes: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="slowfast_4x16_r50", help="preset of one network (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measured(Path(folder), options)
    _print(found)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")


def measured(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """All cases, by batch and by who runs the network."""
    for name, seconds in (("videos", float(SECONDS)), ("short", 0.04)):
        (folder / name).mkdir()
        for seed in range(VIDEOS):
            path = folder / name / f"{seed}.mp4"
            make_clip(path, seconds=seconds, shots=1, figures=1, size_hw=SIZE_HW, fps=Fraction(25), seed=seed)
    cases = {}
    for batch in options.batch:
        runs: dict[str, list[Run]] = {OWN: [], SHARED: []}
        for _ in range(options.repeats):
            for inference, done in runs.items():
                done.append(extract(folder / "videos", folder / f"{inference}{batch}", inference, batch, options))
        equal = _same(folder / f"{OWN}{batch}", folder / f"{SHARED}{batch}")
        summary = {inference: _median(done) for inference, done in runs.items()}
        cases[str(batch)] = summary | {"banks_equal": equal}
    start_up = {
        inference: extract(folder / "short", folder / f"short.{inference}", inference, 1, options).wall_s
        for inference in (OWN, SHARED)
    }
    return {
        "model": options.model,
        "device": options.device,
        "workers": options.workers,
        "cores": os.cpu_count(),
        "video_s": VIDEOS * SECONDS,
        "start_up_s": start_up,
        "by_batch": cases,
    }


def extract(videos: Path, bank: Path, inference: str, batch: int, options: argparse.Namespace) -> Run:
    """Make the bank anew."""
    shutil.rmtree(bank, ignore_errors=True)
    command = [sys.executable, "-m", "pipeline.cli", "extract", str(videos), "--bank", str(bank), "--quiet", "--json"]
    command += ["--preset", options.model, "--weights", "untrained", "--only", "clips", "--set", f"clips.batch={batch}"]
    command += ["--device", options.device, "--workers", str(options.workers), "--inference", inference]
    began = time.monotonic()
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    run = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment)
    pss, cpu_s, most = 0.0, {}, 0
    while run.poll() is None:
        used = {}
        for process in _tree(run.pid):
            with suppress(psutil.Error):
                used[process.pid] = process.memory_full_info().pss
                times = process.cpu_times()
                cpu_s[process.pid] = times.user + times.system
        pss, most = max(pss, sum(used.values())), max(most, len(used))
        time.sleep(SAMPLE_S)
    if run.returncode:
        raise SystemExit(f"{' '.join(command)}: exit status {run.returncode}")
    return Run(time.monotonic() - began, sum(cpu_s.values()), pss / 2**20, most)


def _tree(pid: int) -> list[psutil.Process]:
    with suppress(psutil.Error):
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    return []


def _same(one: Path, other: Path) -> bool:
    command = [sys.executable, "-m", "pipeline.cli", "verify", str(one), "--against", str(other)]
    return subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode == 0


def _median(runs: list[Run]) -> dict[str, float]:
    rows = [asdict(run) for run in runs]
    return {name: statistics.median(row[name] for row in rows) for name in rows[0]}


def _print(found: dict[str, Any]) -> None:
    table = Table("batch", "own s", "shared s", "ratio", "own CPU s", "shared CPU s", "own MiB", "shared MiB", "equal")
    for batch, case in found["by_batch"].items():
        own, shared = case[OWN], case[SHARED]
        numbers = (own["wall_s"], shared["wall_s"], shared["wall_s"] / own["wall_s"], own["cpu_s"], shared["cpu_s"])
        sizes = (f"{own['pss_mb']:.0f}", f"{shared['pss_mb']:.0f}")
        table.add_row(batch, *(f"{number:.2f}" for number in numbers), *sizes, str(case["banks_equal"]))
    console = Console()
    console.print(f"{found['model']} on {found['device']}, {found['workers']} workers, {found['video_s']} s of video")
    console.print(table)
    console.print(f"start-up: own {found['start_up_s'][OWN]:.2f} s, shared {found['start_up_s'][SHARED]:.2f} s")


if __name__ == "__main__":
    main()
