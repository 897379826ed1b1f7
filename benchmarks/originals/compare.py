"""One original beside the networks of its weight cards."""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.originals.builders import Original
from benchmarks.originals.files import fill
from benchmarks.originals.members import Member
from extractors.backbones.base import Backbone
from extractors.backbones.catalog import build_backbone
from extractors.weights import load_weights
from extractors.weights.cards import card


def compare(member: Member, repositories: Path) -> Iterator[dict[str, Any]]:
    """A row for every network of the member: largest differences, over the largest value of the original's answer.

    A network is loaded from a file in each container that the original is published in; all must give the same state.
    """
    original = member.build(repositories)
    networks = dict(_networks(member))
    clip = clip_of(member, next(iter(networks.values())))
    boxes = boxes_of(*member.size_hw) if member.boxes else None
    theirs = clip[:, :, :1] if member.still else clip
    with torch.no_grad(), tempfile.TemporaryDirectory() as folder:
        fill(original.network, lambda: original.run(theirs, None if boxes is None else boxes[:1]))
        original.finish(original.network)
        expected = answers_of(original, theirs, boxes)
        paths = {container: Path(folder) / f"{index}.pkl" for index, container in enumerate(original.write)}
        for container, path in paths.items():
            original.write[container](original.network.state_dict(), path)
        for name, network in networks.items():
            load_all(network, list(paths.values()))
            output = network.run(clip, boxes) if boxes is not None else network.run(clip)
            differences = {key: relative(getattr(output, key), answer) for key, answer in expected.items()}
            yield {
                "card": name or None,
                "original": member.original,
                "network": type(network).__name__,
                "crop_px": member.crop_px,
                "clip": list(clip.shape[1:]),
                "boxes": 0 if boxes is None else len(boxes),
                "containers": list(paths),
                "differences": differences,
                "spread": float(expected["logits"].std()),
            }


def _networks(member: Member) -> Iterator[tuple[str, Backbone]]:
    """Ours, by the name of the card."""
    window = {} if member.crop_px == 224 else {"crop_px": member.crop_px}
    if not member.cards:
        yield "", build_backbone(member.model, **member.options, **window).eval()
    for name in member.cards:
        yield name, build_backbone(card(name).model, **card(name).options, **window).eval()


def load_all(network: Backbone, paths: list[Path]) -> None:
    """Loads every file in turn into a network that has been blanked, and checks that the state is the same."""
    states = []
    for path in paths:
        for tensor in network.state_dict().values():
            tensor.zero_()
        load_weights(network, path)
        states.append({name: tensor.clone() for name, tensor in network.state_dict().items()})
    for path, state in zip(paths, states, strict=True):
        differing = [name for name, tensor in state.items() if not torch.equal(tensor, states[0][name])]
        assert not differing, f"{path.name} and {paths[0].name} differ in {differing}"


def answers_of(original: Original, clip: Tensor, boxes: Tensor | None) -> dict[str, Tensor]:
    """`embedding`, `logits` and what the original gives: means over positions, (N or R, D)."""
    seen: dict[str, Tensor] = {}

    def record(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        channels = 1 if isinstance(module, nn.Conv3d) else -1
        for key, maps in (("embedding", inputs[0]), ("logits", output)):
            rows = maps.movedim(channels, -1)
            seen[key] = rows.reshape(len(rows), -1, rows.shape[-1]).mean(1)

    hook = original.classifier.register_forward_hook(record)
    seen[original.gives] = original.run(clip, boxes)
    hook.remove()
    return seen


def relative(ours: Tensor, theirs: Tensor) -> float:
    """Largest difference over the largest absolute value of the original's."""
    assert ours.shape == theirs.shape, f"{tuple(ours.shape)} for {tuple(theirs.shape)}"
    return float((ours - theirs).abs().max() / theirs.abs().max())


def clip_of(member: Member, network: Backbone) -> Tensor:
    """(1, C, T, H, W): blocks of colour that change with time, and noise; one picture repeated if `still`."""
    random = np.random.RandomState(zlib.crc32(member.original.encode()))
    frames, (height, width) = member.frames or network.num_frames, member.size_hw
    coarse = random.standard_normal((1, network.input_channels, -(-frames // 4), height // 16, width // 16))
    clip = coarse.repeat(4, 2)[:, :, :frames].repeat(16, 3).repeat(16, 4)
    clip = np.clip(clip + 0.3 * random.standard_normal(clip.shape), -2, 2.4).astype(np.float32)
    return torch.from_numpy(clip[:, :, :1].repeat(frames, 2) if member.still else clip)


def boxes_of(height: int, width: int) -> Tensor:
    """(5, 5): a person's box, the whole frame, one that reaches over the edges, a small and a very flat one."""
    shares = [(0.2, 0.1, 0.5, 0.9), (0, 0, 1, 1), (-0.1, 0.4, 1.2, 1.1), (0.7, 0.7, 0.75, 0.8), (0.1, 0.5, 0.9, 0.505)]
    return torch.tensor([[0, x1 * width, y1 * height, x2 * width, y2 * height] for x1, y1, x2, y2 in shares])
