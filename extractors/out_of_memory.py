"""Batches that do not fit into the memory of a device are halved, and the work goes on."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

_TEXTS = (
    "CUDA out of memory",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "MPS backend out of memory",
    "DefaultCPUAllocator: can't allocate memory",
    "DefaultCPUAllocator: not enough memory",
)
"""Of RuntimeErrors that torch raises for want of memory without a class of their own."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device, or the machine, had no memory left for what was asked of it."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _TEXTS)


class FittingBatches:
    """Runs a function on batches, in as few parts as the memory of its device allows.

    What did not fit once is not tried again: the largest part goes down by halves and never up.
    """

    def __init__(self) -> None:
        self.halved = 0
        """How often a part did not fit."""
        self._most: int | None = None

    def run(self, function: Callable[[Tensor], Tensor], batch: Tensor) -> Tensor:
        """`function(batch)`, or the same from its parts.

        Args:
            function: (n, ...) -> (n, ...), each item by itself. What it puts on a device should be its own part only.
            batch: (N, ...) with N at least 1, in the machine's memory.
        Raises:
            RuntimeError, MemoryError: of `function`; for want of memory only where one item does not fit.
        """
        results: list[Tensor] = []
        done = 0
        while done < len(batch):
            part = batch[done : done + (self._most or len(batch))]
            result = self._attempt(function, part)
            if result is None:
                self.halved += 1
                self._most = (len(part) + 1) // 2
                if torch.cuda.is_initialized():
                    torch.cuda.empty_cache()
            else:
                results.append(result)
                done += len(part)
        return results[0] if len(results) == 1 else torch.cat(results)

    def _attempt(self, function: Callable[[Tensor], Tensor], part: Tensor) -> Tensor | None:
        """The result, or None. On return the error is gone, and with it what its traceback held on the device."""
        try:
            return function(part)
        except (RuntimeError, MemoryError) as error:
            if len(part) == 1 or not is_out_of_memory(error):
                raise
            return None
