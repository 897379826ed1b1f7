"""What is wrong when weights do not fit a network: every name at once, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

from extractors.errors import WeightsError

Shape = tuple[int, ...]

NAMES_SHOWN = 100
"""Names of one kind that a message spells out; the error holds them all."""

CLASSIFIERS = ("head.fc.", "box_head.classes.", "box_head.boxes.")
"""How the names of the layers begin that depend on the classes, in clip networks and in detectors."""


@dataclass(frozen=True, kw_only=True)
class Misfit:
    """The differences between a file's tensors, under our names, and a network's."""

    expected: Mapping[str, Shape]
    """Every tensor of the network."""
    missing: Sequence[str]
    """Tensors of the network that the file lacks."""
    unexpected: Mapping[str, Shape]
    """Tensors of the file that the network lacks."""
    misshaped: Mapping[str, Shape]
    """Tensors of both, with the shape in the file."""

    def message(self) -> str:
        """All differences, by stage of the network, and what they mean where that is known."""
        lines = [f"{len(self.missing)} missing, {len(self.unexpected)} unexpected, {len(self.misshaped)} mis-shaped"]
        lines += _listed("missing in the file", {name: _text(self.expected[name]) for name in self.missing})
        lines += _listed("unexpected in the file", {name: _text(shape) for name, shape in self.unexpected.items()})
        lines += _listed(
            "mis-shaped",
            {name: f"{_text(shape)} for {_text(self.expected[name])}" for name, shape in self.misshaped.items()},
        )
        lines += [f"  hint: {hint}" for hint in self.hints()]
        return "\n".join(lines)

    def hints(self) -> list[str]:
        """What the differences mean, where it is known."""
        return [text for cause in _CAUSES if (text := cause(self)) is not None]


class MisfitError(WeightsError):
    """Weights that do not fit the network; `misfit` has every name."""

    def __init__(self, source: str, misfit: Misfit) -> None:
        super().__init__(source, misfit)
        self.source, self.misfit = source, misfit

    def __str__(self) -> str:
        return f"{self.source}: {self.misfit.message()}"


def shapes(tensors: Mapping[str, torch.Tensor]) -> dict[str, Shape]:
    """The shape of each tensor."""
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def _text(shape: Shape) -> str:
    return "x".join(map(str, shape)) or "scalar"


def _listed(title: str, details: Mapping[str, str]) -> list[str]:
    """One line a stage, such as `slow.res3 (2): nl.theta.weight 256x512x1x1x1, ...`."""
    stages: dict[str, list[str]] = {}
    for name in list(details)[:NAMES_SHOWN]:
        stages.setdefault(_stage(name), []).append(f"{name} ({details[name]})")
    lines = [f"  {title}:"] if details else []
    lines += [f"    {stage}: {', '.join(names)}" for stage, names in stages.items()]
    if len(details) > NAMES_SHOWN:
        lines.append(f"    and {len(details) - NAMES_SHOWN} more")
    return lines


def _stage(name: str) -> str:
    """`slow.res3` of `slow.res3.1.nl.theta.weight`, `stem` of `stem.conv.weight`."""
    parts = name.split(".")
    return ".".join(parts[: 2 if parts[0] in ("slow", "fast") else 1])


def _other_classifier(misfit: Misfit) -> str | None:
    shape = misfit.misshaped.get("head.fc.weight")
    if shape is None:
        return None
    expected = misfit.expected["head.fc.weight"]
    if shape[0] == expected[0]:
        return (f"the classifier of the file reads {shape[1]} features, that of the network {expected[1]}: it belongs "
                "to another network")  # fmt: skip
    return (f"the file knows {shape[0]} classes: build the network with num_classes={shape[0]}, or leave the "
            "classifier untrained with classifier='skip'")  # fmt: skip


def _other_lateral_kernel(misfit: Misfit) -> str | None:
    shape = misfit.misshaped.get("fuse1.conv.weight")
    if shape is None or len(shape) != 5 or shape[2] == misfit.expected["fuse1.conv.weight"][2]:
        return None
    return (
        f"the lateral connections of the file have kernel {shape[2]}: build the network with lateral_kernel={shape[2]}"
    )


def _other_colours(misfit: Misfit) -> str | None:
    for name, shape in misfit.misshaped.items():
        expected = misfit.expected[name]
        if "stem" in name and len(shape) == 5 and shape[1] != expected[1]:
            return f"the file takes {shape[1]} input channels (3 is RGB, 2 is flow), the network {expected[1]}"
    return None


def _other_stream(misfit: Misfit) -> str | None:
    """CoViAR's networks differ by their data normalisation: none for I-frames, over 2 channels for motion, 3 else."""
    name = "data_bn.weight"
    if name in misfit.missing:
        return 'the file has no data normalisation: it is of I-frames, stream="iframe"'
    if name in misfit.unexpected or name in misfit.misshaped:
        shape = misfit.unexpected.get(name) or misfit.misshaped[name]
        return f'the file normalises {shape[0]} channels: its stream is "{"motion" if shape[0] == 2 else "residual"}"'
    return None


