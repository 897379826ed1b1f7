"""Bank in, predictions out: the analyses that read a feature bank."""

__version__ = "0.1.0"
