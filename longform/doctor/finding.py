"""One line of the doctor's answer."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

OK, WARNING, PROBLEM = "ok", "warning", "problem"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What was looked at, and what was found."""

    topic: str
    """`packages`, `video`, `machine`, `devices`, `runners`, `weights` or `bank`."""
    check: str
    status: str
    """`ok`, `warning` (something optional does not work) or `problem` (extraction will fail)."""
    found: str
    advice: str = ""
    """What to do; empty if nothing is to be done."""


Check = Callable[[], Iterable[Finding]]


def examined(topic: str, check: Check) -> list[Finding]:
    """The findings of a check. One that breaks off is a problem of its own, so that the others are still made."""
    findings: list[Finding] = []
    try:
        findings.extend(check())
    except Exception as error:  # noqa: BLE001
        findings.append(
            Finding(
                topic=topic,
                check=topic,
                status=PROBLEM,
                found=f"this check broke off with {type(error).__name__}: {error}",
                advice="Report this line as a fault of longform.",
            )
        )
    return findings
