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


def _faster_rcnn(name: str, body: str) -> Callable[[dict[str, Any]], Detector]:
    def build(config: dict[str, Any]) -> Detector:
        from extractors.detectors.faster_rcnn_builder import FasterRCNNSettings, build_faster_rcnn, card_options

        what = f"detector {name!r}"
        asked = _configured(what, FasterRCNNSettings, config)
        merged = {"body": body, **card_options(name, asked.weights), **config}
        return build_faster_rcnn(_configured(what, FasterRCNNSettings, merged))

    return build


DETECTORS: dict[str, Callable[[dict[str, Any]], Detector]] = {
    "hog": _hog,
    "faster_rcnn_r50_fpn": _faster_rcnn("faster_rcnn_r50_fpn", "r50"),
    "faster_rcnn_r101_fpn": _faster_rcnn("faster_rcnn_r101_fpn", "r101"),
    "faster_rcnn_x101_fpn": _faster_rcnn("faster_rcnn_x101_fpn", "x101_32x8d"),
}


def _hugging_face(repo_or_folder: str, config: dict[str, Any]) -> Detector:
    from extractors.detectors.hugging_face import HuggingFaceConfig, build_hugging_face

    settings = _configured(f"detector 'hf:{repo_or_folder}'", HuggingFaceConfig, config)
    return build_hugging_face(repo_or_folder, **dataclasses.asdict(settings))


def _detectron2(config_file: str, config: dict[str, Any]) -> Detector:
    from extractors.detectors.detectron2_adapter import Detectron2Config, build_detectron2

    settings = _configured(f"detector 'detectron2:{config_file}'", Detectron2Config, config)
    return build_detectron2(config_file, **dataclasses.asdict(settings))


ADAPTERS: dict[str, Callable[[str, dict[str, Any]], Detector]] = {"hf": _hugging_face, "detectron2": _detectron2}
"""Detectors of other packages, named `<adapter>:<what it loads>`."""


def build_detector(name: str, **config: Any) -> Detector:
    """A ready detector; `config` are fields of its config dataclass.

    Raises:
        ConfigError: the name or a setting is not known; the message lists those that are.
        MissingDependency: it needs an optional package that is not installed.
        WeightsError: it needs weights, and none are named, or they are not there; the message says how to get them.
    """
    prefix, colon, rest = name.partition(":")
    if colon and prefix in ADAPTERS:
        return ADAPTERS[prefix](rest, config)
    if name not in DETECTORS:
        raise ConfigError(
            f"No detector is called {name!r}; expected one of: {', '.join(DETECTORS)}, hf:<repository or folder>, "
            "detectron2:<config file>."
        )
    return DETECTORS[name](config)


def _configured(what: str, kind: type[Config], settings: dict[str, Any]) -> Config:
    """An instance of the dataclass `kind`, with an error that lists the fields there are."""
    fields = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    unknown = sorted(settings.keys() - set(fields))
    if unknown:
        raise ConfigError(f"Unknown settings for {what}: {', '.join(unknown)}; expected: {', '.join(fields)}.")
    return kind(**settings)
