"""A detector as a user names it: an entry of the catalogue, its settings, and where its weights come from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from extractors.catalog import Detector, build_detector
from extractors.networks import UNTRAINED, UNTRAINED_SEED
from extractors.runtime import Runtime
from extractors.weights.hashes import sha256_of
from extractors.weights.store import resolve

HUGGING_FACE = "hf:"


@dataclass(frozen=True, kw_only=True)
class DetectorSource:
    """Everything to build a detector again in another process. Small, and cheap to pickle."""

    name: str
    """For `build_detector`."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    weights: str | None = None
    """Name of a weight card, path of a file, or `untrained`; None for a detector that brings its own."""
    sha256: str = ""
    """Of the weights; for `untrained` the seed that they are drawn from."""

    def build(self, runtime: Runtime) -> Detector:
        """The detector, ready to run.

        Raises:
            WeightsError: its weights are not there, or do not fit.
            MissingDependency: it needs a package that is not installed.
        """
        settings = dict(self.settings)
        if self.weights is not None:
            settings["weights"] = self.weights
        if self.weights is not None or self.name.startswith(HUGGING_FACE):
            settings |= {"device": str(runtime.torch_device)}
        if not self.name.startswith("detectron2:") and "device" in settings:
            settings["precision"] = runtime.precision
        return build_detector(self.name, **settings)


def detector_source(name: str, weights: str | None = None, **settings: Any) -> DetectorSource:
    """The detector `name` with `weights`.

    Raises:
        WeightsError: the weights are not there; the message says how to get them.
    """
    return DetectorSource(name=name, settings=settings, weights=weights, sha256=_digest(name, weights))


def _digest(name: str, weights: str | None) -> str:
    if weights == UNTRAINED:
        return f"{UNTRAINED}:seed={UNTRAINED_SEED}"
    if weights is not None:
        return sha256_of(resolve(weights)[0])
    if name.startswith(HUGGING_FACE):
        from extractors.detectors.hugging_face import model_folder

        return _digest_of_folder(model_folder(name.removeprefix(HUGGING_FACE)))
    return ""


def _digest_of_folder(folder: Path) -> str:
    digests = [f"{path.name} {sha256_of(path)}" for path in sorted(folder.glob("*.safetensors"))]
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()
