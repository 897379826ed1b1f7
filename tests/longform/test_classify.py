"""The command: what it prints, for people and as JSON, and how it fails."""

import json
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from extractors import networks
from extractors.backbones.base import Backbone
from extractors.backbones.catalog import build_backbone
from extractors.clips.preprocess import to_clip
from extractors.clips.views import uniform_clips
from extractors.weights.hashes import sha256_of
from pipeline.cli import main
from pipeline.sample.encode import Coding, audio_only, encode
from pipeline.sample.samples import make_clip
from pipeline.video.decode import decode
from pipeline.video.frames import DecodeStats
from pipeline.video.geometry import PictureSpec
from pipeline.video.probe import probe
from pipeline.video.segments import plan_segments

MODEL = "slow_4x16_r50"
LABELS = ("walking", "[red]running[/red]", "jumping")
FEW_VIEWS = ("--clips", "3", "--crops", "1")

pytestmark = pytest.mark.usefixtures("small_networks")


@pytest.fixture
def small_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every network is thin and knows three classes."""
    monkeypatch.setattr(networks, "build_backbone", partial(build_backbone, width=8, num_classes=len(LABELS)))


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("classify") / "two shots.mp4"
    make_clip(path, seconds=5.0, size_hw=(72, 120))
    return str(path)


@pytest.fixture
def labels(tmp_path: Path) -> str:
    (tmp_path / "labels.txt").write_text("\n".join(LABELS))
    return str(tmp_path / "labels.txt")


def with_weights(path: Path) -> Backbone:
    """A network whose classes differ, and its weights as a file."""
    torch.manual_seed(3)
    network = networks.build_backbone(MODEL)
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=2.0)
    save_file(network.state_dict(), path)
    return network.eval()


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    status = main(["classify", *words])
    printed = capsys.readouterr()
    return status, printed.out, printed.err


def run_json(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, list[dict[str, Any]]]:
    status, out, _ = run(capsys, *words, "--json")
    return status, json.loads(out)


def all_frames(video: str) -> list[np.ndarray]:
    facts, index = probe(video)
    segments, _ = plan_segments(video, facts.measured, index, 1e9)
    return [frame.picture(PictureSpec()) for frame in decode(facts, segments[0], DecodeStats())]


@pytest.mark.parametrize(("crops", "combine"), [("3", "mean"), ("1", "max")])
def test_scores_are_those_of_the_network_on_the_frames_of_the_video(
    capsys: pytest.CaptureFixture[str], video: str, labels: str, tmp_path: Path, crops: str, combine: str
) -> None:
    file = tmp_path / "weights.safetensors"
    network = with_weights(file)
    status, (found,) = run_json(
        capsys, video, "--model", MODEL, "--weights", str(file), "--classes", labels,
        "--clips", "4", "--crops", crops, "--combine", combine,
    )  # fmt: skip
    frames = all_frames(video)
    spec = network.default_input()
    views = []
    with torch.inference_mode():
        for row in uniform_clips(len(frames), 25.0, spec, 4):
            clip = to_clip([frames[i] for i in row], spec, crops=int(crops))
            views.append(network.run(clip).probabilities)
    together = torch.cat(views)
    expected = together.mean(0) if combine == "mean" else together.amax(0)
    scores = {entry["index"]: entry["score"] for entry in found["classes"]}
    assert status == 0
    assert [scores[i] for i in range(3)] == pytest.approx(expected.tolist(), abs=1e-4)
    assert [entry["score"] for entry in found["classes"]] == sorted(scores.values(), reverse=True)
    assert all(entry["label"] == LABELS[entry["index"]] for entry in found["classes"])
    assert expected.max() - expected.min() > 0.05, "the network must prefer a class, or the test says nothing"
    for clip, view in zip(found["clips"], views, strict=True):
        best = view.mean(0) if combine == "mean" else view.amax(0)
        assert clip["classes"][0]["score"] == pytest.approx(best.max().item(), abs=1e-4)


def test_json_says_what_was_run(capsys: pytest.CaptureFixture[str], video: str, labels: str, tmp_path: Path) -> None:
    file = tmp_path / "weights.safetensors"
    with_weights(file)
    words = ("--model", MODEL, "--weights", str(file), "--classes", labels, *FEW_VIEWS, "--top", "2")
    _, (found,) = run_json(capsys, video, *words)
    assert (found["video"], found["model"], found["weights"]) == (video, MODEL, str(file))
    assert found["weights_sha256"] == sha256_of(file)
    assert found["views"] == {"clips": 3, "crops": 1, "combine": "mean"}
    assert (found["input"]["num_frames"], found["input"]["stride"]) == (4, 16)
    assert found["duration_s"] == pytest.approx(5.0)
    assert found["frames_replaced"] == 0
    assert len(found["classes"]) == 2
    spans = [(clip["start_s"], clip["end_s"]) for clip in found["clips"]]
    # 125 frames at 25 fps, a span of 64 frames at 30: starts 0, 23.9, 47.8; last places 52.3, 76.2, 100.1
    assert spans == [
        (0.0, pytest.approx(53 / 25)),
        (pytest.approx(23 / 25), pytest.approx(77 / 25)),
        (pytest.approx(47 / 25), pytest.approx(101 / 25)),
    ]


def test_untrained_weights_are_called_so(capsys: pytest.CaptureFixture[str], video: str) -> None:
    words = (video, "--model", MODEL, "--weights", "untrained", *FEW_VIEWS)
    status, out, _ = run(capsys, *words)
    assert status == 0
    assert out.startswith("UNTRAINED: slow_4x16_r50 has random weights.")
    assert "classes have numbers" in out
    assert "class 0" in out
    _, (found,) = run_json(capsys, *words)
    assert (found["weights"], found["weights_sha256"]) == ("untrained", None)


def test_text_shows_classes_and_times(capsys: pytest.CaptureFixture[str], video: str, labels: str) -> None:
    words = (video, "--model", MODEL, "--weights", "untrained", "--classes", labels, *FEW_VIEWS)
    _, (found,) = run_json(capsys, *words)
    _, out, _ = run(capsys, *words)
    lines = out.splitlines()
    assert f"{video}  0:05.0" in lines
    for entry in found["classes"]:
        assert any(entry["label"] in line and f"{100 * entry['score']:.1f} %" in line for line in lines)
    assert any(line.split()[:1] == ["0:00.0"] for line in lines)


class Lamp(Backbone):
    """Class 0 is dark, class 1 is light."""

    embedding_dim, num_classes, input_channels = 2, 2, 3
    num_frames, stride = 8, 3

    def forward_features(self, clip: Tensor) -> tuple[Tensor, ...]:
        light = clip.mean((1, 2, 3, 4), keepdim=True) * 0.225 + 0.45
        return (torch.cat([1 - light, light], 1),)

    def pool(self, features: tuple[Tensor, ...]) -> Tensor:
        return features[0]

    def classify(self, pooled: Tensor) -> Tensor:
        return pooled

    def activate(self, scores: Tensor) -> Tensor:
        return scores


def test_neighbours_with_one_best_class_are_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(networks, "build_backbone", lambda name: Lamp())
    (tmp_path / "names.txt").write_text("dark\nlight\n")
    frames = (np.full((36, 52, 3), 255 * (i >= 61), np.uint8) for i in range(120))
    encode(frames, tmp_path / "lamp.mov", fps=Fraction(10), coding=Coding(codec="png", pix_fmt="rgb24"))
    words = ("--model", "lamp", "--weights", "untrained", "--classes", str(tmp_path / "names.txt"))
    _, out, _ = run(capsys, str(tmp_path / "lamp.mov"), *words)
    timeline = [line.split() for line in out.splitlines()[-2:]]
    assert timeline == [
        ["0:00.0", "0:06.4", "6", "93.8", "%", "dark"],  # five clips in the dark, one that sees 5 dark frames of 8
        ["0:06.7", "0:10.8", "4", "100.0", "%", "light"],
    ]


def test_a_video_that_cannot_be_read_does_not_stop_the_others(
    capsys: pytest.CaptureFixture[str], video: str, tmp_path: Path
) -> None:
    audio_only(tmp_path / "song.mp3")
    (tmp_path / "empty.mp4").write_bytes(b"")
    bad = [str(tmp_path / name) for name in ("song.mp3", "empty.mp4", "missing.mp4")]
    words = (*bad, video, "--model", MODEL, "--weights", "untrained", *FEW_VIEWS)
    status, out, _ = run(capsys, *words)
    assert status == 1
    assert "has no video stream" in out
    assert f"{video}  0:05.0" in out
    status, results = run_json(capsys, *words)
    assert status == 1
    assert ["error" in result for result in results] == [True, True, True, False]
    assert [result["video"] for result in results] == [*bad, video]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--weights", "untrained"), "--model"),
        (("--weights", "untrained", "--model", MODEL, "--classes", "kinetics-400"), "400 names, the network 3"),
        (("--weights", "untrained", "--model", MODEL, "--device", "abacus"), "Unknown device 'abacus'"),
        (("--weights", "untrained", "--model", f"ava_{MODEL}"), "what people in boxes do"),
        (("--weights", "nowhere.pyth", "--model", MODEL), "nowhere.pyth"),
    ],
)
def test_what_cannot_start_exits_with_2(
    capsys: pytest.CaptureFixture[str], video: str, words: tuple[str, ...], message: str
) -> None:
    status, out, err = run(capsys, video, *words)
    assert (status, out) == (2, "")
    assert message in err


def test_a_network_for_flow_is_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, video: str
) -> None:
    monkeypatch.setattr(networks, "build_backbone", partial(build_backbone, width=8, fast_input="flow"))
    status, _, err = run(capsys, video, "--model", "slowfast_4x16_r50", "--weights", "untrained")
    assert status == 2
    assert "does not look at RGB pictures" in err


@pytest.mark.parametrize("name", ["video_90.mov", "testsrc2_odd_height_and_width_vp9.mp4", "nasa_13013_vfr.mp4"])
def test_real_clips_of_every_shape(capsys: pytest.CaptureFixture[str], clips: Path, name: str) -> None:
    words = (str(clips / name), "--model", MODEL, "--weights", "untrained", "--clips", "2", "--crops", "1")
    status, (found,) = run_json(capsys, *words)
    assert status == 0
    assert sum(entry["score"] for entry in found["classes"]) == pytest.approx(1.0, abs=1e-4)
    assert all(0 <= clip["start_s"] < clip["end_s"] <= found["duration_s"] + 1e-9 for clip in found["clips"])
