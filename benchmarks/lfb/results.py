"""The stored results: one entry for each condition and seed, and what it comes to over the seeds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.lfb.experiment import Sizes
from pipeline.errors import InputError


@dataclass(frozen=True)
class Estimate:
    """Mean over seeds with its standard error; NaN for a single seed."""

    mean: float
    error: float

    @staticmethod
    def of(values: list[float]) -> Estimate:
        error = float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")
        return Estimate(float(np.mean(values)), error)

    @property
    def low(self) -> float:
        return self.mean - self.error

    @property
    def high(self) -> float:
        return self.mean + self.error

    def __str__(self) -> str:
        return f"{self.mean:.1f}" if np.isnan(self.error) else f"{self.mean:.1f} ± {self.error:.1f}"


@dataclass(kw_only=True)
class Results:
    """Everything that was measured with some sizes."""

    sizes: Sizes
    runs: list[dict[str, Any]] = field(default_factory=list)

    @staticmethod
    def read(path: Path) -> Results:
        content = json.loads(path.read_text())
        return Results(sizes=Sizes(**content["sizes"]), runs=content["runs"])

    @staticmethod
    def read_or_new(path: Path | None, sizes: Sizes) -> Results:
        """The results in a file, to go on with. Raises InputError if they were made with other sizes."""
        if path is None or not path.exists():
            return Results(sizes=sizes)
        found = Results.read(path)
        if found.sizes != sizes:
            raise InputError(
                f"{path} holds results of {found.sizes}; expected {sizes}. Give another --json, or delete the file."
            )
        return found

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = ",\n".join("    " + json.dumps(run) for run in self.runs)
        path.write_text(f'{{\n  "sizes": {json.dumps(asdict(self.sizes))},\n  "runs": [\n{lines}\n  ]\n}}\n')

    def has(self, condition: str, seed: int) -> bool:
        return any((run["condition"], run["seed"]) == (condition, seed) for run in self.runs)

    def add(self, condition: str, seed: int, measured: Mapping[str, Any]) -> None:
        self.runs.append({"condition": condition, "seed": seed, **measured})

    def estimate(self, condition: str, family: str | None = None) -> Estimate:
        """Of all classes of a condition, or of a family. Raises InputError if it was not measured."""
        runs = [run for run in self.runs if run["condition"] == condition]
        if not runs:
            raise InputError(f"The results have no condition {condition!r}: run `python -m benchmarks.lfb` to its end.")
        return Estimate.of([run["value"] if family is None else run["families"][family] for run in runs])
