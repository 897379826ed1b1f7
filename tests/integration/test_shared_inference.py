"""The whole job with one inference process for all children: the same bank, faults, and nothing left behind."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import psutil
import pytest

from extractors.detector_source import detector_source
from extractors.networks import network_source
from extractors.runtime import Runtime
from pipeline.bank.reader import FeatureBank
from pipeline.config import ExtractConfig
from pipeline.extract import extract
from pipeline.features.boxes import BoxConfig, BoxStage
from pipeline.features.networks import NetworkClipConfig, NetworkClipStage
from pipeline.features.shots import ShotStage
from pipeline.features.tracks import TrackStage
from pipeline.sample.encode import Coding
from pipeline.sample.samples import make_clip
from tests.integration.banks import contents
from tests.integration.services import PATIENCE_S, wait_until
from tests.pipeline.inference.adding import SPACE, HeightStage

SMALL = {"width": 8, "num_classes": 5, "crop_px": 64}


def config_of(*, shared: bool) -> ExtractConfig:
    """Clips of a small network in batches of 3, and what a second one says of people in boxes."""
    runtime = Runtime(shared=shared)
    clips, actions = (
        replace(source, input=replace(source.input, short_side_px=72, crop_px=64))
        for source in (network_source(name, "untrained", **SMALL) for name in ("slow_4x16_r50", "ava_slow_4x16_r50"))
    )
    people = BoxStage("people", detector_source("hog"), runtime, BoxConfig(), actions=actions)
    embedding = NetworkClipStage(clips, runtime, NetworkClipConfig(hop_s=0.5, batch=3))
    stages = (ShotStage(), embedding, people, TrackStage(boxes=[people]))
    return ExtractConfig(preset="small", stages=stages, segment_s=2.0)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    for index in range(3):
        make_clip(
            folder / f"{index}.mp4",
            seconds=4,
            shots=1,
            figures=2,
            size_hw=(240, 320),
            seed=index,
            coding=Coding(gop=15),
        )
    return folder


def test_the_bank_is_that_of_own_copies_to_the_last_bit(corpus: Path, tmp_path: Path) -> None:
    banks = []
    for name, shared in (("own", False), ("shared", True)):
        report = extract([str(corpus)], str(tmp_path / name), config_of(shared=shared), workers=2, quiet=True)
        assert (report.ok, report.failed) == (3, 0), report.failures
        banks.append(contents(tmp_path / name))
    own, shared = banks
    assert len(own["clip.slow_4x16_r50"]) == 24
    assert own["person.ava_slow_4x16_r50"]
    assert own == shared
    again = extract([str(corpus)], str(tmp_path / "own"), config_of(shared=True), workers=2, quiet=True)
    assert again.up_to_date == 3, "who runs a network is no part of the fingerprint"


def test_only_the_video_that_kills_the_process_fails(tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    for index, height in enumerate((64, 48, 72, 80)):
        make_clip(videos / f"{height}.mp4", seconds=6, shots=1, size_hw=(height, 64), fps=Fraction(10), seed=index)
    config = ExtractConfig(preset="heights", stages=(HeightStage(),))
    report = extract([str(videos)], str(tmp_path / "bank"), config, workers=2, quiet=True)
    assert (report.ok, report.failed) == (3, 1), report.failures
    bank = FeatureBank.open(tmp_path / "bank")
    (failed,) = (row for row in bank.videos().to_pylist() if row["status"] == "failed")
    reason = {name: failed[f"error_{name}"] for name in ("stage", "class", "message", "at_s")}
    assert failed["video_id"] == "48.mp4"
    assert reason == {
        "stage": "heights",
        "class": "Crashed",
        "message": "the process died of SIGSEGV (the inference process of cpu)",
        "at_s": pytest.approx(0.1),  # of the frame that is there when that of 0 s is complete
    }
    rows = bank.features(SPACE).to_pylist()
    assert {row["video_id"]: row["feature"] for row in rows} == {f"{height}.mp4": [height] for height in (64, 72, 80)}


def names_in_memory() -> set[str]:
    memory = Path("/dev/shm")
    return set(os.listdir(memory)) if memory.is_dir() else set()


@pytest.mark.parametrize("how", ["SIGKILL", "Ctrl-C"])
def test_a_run_that_is_stopped_leaves_no_process_and_no_memory(tmp_path: Path, how: str) -> None:
    """The driver alone is killed; Ctrl-C reaches all processes of a terminal, and children leave it to the driver."""
    make_clip(tmp_path / "long.mp4", seconds=60, shots=2, figures=2, size_hw=(120, 160), coding=Coding(gop=25))
    command = [sys.executable, "-m", "pipeline.cli", "extract", str(tmp_path / "long.mp4"), "--only", "clips"]
    command += ["--inference", "shared", "--workers", "2", "--segment-s", "10", "--set", "clips.hop_s=0.1"]
    before = names_in_memory()
    command += ["--bank", str(tmp_path / "bank"), "--quiet"]
    run = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
    driver = psutil.Process(run.pid)

    def children() -> list[psutil.Process]:
        return [each for each in driver.children() if "spawn_main" in " ".join(each.cmdline())]

    wait_until(lambda: len(children()) == 3, "two children decode, and one runs the network")
    time.sleep(0.5)
    started = driver.children(recursive=True)
    if how == "Ctrl-C":
        os.killpg(run.pid, signal.SIGINT)
    else:
        run.kill()
    run.wait(timeout=PATIENCE_S)
    _, left = psutil.wait_procs(started, timeout=60)
    assert not left, left
    new = names_in_memory() - before
    wait_until(lambda: not new & names_in_memory(), "what has a name in memory since then is of tests beside this one")
