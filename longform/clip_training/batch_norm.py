"""Batch normalisation over groups of a batch, frozen, or with exact statistics.

*Sub-batch normalisation* takes the statistics of 8 clips, say, whatever the size of the batch (SlowFast, section 4.1;
multigrid training, section 6.3 of Wu's thesis): one scale and shift, statistics for each group. *Precise* statistics
replace the running ones before a network is measured (`update_bn_stats` of fvcore): means over many batches with the
weights as they are.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from extractors.backbones.nonlocal_block import NonLocalBlock


class SubBatchNorm3d(nn.BatchNorm3d):
    """Batch normalisation whose statistics are those of groups of clips in training. Saved as an ordinary one.

    A batch of N clips is cut into as many groups of equal size, and of at least `clips` clips, as there are; clips k
    and k + groups are in the same one. The running statistics follow the aggregate of the groups of each step: the
    mean of means; the mean of variances plus the variance of means. (PySlowFast keeps running statistics of every
    group and aggregates those by the same rule, for which the number of groups must not change.)
    """

    clips: int | None = None
    """None for the whole batch."""
    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor
    momentum: float

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, H, W) -> the same shape."""
        groups = group_count(len(x), self.clips) if self.training else 1
        if groups == 1:
            return super().forward(x)
        mean, variance = self.running_mean.new_zeros(2, groups * self.num_features)
        y = F.batch_norm(
            x.reshape(len(x) // groups, groups * self.num_features, *x.shape[2:]),
            mean,
            variance,
            self.weight.repeat(groups),
            self.bias.repeat(groups),
            training=True,
            momentum=1.0,
            eps=self.eps,
        )
        self._follow(*aggregated(mean.view(groups, -1), variance.view(groups, -1)))
        return y.view_as(x)

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)


class FrozenNorm3d(nn.BatchNorm3d):
    """Batch normalisation as a fixed scale and shift, in training too. Saved as an ordinary one."""

    def train(self, mode: bool = True) -> FrozenNorm3d:
        """Stays in evaluation mode."""
        super().train(False)
        return self


def group_count(batch: int, clips: int | None) -> int:
    """Groups of equal size, at least `clips` each, that a batch can be cut into; 1 at least."""
    most = max(batch // clips, 1) if clips else 1
    return next(groups for groups in range(most, 0, -1) if batch % groups == 0)


def aggregated(means: Tensor, variances: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance (C,) of the union of groups, from those of the groups (G, C)."""
    mean = means.mean(0)
    return mean, variances.mean(0) + (means - mean).square().mean(0)


def use_sub_batches(model: nn.Module) -> None:
    """Make every batch normalisation of a network a `SubBatchNorm3d`, in place; its parameters stay the same ones."""
    _replace_norms(model, SubBatchNorm3d)


def freeze_norms(model: nn.Module) -> None:
    """Freeze every batch normalisation of a network, in place, with the statistics it has.

    Non-local blocks that are new end in a normalisation with scale 0, which could not learn: it becomes the identity,
    and the convolution before it 0 instead (facebookresearch/video-nonlocal-net).
    """
    _replace_norms(model, FrozenNorm3d)
    for block in model.modules():
        if isinstance(block, NonLocalBlock) and isinstance(block.bn, FrozenNorm3d) and not block.bn.weight.any():
            block.bn.reset_running_stats()
            nn.init.ones_(block.bn.weight)
            for parameter in block.out.parameters():
                nn.init.zeros_(parameter)
    for module in model.modules():
        if isinstance(module, FrozenNorm3d):
            module.requires_grad_(False)


def _replace_norms(model: nn.Module, kind: type[nn.BatchNorm3d]) -> None:
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.BatchNorm3d):
                norm = kind(child.num_features, child.eps, child.momentum)
                for tensor in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
                    setattr(norm, tensor, getattr(child, tensor))
                setattr(parent, name, norm.train(child.training))


def set_group_size(model: nn.Module, clips: int) -> None:
    """Clips whose statistics every `SubBatchNorm3d` takes, from the next batch on."""
    for module in model.modules():
        if isinstance(module, SubBatchNorm3d):
            module.clips = clips


@torch.no_grad()
def make_precise(model: nn.Module, batches: Iterable[Tensor]) -> None:
    """Replace running statistics by those over some batches, all of one size, with the weights as they are.

    The statistics of a batch count as in training, groups included; those of the batches are aggregated by the same
    rule. The network is left in the mode it was in; frozen normalisations stay as they are.

    Args:
        batches: clips (N, C, T, H, W); the network is run on each once, dropout off.
    """
    norms: list[Any] = [
        module for module in model.modules() if isinstance(module, _BatchNorm) and not isinstance(module, FrozenNorm3d)
    ]
    if not norms:
        return
    was_training, momenta = model.training, [norm.momentum for norm in norms]
    sums = [torch.zeros(3, norm.num_features, dtype=torch.float64, device=norm.running_mean.device) for norm in norms]
    count = 0
    model.eval()
    for norm in norms:
        norm.train()
        norm.momentum = 1.0
    for clips in batches:
        model(clips)
        count += 1
        for total, norm in zip(sums, norms, strict=True):
            mean, variance = norm.running_mean.double(), norm.running_var.double()
            total += torch.stack([mean, variance, mean.square()])
    for norm, momentum, total in zip(norms, momenta, sums, strict=True):
        norm.momentum = momentum
        if count:
            mean, variance, squares = total / count
            norm.running_mean.copy_(mean)
            norm.running_var.copy_(variance + squares - mean.square())
    model.train(was_training)
