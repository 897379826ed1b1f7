"""The contract of a weight layout: how the tensor names of one code base become ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

State = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class Layout:
    """The tensor names of one code base."""

    name: str
    """As users know it: `pyslowfast`, `caffe2`, `pytorchvideo`."""
    recognises: Callable[[Mapping[str, Tensor]], bool]
    """Whether a file's tensors, by the names in the file, are in this layout."""
    convert: Callable[[Mapping[str, Tensor]], State]
    """The weights under our names. Training history (momentum, counters) is dropped; any other name that is
    not known is kept as it is, so that the loader reports it as unexpected."""
