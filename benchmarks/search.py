"""Recall, speed, build time and memory of the kinds of index, beside exact search, in one run.

    python -m benchmarks.search --json benchmarks/results/search.json
    python -m benchmarks.search --large --dims 512 --kinds flat hnsw

The vectors have the structure of clip features, not of white noise: kinds of scenes, scenes of these kinds, within a
scene a slow walk; few directions of freedom, spread over all values by a random map, and clipped at zero as behind a
ReLU. Queries are rows held out of every scene. Each kind is made and asked through `longform.query.ann`, as
`longform index` and `longform search` do (cosine), in a process of its own; `flat` is exact search.

Queries run on one thread, one at a time ("single") and all at once ("batch"). "times_exact" compares with `flat` of
the same run. Memory is what the process owns alone (USS) after the build less before it, with what the allocator
keeps after training; the file is about what the index needs when it is read again. Recall counts a row found
if it is as near as the tenth nearest.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import psutil
from numpy.typing import NDArray

from longform.query.ann import TYPES, VectorIndex, factory_string
from longform.query.exact import normalised

QUERIES = 1000
SINGLES = 200
K = 10
KINDS_OF_SCENES, ROWS_OF_A_SCENE, FREEDOM = 400, 50, 48
BLOCK = 50_000

Vectors = NDArray[np.float32]


def features(count: int, dim: int, seed: int = 1) -> Vectors:
    """(count, dim) float32 of length 1, scene after scene."""
    random = np.random.default_rng(seed)
    kinds = random.normal(size=(KINDS_OF_SCENES, FREEDOM))
    spread = random.normal(size=(FREEDOM, dim)) / FREEDOM**0.5
    found = np.empty((count, dim), np.float32)
    scenes = -(-count // ROWS_OF_A_SCENE)
    centres = kinds[random.integers(KINDS_OF_SCENES, size=scenes)] + 0.6 * random.normal(size=(scenes, FREEDOM))
    steps = 0.06 * random.normal(size=(scenes, ROWS_OF_A_SCENE, FREEDOM))
    walks = (centres[:, None] + np.cumsum(steps, axis=1)).reshape(-1, FREEDOM)[:count]
    for first in range(0, count, BLOCK):
        block = walks[first : first + BLOCK] @ spread
        block += 0.05 * random.normal(size=block.shape)
        found[first : first + BLOCK] = normalised(np.maximum(block, 0).astype(np.float32))
    return found


def prepare(rows: int, dim: int, folder: Path) -> None:
    """Write rows.npy, queries.npy and the similarity of the tenth nearest row of each query."""
    every = features(rows + QUERIES, dim)
    held_out = np.zeros(len(every), bool)
    held_out[np.random.default_rng(2).choice(len(every), QUERIES, replace=False)] = True
    np.save(folder / "rows.npy", every[~held_out])
    np.save(folder / "queries.npy", every[held_out])


def measure(kind: str, rows: int, dim: int, folder: Path) -> dict[str, Any]:
    """One kind of index: made, then asked."""
    process = psutil.Process()
    vectors, queries = np.load(folder / "rows.npy", mmap_mode="r"), np.load(folder / "queries.npy")
    before = process.memory_full_info().uss
    began = time.perf_counter()
    index = VectorIndex.make(factory_string(kind, dim, rows), dim, "cosine")
    if wanted := index.training_rows:
        chosen = np.random.default_rng(3).choice(rows, min(rows, wanted), replace=False)
        index.train(np.ascontiguousarray(vectors[np.sort(chosen)]))
    index.fill((vectors[first : first + BLOCK] for first in range(0, rows, BLOCK)), rows)
    build_s = time.perf_counter() - began
    memory = process.memory_full_info().uss - before
    with open(folder / "index", "wb") as out:
        index.write(out)
    faiss.omp_set_num_threads(1)
    index.search(queries[:SINGLES], K)
    began = time.perf_counter()
    for query in queries[:SINGLES]:
        index.search(query[None], K)
    single_s = time.perf_counter() - began
    began = time.perf_counter()
    _, ids = index.search(queries, K)
    batch_s = time.perf_counter() - began
    true = np.einsum("qd,qkd->qk", queries, np.asarray(vectors[ids.clip(0)]))
    return {
        "kind": kind,
        "factory": factory_string(kind, dim, rows),
        "rows": rows,
        "dim": dim,
        "build_s": round(build_s, 1),
        "memory_mb": round(memory / 1e6),
        "file_mb": round((folder / "index").stat().st_size / 1e6),
        "queries_per_s_single": round(SINGLES / single_s, 1),
        "queries_per_s_batch": round(QUERIES / batch_s, 1),
        "similarities": np.where(ids < 0, -np.inf, true).tolist(),
    }


def compare(kinds: list[str], rows: int, dim: int) -> list[dict[str, Any]]:
    """All kinds on the same vectors; exact search first."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        prepare(rows, dim, Path(folder))
        for kind in ["flat", *(kind for kind in kinds if kind != "flat")]:
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                found.append(pool.apply(measure, (kind, rows, dim, Path(folder))))
            finish(found[-1], found[0])
            print(line(found[-1]), flush=True)
    for result in found:
        del result["similarities"]
    return found


def finish(result: dict[str, Any], exact: dict[str, Any]) -> None:
    """Add recall and speed against exact search."""
    tenth = np.array(exact["similarities"])[:, -1:]
    result["recall_at_10"] = round(float((np.array(result["similarities"]) >= tenth - 1e-6).mean()), 4)
    for way in ("single", "batch"):
        name = f"queries_per_s_{way}"
        result[f"times_exact_{way}"] = round(result[name] / exact[name], 1)


def line(result: dict[str, Any]) -> str:
    return (
        f"{result['rows']:>9} x {result['dim']:<5} {result['factory']:<16} recall@10 {result['recall_at_10']:.4f}  "
        f"{result['queries_per_s_single']:>8.0f} queries/s ({result['times_exact_single']:.1f}x exact), in batch "
        f"{result['queries_per_s_batch']:>8.0f} ({result['times_exact_batch']:.1f}x)  build {result['build_s']:.1f} s  "
        f"{result['memory_mb']} MB, file {result['file_mb']} MB"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rows", type=int, default=100_000, help="vectors (default: %(default)s)")
    parser.add_argument("--large", action="store_true", help="1,000,000 vectors")
    parser.add_argument("--dims", type=int, nargs="+", default=[512, 2048], help="values (default: %(default)s)")
    parser.add_argument("--kinds", nargs="+", default=list(TYPES), help="types or factory strings (default: all types)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results to FILE too")
    arguments = parser.parse_args()
    rows = 1_000_000 if arguments.large else arguments.rows
    results = [result for dim in arguments.dims for result in compare(arguments.kinds, rows, dim)]
    if arguments.json:
        made = {
            "command": " ".join(["python -m benchmarks.search", *sys.argv[1:]]),
            "machine": {"cpu_count": os.cpu_count(), "processor": platform.processor() or platform.machine()},
            "versions": {"faiss": faiss.__version__, "numpy": np.__version__, "python": platform.python_version()},
            "k": K,
            "results": results,
        }
        arguments.json.write_text(json.dumps(made, indent=1) + "\n")


if __name__ == "__main__":
    main()
