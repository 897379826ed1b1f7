"""Death at every changing file operation of a commit and of compact: what is visible stays whole."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.bank import FeatureBank
from pipeline.bank.compact import compact, compact_at
from pipeline.bank.writer import BankWriter
from tests.pipeline.bank.helpers import (
    CLIPS,
    Killed,
    Video,
    assert_whole,
    dying,
    everything,
    new_bank,
    put,
    video,
)

AGAIN = "e" * 16


def small(video_id: str, seed: int) -> Video:
    """Two tables are enough to see half a video, and quick."""
    content = video(video_id, seed=seed)
    return Video(video_id, {name: content.rows[name] for name in ("shots", "features/" + CLIPS)})


def answers(path: Path) -> Any:
    return everything(FeatureBank.open(path))


def deaths(before: Path, action: Callable[[Any], None], work: Path) -> Any:
    """Runs the action on copies of a bank, dying before and after each of its operations."""
    for after in (False, True):
        n = 0
        while True:
            n += 1
            shutil.rmtree(work, ignore_errors=True)
            shutil.copytree(before, work)
            fs, handler = dying(n, after)
            try:
                action(fs)
            except Killed:
                yield n, after
                continue
            assert handler.count < n
            assert n > 5
            break


@pytest.mark.parametrize("compacted", [False, True])
def test_commit(tmp_path: Path, compacted: bool) -> None:
    old, work = tmp_path / "old", tmp_path / "work"
    writer = new_bank(old)
    for name in ("v", "other"):
        put(writer, small(name, seed=1))
    if compacted:
        compact(old)
    shutil.copytree(old, tmp_path / "new")
    put(BankWriter.open(tmp_path / "new"), small("v", seed=2), AGAIN)
    allowed = [answers(old), answers(tmp_path / "new")]
    seen = set()
    for _ in deaths(old, lambda fs: put(BankWriter(fs, str(work)), small("v", seed=2), AGAIN), work):
        assert_whole(work)
        found = answers(work)
        assert found in allowed
        seen.add(allowed.index(found))
        put(BankWriter.open(work), small("v", seed=2), AGAIN)
        assert answers(work) == allowed[1]
        assert BankWriter.open(work).current_row("v") == BankWriter.open(tmp_path / "new").current_row("v")
        assert_whole(work, warnings=[])
    assert seen == {0, 1}


def test_commit_then_compact_instead_of_a_second_try(tmp_path: Path) -> None:
    old, work = tmp_path / "old", tmp_path / "work"
    put(new_bank(old), small("v", seed=1))
    for _ in deaths(old, lambda fs: put(BankWriter(fs, str(work)), small("v", seed=2), AGAIN), work):
        before = answers(work)
        compact(work)
        assert answers(work) == before
        compact(work, discard_unfinished=True)
        assert answers(work) == before
        assert_whole(work, warnings=[])


def test_compact(tmp_path: Path) -> None:
    old, work = tmp_path / "old", tmp_path / "work"
    writer = new_bank(old)
    for i in range(2):
        put(writer, small(f"v{i}", seed=i))
    compact(old)
    put(writer, small("v1", seed=5), AGAIN)
    put(writer, small("v2", seed=2))
    expected = answers(old)
    for count, _ in enumerate(deaths(old, lambda fs: compact_at(fs, str(work)), work)):
        assert_whole(work)
        assert answers(work) == expected
        if count % 2:  # a commit may come before the next compact
            put(BankWriter.open(work), small("v0", seed=0), "d" * 16)
            assert_whole(work)
            assert answers(work) == expected
        compact(work)
        assert answers(work) == expected
        assert_whole(work, warnings=[])
        assert len(list((work / "videos").iterdir())) == 1
