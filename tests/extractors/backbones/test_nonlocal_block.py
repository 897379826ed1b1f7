"""The non-local block against the equations of its paper, written out."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from extractors.backbones.nonlocal_block import FORMS, NonLocalBlock
from extractors.errors import ConfigError, ShapeError

CHANNELS = 8


def block(**options: Any) -> NonLocalBlock:
    """A block that changes its input: random weights also in the last layer."""
    torch.manual_seed(0)
    built = NonLocalBlock(CHANNELS, **options)
    if isinstance(built.bn, nn.BatchNorm3d):
        nn.init.uniform_(built.bn.weight, 0.5, 1.5)
        nn.init.normal_(built.bn.bias)
    else:
        nn.init.normal_(built.out.weight)
    return built.eval()


def maps(frames: int = 4) -> Tensor:
    return torch.randn(2, CHANNELS, frames, 4, 6, generator=torch.Generator().manual_seed(1))


def written_out(built: NonLocalBlock, x: Tensor, form: str, pool: tuple[int, int, int], scale: float) -> Tensor:
    """Equations 1 to 6 for one group of positions, pair by pair as matrices."""
    pooled = F.max_pool3d(x, pool) if pool != (1, 1, 1) else x
    query = (x if form == "gaussian" else built.theta(x)).flatten(2)  # (N, ., Q)
    key = (pooled if form == "gaussian" else built.phi(pooled)).flatten(2)  # (N, ., K)
    value = built.g(pooled).flatten(2)
    if form == "concatenation":
        q, k = query.shape[2], key.shape[2]
        pairs = torch.cat((query[..., :, None].expand(-1, -1, q, k), key[..., None, :].expand(-1, -1, q, k)), 1)
        weights = torch.einsum("c,ncqk->nqk", built.pair.weight[0], pairs).relu() / k
    elif form == "dot_product":
        weights = torch.einsum("ncq,nck->nqk", query, key) / key.shape[2]
    else:
        affinity = torch.exp(torch.einsum("ncq,nck->nqk", query, key) * scale)
        weights = affinity / affinity.sum(2, keepdim=True)
    y = torch.einsum("nqk,nck->ncq", weights, value).view(len(x), -1, *x.shape[2:])
    return x + built.bn(built.out(y))


@pytest.mark.parametrize("attention", ["fused", "plain"])
@pytest.mark.parametrize("pool", [(1, 2, 2), (2, 2, 2), (1, 1, 1)])
@pytest.mark.parametrize("form", FORMS)
def test_equals_the_equations(form: str, pool: tuple[int, int, int], attention: str) -> None:
    scale = (CHANNELS // 2) ** -0.5 if form == "embedded_gaussian" else 1.0
    with torch.inference_mode():
        built = block(form=form, pool=pool, attention=attention)
        expected = written_out(built, maps(), form, pool, scale)
        torch.testing.assert_close(built(maps()), expected, rtol=1e-4, atol=1e-5)
    assert (expected - maps()).abs().max() > 0.1


@pytest.mark.parametrize("form", ["gaussian", "embedded_gaussian"])
def test_scale_is_a_switch(form: str) -> None:
    channels = CHANNELS if form == "gaussian" else CHANNELS // 2
    with torch.inference_mode():
        for scaled, scale in ((True, channels**-0.5), (False, 1.0)):
            built = block(form=form, scaled=scaled)
            expected = written_out(built, maps(), form, (1, 2, 2), scale)
            torch.testing.assert_close(built(maps()), expected, rtol=1e-4, atol=1e-5)


def test_dot_product_takes_the_cheaper_order_and_both_agree() -> None:
    """Few positions and many channels, and the reverse."""
    for frames, size in ((1, 2), (4, 8)):
        x = torch.randn(1, CHANNELS, frames, size, size)
        with torch.inference_mode():
            fused, plain = (block(form="dot_product", attention=attention)(x) for attention in ("fused", "plain"))
        torch.testing.assert_close(fused, plain, rtol=1e-4, atol=1e-5)


def test_over_space_each_frame_is_by_itself() -> None:
    built, x = block(direction="space"), maps()
    with torch.inference_mode():
        expected = torch.cat([written_out(built, frame, built.form, (1, 2, 2), 0.5) for frame in x.split(1, 2)], 2)
        torch.testing.assert_close(built(x), expected, rtol=1e-4, atol=1e-5)


def test_over_time_each_place_is_by_itself() -> None:
    built, x = block(direction="time", pool=(2, 1, 1)), maps()
    with torch.inference_mode():
        rows = [
            torch.cat([written_out(built, place, built.form, (2, 1, 1), 0.5) for place in row.split(1, 4)], 4)
            for row in x.split(1, 3)
        ]
        torch.testing.assert_close(built(x), torch.cat(rows, 3), rtol=1e-4, atol=1e-5)


def test_groups_are_of_consecutive_frames() -> None:
    built, x = block(group_frames=4), maps(frames=12)
    with torch.inference_mode():
        expected = torch.cat([written_out(built, group, built.form, (1, 2, 2), 0.5) for group in x.split(4, 2)], 2)
        torch.testing.assert_close(built(x), expected, rtol=1e-4, atol=1e-5)
        whole = block()(x)
    assert not torch.allclose(whole, expected, atol=1e-3)


def test_groups_that_do_not_fit_are_an_error() -> None:
    with pytest.raises(ShapeError, match="groups of 4 frames got 6"):
        block(group_frames=4)(maps(frames=6))


@pytest.mark.parametrize("norm", [True, False])
@pytest.mark.parametrize("form", FORMS)
def test_new_block_is_the_identity(form: str, norm: bool) -> None:
    x = maps()
    assert torch.equal(NonLocalBlock(CHANNELS, form=form, norm=norm).eval()(x), x)


def test_parameters() -> None:
    """Four 1x1x1 convolutions with bias, and batch normalisation; the Gaussian form has neither theta nor phi."""
    inner = CHANNELS // 2
    embedding, last = CHANNELS * inner + inner, inner * CHANNELS + CHANNELS
    sizes = {form: sum(p.numel() for p in NonLocalBlock(CHANNELS, form=form).parameters()) for form in FORMS}
    assert sizes["embedded_gaussian"] == sizes["dot_product"] == 3 * embedding + last + 2 * CHANNELS
    assert sizes["gaussian"] == embedding + last + 2 * CHANNELS
    assert sizes["concatenation"] == sizes["dot_product"] + 2 * inner


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"form": "softmax"}, "'softmax'.*embedded_gaussian"),
        ({"direction": "spacetimes"}, "spacetime, space, time"),
        ({"attention": "flash"}, "fused, plain"),
        ({"direction": "time"}, "over time cannot pool"),
        ({"direction": "space", "pool": (2, 2, 2)}, "over space cannot pool"),
    ],
)
def test_bad_options_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        NonLocalBlock(CHANNELS, **options)
