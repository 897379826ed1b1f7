"""The stage contract: what an extractor must say and do to take part in a run.

A stage has up to two halves. The *segment half* sees the frames of one segment, in display order, together
with all other stages and from one decode; it emits rows of named *parts*. The *video half* sees the parts of
the whole video, in time order, and emits rows of the tables and feature spaces that the bank publishes.

    frames of a segment -> open().feed(frame) ... finish() -> parts (staged, one file per segment)
    parts of a video    -> finish(inputs)                  -> tables and spaces (published together)

Rules that keep a split run equal to an unsplit one:
 - look forward only: a consumer may read frames past the end of its segment (`wants_more`), never before it;
 - own by the start: what begins at a frame belongs to the segment that owns that frame (`Segment.owns`);
 - decide by timestamps (`Clock.starts_grid_step`), never by counting from the start of a segment.

A stage that wants no decoded frames, because it reads packets itself, says `reads_frames = False` and has `read`
instead of `open`.

An outside package registers a stage with an entry point of group `longform.stages` whose object is a callable
without arguments that returns a `Stage`; `longform extract --stage NAME` adds it to a preset. Stages are
pickled to worker processes, so what they load (networks) they load on the first `open`.
"""

import copy
import dataclasses
import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar, Protocol, TypeAlias

import pyarrow as pa

from pipeline.video.frames import DecodeStats, Frame
from pipeline.video.probe import MeasuredFacts
from pipeline.video.segments import Segment

Row = dict[str, Any]
Rows: TypeAlias = list[Row] | pa.RecordBatch
"""Some rows of a table, without `video_id`."""


class FrameConsumer(Protocol):
    """The segment half of a stage at work on one segment."""

    def feed(self, frame: Frame) -> Iterable[tuple[str, Row]]:
        """Take the next frame; give `(part, row)` for whatever is complete now."""

    def wants_more(self) -> bool:
        """Whether frames past the end of the segment are still needed."""

    def finish(self) -> Iterable[tuple[str, Row]]:
        """The rest, when there are no more frames."""


class FinishInputs(Protocol):
    """What the video half of a stage can read."""

    def part(self, stage: str, name: str) -> Iterator[pa.RecordBatch]:
        """Rows of a part of `stage` over the whole video, in time order."""

    def table(self, name: str) -> pa.Table:
        """A table that a stage in `needs` publishes for this video."""


class Stage(ABC):
    """One extractor in a run. Subclasses are cheap to build and to pickle."""

    name: str
    version: ClassVar[int] = 1
    """Raised when the same config gives other results than before."""
    needs: tuple[str, ...] = ()
    """Stages whose parts or tables `finish` reads; a change of theirs runs this one again."""
    reads_frames: ClassVar[bool] = True
    """Whether the segment half is fed decoded frames, by `open`; otherwise it reads the file itself, by `read`."""
    config: Any = None
    """A frozen dataclass; its values enter the fingerprint."""

    def with_config(self, config: Any) -> "Stage":
        """The same stage with another config."""
        changed = copy.copy(self)
        changed.config = config
        return changed

    @property
    def parts(self) -> Mapping[str, pa.Schema]:
        """Schemas of the parts a segment writes, without `video_id`; empty for a stage without a segment half."""
        return {}

    @property
    @abstractmethod
    def publishes(self) -> tuple[str, ...]:
        """Tables (`shots`) and spaces (`features/<space>`) that `finish` gives rows of."""

    @property
    def spaces(self) -> Mapping[str, int]:
        """Dimension of each feature space that this stage makes."""
        return {}

    @property
    def key(self) -> str:
        """Under what the bank files the results: new ones replace old ones of the same key.

        The name; for a stage that publishes feature spaces only also these, so that the clips of one network stay
        when those of another are added.
        """
        if self.spaces and set(self.publishes) == {f"features/{space}" for space in self.spaces}:
            return f"{self.name}:{','.join(sorted(self.spaces))}"
        return self.name

    @property
    def weights(self) -> Mapping[str, str]:
        """sha256 of each weight file by name; they enter the fingerprint."""
        return {}

    def feature_cards(self) -> Mapping[str, dict]:
        """Of each feature space what a user must know to trust or rebuild it, as JSON values."""
        return {}

    def open(self, measured: MeasuredFacts, segment: Segment) -> FrameConsumer:
        """Begin with a segment."""
        raise NotImplementedError(f"Stage {self.name!r} reads no frames.")

    def read(
        self, uri: str, measured: MeasuredFacts, segment: Segment, stats: DecodeStats
    ) -> Iterable[tuple[str, Row]]:
        """`(part, row)` of a segment from the file itself, where `reads_frames` is False; counts what it decodes."""
        raise NotImplementedError(f"Stage {self.name!r} does not read files itself.")

    def finish(self, measured: MeasuredFacts, inputs: FinishInputs) -> Iterator[tuple[str, Rows]]:
        """`(table, rows)`, one table after another, each in time order.

        By default the parts that have the name of a published table are published as they are.
        """
        for name in (part for part in self.parts if part in self.publishes):
            for batch in inputs.part(self.name, name):
                yield name, batch

    def settings(self) -> dict:
        """What decides the result: name, version, config and weights, as plain JSON values."""
        config = None if self.config is None else dataclasses.asdict(self.config)
        kind = f"{type(self).__module__}.{type(self).__qualname__}"
        described = {"name": self.name, "kind": kind, "version": self.version}
        return described | {"config": config, "weights": dict(self.weights)}


def fingerprints(stages: Iterable[Stage], source_sha256: str, decoder: str) -> dict[str, str]:
    """sha256 of what decides each stage's result for one source: settings, decoder, and the stages it needs.

    `stages` are in an order in which each comes after those it needs.
    """
    known: dict[str, str] = {}
    for stage in stages:
        basis = {
            "settings": stage.settings(),
            "source": source_sha256,
            "decoder": decoder,
            "needs": {need: known[need] for need in stage.needs},
        }
        known[stage.name] = hashlib.sha256(json.dumps(basis, sort_keys=True, default=str).encode()).hexdigest()
    return known