def _nonlocal_blocks(misfit: Misfit) -> str | None:
    wanted = [name for name in misfit.expected if ".nl." in name]
    missing = [name for name in misfit.missing if ".nl." in name]
    if wanted and len(missing) == len(wanted):
        return "the file has no non-local blocks: use the network without `nl` in its name"
    if not wanted and any(".nl." in name for name in misfit.unexpected):
        return "the file has non-local blocks: use the network with `nl` in its name"
    if missing and any(".nl." in name for name in misfit.unexpected):
        return "the non-local blocks of the file follow other residual blocks: name theirs with nonlocal_at="
    return None


def _other_depth(misfit: Misfit) -> str | None:
    if any(".res4.6." in name for name in misfit.unexpected):
        return "the file has 23 blocks in res4: it is of an R101, the network of an R50"
    if any(".res4.6." in name for name in misfit.missing):
        return "the file has 6 blocks in res4: it is of an R50, the network of an R101"
    return None


def _other_r101(misfit: Misfit) -> str | None:
    """Three networks are called SlowFast R101: res4 has temporal kernels in 6 or in all 23 blocks of a pathway."""
    changed = {name.split(".")[0] for name in misfit.misshaped if ".res4." in name and name.endswith(".a.conv.weight")}
    if not changed:
        return None
    temporal = {
        pathway: 23 if shape[2] == 3 else 6
        for pathway in ("slow", "fast")
        if (shape := _shape_in_file(misfit, f"{pathway}.res4.6.a.conv.weight")) is not None and len(shape) == 5
    }
    found = ", ".join(f"{count} of 23 on the {pathway} pathway" for pathway, count in temporal.items())
    if not found:
        return None
    names = {(6, 6): "slowfast_8x8_r101", (6, 23): "slowfast_8x8_r101_50_101", (23, 23): "slowfast_8x8_r101_101_101"}
    name = names.get((temporal.get("slow", 0), temporal.get("fast", 0)))
    return f"res4 of the file has temporal kernels in {found} blocks" + (f": use {name}" if name else "")


def _shape_in_file(misfit: Misfit, name: str) -> Shape | None:
    return misfit.misshaped.get(name, misfit.expected.get(name))


def _pathways(misfit: Misfit) -> str | None:
    wants_fast = any(name.startswith("fast.") for name in misfit.expected)
    if wants_fast and all(name in misfit.missing for name in misfit.expected if name.startswith("fast.")):
        return "the file has no Fast pathway: use a `slow_...` network"
    if not wants_fast and any(name.startswith("fast.") for name in misfit.unexpected):
        return "the file has a Fast pathway: use a `slowfast_...` network"
    return None


_CAUSES: Sequence[Callable[[Misfit], str | None]] = (
    _pathways,
    _other_stream,
    _other_depth,
    _nonlocal_blocks,
    _other_r101,
    _other_lateral_kernel,
    _other_colours,
    _other_classifier,
)
