"""A model without a network, whose inputs say what is to go wrong; calls and a stage that use it."""

import ctypes
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import pyarrow as pa

from extractors.runtime import Runtime
from pipeline.bank.schema import feature_schema
from pipeline.features.clip_grid import Clip, ClipConsumer, ClipGrid
from pipeline.inference.models import LoadedModel, Model
from pipeline.inference.queues import queue_of
from pipeline.inference.shared_arrays import Arrays
from pipeline.isolation import beat
from pipeline.stages import Row, Stage
from pipeline.tallies import taken
from pipeline.video.frames import Frame
from pipeline.video.geometry import PictureSpec
from pipeline.video.probe import MeasuredFacts
from pipeline.video.segments import Segment

CRASH, HANG, RAISE, LOSE_DEVICE, HOARD = 100, 101, 102, 103, 104


@dataclass(frozen=True)
class Adding(Model):
    """`numbers` (n,) -> their `sum`, how many were answered `together`, and the process that did it."""

    most: int = 1
    seconds: float = 0.0
    """What an answer takes."""

    @property
    def batch(self) -> int:
        return self.most

    def load(self, runtime: Runtime) -> LoadedModel:
        return _Loaded(self, runtime)


class _Loaded(LoadedModel):
    def __init__(self, model: Adding, runtime: Runtime) -> None:
        self._model, self._runtime = model, runtime
        self._halved = 0

    @property
    def halved(self) -> int:
        return self._halved

    def run(self, requests: Sequence[Arrays]) -> list[Arrays]:
        for request in requests:
            _go_wrong(int(request["numbers"][0]))
        time.sleep(self._model.seconds)
        self._halved += 1
        together = np.array([len(requests), os.getpid()])
        return [{"sum": request["numbers"].sum(keepdims=True), "together": together} for request in requests]


def _go_wrong(how: int) -> None:
    if how == CRASH:
        ctypes.string_at(0)
    elif how == HANG:
        time.sleep(1000)
    elif how == RAISE:
        raise ValueError("too much")
    elif how == LOSE_DEVICE:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")
    elif how == HOARD:
        hoard = []
        while True:
            hoard.append(b"x" * (32 << 20))
            time.sleep(0.01)


def add(numbers: Sequence[int], model: Adding, device: str = "cpu") -> list[tuple[int, int, int, int]]:
    """Of each number, in order of the answers: itself, the sum of it and 1, how many together, and by whom."""
    taken()
    queue = queue_of(model, Runtime(device=device, shared=True))
    answered = []
    for number in numbers:
        beat("clips", float(number))
        answered += queue.put({"numbers": np.array([number, 1])}, number)
    answered += queue.flush()
    return [(number, int(answer["sum"][0]), *answer["together"].tolist()) for number, answer in answered]


def add_when_all_are_there(
    numbers: Sequence[int], model: Adding, meeting: Path, others: int
) -> tuple[list[tuple[int, int, int, int]], int]:
    """As `add`, once so many children are at it; and how many batches were counted as halved."""
    meeting.mkdir(exist_ok=True)
    (meeting / str(os.getpid())).touch()
    while len(list(meeting.iterdir())) < others:
        time.sleep(0.01)
    return add(numbers, model), taken().get("batches_halved", 0)


def leave_in_flight(numbers: Sequence[int], model: Adding) -> None:
    """Ask, and fail before the answers are there."""
    queue = queue_of(model, Runtime(shared=True))
    for number in numbers:
        list(queue.put({"numbers": np.array([number, 1])}, number))
    raise ValueError("the video ends here")


def die_in_flight(numbers: Sequence[int], model: Adding) -> None:
    """Ask, and crash."""
    queue = queue_of(model, Runtime(shared=True))
    for number in numbers:
        list(queue.put({"numbers": np.array([number, 1])}, number))
    ctypes.string_at(0)


SPACE = "frame.height"


class HeightStage(Stage):
    """The height of a frame a second, as the sum of a shared model; frames lower than 50 px crash it."""

    name = "heights"
    publishes = (f"features/{SPACE}",)

    @property
    def spaces(self) -> Mapping[str, int]:
        return {SPACE: 1}

    @property
    def parts(self) -> Mapping[str, pa.Schema]:
        return {f"features/{SPACE}": pa.schema([field for field in feature_schema(1) if field.name != "video_id"])}

    def open(self, measured: MeasuredFacts, segment: Segment) -> "_Measuring":
        return _Measuring(measured, segment)


class _Measuring(ClipConsumer[int]):
    def __init__(self, measured: MeasuredFacts, segment: Segment) -> None:
        super().__init__(ClipGrid(measured, segment, Fraction(1), [Fraction(0)]))
        self._queue = queue_of(Adding(most=4), Runtime(shared=True))

    def prepare(self, frame: Frame, until_pts: int | None) -> int:
        return frame.picture(PictureSpec()).shape[0]

    def rows(self, clip: Clip[int]) -> Iterator[tuple[str, Row]]:
        height = clip.pictures[0]
        numbers = np.array([height if height >= 50 else CRASH])
        yield from self._answered(
            self._queue.put({"numbers": numbers}, dict.fromkeys(("at_s", "start_s", "end_s"), float(clip.index)))
        )

    def finish(self) -> Iterator[tuple[str, Row]]:
        yield from super().finish()
        yield from self._answered(self._queue.flush())

    def _answered(self, answers: Iterator[tuple[Row, Arrays]]) -> Iterator[tuple[str, Row]]:
        for times, answer in answers:
            yield f"features/{SPACE}", times | {"feature": answer["sum"].astype(np.float32)}
