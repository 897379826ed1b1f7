"""A stage that breaks its process on chosen files, to see what a run makes of it."""

import ctypes
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pyarrow as pa

from pipeline.stages import Row, Stage
from pipeline.video.frames import Frame
from pipeline.video.probe import MeasuredFacts
from pipeline.video.segments import Segment


@dataclass(frozen=True, kw_only=True)
class TroubleConfig:
    """What to do in a video of so many frames: `{num_frames: "crash" | "hang" | "eat" | "raise"}`."""

    by_num_frames: tuple[tuple[int, str], ...] = ()


class TroubleStage(Stage):
    """Breaks at the fifth frame of the videos it was told to break on."""

    name = "trouble"
    publishes = ()

    def __init__(self, config: TroubleConfig | None = None) -> None:
        self.config = config or TroubleConfig()

    @property
    def parts(self) -> Mapping[str, pa.Schema]:
        return {"nothing": pa.schema([pa.field("frame", pa.int64())])}

    def open(self, measured: MeasuredFacts, segment: Segment) -> "_Trouble":
        return _Trouble(dict(self.config.by_num_frames).get(measured.num_frames))

    def finish(self, measured, inputs):
        return iter(())


class _Trouble:
    def __init__(self, kind: str | None) -> None:
        self._kind = kind

    def feed(self, frame: Frame) -> Iterable[tuple[str, Row]]:
        if self._kind and frame.index == 5:
            _break(self._kind)
        return ()

    def wants_more(self) -> bool:
        return False

    def finish(self) -> Iterable[tuple[str, Row]]:
        return ()


def _break(kind: str) -> None:
    if kind == "crash":
        ctypes.string_at(0)
    elif kind == "hang":
        time.sleep(10_000)
    elif kind == "eat":
        hoard = []
        while True:
            hoard.append(bytearray(b"x" * (64 << 20)))
            time.sleep(0.01)
    else:
        raise ValueError("this video is not liked")
