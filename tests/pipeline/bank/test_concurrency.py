"""Readers and verify beside a writer that replaces and adds videos and a compact that moves them, in processes."""

import multiprocessing
import time
from pathlib import Path
from typing import Any

from pipeline.bank import FeatureBank
from pipeline.bank.compact import compact
from pipeline.bank.verify import verify
from pipeline.bank.writer import BankWriter
from tests.pipeline.bank.helpers import CLIPS, PEOPLE, Video, assert_whole, feature, new_bank, ok_row, publish

VIDEOS = ("a", "b", "c", "d")
SECONDS = 8.0


def generation(video_id: str, number: int) -> Video:
    """All rows carry the number; how many there are follows from it."""
    clips = [feature(video_id, float(k), [number] * 4) for k in range(3 + number % 4)]
    people = [feature(video_id, float(k), [number] * 3) for k in range(2 + number % 3)]
    return Video(video_id, {"features/" + CLIPS: clips, "features/" + PEOPLE: people})


def begin(all_are_there: Any) -> float:
    """When the work is to end, which begins once all processes have started."""
    all_are_there.wait(300)
    return time.monotonic() + SECONDS


def write_on(path: str, all_are_there: Any, failures: Any) -> None:
    try:
        until = begin(all_are_there)
        writer, number = BankWriter.open(path), 1
        while time.monotonic() < until:
            is_new = number % 10 == 0
            content = generation(f"new{number:05d}" if is_new else VIDEOS[number % len(VIDEOS)], number)
            fingerprint = f"{number:016x}"[::-1]
            writer.commit(ok_row(content.video_id, fingerprint), publish(writer, content, fingerprint))
            number += 1
    except Exception as error:  # noqa: BLE001
        failures.put(f"writer: {error!r}")


def compact_on(path: str, all_are_there: Any, failures: Any) -> None:
    try:
        until = begin(all_are_there)
        while time.monotonic() < until:
            compact(path)
    except Exception as error:  # noqa: BLE001
        failures.put(f"compact: {error!r}")


def read_on(path: str, all_are_there: Any, failures: Any) -> None:
    try:
        until = begin(all_are_there)
        bank, reads = FeatureBank.open(path), 0
        while time.monotonic() < until:
            if reads % 5 == 0:
                bank.refresh()
            known = bank.videos()["video_id"].to_pylist()
            assert set(VIDEOS) <= set(known)
            for space, least, cycle in ((CLIPS, 3, 4), (PEOPLE, 2, 3)):
                found: dict[str, list[float]] = {}
                for row in bank.features(space).to_pylist():
                    found.setdefault(row["video_id"], []).append(row["feature"][0])
                assert set(known) <= set(found)
                for numbers in found.values():
                    check_whole(numbers, least, cycle)
                windows = bank.windows(space, [(video_id, 0.0) for video_id in known], 0.0, 100.0)
                for window in windows:
                    check_whole(window.features[:, 0].tolist(), least, cycle)
            if reads % 7 == 0:
                assert verify(path).problems == []
            reads += 1
        assert reads > 0
    except Exception as error:  # noqa: BLE001
        failures.put(f"reader: {error!r}")


def check_whole(numbers: list[float], least: int, cycle: int) -> None:
    assert len(set(numbers)) == 1, f"rows of several commits: {numbers}"
    assert len(numbers) == least + int(numbers[0]) % cycle, f"half a video: {numbers}"


def test_readers_see_whole_videos_while_writers_and_compact_work(tmp_path: Path) -> None:
    writer = new_bank(tmp_path)
    for video_id in VIDEOS:
        writer.commit(ok_row(video_id, "0" * 16), publish(writer, generation(video_id, 0), "0" * 16))
    context = multiprocessing.get_context("spawn")
    failures: Any = context.Queue()
    all_are_there = context.Barrier(3)
    workers = [
        context.Process(target=target, args=(str(tmp_path), all_are_there, failures))
        for target in (write_on, compact_on, read_on)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(300)
        assert worker.exitcode == 0
    assert failures.empty(), failures.get()
    compact(tmp_path)
    assert_whole(tmp_path, warnings=[])
