"""`extract --retry`: the failures of a kind again, and nothing else.

Any run tries the failed videos among its inputs again. A retry takes only these, of them only those that failed in
the given way, and finds them where the bank says they were.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.bank.reader import FeatureBank
from pipeline.errors import ConfigError, InputError
from pipeline.inputs import video_at
from pipeline.jobs import VideoSource
from pipeline.printing import some

ALL = "all"
_COLUMNS = {"stage": "error_stage", "class": "error_class"}


@dataclass(frozen=True, slots=True)
class FailureKind:
    """A kind of failure: a value of a column of table videos; without a column every failure."""

    column: str | None
    value: str = ""

    def matches(self, row: dict[str, Any]) -> bool:
        """Whether the row of a failed video is of this kind."""
        return self.column is None or row[self.column] == self.value


def parse_kind(text: str) -> FailureKind:
    """`all`, `stage=decode`, `class=Crashed`. Raises ConfigError."""
    if text == ALL:
        return FailureKind(None)
    name, equals, value = text.partition("=")
    if name not in _COLUMNS or not equals or not value:
        raise ConfigError(f"--retry takes all, stage=NAME or class=NAME: got {text!r}.")
    return FailureKind(_COLUMNS[name], value)


@dataclass(frozen=True, kw_only=True)
class RetryPlan:
    """What `extract --retry` is to do."""

    videos: tuple[VideoSource, ...]
    """Failed videos of these kinds."""
    todo: tuple[VideoSource, ...]
    """Of these, the ones that are still there."""

    @property
    def gone(self) -> list[str]:
        """Ids of the others; their rows stay as they are."""
        return sorted({video.video_id for video in self.videos} - {video.video_id for video in self.todo})


def plan_retry(bank: str, kinds: Sequence[str], given: Sequence[VideoSource]) -> RetryPlan:
    """The failed videos of a bank that are of one of `kinds`, among `given` if there are any.

    Raises:
        ConfigError: one of `kinds` is none.
        InputError: nothing failed in this way, or none of the videos is where the bank says.
        NotABankError: there is no bank.
    """
    wanted = [parse_kind(text) for text in kinds]
    places = {video.video_id: video for video in given}
    rows = [row for row in FeatureBank.open(bank).videos().to_pylist() if row["status"] == "failed"]
    rows = [row for row in rows if not places or row["video_id"] in places]
    matching = [row for row in rows if any(kind.matches(row) for kind in wanted)]
    if rows and not matching:
        raise InputError(f"No video failed with {' or '.join(kinds)}. What failed: {_kinds_of(rows)}.")
    videos = [places.get(row["video_id"]) or video_at(row["uri"], row["video_id"]) for row in matching]
    plan = RetryPlan(videos=tuple(videos), todo=tuple(video for video in videos if video.bytes))
    if plan.gone and not plan.todo:
        raise InputError(
            f"Cannot retry {some(plan.gone)}: not there any more, or empty. Give their files or folders as INPUT."
        )
    return plan


def _kinds_of(rows: Sequence[dict[str, Any]]) -> str:
    counts = Counter((row["error_stage"], row["error_class"]) for row in rows).most_common()
    return ", ".join(f"{count} with stage={stage} class={name}" for (stage, name), count in counts)
