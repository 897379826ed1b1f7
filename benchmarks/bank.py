"""Window reads: latency, throughput and memory, beside the two usual ways to keep features.

    python -m benchmarks.bank [--large] [--json FILE] [--folder DIR] [--rounds N]

Makes compacted banks of 10,000 and 100,000 (with --large also 1,000,000) clip features of 2,048 values and as
many of 512, one a second in videos of 250 s, and reads windows of 60 rows x 2,048 and 11 rows x 512 at random
moments: cold (files evicted from the page cache, bank opened anew, one window), first (one window of every
video after opening) and warm (random moments after that). Beside it, from the same features:

parquet the same bank without the copies of features that `compact` leaves, as on an object store.
pickle  one pickle held in memory, as Long-Term Feature Banks did: {video: {second: [float32 vector, …]}}.
        Not at 1,000,000, where it takes 8 GB.
npy     one float16 .npy per video, mapped anew at each read.

Each way and shape runs in a process of its own, in turn, `--rounds` times; the figures are medians over the rounds,
`ratio` is the latency over that of the bank in the same round. Memory is by how much the process grew: pages
that only it holds, then with the mapped pages of files, which the system can drop. Loaders are 2 forked workers
with batches of 16 windows of 60 x 2,048. Needs 1.4 GB of disk, with --large 15 GB, and Linux.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import pickle
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import torch
from pyarrow import fs as pafs
from rich.console import Console
from rich.table import Table
from torch.utils.data import DataLoader, Dataset

from pipeline.bank.compact import compact
from pipeline.bank.manifest import create_or_open
from pipeline.bank.reader import FeatureBank
from pipeline.bank.schema import FEATURES, feature_schema
from pipeline.bank.vectors import to_float32
from pipeline.bank.window_dataset import WindowDataset
from pipeline.bank.windows import WindowGrid
from pipeline.bank.writer import BankWriter

VIDEO_S = 250
SHAPES = {2048: 60, 512: 11}
"""Values of a feature -> rows of a window, which are its seconds."""
SMALL, LARGE = (10_000, 100_000), 1_000_000
WARM_READS, COLD_READS, LOADER_WINDOWS = 2000, 40, 4000


class Reader(Protocol):
    """A way to keep features: rows [first, first + count) of a video as float32."""

    def window(self, video_id: str, first: int, count: int) -> np.ndarray: ...


class BankReader:
    """The bank, compacted."""

    def __init__(self, folder: Path, dim: int) -> None:
        self._bank, self._space = FeatureBank.open(folder / "bank"), space_name(dim)

    def window(self, video_id: str, first: int, count: int) -> np.ndarray:
        return self._bank.window(self._space, video_id, float(first), 0.0, float(count)).features


class ParquetReader(BankReader):
    """The bank as on a remote place: no copies of features, row groups are decoded."""

    def __init__(self, folder: Path, dim: int) -> None:
        remote = pafs.SubTreeFileSystem(str(folder), pafs.LocalFileSystem())
        self._bank, self._space = FeatureBank(remote, "bank"), space_name(dim)


class PickleReader:
    """One pickle in memory."""

    def __init__(self, folder: Path, dim: int) -> None:
        with open(folder / f"{dim}.pkl", "rb") as file:
            self._videos = pickle.load(file)  # noqa: S301 - written by this program

    def window(self, video_id: str, first: int, count: int) -> np.ndarray:
        seconds = self._videos[video_id]
        return np.stack([vector for second in range(first, first + count) for vector in seconds[second]])


class NpyReader:
    """One .npy per video."""

    def __init__(self, folder: Path, dim: int) -> None:
        self._folder = folder / f"npy{dim}"

    def window(self, video_id: str, first: int, count: int) -> np.ndarray:
        return to_float32(np.load(self._folder / f"{video_id}.npy", mmap_mode="r")[first : first + count])


READERS: dict[str, Callable[[Path, int], Reader]] = {
    "bank": BankReader,
    "parquet": ParquetReader,
    "npy": NpyReader,
    "pickle": PickleReader,
}


class WindowsOf(Dataset[torch.Tensor]):
    """The other ways as data sets."""

    def __init__(self, reader: Reader, moments: list[tuple[str, int]], count: int) -> None:
        self._reader, self._moments, self._count = reader, moments, count

    def __len__(self) -> int:
        return len(self._moments)

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.from_numpy(self._reader.window(*self._moments[index], self._count))


def space_name(dim: int) -> str:
    return f"clip.bench{dim}"


def names(rows: int) -> list[str]:
    return [f"video{i:05d}" for i in range(rows // VIDEO_S)]


def features(video_id: str, dim: int) -> np.ndarray:
    """Non-negative values that drift in time, as pooled activations do; the same for each way."""
    rng = np.random.default_rng([int(video_id[5:]), dim])
    drift = rng.standard_normal((VIDEO_S // 10 + 1, dim), np.float32).repeat(10, axis=0)[:VIDEO_S]
    return np.maximum(drift + 0.5 * rng.standard_normal((VIDEO_S, dim), np.float32), 0).astype(np.float16)


def make(folder: Path, rows: int, with_pickle: bool) -> dict[str, Any]:
    """Write the features in every way."""
    started = time.perf_counter()
    manifest = create_or_open(str(folder / "bank"))
    for dim in SHAPES:
        manifest.register_space(space_name(dim), dim, {"model": "bench"})
        (folder / f"npy{dim}").mkdir()
    writer = BankWriter.open(str(folder / "bank"))
    for video_id in names(rows):
        files = []
        for dim in SHAPES:
            values = features(video_id, dim)
            np.save(folder / f"npy{dim}" / f"{video_id}.npy", values)
            files.append(
                writer.write_final(FEATURES + space_name(dim), video_id, "clips", "0" * 16, [table(video_id, values)])
            )
        stages = [{"stage": "clips", "fingerprint": "0" * 16}]
        row = {"video_id": video_id, "uri": video_id, "status": "ok", "stages": stages}
        writer.commit(row, [file for file in files if file is not None])
    written = time.perf_counter()
    report = compact(folder / "bank")
    made = {
        "write_s": written - started,
        "compact_s": time.perf_counter() - written,
        "parquet_bytes": report.bytes_after,
        "copies_bytes": report.copies_bytes,
    }
    if with_pickle:
        for dim in SHAPES:
            held = {name: per_second(features(name, dim)) for name in names(rows)}
            (folder / f"{dim}.pkl").write_bytes(pickle.dumps(held, protocol=4))
    return made


def table(video_id: str, values: np.ndarray) -> pa.Table:
    count, dim = values.shape
    at_s = np.arange(count, dtype=float)
    schema = feature_schema(dim)
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), type=schema.field("feature").type)
    columns = {
        "video_id": pa.array([video_id] * count),
        "at_s": at_s,
        "start_s": at_s,
        "end_s": at_s + 1,
        "feature": vectors,
    }
    return pa.table(columns)


def per_second(values: np.ndarray) -> dict[int, list[np.ndarray]]:
    return {second: [vector] for second, vector in enumerate(values.astype(np.float32))}


def measure(way: str, folder: Path, rows: int, dim: int, seed: int) -> dict[str, Any]:
    """All figures of one way and shape of window; in a process of its own."""
    torch.set_num_threads(1)
    rng, count = np.random.default_rng(seed), SHAPES[dim]
    before = memory()
    started = time.perf_counter()
    reader = READERS[way](folder, dim)
    open_s = time.perf_counter() - started
    moments = [(name, int(rng.integers(VIDEO_S - count))) for name in names(rows)]
    first = [timed(reader, moments[i], count) for i in rng.permutation(len(moments))]
    warm = [timed(reader, moment, count) for moment in random_moments(rng, rows, count, WARM_READS)]
    grown = {name: value - before[name] for name, value in memory().items()}
    found = {"open_s": open_s, "first_ms": spread(first), "warm_ms": spread(warm), **grown}
    if way != "pickle":
        found["cold_ms"] = spread([cold_read(way, folder, dim, rng, rows) for _ in range(COLD_READS)])
    if dim == max(SHAPES):
        found["loader_windows_per_s"] = throughput(way, folder, reader, rng, rows)
    return found


def random_moments(rng: np.random.Generator, rows: int, count: int, reads: int) -> list[tuple[str, int]]:
    known = names(rows)
    return [(known[int(rng.integers(len(known)))], int(rng.integers(VIDEO_S - count))) for _ in range(reads)]


def timed(reader: Reader, moment: tuple[str, int], count: int) -> float:
    """Milliseconds of a read; raises RuntimeError if it gives something else than asked for."""
    started = time.perf_counter()
    values = reader.window(*moment, count)
    took = 1000 * (time.perf_counter() - started)
    if values.shape[0] != count or values.dtype != np.float32:
        raise RuntimeError(f"got a window of {values.shape} {values.dtype}, expected {count} rows float32")
    return took


def cold_read(way: str, folder: Path, dim: int, rng: np.random.Generator, rows: int) -> float:
    """Milliseconds to open and read one window with no file of that way in the page cache."""
    evict(folder / (f"npy{dim}" if way == "npy" else "bank"))
    (moment,) = random_moments(rng, rows, SHAPES[dim], 1)
    started = time.perf_counter()
    READERS[way](folder, dim).window(*moment, SHAPES[dim])
    return 1000 * (time.perf_counter() - started)


def evict(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


def throughput(way: str, folder: Path, reader: Reader, rng: np.random.Generator, rows: int) -> float:
    """Windows a second that 2 loader workers deliver, after the first 10 batches."""
    dim, count = max(SHAPES.items())
    moments = random_moments(rng, rows, count, LOADER_WINDOWS)
    data: Dataset[Any] = WindowsOf(reader, moments, count)
    if way == "bank":
        grid = WindowGrid(steps=count, items_per_step=1)
        at = [(name, float(first)) for name, first in moments]
        data = WindowDataset(folder / "bank", space_name(dim), at, before_s=0, after_s=count, grid=grid)
    batches = iter(DataLoader(data, batch_size=16, num_workers=2, multiprocessing_context="fork"))
    for _ in range(10):
        next(batches)
    started = time.perf_counter()
    delivered = 16 * sum(1 for _ in batches)
    return delivered / (time.perf_counter() - started)


def memory() -> dict[str, float]:
    """Megabytes of this process that the system cannot drop, and all that are resident."""
    fields = dict(line.split(":") for line in Path("/proc/self/smaps_rollup").read_text().splitlines()[1:])
    return {f"{name.lower()}_mb": int(fields[name].split()[0]) * 1024 / 1e6 for name in ("Anonymous", "Rss")}


def spread(milliseconds: list[float]) -> dict[str, float]:
    return {"p50": float(np.percentile(milliseconds, 50)), "p99": float(np.percentile(milliseconds, 99))}


def median_of(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """The median of every figure."""
    return {
        key: median_of([run[key] for run in runs])
        if isinstance(value, dict)
        else statistics.median(run[key] for run in runs)
        for key, value in runs[0].items()
    }


def run(folder: Path, rows: int, rounds: int) -> dict[str, Any]:
    """Make the features of one size, and measure the ways in turn."""
    ways = [way for way in READERS if way != "pickle" or rows < LARGE]
    result: dict[str, Any] = {"rows": rows, "made": make(folder, rows, "pickle" in ways)}
    runs: dict[str, list[dict[str, Any]]] = {way: [] for way in ways}
    for seed in range(rounds):
        for way in ways:
            runs[way].append({str(dim): in_a_process(measure, way, folder, rows, dim, seed) for dim in SHAPES})
    for way in ways:
        result[way] = median_of(runs[way])
        for dim in map(str, SHAPES):
            pairs = zip(runs[way], runs["bank"], strict=True)
            ratios = [mine[dim]["warm_ms"]["p50"] / bank[dim]["warm_ms"]["p50"] for mine, bank in pairs]
            result[way][dim]["ratio"] = statistics.median(ratios)
    return result


def in_a_process(function: Callable[..., Any], *args: Any) -> Any:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *args).result()


def lines(results: list[dict[str, Any]]) -> Iterator[tuple[str, ...]]:
    for result in results:
        for way in READERS:
            for dim, count in SHAPES.items() if way in result else ():
                found = result[way][str(dim)]
                cold = found.get("cold_ms")
                loader = found.get("loader_windows_per_s")
                yield (
                    f"{result['rows']:,}",
                    way,
                    f"{count} x {dim}",
                    f"{found['warm_ms']['p50']:.3f} / {found['warm_ms']['p99']:.3f}",
                    f"{found['first_ms']['p50']:.3f} / {found['first_ms']['p99']:.3f}",
                    "" if cold is None else f"{cold['p50']:.1f} / {cold['p99']:.1f}",
                    f"{found['ratio']:.2f}",
                    "" if loader is None else f"{loader:,.0f}",
                    f"{found['anonymous_mb']:.0f} / {found['rss_mb']:.0f}",
                    f"{found['open_s']:.3f}",
                )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--large", action="store_true", help="also 1,000,000 features (12 GB of disk, minutes)")
    parser.add_argument("--rows", type=int, nargs="*", help="these numbers of features instead")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where to make the banks (default: the temporary folder)")
    parser.add_argument("--json", type=Path, help="file for the results")
    options = parser.parse_args()
    sizes = options.rows or [*SMALL, *([LARGE] if options.large else [])]
    load, results = os.getloadavg()[0], []
    for rows in sizes:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            results.append(run(Path(folder), rows, options.rounds))
    out = Table(
        "rows", "way", "window", "warm p50/p99 ms", "first", "cold", "ratio", "windows/s", "memory MB", "open s"
    )
    for line in lines(results):
        out.add_row(*line)
    Console(width=150).print(out)
    if options.json:
        report = {"cores": os.cpu_count(), "load_before": load, "rounds": options.rounds, "results": results}
        options.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
