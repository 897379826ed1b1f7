"""Clips of a grid that a network embeds, as a stage emits them: one row of its feature space for each."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator

from torch import Tensor

from pipeline.features.clip_grid import Clip, ClipConsumer, ClipGrid
from pipeline.inference.queues import InferenceQueue
from pipeline.inference.shared_arrays import Arrays
from pipeline.stages import Row


class EmbeddedClips(ClipConsumer[Tensor]):
    """`ClipConsumer` whose rows come when the network has answered, in the order of the clips."""

    def __init__(self, grid: ClipGrid[Tensor], network: InferenceQueue[Row], space: str) -> None:
        super().__init__(grid)
        self._network, self._part = network, f"features/{space}"

    @abstractmethod
    def inputs(self, clip: Clip[Tensor]) -> Arrays:
        """What the network is asked about a clip that has all its frames."""

    @abstractmethod
    def times(self, clip: Clip[Tensor]) -> Row:
        """The row of a clip but for its feature."""

    def rows(self, clip: Clip[Tensor]) -> Iterator[tuple[str, Row]]:
        yield from self._answered(self._network.put(self.inputs(clip), self.times(clip)))

    def finish(self) -> Iterator[tuple[str, Row]]:
        yield from super().finish()
        yield from self._answered(self._network.flush())

    def _answered(self, answers: Iterator[tuple[Row, Arrays]]) -> Iterator[tuple[str, Row]]:
        for times, answer in answers:
            yield self._part, times | {"feature": answer["embedding"]}
