"""Start a network of the Inception family from the weights of its 2D form."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from extractors.backbones.inception import Inception
from extractors.errors import ConfigError, WeightsError


def inflate(flat: Mapping[str, Tensor], network: Inception) -> dict[str, Tensor]:
    """Weights for `network` that treat a still image, repeated in time, like the 2D network treats the image.

    A (k, k, k) convolution gets the 2D weights k times, each divided by k (Carreira and Zisserman, "Quo Vadis", section
    2.4). A separable one gets them as its spatial part; its temporal part becomes a mean over time that keeps channels
    apart. The answer is that of the 2D network wherever no temporal convolution reaches past the ends of the clip:
    zeros are padded there.

    Args:
        flat: state dict of I2D of the same width and classes, or of an image network with the same names (O, I, H, W).
        network: a network without gating, which no weights turn off.
    Raises:
        ConfigError: `network` has gates.
        WeightsError: tensors are missing; the message names all of them.
    """
    targets = network.state_dict()
    if any(".gate." in name for name in targets):
        raise ConfigError("gating is True; only a network without gating can be inflated from 2D weights.")
    sources = {name: name.replace(".spatial.", ".") for name in targets if ".temporal." not in name}
    missing = sorted(set(sources.values()) - flat.keys())
    if missing:
        raise WeightsError(f"The 2D weights lack {len(missing)} tensors that inflation needs: {', '.join(missing)}.")
    eps = network.bn_eps
    return {
        name: _inflated(flat[sources[name]], target) if name in sources else _mean_over_time(name, target, eps)
        for name, target in targets.items()
    }


def _inflated(source: Tensor, target: Tensor) -> Tensor:
    if target.ndim < 5:
        return source
    frames = target.shape[2]
    if source.ndim == 4:
        source = source[:, :, None]
    return source.repeat(1, 1, frames, 1, 1) / frames


def _mean_over_time(name: str, target: Tensor, eps: float) -> Tensor:
    """One tensor of a temporal convolution that takes means, or of a batch norm that changes nothing."""
    if name.endswith("conv.weight"):
        same_channel = torch.eye(len(target), dtype=target.dtype)[:, :, None, None, None]
        return same_channel.repeat(1, 1, target.shape[2], 1, 1) / target.shape[2]
    if name.endswith("running_var"):
        return torch.full_like(target, 1 - eps)
    return torch.ones_like(target) if name.endswith("bn.weight") else torch.zeros_like(target)
