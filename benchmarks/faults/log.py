"""What a run's `--log` says of the steps that failed."""

import json
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Step:
    """A step of a video that failed."""

    time: float
    """When, in seconds since 1970."""
    step: str
    video_id: str
    process: int
    error_class: str
    message: str


def failed_steps(log: Path) -> list[Step]:
    """The failed steps in a file of `longform extract --log`, in order."""
    events = [json.loads(line) for line in log.read_text().splitlines()]
    return [
        Step(
            time=_seconds(event["time"]),
            step=event["step"],
            video_id=event["video_id"],
            process=event["process"],
            error_class=event["error"]["class"],
            message=event["error"]["message"],
        )
        for event in events
        if event["event"] == "step failed"
    ]


def _seconds(text: str) -> float:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc).timestamp()
