"""The feature bank: Parquet tables, a commit protocol over plain files, and a reader.

``from pipeline.bank import FeatureBank`` is the way in for readers, with `WindowDataset` for training loops;
`writer`, `manifest`, `verify`, `compact`, `inspect` and `sql` hold the rest. What a name needs is imported
on first use only.
"""

import importlib
from typing import TYPE_CHECKING, Any

from pipeline.bank.errors import BankError

if TYPE_CHECKING:
    from pipeline.bank.reader import FeatureBank, SpaceInfo
    from pipeline.bank.window_dataset import WindowDataset
    from pipeline.bank.windows import PaddedWindows, Window, WindowGrid, pad_windows

__all__ = [
    "BankError",
    "FeatureBank",
    "PaddedWindows",
    "SpaceInfo",
    "Window",
    "WindowDataset",
    "WindowGrid",
    "pad_windows",
]

_HOMES = {
    "reader": {"FeatureBank", "SpaceInfo"},
    "window_dataset": {"WindowDataset"},
    "windows": {"PaddedWindows", "Window", "WindowGrid", "pad_windows"},
}


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"pipeline.bank.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
