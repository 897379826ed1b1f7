"""A stage as an outside package would ship it, with a bug that chosen videos bring out: in its own process, in C."""

import ctypes
import json
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NoReturn

import pyarrow as pa

from pipeline.stages import Row, Stage
from pipeline.video.frames import Frame
from pipeline.video.probe import MeasuredFacts
from pipeline.video.segments import Segment

TRIGGERS = "LONGFORM_FAULT_TRIGGERS"
"""Environment variable with a JSON file: `{sha256 of a video: [kind, frame]}`. Without it nothing breaks."""
STRIKES = "LONGFORM_FAULT_STRIKES"
"""Environment variable with a file: a line of JSON is added to it before something breaks."""
CRASH, LOOP, EAT = "crash", "loop", "eat"
_BITE_BYTES = 16 << 20


class BreakingStage(Stage):
    """Publishes nothing. Breaks at one frame of a video that is named, and leaves all others alone."""

    name = "breaking"
    publishes = ()

    @property
    def parts(self) -> Mapping[str, pa.Schema]:
        return {"nothing": pa.schema([pa.field("frame", pa.int64())])}

    def open(self, measured: MeasuredFacts, segment: Segment) -> "_Consumer":
        triggers = json.loads(Path(os.environ[TRIGGERS]).read_text()) if TRIGGERS in os.environ else {}
        return _Consumer(measured.sha256, *triggers.get(measured.sha256, (None, 0)))


class _Consumer:
    def __init__(self, sha256: str, kind: str | None, at_frame: int) -> None:
        self._sha256, self._kind, self._at_frame = sha256, kind, at_frame

    def feed(self, frame: Frame) -> Iterable[tuple[str, Row]]:
        if self._kind is not None and frame.index == self._at_frame:
            with open(os.environ[STRIKES], "a") as strikes:
                strikes.write(json.dumps({"sha256": self._sha256, "kind": self._kind, "time": time.time()}) + "\n")
            _break(self._kind)
        return ()

    def wants_more(self) -> bool:
        return False

    def finish(self) -> Iterable[tuple[str, Row]]:
        return ()


def _break(kind: str) -> NoReturn:
    hoard = []
    while True:
        if kind == CRASH:
            ctypes.string_at(0)
        elif kind == EAT:
            hoard.append(bytearray(b"x" * _BITE_BYTES))
            time.sleep(0.01)
