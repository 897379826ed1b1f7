"""Normalisation over groups of clips, frozen, and precise."""

import pytest
import torch
from torch import nn

from extractors.backbones.catalog import build_backbone
from extractors.backbones.nonlocal_block import NonLocalBlock
from longform.clip_training.batch_norm import (
    FrozenNorm3d,
    SubBatchNorm3d,
    aggregated,
    freeze_norms,
    group_count,
    make_precise,
    set_group_size,
    use_sub_batches,
)

torch.set_num_threads(1)


def started(norm: nn.BatchNorm3d) -> nn.BatchNorm3d:
    torch.manual_seed(1)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    return norm


def test_each_group_is_normalised_as_by_an_ordinary_one() -> None:
    norm, plain = started(SubBatchNorm3d(5)), started(nn.BatchNorm3d(5))
    norm.clips = 2
    x = torch.randn(8, 5, 3, 4, 4) * torch.arange(1, 9).view(8, 1, 1, 1, 1)
    y = norm(x)
    for group in range(4):
        assert torch.allclose(y[group::4], plain(x[group::4]), atol=1e-6)


def test_gradients_equal_those_of_ordinary_ones() -> None:
    norm, plain = started(SubBatchNorm3d(3)), started(nn.BatchNorm3d(3))
    norm.clips = 3
    a = torch.randn(6, 3, 2, 4, 4, requires_grad=True)
    b = a.detach().clone().requires_grad_()
    weights = torch.randn(6, 3, 2, 4, 4)
    (norm(a) * weights).sum().backward()
    sum((plain(b[group::2]) * weights[group::2]).sum() for group in range(2)).backward()
    assert torch.allclose(a.grad, b.grad, atol=1e-5)
    assert torch.allclose(norm.weight.grad, plain.weight.grad, atol=1e-4)
    assert torch.allclose(norm.bias.grad, plain.bias.grad, atol=1e-4)


def test_running_statistics_follow_the_aggregate_of_the_groups() -> None:
    norm = SubBatchNorm3d(4)
    norm.clips = 2
    x = torch.randn(6, 4, 2, 3, 3) + torch.arange(6).view(6, 1, 1, 1, 1)
    norm(x)
    groups = [x[group::3].transpose(0, 1).flatten(1) for group in range(3)]
    means = torch.stack([group.mean(1) for group in groups])
    variances = torch.stack([group.var(1) for group in groups])
    mean, variance = means.mean(0), variances.mean(0) + ((means - means.mean(0)) ** 2).sum(0) / 3
    assert torch.allclose(norm.running_mean, 0.1 * mean, atol=1e-6)
    assert torch.allclose(norm.running_var, 0.9 + 0.1 * variance, atol=1e-5)
    assert norm.num_batches_tracked == 1


def test_the_aggregate_is_that_of_the_union() -> None:
    """With variances divided by n, the aggregate is the mean and variance of all values together."""
    x = torch.randn(4, 100, 7, dtype=torch.float64) * 3 + torch.arange(7)
    mean, variance = aggregated(x.mean(1), x.var(1, correction=0))
    assert torch.allclose(mean, x.flatten(0, 1).mean(0))
    assert torch.allclose(variance, x.flatten(0, 1).var(0, correction=0))


@pytest.mark.parametrize(
    ("batch", "clips", "groups"), [(64, 8, 8), (8, 8, 1), (4, 8, 1), (24, 8, 3), (20, 8, 2), (17, 8, 1), (9, None, 1)]
)
def test_groups_are_of_equal_size_and_large_enough(batch: int, clips: int | None, groups: int) -> None:
    assert group_count(batch, clips) == groups


def test_evaluation_is_that_of_an_ordinary_one() -> None:
    model = build_backbone("slow_4x16_r50", width=4, num_classes=3, head="global").eval()
    clip = torch.randn(2, 3, 4, 32, 32)
    expected, names = model(clip), list(model.state_dict())
    parameters = list(model.parameters())
    use_sub_batches(model)
    assert list(model.state_dict()) == names
    assert all(a is b for a, b in zip(parameters, model.parameters(), strict=True))
    assert torch.equal(model(clip), expected)
    ordinary = build_backbone("slow_4x16_r50", width=4, num_classes=3, head="global")
    ordinary.load_state_dict(model.state_dict())


