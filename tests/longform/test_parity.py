"""Parity: features of another tool that differ by one or two known steps are told apart by name."""

import argparse
import json
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from extractors.clips.preprocess import to_clip
from extractors.networks import network_source
from extractors.runtime import Runtime
from longform import parity
from longform.suspects import SUSPECTS, Moments, Recipe, recipes
from pipeline.bank.reader import FeatureBank
from pipeline.config import ExtractConfig
from pipeline.extract import extract
from pipeline.features.networks import NetworkClipConfig, NetworkClipStage
from pipeline.sample.encode import Coding
from pipeline.sample.samples import make_clip
from pipeline.video.geometry import Geometry

SPACE = "clip.slow_8x8_r50"


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bank of one video with features of a small network."""
    folder = tmp_path_factory.mktemp("parity")
    make_clip(
        folder / "clip.mp4", seconds=3, shots=2, figures=1, size_hw=(120, 160), fps=Fraction(30), coding=Coding(gop=15)
    )
    source = network_source("slow_8x8_r50", "untrained", width=8, num_classes=5, crop_px=64)
    source = replace(source, input=replace(source.input, short_side_px=80, crop_px=64, stride=2))
    stage = NetworkClipStage(source, Runtime(), NetworkClipConfig(hop_s=0.5))
    config = ExtractConfig(preset="test", stages=(stage,))
    report = extract([str(folder / "clip.mp4")], str(folder / "bank"), config, quiet=True)
    assert report.ok == 1
    return folder / "bank"


@pytest.fixture(scope="module")
def by_recipe(bank: Path) -> Mapping[str, np.ndarray]:
    """Features of all clips, as the bank made them and with one or two steps done otherwise."""
    base, source, _ = parity._rebuilt(FeatureBank.open(bank), SPACE, None)
    runtime = Runtime()
    uri = FeatureBank.open(bank).videos()["uri"][0].as_py()
    moments = Moments(uri, [Fraction(k, 2) for k in range(6)], runtime.prepare(source.build()), runtime)
    swapped = SUSPECTS["red and blue are swapped (BGR)"](base)
    ways = {
        "same": base,
        "bgr": swapped,
        "bgr, late": SUSPECTS["one frame late"](swapped),
        "unit": SUSPECTS["values in [0, 1], no mean and deviation"](base),
        "whole": SUSPECTS["whole picture, no crop"](base),
        "early": SUSPECTS["one frame early"](base),
        "begin": SUSPECTS["clips begin at their time instead of being centred"](base),
    }
    return moments.features(ways)


def run(bank: Path, tmp_path: Path, theirs: np.ndarray, capsys: pytest.CaptureFixture[str], **options: object) -> dict:
    np.save(tmp_path / "theirs.npy", theirs)
    given = {"bank": str(bank), "space": SPACE, "against": str(tmp_path / "theirs.npy"), "video": None, "clips": 3}
    status = parity.parity(argparse.Namespace(**(given | {"weights": None, "json": True} | options)))
    report = json.loads(capsys.readouterr().out)
    assert status == (0 if report["verdict"] == [] else 1)
    return report


@pytest.mark.parametrize(
    ("made", "verdict"),
    [
        ("same", []),
        ("bgr", ["red and blue are swapped (BGR)"]),
        ("unit", ["values in [0, 1], no mean and deviation"]),
        ("whole", ["whole picture, no crop"]),
        ("early", ["one frame early"]),
        ("begin", ["clips begin at their time instead of being centred"]),
        ("bgr, late", ["red and blue are swapped (BGR)", "one frame late"]),
    ],
)
def test_the_step_that_differs_is_named(
    bank: Path, tmp_path: Path, by_recipe: Mapping, made: str, verdict: list, capsys: pytest.CaptureFixture[str]
) -> None:
    report = run(bank, tmp_path, by_recipe[made], capsys)
    assert report["verdict"] == verdict
    assert len(report["clips"]) == 6
    assert (report["mean_cosine"] > 0.999999) == (made == "same")


def test_what_the_values_alone_tell(
    bank: Path, tmp_path: Path, by_recipe: Mapping, capsys: pytest.CaptureFixture[str]
) -> None:
    same = by_recipe["same"]
    unit = same / np.linalg.norm(same, axis=1, keepdims=True)
    assert run(bank, tmp_path, unit, capsys)["verdict"] == ["their vectors are L2-normalised"]
    assert run(bank, tmp_path, 2 * same, capsys)["verdict"] == ["their vectors are 2 times as long"]
    assert "last 1 of 6 clips" in run(bank, tmp_path, same[:-1], capsys)["verdict"][0]


def test_clips_that_are_only_numbered_otherwise_are_named(
    bank: Path, tmp_path: Path, by_recipe: Mapping, capsys: pytest.CaptureFixture[str]
) -> None:
    report = run(bank, tmp_path, by_recipe["same"][1:], capsys)
    assert report["verdict"] == ["theirs fits best 1 clips later (+0.5 s)"]
    assert report["suspects"] == []


@pytest.mark.parametrize(
    ("name", "step"),
    [("carphone_pristine.mp4", "pixel aspect ratio ignored"), ("video_90.mov", "rotation ignored")],
)
def test_a_tool_that_shows_stored_pictures_is_told(
    name: str, step: str, shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """PyAV's own pictures, as PySlowFast takes them: neither square pixels nor turned upright."""
    source = network_source("slow_8x8_r50", "untrained", width=8, num_classes=5, crop_px=64)
    source = replace(source, input=replace(source.input, short_side_px=80, crop_px=64, stride=2))
    stage = NetworkClipStage(source, Runtime(), NetworkClipConfig(hop_s=0.25))
    video = shared / "videos" / name
    assert extract([str(video)], str(tmp_path / "bank"), ExtractConfig(preset="test", stages=(stage,)), quiet=True).ok
    with av.open(str(video)) as container:
        frames = [(float(frame.time), frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
    begins = np.array([at for at, _ in frames]) - frames[0][0]
    network, features = source.build(), []
    for at in FeatureBank.open(tmp_path / "bank").features(SPACE)["at_s"].to_pylist():
        places = np.searchsorted(begins, at + (np.arange(8) - 4) * 2 / 30 + np.diff(begins).mean() / 4, "right") - 1
        clip = to_clip([frames[place][1] for place in places.clip(0, len(frames) - 1)], source.input)
        with torch.inference_mode():
            features.append(network.embed(clip)[0].numpy())
    assert run(tmp_path / "bank", tmp_path, np.stack(features), capsys)["verdict"] == [step]


def test_unrelated_features_are_not_explained(
    bank: Path, tmp_path: Path, by_recipe: Mapping, capsys: pytest.CaptureFixture[str]
) -> None:
    noise = np.random.default_rng(0).random(by_recipe["same"].shape, np.float32)
    assert run(bank, tmp_path, noise, capsys)["verdict"] is None


def test_files_that_are_no_features(bank: Path, tmp_path: Path) -> None:
    (tmp_path / "text.npy").write_text("0.1 0.2")
    with pytest.raises(parity.ParityError, match=r"not an \.npy file"):
        parity.read_theirs(str(tmp_path / "text.npy"))
    np.save(tmp_path / "flat.npy", np.zeros(4))
    with pytest.raises(parity.ParityError, match=r"holds \(4,\) float64"):
        parity.read_theirs(str(tmp_path / "flat.npy"))
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(parity.ParityError, match="allow_pickle"):
        parity.read_theirs(str(tmp_path / "objects.npy"))
    np.save(tmp_path / "overflow.npy", np.array([[1.0, 2.0], [np.inf, 0.0]], np.float16))
    with pytest.raises(parity.ParityError, match=r"1 of 2 clips .* first in clip 1: float16 ends at 65504"):
        parity.read_theirs(str(tmp_path / "overflow.npy"))
    with pytest.raises(parity.ParityError, match="looks transposed"):
        parity.compare(FeatureBank.open(bank), SPACE, "clip.mp4", np.ones((256, 6), np.float32))
    with pytest.raises(parity.ParityError, match="Another dimension is another layer"):
        parity.compare(FeatureBank.open(bank), SPACE, "clip.mp4", np.ones((6, 7), np.float32))


def test_every_suspect_changes_something() -> None:
    source = network_source("slow_8x8_r50", "untrained", width=8)
    turned = Geometry(stored_hw=(480, 640), pixel_aspect=Fraction(12, 11), rotation_deg=90)
    changed = recipes(Recipe(spec=source.input), turned)
    plain = recipes(Recipe(spec=source.input), replace(turned, pixel_aspect=Fraction(1), rotation_deg=0))
    assert set(changed) - set(plain) == {"pixel aspect ratio ignored", "rotation ignored"}
    assert set(SUSPECTS) - set(changed) == {
        "mean 0.45, deviation 0.225",
        "scaled in float",
        "crop of 256 px",
        "shorter side scaled to the size of the crop",
    }
