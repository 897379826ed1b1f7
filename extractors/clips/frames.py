"""Frames of overlapping clips, each prepared once: as RGB planes, or as the flow from one to the next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from extractors.clips.flow import flow_input
from extractors.clips.input import ClipInput
from extractors.clips.preprocess import FULL, to_clip

Picture = NDArray[np.uint8]


class FrameKind(Protocol):
    """How frames become clips. A prepared frame may be part of many clips."""

    def prepare(self, picture: Picture) -> Tensor:
        """A frame (H, W, 3) uint8 RGB, scaled and cropped."""

    def clip(self, prepared: Sequence[Tensor]) -> Tensor:
        """(C, T, h, w) float32 of T prepared frames."""


class RgbFrames:
    """Colours, normalised."""

    def __init__(self, spec: ClipInput, *, whole: bool = False) -> None:
        """`whole` pictures are scaled, and not cropped."""
        self._spec, self._crops = spec, FULL if whole else 1

    def prepare(self, picture: Picture) -> Tensor:
        """(3, 1, h, w) float32."""
        return to_clip(picture[None], self._spec, crops=self._crops)[0]

    def clip(self, prepared: Sequence[Tensor]) -> Tensor:
        return torch.cat(list(prepared), dim=1)


class FlowFrames:
    """TV-L1 flow from each frame to the next of its clip; the last one is repeated. Each pair is computed once."""

    def __init__(self, spec: ClipInput) -> None:
        self._bytes = replace(spec, channels="rgb", mean=(0.0,) * 3, std=(1 / 255,) * 3)
        self._flows: dict[tuple[int, int], tuple[Tensor, Tensor, Tensor]] = {}

    def prepare(self, picture: Picture) -> Tensor:
        """(h, w, 3) uint8."""
        return to_clip(picture[None], self._bytes)[0, :, 0].round().byte().permute(1, 2, 0).contiguous()

    def clip(self, prepared: Sequence[Tensor]) -> Tensor:
        pairs = list(pairwise(prepared))
        known, self._flows = self._flows, {}
        for now, after in pairs:
            key = (id(now), id(after))
            self._flows[key] = known[key] if key in known else (_flow(now, after), now, after)
        flows = [self._flows[id(now), id(after)][0] for now, after in pairs]
        return torch.stack([*flows, flows[-1]], dim=1)


def _flow(now: Tensor, after: Tensor) -> Tensor:
    """(2, h, w) float32; a frame that stays on screen does not move."""
    if now is after:
        return torch.zeros(2, *now.shape[:2])
    return torch.from_numpy(flow_input(np.stack([now.numpy(), after.numpy()]))[:, 0].copy())


def frames_of(spec: ClipInput, *, whole: bool = False) -> FrameKind:
    """What the network of `spec` looks at; `whole` pictures, of RGB only, are not cropped."""
    return FlowFrames(spec) if spec.channels == "flow" else RgbFrames(spec, whole=whole)
