"""The compact SlowFast: what its embedding is made of, and what it costs."""

import pytest
import torch

from extractors.backbones.catalog import build_backbone
from extractors.complexity import count
from extractors.errors import ConfigError


def test_every_level_of_both_pathways_has_the_same_share_of_an_embedding() -> None:
    torch.manual_seed(0)
    network = build_backbone("slowfast_compact", width=4, num_classes=3).train()
    with torch.no_grad():
        embeddings = network.embed(torch.randn(32, 3, 4, 64, 64) + torch.randn(32, 3, 4, 1, 1))
        maps = network.forward_features(torch.randn(1, 3, 4, 64, 64))
    assert len(maps) == 11
    assert sum(level.shape[1] for level in maps) == network.embedding_dim == embeddings.shape[1]
    shares = [float(block.square().mean(0).sum()) for block in embeddings.split([m.shape[1] for m in maps], dim=1)]
    assert sum(shares) <= network.embedding_dim * 1.001
    assert max(shares) <= network.embedding_dim / 11 * 1.001


def test_the_colour_level_does_not_see_where_things_are() -> None:
    torch.manual_seed(0)
    network = build_backbone("slowfast_compact", width=4, num_classes=3).eval()
    clip = torch.randn(1, 3, 4, 32, 32)
    moved = clip.roll((8, 4), dims=(3, 4))
    with torch.inference_mode():
        colours, moved_colours = (network.forward_features(x)[0].mean((2, 3, 4)) for x in (clip, moved))
    torch.testing.assert_close(colours, moved_colours)
    assert not torch.allclose(colours, colours.new_zeros(()))


def test_the_fast_pathway_sees_motion_only() -> None:
    """A clip that stands still looks to it like any other that does."""
    torch.manual_seed(0)
    network = build_backbone("slowfast_compact", width=4, num_classes=3).eval()
    first, second = (torch.randn(1, 3, 1, 32, 32).expand(-1, -1, 8, -1, -1) for _ in range(2))
    with torch.inference_mode():
        fast = [network.forward_features(clip)[2::2] for clip in (first, second)]
    for a, b in zip(*fast, strict=True):
        torch.testing.assert_close(a, b)


def test_it_fits_the_package_and_a_processor() -> None:
    with torch.device("meta"):
        network = build_backbone("slowfast_compact", num_classes=54)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    assert 2 * parameters < 10e6
    assert count(network, (1, 3, 16, 112, 112)).macs < 1e9


def test_it_is_no_network_for_boxes() -> None:
    with pytest.raises(ConfigError, match="classifies clips, not boxes"):
        build_backbone("ava_slowfast_compact")
