"""Files as pytorch-coviar's training writes them, from a network of ours."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

UNITS = {"a": "1", "b": "2", "c": "3"}


def torchvision_name(name: str) -> str:
    """torchvision's name of one of our tensors under `slow` and `head`."""
    parts = name.split(".")
    if parts[0] == "head":
        return f"fc.{parts[2]}"
    if parts[1] == "stem":
        return f"{parts[2]}1.{parts[3]}"
    layer, block, unit, kind, leaf = int(parts[1][3]) - 1, *parts[2:]
    if unit == "shortcut":
        return f"layer{layer}.{block}.downsample.{'0' if kind == 'conv' else '1'}.{leaf}"
    return f"layer{layer}.{block}.{kind}{UNITS[unit]}.{leaf}"


def torchvision_state(network: nn.Module) -> dict[str, Tensor]:
    """Tensors of the network's body and classifier, as torchvision's ResNet has them."""
    return {
        torchvision_name(name): tensor.squeeze(2) if tensor.ndim == 5 else tensor
        for name, tensor in network.state_dict().items()
        if not name.startswith("data_bn.")
    }


def write_coviar_checkpoint(network: nn.Module, path: Path, *, arch: str, legacy: bool = False) -> None:
    """`<prefix>_<representation>_model_best.pth.tar`. PyTorch 0.3 wrote no counters of batches."""
    body = {f"module.base_model.{name}": tensor for name, tensor in torchvision_state(network).items()}
    data = {f"module.{name}": t for name, t in network.state_dict().items() if name.startswith("data_bn.")}
    state = {name: tensor for name, tensor in {**data, **body}.items() if not (legacy and "num_batches" in name)}
    checkpoint = {"epoch": 7, "arch": arch, "state_dict": state, "best_prec1": torch.tensor(61.5)}
    torch.save(checkpoint, path, _use_new_zipfile_serialization=not legacy)
