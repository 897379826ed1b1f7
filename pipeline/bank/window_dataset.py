"""Windows of a bank as a PyTorch data set, for any number of loader workers."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset, get_worker_info

from pipeline.bank.errors import UnknownNameError
from pipeline.bank.reader import FeatureBank
from pipeline.bank.windows import Moment, WindowGrid, pad_windows


class WindowDataset(Dataset[dict[str, torch.Tensor]]):
    """One padded window per moment: a dict of the arrays of `PaddedWindows`, without the axis of windows.

    `after_s=0` makes the windows causal. The bank is opened anew in every process, so workers may be forked
    or spawned (spawn them for a bank on an object store). A "random" choice is drawn anew at each access;
    draws repeat for the same `seed`, `torch.manual_seed`, number of workers and order of accesses.
    Raises UnknownNameError for a space or video that the bank does not have, BankError for bad spans.
    """

    def __init__(
        self,
        bank: FeatureBank | str | os.PathLike[str],
        space: str,
        moments: Sequence[Moment],
        *,
        before_s: float,
        after_s: float,
        grid: WindowGrid,
        seed: int = 0,
    ) -> None:
        self._uri = bank.uri if isinstance(bank, FeatureBank) else os.fspath(bank)
        self._space, self._moments, self._grid, self._seed = space, list(moments), grid, seed
        self._span = {"before_s": before_s, "after_s": after_s}
        self._opened: tuple[int, FeatureBank, np.random.Generator] | None = None
        self._check()

    def _check(self) -> None:
        bank, _ = self._here()
        unknown = sorted({video_id for video_id, _ in self._moments} - set(bank.snapshot.index))
        if unknown:
            raise UnknownNameError(
                f"No videos {unknown[:5]} in this bank ({len(unknown)} of those asked for): expected videos that "
                "were extracted. Extract them, or leave their moments out."
            )
        bank.windows(self._space, self._moments[:1], **self._span)

    def __len__(self) -> int:
        return len(self._moments)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        """The window of one moment: "mask" (S, K), "features" (S, K, D) and the other arrays."""
        bank, rng = self._here()
        windows = bank.windows(self._space, [self._moments[index]], **self._span)
        arrays = vars(pad_windows(windows, self._grid, rng))
        return {name: torch.from_numpy(values[0]) for name, values in arrays.items()}

    def _here(self) -> tuple[FeatureBank, np.random.Generator]:
        """The bank and the random numbers of this process; a fork inherits neither."""
        if self._opened is None or self._opened[0] != os.getpid():
            worker = get_worker_info()
            rng = np.random.default_rng([self._seed, 0 if worker is None else worker.seed])
            self._opened = (os.getpid(), FeatureBank.open(self._uri), rng)
        return self._opened[1:]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": None}
