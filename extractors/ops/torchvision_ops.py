"""torchvision's operators, where they are installed and wanted in place of those in plain torch."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

from extractors.errors import ConfigError, MissingDependency

BACKENDS = ("auto", "torch", "torchvision")
HAS_TORCHVISION = importlib.util.find_spec("torchvision") is not None


def torchvision_ops(backend: str, operator: str) -> Any | None:
    """`torchvision.ops`, or None where `operator` is to run in plain torch.

    Args:
        backend: `torch`, `torchvision`, or `auto`: torchvision where it is installed.
        operator: its name, for errors.
    Raises:
        ConfigError: the backend is not known.
        MissingDependency: `torchvision` is asked for, and not installed.
    """
    if backend not in BACKENDS:
        raise ConfigError(f"{operator} backend {backend!r} is not known; expected one of: {', '.join(BACKENDS)}.")
    if backend == "torch" or (backend == "auto" and not HAS_TORCHVISION):
        return None
    if not HAS_TORCHVISION:
        raise MissingDependency(
            f"{operator} with backend 'torchvision' needs the package torchvision, which is not installed. "
            "Install the one for your torch, or use backend 'torch'.",
            name="torchvision",
        )
    return importlib.import_module("torchvision.ops")
