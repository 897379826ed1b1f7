"""From the weights of a run to the file in the package."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from benchmarks.builtin_network.classes import MOTION_CLASSES, TRAINED
from benchmarks.builtin_network.task import PRECISE_BATCHES
from benchmarks.builtin_network.training import FULL, MODEL
from benchmarks.builtin_network.videos import GeneratedVideos, generated
from benchmarks.builtin_network.views import draw_pair
from extractors.backbones.compact import CompactSlowFast, Standardised
from extractors.clips.preprocess import to_clip
from extractors.weights import save_weights
from extractors.weights.hashes import sha256_of
from longform.clip_training.batch_norm import make_precise, set_group_size
from longform.clip_training.networks import network_to_train

PART = "backbone."
"""How the names of the network's tensors begin in the files of a run."""

NOT_TRAINED = "described."
"""The part that only distances between clips need; its statistics are taken here."""

SEED = 7


def export(weights: Path, folder: Path, path: Path) -> str:
    """Write the network of a run without what only training needs; kernels in float16, the few others in float32.

    All statistics are taken anew over clips of the full shape, with the weights as they are.

    Args:
        weights: `best.safetensors` of the run, or `model.safetensors` of a checkpoint.
        folder: of generated videos; they are made if they are not there.
        path: to write.
    Returns:
        The sha256 of the file.
    """
    network = network_to_train(MODEL, num_classes=len(MOTION_CLASSES), weights=None)
    assert isinstance(network, CompactSlowFast)
    tensors = {name.removeprefix(PART): x for name, x in load_file(weights).items() if name.startswith(PART)}
    own = {name: x for name, x in network.state_dict().items() if name.startswith(NOT_TRAINED)}
    network.load_state_dict({**tensors, **own})
    videos = generated(folder, motions=TRAINED, videos=PRECISE_BATCHES * FULL.bn_clips // 2, seed=SEED)
    clips = list(_clips(network, videos))
    set_group_size(network, FULL.bn_clips)
    make_precise(network, clips)
    _standardise(network, clips)
    for parameter in network.parameters():
        if parameter.dim() > 1:
            parameter.data = parameter.data.to(torch.float16)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_weights(network, path, name=MODEL, options={"num_classes": len(MOTION_CLASSES)})
    return sha256_of(path)


def _clips(network: CompactSlowFast, videos: GeneratedVideos) -> Iterator[Tensor]:
    """Batches (N, 3, T, S, S) as training draws them."""
    spec = network.default_input()
    for number in range(PRECISE_BATCHES):
        places = range(number * FULL.bn_clips // 2, (number + 1) * FULL.bn_clips // 2)
        pairs = [draw_pair(videos, place, FULL, SEED + place) for place in places]
        yield torch.cat([to_clip(clip, spec) for pair in pairs for clip in pair.clips])


def _standardise(network: CompactSlowFast, clips: list[Tensor]) -> None:
    """Statistics of what classifier and embedding read."""
    network.eval()
    for module in network.modules():
        if isinstance(module, Standardised):
            module.reset_running_stats()
            module.momentum = None
            module.train()
    with torch.no_grad():
        for batch in clips:
            network.run(batch)
    network.eval()
