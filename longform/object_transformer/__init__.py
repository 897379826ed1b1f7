"""Object Transformers: tracked boxes of a minute of film as tokens, and what they tell about the film."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from longform.object_transformer.model import build_object_transformer

__all__ = ["build_object_transformer"]


def __getattr__(name: str) -> Any:
    """`build_object_transformer` on first use: it needs torch."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from longform.object_transformer import model

    return getattr(model, name)
