"""THE list of extractors: name -> a small builder that imports on use.

Read it to see what there is; nothing heavy is imported before something is built.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from extractors.errors import ConfigError
from extractors.types import Detections

Config = TypeVar("Config")


class Detector(Protocol):
    """What every entry of `DETECTORS` builds."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes that `Detections.classes` counts."""

    def detect(self, frame_rgb: NDArray[np.uint8]) -> Detections:
        """Detections in one (H, W, 3) uint8 RGB frame."""


def _hog(config: dict[str, Any]) -> Detector:
    from extractors.detectors.hog import HogConfig, HogPersonDetector

    return HogPersonDetector(_configured("detector 'hog'", HogConfig, config))


DETECTORS: dict[str, Callable[[dict[str, Any]], Detector]] = {
    "hog": _hog,
}


def build_detector(name: str, **config: Any) -> Detector:
    """A ready detector; `config` are fields of its config dataclass.

    Raises:
        ConfigError: the name or a setting is not known; the message lists those that are.
        MissingDependency: it needs an optional package that is not installed.
    """
    if name not in DETECTORS:
        raise ConfigError(f"No detector is called {name!r}; expected one of: {', '.join(DETECTORS)}.")
    return DETECTORS[name](config)


def _configured(what: str, kind: type[Config], settings: dict[str, Any]) -> Config:
    """An instance of the dataclass `kind`, with an error that lists the fields there are."""
    fields = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    unknown = sorted(settings.keys() - set(fields))
    if unknown:
        raise ConfigError(f"Unknown settings for {what}: {', '.join(unknown)}; expected: {', '.join(fields)}.")
    return kind(**settings)
