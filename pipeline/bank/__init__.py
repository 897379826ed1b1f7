"""The feature bank: Parquet tables, a commit protocol over plain files, and a reader.

``from pipeline.bank import FeatureBank`` is the way in for readers; `writer`, `manifest`, `verify`,
`compact` and `inspect` hold the rest. pyarrow is imported on first use only.
"""

from typing import TYPE_CHECKING, Any

from pipeline.bank.errors import BankError

if TYPE_CHECKING:
    from pipeline.bank.reader import FeatureBank, SpaceInfo, Window

__all__ = ["BankError", "FeatureBank", "SpaceInfo", "Window"]


def __getattr__(name: str) -> Any:
    if name in {"FeatureBank", "SpaceInfo", "Window"}:
        from pipeline.bank import reader

        return getattr(reader, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
