"""FAISS: which index to make, how to fill it, and how hard to search it. Vectors come prepared (see `exact`)."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import fs as pafs

from extractors.errors import ConfigError, MissingDependency
from longform.query.exact import Metric, Vectors
from pipeline.bank.errors import BankError

try:
    faiss: Any = importlib.import_module("faiss")  # its type stubs know a part of it only
except ImportError as error:
    raise MissingDependency(
        "Searching needs FAISS, which is not installed. Install it: pip install 'longform-video[search]'."
    ) from error

TYPES = ("flat", "ivf", "hnsw", "pq")
VERSION = str(faiss.__version__)

_HNSW_EFFORT, _HNSW_EFFORT_ROWS = 64, 100_000
_HNSW_BUILD_EFFORT = 80
_IVF_SHARE_PROBED = 1 / 32
_IVF_LEAST_PROBED = 16
_TRAINING_PER_CELL = 50
_TRAINING_PER_CODE = 256
_TRAINING_BYTES = 2 << 30
_CODES = 256
_VALUES_PER_CODE = 4
_EXHAUSTIVE_SHARE = 0.1


def factory_string(kind: str, dim: int, num_rows: int) -> str:
    """FAISS's factory string of a type for that many rows; any other `kind` is taken for one itself."""
    cells = max(1, min(int(4 * num_rows**0.5), num_rows // _TRAINING_PER_CELL))
    codes = max(count for count in range(1, max(1, dim // _VALUES_PER_CODE) + 1) if dim % count == 0)
    known = {"flat": "Flat", "ivf": f"IVF{cells},Flat", "hnsw": "HNSW32", "pq": f"IVF{cells},PQ{codes}x8"}
    return known.get(kind.lower(), kind)


class VectorIndex:
    """A FAISS index of vectors numbered from 0, and what it takes to search it well."""

    def __init__(self, index: Any) -> None:
        self.index = index
        self._set_probes()

    def _set_probes(self) -> None:
        """How many cells a search looks into, which a file does not say."""
        if inverted := faiss.try_extract_index_ivf(
            self.index
        ):  # counts where the inverted file lies inside another index
            inverted.nprobe = self._probed(1.0)

    @contextmanager
    def on_device(self, device: str) -> Iterator[None]:
        """Within, vectors are learnt from and added on "cpu", "cuda" or "cuda:1"; searches are made outside.

        Raises ConfigError where FAISS finds no such GPU, or cannot make an index of this kind there.
        """
        if device == "cpu":
            yield
            return
        gpu = _gpu_number(device)
        if isinstance(self.index, faiss.IndexHNSW):
            raise ConfigError(
                f"Cannot make a graph (HNSW) on {device!r}: FAISS makes it on the CPU only. Use --type ivf, pq or "
                "flat, or --device cpu."
            )
        resources = faiss.StandardGpuResources()
        try:
            self.index = faiss.index_cpu_to_gpu(resources, gpu, self.index)
        except RuntimeError as error:
            raise ConfigError(f"Cannot make this index on {device!r}: {_reason(error)}. Use --device cpu.") from error
        yield
        self.index = faiss.index_gpu_to_cpu(self.index)
        self._set_probes()

    @classmethod
    def make(cls, factory: str, dim: int, metric: Metric) -> VectorIndex:
        """An empty index. Raises ConfigError with FAISS's reason."""
        measure = faiss.METRIC_INNER_PRODUCT if metric == "cosine" else faiss.METRIC_L2
        try:
            index = faiss.index_factory(dim, factory, measure)
        except RuntimeError as error:
            raise ConfigError(
                f"Cannot make index {factory!r} for {dim} values: {_reason(error)}. "
                f"Expected one of {', '.join(TYPES)}, or a FAISS factory string."
            ) from error
        if isinstance(index, faiss.IndexHNSW):
            index.hnsw.efConstruction = _HNSW_BUILD_EFFORT
        return cls(index)

    @classmethod
    def read(cls, fs: pafs.FileSystem, path: str) -> VectorIndex:
        """Raises FileNotFoundError, and BankError for a file that FAISS cannot read."""
        with fs.open_input_stream(path, buffer_size=1 << 20) as stream:
            reader = faiss.PyCallbackIOReader(stream.read)
            try:
                return cls(faiss.read_index(reader))
            except (RuntimeError, MemoryError) as error:
                raise BankError(
                    f"Cannot read {path!r}: {_reason(error)}. Delete its folder and run `longform index` again."
                ) from error

    def write(self, out: pa.NativeFile) -> None:
        writer = faiss.PyCallbackIOWriter(out.write)
        faiss.write_index(self.index, writer)

    @property
    def dim(self) -> int:
        return int(self.index.d)

    @property
    def count(self) -> int:
        return int(self.index.ntotal)

    @property
    def training_rows(self) -> int:
        """How many vectors to learn from; 0 where nothing is learnt."""
        if self.index.is_trained:
            return 0
        cells = self._cells()
        wanted = max(_TRAINING_PER_CELL * cells, _TRAINING_PER_CODE * _CODES)
        return min(wanted, _TRAINING_BYTES // (4 * self.dim))

    def train(self, vectors: Vectors) -> None:
        """Raises ConfigError where the vectors are too few."""
        try:
            self.index.train(vectors)
        except RuntimeError as error:
            raise ConfigError(
                f"Cannot train an index on {len(vectors)} vectors: {_reason(error)}. Use --type hnsw or flat."
            ) from error

    def fill(self, batches: Iterable[Vectors], count: int) -> None:
        """Add vectors, `count` in all.

        A graph gets them in one piece, which takes twice their memory meanwhile: added batch by batch, features that
        come scene after scene leave late scenes hard to reach (100,000 rows in batches of 16,000: recall 0.93, not 1).
        """
        if not isinstance(self.index, faiss.IndexHNSW):
            for batch in batches:
                self.index.add(np.ascontiguousarray(batch))
            return
        every, filled = np.empty((count, self.dim), np.float32), 0
        for batch in batches:
            every[filled : filled + len(batch)] = batch
            filled += len(batch)
        self.index.add(every)

    def search(self, queries: Vectors, k: int) -> tuple[Vectors, NDArray[np.int64]]:
        """Similarities and row numbers (Q, k), best first; row -1 where there are fewer."""
        settings = None
        if isinstance(self.index, faiss.IndexHNSW):
            settings = faiss.SearchParametersHNSW(efSearch=self._effort(k))
        return self._searched(self.index, queries, k, settings)

    def search_among(
        self, queries: Vectors, k: int, allowed: NDArray[np.bool_]
    ) -> tuple[Vectors, NDArray[np.int64]] | None:
        """As `search`, among the rows of which `allowed` (count,) is true; the effort grows as they get rarer.

        None where an index of this make cannot choose among rows.
        """
        share = max(float(allowed.mean()), 1 / max(self.count, 1))
        selector = faiss.IDSelectorBitmap(np.packbits(allowed, bitorder="little"))
        index, settings = self.index, faiss.SearchParameters(sel=selector)
        if isinstance(index, faiss.IndexHNSW):
            effort = int(self._effort(k) / share)
            if effort > _EXHAUSTIVE_SHARE * self.count:
                index = faiss.downcast_index(index.storage)
            else:
                settings = faiss.SearchParametersHNSW(efSearch=effort, sel=selector)
        elif isinstance(index, faiss.IndexIVF):
            settings = faiss.SearchParametersIVF(nprobe=self._probed(share), sel=selector)
        elif not isinstance(index, faiss.IndexFlat):
            return None
        return self._searched(index, queries, k, settings)

    def _searched(self, index: Any, queries: Vectors, k: int, settings: Any) -> tuple[Vectors, NDArray[np.int64]]:
        values, ids = index.search(queries, min(k, self.count), params=settings)
        if self.index.metric_type == faiss.METRIC_L2:
            values = -np.sqrt(np.maximum(values, 0))
        return np.where(ids < 0, -np.inf, values).astype(np.float32), ids

    def _effort(self, k: int) -> int:
        """Candidates that a graph keeps: twice as many for ten times the rows, so that as much is found."""
        grown = _HNSW_EFFORT * max(1.0, self.count / _HNSW_EFFORT_ROWS) ** 0.3
        return int(max(grown, 2 * k))

    def _probed(self, share: float) -> int:
        """Cells to look into, of which this share of rows counts."""
        return min(self._cells(), int(max(_IVF_LEAST_PROBED, _IVF_SHARE_PROBED * self._cells()) / share))

    def _cells(self) -> int:
        """Cells of the inverted file, 0 without one."""
        inverted = faiss.try_extract_index_ivf(self.index)
        return int(inverted.nlist) if inverted else 0


def _gpu_number(device: str) -> int:
    """The GPU that "cuda" or "cuda:1" names. Raises ConfigError where FAISS has none."""
    kind, _, number = device.partition(":")
    if kind != "cuda" or not (number or "0").isdigit():
        raise ConfigError(f"Unknown device {device!r} for an index: expected cpu, cuda or cuda:<number>.")
    if int(number or 0) >= faiss.get_num_gpus():
        has_support = "GPU" in faiss.get_compile_options()
        why = f"it finds {faiss.get_num_gpus()} GPUs" if has_support else "it was built without GPU support"
        raise ConfigError(
            f"Cannot make an index on {device!r}: this is FAISS {VERSION}, and {why}. Use --device cpu, or put "
            "faiss-gpu in the place of faiss-cpu: pip uninstall faiss-cpu, then pip install 'longform-video[gpu]'."
        )
    return int(number or 0)


def _reason(error: Exception) -> str:
    """FAISS's message without the place in its source."""
    text = str(error)
    return text.split(": ", 1)[-1].strip().split("\n", 1)[0] if text.startswith("Error in") else text
