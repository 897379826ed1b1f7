"""Beam's own subprocess guard beside `pipeline.isolation`: what each makes of a crash, a hang, a leak, a kill.

    python -m benchmarks.isolation

Both run on the local FnApiRunner with two workers, in threads. Each fault stands in one element among 20.
"""

import argparse
import ctypes
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import psutil
from apache_beam.metrics import Metrics
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from pipeline.isolation import Limits, beat, close_all, slots

ELEMENTS = 20
FAULTY = 7
STALL_S = 5.0
RSS_LIMIT = 1 << 30
LONG_S = 2 * STALL_S
"""A slow but healthy element: twice the time limit, with steady progress."""


def work(job: tuple[int, str]) -> int:
    """One element; the faulty one does what the fault says."""
    number, fault = job
    if number != FAULTY:
        return number
    if fault == "crash":
        ctypes.string_at(0)
    elif fault == "hang":
        time.sleep(10_000)
    elif fault == "leak":
        hoard: list[bytearray] = []
        while sum(len(block) for block in hoard) < 3 * RSS_LIMIT:
            hoard.append(bytearray(b"x" * (64 << 20)))
        time.sleep(1)
    elif fault == "slow":
        end = time.monotonic() + LONG_S
        while time.monotonic() < end:
            beat("slow")
            time.sleep(0.1)
    return number


class BeamGuarded(beam.DoFn):
    """The work, for Beam's guard to wrap."""

    def process(self, job: tuple[int, str]) -> Iterator[int]:
        yield work(job)


class OurGuarded(beam.DoFn):
    """The work behind our guard."""

    def process(self, job: tuple[int, str]) -> Iterator[Any]:
        limits = Limits(stall_s=STALL_S, max_rss_bytes=RSS_LIMIT)
        answer = slots(2).call("benchmarks.isolation:work", (job,), limits)
        if answer.error is None:
            yield answer.result
        else:
            error = answer.error
            yield beam.pvalue.TaggedOutput("bad", (job, (None, f"{error.error_class}: {error.message}", [])))


def run(guard: str, fault: str) -> dict:
    """Run 20 elements under a guard; what came out, and how long it took."""
    options = PipelineOptions(["--direct_num_workers=2", "--direct_running_mode=multi_threading"])
    began = time.monotonic()
    pipeline = beam.Pipeline(runner=FnApiRunner(), options=options)
    jobs = pipeline | beam.Create([(i, fault) for i in range(ELEMENTS)]) | beam.Reshuffle()
    if guard == "beam":
        done, failed = jobs | beam.ParDo(BeamGuarded()).with_exception_handling(use_subprocess=True, timeout=STALL_S)
    else:
        outputs = jobs | beam.ParDo(OurGuarded()).with_outputs("bad", main="good")
        done, failed = outputs.good, outputs.bad
    done | "good" >> beam.Map(lambda _: Metrics.counter("bench", "good").inc())
    failed | "bad" >> beam.Map(lambda entry: Metrics.counter("bench", entry[1][1]).inc())
    result = pipeline.run()
    result.wait_until_finish()
    counted = {c.key.metric.name: c.committed for c in result.metrics().query()["counters"]}
    good = counted.pop("good", 0)
    close_all()
    return {"good": good, "bad": counted, "seconds": round(time.monotonic() - began, 1)}


def orphans(guard: str) -> int:
    """Processes that are still there two seconds after the driver was killed at work."""
    command = [sys.executable, "-m", "benchmarks.isolation", "--one", guard, "hang"]
    driver = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(4)
    children = psutil.Process(driver.pid).children(recursive=True)
    driver.kill()
    driver.wait()
    time.sleep(2)
    left = [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
    for child in left:
        child.kill()
    return len(left)


def main() -> None:
    """Print the comparison."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--one", nargs=2, metavar=("GUARD", "FAULT"), help="run one case and print it")
    options = parser.parse_args()
    logging.getLogger().setLevel(logging.CRITICAL)
    if options.one:
        print(json.dumps(run(*options.one)))
        return
    for fault in ("crash", "hang", "leak", "slow"):
        for guard in ("beam", "ours"):
            command = [sys.executable, "-m", "benchmarks.isolation", "--one", guard, fault]
            done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)
            print(f"{fault:6} {guard:5} {done.stdout.strip() or 'the run itself died'}")
    for guard in ("beam", "ours"):
        print(f"driver killed: {guard:5} {orphans(guard)} processes left behind")


if __name__ == "__main__":
    main()
