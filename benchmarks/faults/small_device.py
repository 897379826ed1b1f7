"""Clips of the built-in network on a device that takes few of them at once: a stand-in where there is no GPU."""

import os

import torch
from torch import Tensor

from extractors.networks import network_source
from extractors.runtime import Runtime
from extractors.weights.cards import CARDS
from pipeline.features.networks import NetworkClipConfig, NetworkClipStage
from pipeline.presets import BUILTIN_NETWORK

MOST_CLIPS = "LONGFORM_FAULT_MOST_CLIPS"
"""Environment variable: how many clips fit; without it all do."""
BATCH = 8


class SmallDevice(Runtime):
    """The processor, which refuses what does not fit as torch does for a GPU: where a batch is brought to it."""

    def to(self, clip: Tensor) -> Tensor:
        most = int(os.environ.get(MOST_CLIPS, len(clip)))
        if len(clip) > most:
            raise torch.OutOfMemoryError(f"CUDA out of memory. (stand-in: {len(clip)} clips, {most} fit)")
        return super().to(clip)


class SmallDeviceClips(NetworkClipStage):
    """As stage `clips` of preset builtin, with batches of 8 clips, on a `SmallDevice`."""

    name = "small_device"

    def __init__(self) -> None:
        card = BUILTIN_NETWORK["clips"]
        source = network_source(CARDS[card].model, card)
        super().__init__(source, SmallDevice(), NetworkClipConfig(hop_s=0.1, batch=BATCH, scaler="decoder"))
