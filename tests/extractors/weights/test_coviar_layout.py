"""Checkpoints of pytorch-coviar, written here as its training does, and torchvision's image networks."""

from pathlib import Path

import pytest
import torch

from extractors.backbones.catalog import build_backbone
from extractors.weights.load import load_weights
from extractors.weights.misfit import MisfitError
from tests.extractors.coviar_files import torchvision_state, write_coviar_checkpoint

NETWORKS = [("iframe", 152), ("motion", 18), ("residual", 18)]


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize(("stream", "depth"), NETWORKS)
def test_a_checkpoint_is_loaded_whole(stream: str, depth: int, legacy: bool, tmp_path: Path) -> None:
    torch.manual_seed(1)
    trained = build_backbone("coviar", stream=stream, width=4, num_classes=51)
    path = tmp_path / f"hmdb51_{stream}_model_best.pth.tar"
    write_coviar_checkpoint(trained, path, arch=f"resnet{depth}", legacy=legacy)
    network = build_backbone("coviar", stream=stream, width=4, num_classes=51)
    report = load_weights(network, path)
    assert (report.layout, report.missing, report.unexpected) == ("coviar", (), ())
    assert report.facts["epoch"] == 7
    loaded = network.state_dict()
    for name, tensor in trained.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            assert torch.equal(loaded[name], tensor), name


def test_a_file_of_another_stream_is_refused_and_named(tmp_path: Path) -> None:
    files = {}
    for stream, depth in NETWORKS:
        files[stream] = tmp_path / f"{stream}.pth.tar"
        network = build_backbone("coviar", stream=stream, depth=18, width=4)
        write_coviar_checkpoint(network, files[stream], arch=f"resnet{depth}")
    for wanted, given, hint in [
        ("residual", "motion", 'its stream is "motion"'),
        ("iframe", "residual", 'its stream is "residual"'),
        ("motion", "iframe", 'stream="iframe"'),
    ]:
        with pytest.raises(MisfitError, match=hint):
            load_weights(build_backbone("coviar", stream=wanted, depth=18, width=4), files[given])


def test_torchvisions_image_network_fits(tmp_path: Path) -> None:
    trained = build_backbone("coviar", depth=18, width=4, num_classes=1000)
    torch.save(torchvision_state(trained), tmp_path / "resnet18.pth")
    network = build_backbone("coviar", depth=18, width=4, num_classes=1000)
    assert load_weights(network, tmp_path / "resnet18.pth").layout == "torchvision-resnet"
    clip = torch.randn(1, 3, 2, 32, 32)
    assert torch.equal(network.eval()(clip), trained.eval()(clip))
