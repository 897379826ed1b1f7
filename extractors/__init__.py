"""Arrays in, arrays out: detectors, appearance, tracks, shots and clip features.

Knows no paths, tables or video ids. Importing it is quick: models, OpenCV and torch are imported
by the modules that use them, which `build_detector` and its kin load on first use.
"""

from typing import TYPE_CHECKING, Any

from extractors.backbones.catalog import build_backbone
from extractors.catalog import DETECTORS, Detector, build_detector
from extractors.errors import ConfigError, ExtractorError, MissingDependency, OrderError, ShapeError
from extractors.types import Detections

if TYPE_CHECKING:
    from extractors.weights.load import load_weights

__all__ = [
    "DETECTORS",
    "ConfigError",
    "Detections",
    "Detector",
    "ExtractorError",
    "MissingDependency",
    "OrderError",
    "ShapeError",
    "build_backbone",
    "build_detector",
    "load_weights",
]


def __getattr__(name: str) -> Any:
    """`load_weights` on first use: it needs torch."""
    if name != "load_weights":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from extractors.weights.load import load_weights

    return load_weights
