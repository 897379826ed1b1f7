"""What networks are asked: of each question what goes in and comes out, and how its network is loaded.

A model is a description, small and cheap to pickle; it becomes a `LoadedModel` in the process that runs it. Both sides
speak in named arrays, so that a question can be asked of another process.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from extractors.backbones.base import Backbone
from extractors.detector_source import DetectorSource
from extractors.image_text import ImageTextSource
from extractors.networks import NetworkSource
from extractors.out_of_memory import FittingBatches
from extractors.runtime import Runtime
from extractors.types import Detections
from pipeline.inference.shared_arrays import Arrays


class LoadedModel(ABC):
    """A model that is ready to answer."""

    @abstractmethod
    def run(self, requests: Sequence[Arrays]) -> list[Arrays]:
        """An answer to each of at least one request; requests of a call have arrays of equal shapes."""

    @property
    def halved(self) -> int:
        """How often requests did not fit into the memory of the device together."""
        return 0


class Model(ABC):
    """A question to a network."""

    @property
    def batch(self) -> int:
        """Requests that may be answered together."""
        return 1

    @property
    def has_network(self) -> bool:
        """Whether there is anything that a process of its own would be worth."""
        return True

    @abstractmethod
    def load(self, runtime: Runtime) -> LoadedModel:
        """The model on its device."""


_networks: dict[tuple[str, str], Backbone] = {}
_models: dict[tuple[str, str], LoadedModel] = {}


def loaded(source: NetworkSource, runtime: Runtime) -> Backbone:
    """The network of this process, ready to run."""
    key = (repr(source), repr(runtime))
    if key not in _networks:
        _networks[key] = runtime.prepare(source.build())
    return _networks[key]


def resident(model: Model, runtime: Runtime) -> LoadedModel:
    """The model of this process, loaded once."""
    key = (repr(model), repr(runtime))
    if key not in _models:
        _models[key] = model.load(runtime)
    return _models[key]


@dataclass(frozen=True, kw_only=True)
class ClipEmbedding(Model):
    """`clip` (C, T, h, w) float32, normalised -> `embedding` (D,) float32."""

    network: NetworkSource
    most: int = 1
    """Clips that go through the network together; what does not fit into the device's memory is halved."""

    @property
    def batch(self) -> int:
        return self.most

    def load(self, runtime: Runtime) -> LoadedModel:
        return _LoadedClipEmbedding(loaded(self.network, runtime), runtime)


class _LoadedClipEmbedding(LoadedModel):
    def __init__(self, network: Backbone, runtime: Runtime) -> None:
        self._network, self._runtime = network, runtime
        self._batches = FittingBatches()

    @property
    def halved(self) -> int:
        return self._batches.halved

    @torch.inference_mode()
    def run(self, requests: Sequence[Arrays]) -> list[Arrays]:
        clips = [torch.from_numpy(request["clip"]) for request in requests]
        batch = torch.stack(clips) if len(clips) > 1 else clips[0][None]
        return [{"embedding": embedding} for embedding in self._batches.run(self._embeddings, batch).numpy()]

    def _embeddings(self, clips: torch.Tensor) -> torch.Tensor:
        return self._network.embed(self._runtime.to(clips)).float().cpu()


@dataclass(frozen=True, kw_only=True)
class BoxActions(Model):
    """`clip` (C, T, h, w) and `boxes_px` (R, 4) in it, float32 -> `embedding` (R, D), `probabilities` (R, K)."""

    network: NetworkSource

    def load(self, runtime: Runtime) -> LoadedModel:
        return _LoadedBoxActions(loaded(self.network, runtime), runtime)


class _LoadedBoxActions(LoadedModel):
    def __init__(self, network: Backbone, runtime: Runtime) -> None:
        self._network, self._runtime = network, runtime

    @torch.inference_mode()
    def run(self, requests: Sequence[Arrays]) -> list[Arrays]:
        return [self._answer(request) for request in requests]

    def _answer(self, request: Arrays) -> Arrays:
        boxes_px = torch.from_numpy(request["boxes_px"])
        boxes_px = torch.cat([torch.zeros(len(boxes_px), 1), boxes_px], dim=1)  # all in clip 0 of the batch
        clip = self._runtime.to(torch.from_numpy(request["clip"])[None])
        output = self._network.run(clip, boxes_px.to(self._runtime.torch_device))
        answer = {"embedding": output.embedding, "probabilities": output.probabilities}
        return {name: values.float().cpu().numpy() for name, values in answer.items()}


@dataclass(frozen=True, kw_only=True)
class ImageTextEmbedding(Model):
    """`frames` (T, 3, h, w) float32, prepared -> `embedding` (D,) float32."""

    source: ImageTextSource

    def load(self, runtime: Runtime) -> LoadedModel:
        return _LoadedImageText(self.source, runtime)


class _LoadedImageText(LoadedModel):
    def __init__(self, source: ImageTextSource, runtime: Runtime) -> None:
        self._model = source.build(runtime)

    def run(self, requests: Sequence[Arrays]) -> list[Arrays]:
        return [{"embedding": self._model.embed(list(torch.from_numpy(each["frames"])))} for each in requests]


@dataclass(frozen=True, kw_only=True)
class DetectedBoxes(Model):
    """`picture` (H, W, 3) uint8 RGB -> the fields of `Detections`: `detections_of` gives them as one again."""

    detector: DetectorSource

    @property
    def has_network(self) -> bool:
        return bool(self.detector.sha256)

    def load(self, runtime: Runtime) -> LoadedModel:
        return _LoadedDetector(self.detector, runtime)


class _LoadedDetector(LoadedModel):
    def __init__(self, source: DetectorSource, runtime: Runtime) -> None:
        self._detector = source.build(runtime)

    def run(self, requests: Sequence[Arrays]) -> list[Arrays]:
        return [arrays_of(self._detector.detect(request["picture"])) for request in requests]


def arrays_of(found: Detections) -> Arrays:
    """The answer of `DetectedBoxes` that says these."""
    arrays = {"boxes": found.boxes, "scores": found.scores, "classes": found.classes}
    if found.features is not None:
        arrays["features"] = found.features
    return arrays | {"class_names": np.array(found.class_names, dtype=np.str_)}


def detections_of(answer: Arrays) -> Detections:
    """The detections of an answer of `DetectedBoxes`."""
    return Detections(
        boxes=answer["boxes"],
        scores=answer["scores"],
        classes=answer["classes"],
        features=answer.get("features"),
        class_names=tuple(answer["class_names"].tolist()),
    )
