"""Gradients of convolutions over clips that are shorter than the kernel, in bfloat16, against float64."""

import pytest
import torch
from torch import nn

from extractors.backbones.catalog import build_backbone
from longform.clip_training.convolutions import TimePaddedConv3d, pad_short_clips

torch.set_num_threads(1)
ROUNDING = 0.02


def worst_error(kernel: tuple[int, int, int], frames: int, side: int, stride: int = 1) -> float:
    """Of the weights' gradient, over several attempts: what is wrong may differ from one to the next."""
    torch.manual_seed(0)
    conv = nn.Conv3d(16, 16, kernel, (1, stride, stride), tuple(length // 2 for length in kernel), bias=False)
    model = nn.Sequential(conv)
    exact = nn.Conv3d(16, 16, kernel, (1, stride, stride), conv.padding, bias=False).double()
    exact.weight.data.copy_(conv.weight.data)
    pad_short_clips(model)
    clip = torch.randn(4, 16, frames, side, side)
    result = exact(clip.double())
    gradient = torch.randn_like(result)
    (expected,) = torch.autograd.grad(result, exact.weight, gradient)
    errors = []
    for _ in range(3):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = model(clip)
        (weights,) = torch.autograd.grad(found, conv.weight, gradient.to(found.dtype))
        errors.append(float((weights - expected).abs().max() / expected.abs().max()))
    return max(error if error == error else torch.inf for error in errors)


@pytest.mark.parametrize("frames", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("kernel", [(3, 1, 1), (5, 1, 1), (7, 1, 1), (3, 3, 3), (5, 7, 7)])
def test_gradients_of_short_clips(kernel: tuple[int, int, int], frames: int) -> None:
    assert worst_error(kernel, frames, 4) < ROUNDING


@pytest.mark.parametrize(("kernel", "side", "stride"), [((1, 3, 3), 1, 1), ((1, 3, 3), 2, 2), ((1, 7, 7), 4, 2)])
def test_gradients_of_small_pictures(kernel: tuple[int, int, int], side: int, stride: int) -> None:
    """There torch is right by itself."""
    assert worst_error(kernel, 2, side, stride) < ROUNDING


def test_nothing_else_changes() -> None:
    model = build_backbone("fast_4x16_r50", width=4, num_classes=3, head="global").eval()
    clip = torch.randn(1, 3, 4, 32, 32)
    expected, names = model(clip), list(model.state_dict())
    pad_short_clips(model)
    assert any(isinstance(module, TimePaddedConv3d) for module in model.modules())
    assert list(model.state_dict()) == names
    assert torch.allclose(model(clip), expected, atol=1e-5)
