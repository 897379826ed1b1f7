"""Weights of networks: cards of the public files, their store, and how each kind is read and loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from extractors.weights.load import LoadReport, load_weights, save_weights

__all__ = ["LoadReport", "load_weights", "save_weights"]


def __getattr__(name: str) -> Any:
    """The names above on first use: they need torch, the cards do not."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from extractors.weights import load

    return getattr(load, name)
