"""The whole job with a network: weights in PySlowFast's format, refusal without, equal banks however it is run."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from extractors import build_backbone
from extractors.networks import network_source
from extractors.runtime import Runtime
from pipeline.bank.manifest import open_manifest
from pipeline.bank.reader import FeatureBank
from pipeline.config import ExtractConfig
from pipeline.extract import extract
from pipeline.features.clips import ClipStage
from pipeline.features.networks import NetworkClipStage
from pipeline.features.shots import ShotStage
from pipeline.sample.encode import Coding
from pipeline.sample.samples import make_clip
from tests.extractors.weights.test_resnet_layouts import pyslowfast_name
from tests.integration.banks import contents

SMALL = {"width": 8, "num_classes": 5}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    make_clip(folder / "one.mp4", seconds=4, shots=2, figures=1, size_hw=(90, 160), coding=Coding(gop=12))
    make_clip(folder / "two.mkv", seconds=3, shots=1, size_hw=(120, 90), seed=2, coding=Coding(gop=12))
    return folder


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a small SlowFast as PySlowFast saves them, under a zoo file's name."""
    torch.manual_seed(5)
    network = build_backbone("slowfast_4x16_r50", **SMALL)
    path = tmp_path_factory.mktemp("weights") / "SLOWFAST_4x16_R50.pkl"
    state = {pyslowfast_name(name): tensor for name, tensor in network.state_dict().items()}
    torch.save({"epoch": 1, "model_state": state, "optimizer_state": {}, "cfg": ""}, path)
    return path


def config_of(checkpoint: Path, **options: float) -> ExtractConfig:
    source = network_source("slowfast_4x16_r50", str(checkpoint), **SMALL)
    stages = (ShotStage(), NetworkClipStage(source, Runtime()))
    return ExtractConfig(preset="slowfast_4x16_r50", stages=stages, **options)


def test_banks_are_equal_however_they_are_made(corpus: Path, checkpoint: Path, tmp_path: Path) -> None:
    banks = {}
    for name, workers, segment_s in (("whole", 1, 1e9), ("split", 2, 1.0)):
        config = config_of(checkpoint, segment_s=segment_s)
        report = extract([str(corpus)], str(tmp_path / name), config, workers=workers, quiet=True)
        assert (report.ok, report.failed) == (2, 0)
        banks[name] = contents(tmp_path / name)
    assert banks["whole"] == banks["split"]
    assert len(banks["whole"]["clip.slowfast_4x16_r50"]) == 4 + 3


def test_the_clips_of_one_stage_stay_when_those_of_another_are_added(
    corpus: Path, checkpoint: Path, tmp_path: Path
) -> None:
    without_network = ExtractConfig(preset="builtin", stages=(ShotStage(), ClipStage()))
    for config, up_to_date in ((without_network, 0), (config_of(checkpoint), 0), (without_network, 2)):
        report = extract([str(corpus)], str(tmp_path / "bank"), config, workers=1, quiet=True)
        assert (report.ok, report.up_to_date) == (2, up_to_date)
    bank = FeatureBank.open(tmp_path / "bank")
    assert {name: space.rows for name, space in bank.spaces.items()} == {
        "clip.hoghof": 4 + 3,
        "clip.slowfast_4x16_r50": 4 + 3,
    }


def test_the_bank_says_what_made_the_features(corpus: Path, checkpoint: Path, tmp_path: Path) -> None:
    config = config_of(checkpoint)
    extract([str(corpus / "two.mkv")], str(tmp_path / "bank"), config, quiet=True)
    manifest = open_manifest(str(tmp_path / "bank"))
    card = manifest.spaces["clip.slowfast_4x16_r50"]["provenance"]["card"]
    assert card["weights"] == {"name": str(checkpoint), "sha256": config.stage("clips").weights[str(checkpoint)]}
    assert manifest.runs[0]["weights"] == {str(checkpoint): card["weights"]["sha256"]}
    rows = FeatureBank.open(tmp_path / "bank").features("clip.slowfast_4x16_r50").to_pylist()
    assert all(len(row["frame_pts"]) == 32 for row in rows)


def test_other_weights_are_another_feature(corpus: Path, checkpoint: Path, tmp_path: Path) -> None:
    state = torch.load(checkpoint, weights_only=True)
    state["model_state"]["s1.pathway0_stem.conv.weight"] *= 1.1
    other = tmp_path / "other.pyth"
    torch.save(state, other)
    bank = str(tmp_path / "bank")
    extract([str(corpus / "two.mkv")], bank, config_of(checkpoint), quiet=True)
    again = extract([str(corpus / "two.mkv")], bank, config_of(checkpoint), quiet=True)
    assert again.up_to_date == 1
    changed = extract([str(corpus / "two.mkv")], bank, config_of(other), quiet=True)
    assert (changed.up_to_date, changed.counters["rows.features/clip.slowfast_4x16_r50"]) == (0, 3)
    assert "rows.shots" not in changed.counters, "the stages that did not change keep their tables"


def longform(*words: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "pipeline.cli", *(str(word) for word in words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_command_refuses_without_weights_and_says_where_they_are(corpus: Path, tmp_path: Path) -> None:
    bank = tmp_path / "bank"
    done = longform("extract", corpus, "--bank", bank, "--preset", "slowfast_8x8_r50", "--quiet")
    assert done.returncode == 2
    assert "longform weights fetch slowfast_8x8_r50_k400" in done.stderr
    assert "SLOWFAST_8x8_R50.pkl" in done.stderr
    assert not bank.exists(), "nothing was begun"


def test_the_command_runs_untrained_weights_only_by_that_word(corpus: Path, tmp_path: Path) -> None:
    words = ("--preset", "slow_8x8_r50", "--weights", "untrained", "--quiet", "--set", "clips.hop_s=2")
    done = longform("extract", corpus / "two.mkv", "--bank", tmp_path / "bank", *words)
    assert done.returncode == 0, done.stderr
    manifest = open_manifest(str(tmp_path / "bank"))
    assert manifest.runs[0]["weights"] == {"untrained": "untrained:seed=0"}
    assert manifest.spaces["clip.slow_8x8_r50"]["provenance"]["card"]["weights"]["name"] == "untrained"


def test_a_file_that_does_not_fit_stops_the_command_before_any_video(
    corpus: Path, checkpoint: Path, tmp_path: Path
) -> None:
    done = longform("extract", corpus, "--bank", tmp_path / "bank", "--preset", "slow_8x8_r50", "--weights", checkpoint)
    assert done.returncode == 2, done.stderr
    assert "SLOWFAST_4x16_R50.pkl" in done.stderr
