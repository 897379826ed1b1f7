"""What came of one kind of fault: how often it struck, where, and what it cost."""

from dataclasses import dataclass, field


@dataclass(kw_only=True)
class Outcome:
    """A row of the table. Only faults that struck count; each harm is a sentence, so a bad row explains itself."""

    fault: str
    timed: str
    """What the seconds of `strike` measure."""
    struck: dict[str, int] = field(default_factory=dict)
    """How often, by where or how."""
    too_late: int = 0
    """Faults that were sent and found nothing to strike, such as a kill after the end."""
    videos: int = 0
    """Videos in the runs that were struck."""
    lost: list[str] = field(default_factory=list)
    duplicated: list[str] = field(default_factory=list)
    left_over: list[str] = field(default_factory=list)
    hangs: list[str] = field(default_factory=list)
    longest_s: float | None = None
    user_sees: str = ""
    impossible: str = ""
    """Why this fault cannot be injected on this machine."""

    def strike(self, where: str, seconds: float | None = None, times: int = 1) -> None:
        """Count a fault that struck, with the time that it took to be noticed or got over."""
        self.struck[where] = self.struck.get(where, 0) + times
        if seconds is not None:
            self.longest_s = max(self.longest_s or 0.0, round(seconds, 1))

    @property
    def times(self) -> int:
        """How often it struck."""
        return sum(self.struck.values())

    @property
    def is_good(self) -> bool:
        """Whether it struck, and nothing was lost, doubled or left, and nothing hung."""
        if self.impossible:
            return True
        return self.times > 0 and not (self.lost or self.duplicated or self.left_over or self.hangs)
