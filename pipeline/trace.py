"""A run as a trace that Perfetto and chrome://tracing open: the JSON array form of Chrome's trace events.

One process of the trace is a worker, one thread of it a child process. On a thread lie the steps, and below each the
spans of its stages. The file is written as the run goes; without its last line, after a kill, it still opens.
"""

import json
import zlib
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.events import StepEvent

_US_PER_S = 1_000_000


class TraceFile:
    """Writes events to an open text file; not for several threads at once."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self._named: set[tuple[int, int]] = set()
        self._is_empty = True
        file.write("[\n")

    def add(self, event: "StepEvent") -> None:
        """A step as a span, and its stages below it."""
        place = {"pid": _process_of(event), "tid": event.process}
        self._name(event, place)
        about: dict[str, Any] = {"video_id": event.video_id, "segment": event.segment, "peak_mb": event.peak_mb}
        if event.error is not None:
            about |= {"error": f"{event.error['class']}: {event.error['message']}"}
        self._write(_span(event.step, event.began_s, event.seconds) | place | {"args": about})
        for name, start_s, duration_s in event.spans:
            self._write(_span(name, start_s, duration_s) | place)
        self._file.flush()

    def close(self) -> None:
        """End the array, and the file."""
        self._file.write("\n]\n")
        self._file.close()

    def _name(self, event: "StepEvent", place: dict[str, int]) -> None:
        for kind, number, name in (
            ("process_name", 0, f"worker {event.worker} on {event.host}"),
            ("thread_name", event.process, f"process {event.process}"),
        ):
            if (place["pid"], number) not in self._named:
                self._named.add((place["pid"], number))
                self._write({"name": kind, "ph": "M", **place, "args": {"name": name}})

    def _write(self, entry: dict[str, Any]) -> None:
        self._file.write(("" if self._is_empty else ",\n") + json.dumps(entry))
        self._is_empty = False


def _span(name: str, start_s: float, duration_s: float) -> dict[str, Any]:
    start, end = round(start_s * _US_PER_S), round((start_s + duration_s) * _US_PER_S)
    return {"name": name, "ph": "X", "ts": start, "dur": end - start}


def _process_of(event: "StepEvent") -> int:
    """A number for the worker: process ids of two machines may be the same."""
    return zlib.crc32(f"{event.host} {event.worker}".encode()) & 0x7FFFFFFF
