"""The commit protocol: whatever writers, cleaning and compact do, and wherever they die, readers see whole videos."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from pipeline.bank import FeatureBank
from pipeline.bank.compact import compact, compact_at
from pipeline.bank.writer import BankWriter
from tests.pipeline.bank.helpers import (
    CLIPS,
    PEOPLE,
    Killed,
    Video,
    assert_whole,
    dying,
    feature,
    new_bank,
    ok_row,
    publish,
    put,
)

VIDEOS = st.sampled_from(["a", "b", "c"])


def deaths(operations: int) -> st.SearchStrategy[tuple[int, bool]]:
    """The changing file operation at which a process dies, and whether it dies behind it or before it."""
    return st.tuples(st.sampled_from(range(1, operations + 1)), st.booleans())


Held = dict[str, list[int]]
"""Of each space, the numbers that the rows of a video carry."""


def expected(number: int) -> Held:
    """All rows carry the number of their commit; how many there are follows from it."""
    return {CLIPS: [number] * (1 + number % 4), PEOPLE: [number] * (1 + number % 3)}


def content(video_id: str, number: int) -> Video:
    dims = {CLIPS: 4, PEOPLE: 3}
    return Video(
        video_id,
        {
            f"features/{space}": [feature(video_id, float(k), [n] * dims[space]) for k, n in enumerate(numbers)]
            for space, numbers in expected(number).items()
        },
    )


def held(folder: Path) -> dict[str, Held]:
    """What a reader that comes now finds."""
    bank = FeatureBank.open(folder)
    found: dict[str, Held] = {name: {CLIPS: [], PEOPLE: []} for name in bank.videos()["video_id"].to_pylist()}
    for space in (CLIPS, PEOPLE):
        for row in bank.features(space).to_pylist():
            assert len(set(row["feature"])) == 1
            found[row["video_id"]][space].append(int(row["feature"][0]))
    return found


class Commits(RuleBasedStateMachine):
    """A bank beside a dictionary that says what it must hold."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.old_writer = new_bank(self.folder)
        self.model: dict[str, Held] = {}
        self.number = 0

    @initialize()
    def begin_with_one(self) -> None:
        put(self.old_writer, self.next("a"), self.fingerprint)

    @property
    def fingerprint(self) -> str:
        return f"{self.number:016x}"

    def next(self, video_id: str) -> Video:
        self.number += 1
        self.model[video_id] = expected(self.number)
        return content(video_id, self.number)

    @rule(video_id=VIDEOS, is_new_process=st.booleans())
    def commit(self, video_id: str, is_new_process: bool) -> None:
        writer = BankWriter.open(self.folder) if is_new_process else self.old_writer
        put(writer, self.next(video_id), self.fingerprint)

    @rule(video_id=VIDEOS)
    def commit_twice(self, video_id: str) -> None:
        new = self.next(video_id)
        put(self.old_writer, new, self.fingerprint)
        put(BankWriter.open(self.folder), new, self.fingerprint)

    @rule(video_id=VIDEOS, death=deaths(20))
    def die_before_the_commit(self, video_id: str, death: tuple[int, bool]) -> None:
        before = dict(self.model)
        new = self.next(video_id)
        if self.dies(lambda fs: publish(BankWriter(fs, str(self.folder)), new, self.fingerprint), death):
            self.model = before
        else:
            put(self.old_writer, new, self.fingerprint)

    @rule(video_id=VIDEOS, death=deaths(12))
    def die_in_the_commit(self, video_id: str, death: tuple[int, bool]) -> None:
        before = dict(self.model)
        new = self.next(video_id)
        files, row = publish(self.old_writer, new, self.fingerprint), ok_row(video_id, self.fingerprint)
        if self.dies(lambda fs: BankWriter(fs, str(self.folder)).commit(row, files), death):
            found = held(self.folder)
            assert found in (before, self.model)
            self.model = found

    @rule(death=deaths(25))
    def die_in_compact(self, death: tuple[int, bool]) -> None:
        self.dies(lambda fs: compact_at(fs, str(self.folder)), death)

    @rule(video_id=VIDEOS, death=deaths(6))
    def die_in_cleaning(self, video_id: str, death: tuple[int, bool]) -> None:
        self.dies(lambda fs: BankWriter(fs, str(self.folder)).clean_up(video_id), death)

    @rule()
    def compact(self) -> None:
        compact(self.folder)

    def dies(self, action: Callable[[Any], object], death: tuple[int, bool]) -> bool:
        fs, _ = dying(*death)
        try:
            action(fs)
        except Killed:
            return True
        return False

    @invariant()
    def readers_see_whole_videos(self) -> None:
        assert_whole(self.folder)
        assert held(self.folder) == self.model

    def teardown(self) -> None:
        try:
            compact(self.folder, discard_unfinished=True)
            assert held(self.folder) == self.model
            assert_whole(self.folder, warnings=[])
        finally:
            shutil.rmtree(self.folder)


TestCommits = Commits.TestCase
TestCommits.settings = settings(max_examples=20, stateful_step_count=12, deadline=None)
