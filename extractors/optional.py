"""Import an optional package, or say which step wanted it and which pip extra brings it."""

from __future__ import annotations

import importlib
from typing import Any

from extractors.errors import MissingDependency


def require(module: str, *, step: str, extra: str) -> Any:
    """Import `module` and return it.

    A module that is there but fails to import something of its own raises its own error:
    the package is installed, and hiding why it does not work would help nobody.

    Args:
        module: import name, dots allowed ("transformers.models.detr").
        step: what needs it, in the user's words ("decoding with decord").
        extra: the extra of `longform-video` in setup.cfg that installs it.
    Raises:
        MissingDependency: the package is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise
        raise MissingDependency(
            f"{step} needs the Python package {error.name!r}, which is not installed. "
            f"Run: pip install 'longform-video[{extra}]'",
            name=error.name,
        ) from error