def test_group_size_changes_without_a_new_network() -> None:
    model = use_sub_batched()
    clip = torch.randn(8, 3, 4, 32, 32)
    set_group_size(model, 8)
    whole = model.train()(clip)
    set_group_size(model, 4)
    halves = torch.empty_like(whole)
    grouped = model(clip)
    set_group_size(model, 1000)
    halves[::2], halves[1::2] = model(clip[::2]), model(clip[1::2])
    assert torch.allclose(grouped, halves, atol=1e-5)
    assert not torch.allclose(grouped, whole, atol=1e-3)


def use_sub_batched() -> nn.Module:
    torch.manual_seed(0)
    model = build_backbone("slow_4x16_r50", width=4, num_classes=3, head="global", dropout=0.0)
    use_sub_batches(model)
    return model


def test_precise_statistics_are_means_over_the_batches() -> None:
    model = use_sub_batched()
    set_group_size(model, 2)
    batches = [torch.randn(4, 3, 4, 32, 32) + shift for shift in range(3)]
    seen: list[torch.Tensor] = []
    stem = model.slow.stem.conv
    handle = stem.register_forward_hook(lambda module, inputs, output: seen.append(output.detach().double()))
    make_precise(model.eval(), batches)
    handle.remove()
    groups = [output[place::2].transpose(0, 1).flatten(1) for output in seen for place in range(2)]
    means = torch.stack([group.mean(1) for group in groups])
    variances = torch.stack([group.var(1) for group in groups])
    mean, variance = aggregated(means, variances)
    norm = model.slow.stem.bn
    assert torch.allclose(norm.running_mean.double(), mean, atol=1e-6)
    assert torch.allclose(norm.running_var.double(), variance, rtol=1e-5)
    assert norm.momentum == 0.1
    assert not any(module.training for module in model.modules())


def test_precise_statistics_do_not_depend_on_the_running_ones() -> None:
    batches = [torch.randn(4, 3, 4, 32, 32) for _ in range(2)]
    first, second = use_sub_batched(), use_sub_batched()
    second.train()(torch.randn(4, 3, 4, 32, 32) * 9)
    for model in (first, second):
        make_precise(model, batches)
    for a, b in zip(first.buffers(), second.buffers(), strict=True):
        assert a.dtype == torch.int64 or torch.equal(a, b)


def test_frozen_normalisation_stays_frozen() -> None:
    model = build_backbone("i3d_nl_r50", width=4, num_classes=3, head="global", nonlocal_blocks=1)
    freeze_norms(model)
    model.train()
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm3d)]
    assert norms
    assert all(isinstance(norm, FrozenNorm3d) and not norm.training for norm in norms)
    assert not any(parameter.requires_grad for norm in norms for parameter in norm.parameters())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model(torch.randn(2, 3, 8, 32, 32))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_new_nonlocal_blocks_can_learn_with_frozen_normalisation() -> None:
    model = build_backbone("i3d_nl_r50", width=4, num_classes=3, head="global", nonlocal_blocks=1)
    freeze_norms(model)
    block = next(module for module in model.modules() if isinstance(module, NonLocalBlock))
    x = torch.randn(1, block.bn.num_features, 2, 4, 4)
    assert torch.allclose(block(x), x)
    block.train()(x).square().sum().backward()
    assert block.out.weight.grad.abs().max() > 0


def test_trained_nonlocal_blocks_are_frozen_as_they_are() -> None:
    model = build_backbone("i3d_nl_r50", width=4, num_classes=3, head="global", nonlocal_blocks=1).eval()
    block = next(module for module in model.modules() if isinstance(module, NonLocalBlock))
    nn.init.normal_(block.bn.weight)
    x = torch.randn(1, block.bn.num_features, 2, 4, 4)
    expected = block(x)
    freeze_norms(model)
    assert torch.equal(block(x), expected)
