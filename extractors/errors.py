"""What can go wrong inside `extractors`: one class per decision a caller can take."""

from __future__ import annotations


class ExtractorError(Exception):
    """Base of every error this package raises on purpose."""


class MissingDependency(ExtractorError, ImportError):
    """An optional package is absent: install the extra named in the message."""


class ShapeError(ExtractorError, ValueError):
    """An array has the wrong shape or dtype: a bug in the caller."""


class ConfigError(ExtractorError, ValueError):
    """A setting or a name is not one we know: correct it and start again."""


class OrderError(ExtractorError, ValueError):
    """Frames came in the wrong order: feed them by increasing time."""


class WeightsError(ExtractorError, ValueError):
    """A weight file is absent, unsafe, damaged, or does not fit the network: get the one named in the message."""
