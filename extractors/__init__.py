"""Arrays in, arrays out: detectors, appearance, tracks, shots and clip features.

Knows no paths, tables or video ids. Importing it is quick: models, OpenCV and torch are imported
by the modules that use them, which `build_detector` and its kin load on first use.
"""

from extractors.catalog import DETECTORS, Detector, build_detector
from extractors.errors import ConfigError, ExtractorError, MissingDependency, OrderError, ShapeError
from extractors.types import Detections

__all__ = [
    "DETECTORS",
    "ConfigError",
    "Detections",
    "Detector",
    "ExtractorError",
    "MissingDependency",
    "OrderError",
    "ShapeError",
    "build_detector",
]
