"""Versions of the packages that longform needs, against its own requirements."""

import importlib.metadata
import platform
from collections.abc import Iterator

from packaging.requirements import Requirement

from longform.doctor.finding import OK, PROBLEM, WARNING, Finding

DISTRIBUTION = "longform-video"
EXTRAS = {
    "decord": "the decoder decord",
    "hf": "detectors and text search by Hugging Face transformers",
    "tensorboard": "longform train --log tensorboard",
    "cloud": "banks on further object stores",
    "gpu": "vector indexes made on a GPU",
}
"""Optional extras of the distribution, and what they bring."""

TOPIC = "packages"
MISSING = "is not installed"


def packages() -> Iterator[Finding]:
    """Python, every required package, and one finding for each extra."""
    yield Finding(topic=TOPIC, check="Python", status=OK,
                  found=f"{platform.python_implementation()} {platform.python_version()}")  # fmt: skip
    try:
        wanted = [Requirement(text) for text in importlib.metadata.requires(DISTRIBUTION) or ()]
    except importlib.metadata.PackageNotFoundError:
        yield Finding(topic=TOPIC, check=DISTRIBUTION, status=PROBLEM, found="not installed as a package",
                      advice="Run: pip install -e . in the checkout.")  # fmt: skip
        return
    yield _core([want for want in wanted if want.marker is None or want.marker.evaluate({"extra": ""})])
    for extra, purpose in EXTRAS.items():
        if of_extra := [want for want in wanted if _is_of(want, extra)]:
            yield _extra(extra, purpose, of_extra)


def _core(wanted: list[Requirement]) -> Finding:
    faults = [fault for want in wanted if (fault := _fault(want))]
    if not faults:
        return Finding(topic=TOPIC, check="required", status=OK, found=f"all {len(wanted)} packages fit")
    return Finding(topic=TOPIC, check="required", status=PROBLEM, found="; ".join(faults),
                   advice=f"Run: pip install --upgrade {DISTRIBUTION}")  # fmt: skip


def _extra(extra: str, purpose: str, wanted: list[Requirement]) -> Finding:
    """An extra that is not there is in order; one that is there in the wrong version is not."""
    faults = [fault for want in wanted if (fault := _fault(want))]
    if not faults:
        return Finding(topic=TOPIC, check=f"extra {extra}", status=OK, found="installed")
    status = OK if all(fault.endswith(MISSING) for fault in faults) else WARNING
    return Finding(topic=TOPIC, check=f"extra {extra}", status=status, found="; ".join(faults),
                   advice=f"For {purpose}: pip install '{DISTRIBUTION}[{extra}]'")  # fmt: skip


def _is_of(want: Requirement, extra: str) -> bool:
    return (
        want.marker is not None and want.marker.evaluate({"extra": extra}) and not want.marker.evaluate({"extra": ""})
    )


def _fault(want: Requirement) -> str | None:
    """What is wrong with an installed package; None if it fits."""
    try:
        version = importlib.metadata.version(want.name)
    except importlib.metadata.PackageNotFoundError:
        return f"{want.name} {MISSING}"
    if want.specifier.contains(version, prereleases=True):
        return None
    return f"{want.name} is {version}, expected {want.specifier}"
