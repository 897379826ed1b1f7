"""The compact SlowFast: what its embedding is made of, and what it costs."""

import pytest
import torch

from extractors.backbones.catalog import build_backbone
from extractors.backbones.compact import DESCRIBED
from extractors.complexity import count
from extractors.errors import ConfigError, ShapeError


def test_every_level_of_an_embedding_has_the_same_share() -> None:
    torch.manual_seed(0)
    network = build_backbone("slowfast_compact", width=4, num_classes=3).train()
    with torch.no_grad():
        embeddings = network.embed(torch.randn(32, 3, 4, 64, 64) + torch.randn(32, 3, 4, 1, 1))
        maps = network.forward_features(torch.randn(1, 3, 4, 64, 64))
    sizes = [maps[level].shape[1] * cells**2 for level, cells in DESCRIBED]
    assert sum(sizes) == network.embedding_dim == embeddings.shape[1]
    shares = [float(block.square().mean(0).sum()) for block in embeddings.split(sizes, dim=1)]
    assert shares == pytest.approx([network.embedding_dim / len(DESCRIBED)] * len(DESCRIBED), rel=0.2)


def test_the_classifier_reads_every_level_and_one_clip_is_enough() -> None:
    torch.manual_seed(0)
    network = build_backbone("slowfast_compact", width=4, num_classes=3)
    clip = torch.randn(1, 3, 4, 64, 64)
    assert network.train().run(clip).embedding.isfinite().all()
    output = network.eval().run(clip)
    maps = network.forward_features(clip)
    assert len(maps) == 11
    assert network.head.fc.in_features == sum(level.shape[1] for level in maps)
    torch.testing.assert_close(output.logits, network(clip))


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
    network = build_backbone("slowfast_compact", width=4, num_classes=3).eval()
    with pytest.raises(ShapeError, match="not boxes"):
        network.embed(torch.randn(1, 3, 4, 32, 32), torch.zeros(1, 5))
