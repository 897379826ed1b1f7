"""Python imports this at start-up where its folder is on the path: the wall clock of the process then jumps.

The environment variable LONGFORM_FAULT_CLOCK holds JSON: `jumps`, pairs of a moment of the monotonic clock, which all
processes of a machine share, and the seconds that are added to the wall clock from then on; and `seen`, a file to which
`<number of the jump> <process id>` is added when a process first reads the clock after a jump.

What Python code reads in module `time` is moved. Clocks that C code reads itself cannot be moved so: datetime's, those
of Arrow and the file system, and the one of gRPC's core, to which the Python half of gRPC hands moments by `time.time`.
A true jump moves both halves, so a shift of one of them would be a fault that no clock makes; gRPC keeps the true time.
"""

import json
import os
import sys
import time
from bisect import bisect
from typing import Any

_VARIABLE = "LONGFORM_FAULT_CLOCK"


def _move(jumps: list[tuple[float, float]], seen: str) -> None:
    """Replace what reads the wall clock in module `time`; monotonic and CPU clocks stay."""
    true_ns = time.time_ns
    moments = [moment for moment, _ in jumps]
    noted = [0]

    def offset_s() -> float:
        passed = bisect(moments, time.monotonic())
        if passed > noted[0]:
            noted[0] = passed
            with open(seen, "a") as file:
                file.write(f"{passed - 1} {os.getpid()}\n")
        return jumps[passed - 1][1] if passed else 0.0

    def moved_ns() -> int:
        return true_ns() if _is_grpc() else true_ns() + round(1e9 * offset_s())

    def of_now(function: Any) -> Any:
        return lambda seconds=None: function(moved_ns() / 1e9 if seconds is None else seconds)

    moved = {name: of_now(getattr(time, name)) for name in ("gmtime", "localtime", "ctime")}
    formatted = time.strftime
    moved["strftime"] = lambda form, when=None: formatted(form, moved["localtime"]() if when is None else when)
    vars(time).update(moved, time=lambda: moved_ns() / 1e9, time_ns=moved_ns)


def _is_grpc() -> bool:
    """Whether the clock is read by gRPC, whose compiled parts have no frames of their own."""
    frame = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__") == __name__:
        frame = frame.f_back  # type: ignore[assignment]
    return frame is None or frame.f_globals.get("__name__", "").split(".")[0] == "grpc"


if _VARIABLE in os.environ:
    _facts = json.loads(os.environ[_VARIABLE])
    _move([tuple(jump) for jump in _facts["jumps"]], _facts["seen"])
