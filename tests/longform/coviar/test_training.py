"""`longform train coviar` and `longform eval coviar` on small films: what moves where."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from extractors.backbones.catalog import build_backbone
from extractors.coviar_source import stream_source
from longform.coviar.data import LabelledVideos
from longform.coviar.hyperparameters import lr_factor, published
from longform.coviar.task import Batch, CoviarRecipe, CoviarTask
from longform.coviar.videos import VectorReading, open_videos
from longform.train_command import EXIT_INTERRUPTED
from longform.training.schedules import StepSchedule
from longform.training.settings import TrainSettings
from pipeline.cli import main
from tests.extractors.coviar_files import torchvision_state, write_coviar_checkpoint
from tests.longform.coviar.films import moving_square, write_film, write_list

STEPS_XY = ((0, 4), (0, -4))
SMALL = ["--width", "4", "--size", "48", "--batch", "8", "--lr", "0.02", "--depth", "18", "--quiet"]


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Squares that go down (class 0) or up (class 1): 24 films to train on, 12 to measure on."""
    folder = tmp_path_factory.mktemp("films")
    for split, count, seed in (("train", 24, 0), ("val", 12, 1000)):
        videos = []
        for index in range(count):
            name = f"{split}/{index}.mp4"
            write_film(folder / name, moving_square(STEPS_XY[index % 2], seed=seed + index))
            videos.append((name, index % 2))
        write_list(folder / f"{split}.txt", videos)
    return folder


def train(films: Path, stream: str, out: Path, *more: str) -> int:
    lists = ["--list", str(films / "train.txt"), "--val", str(films / "val.txt"), "--out", str(out)]
    return main(["train", "coviar", "--stream", stream, "--weights", "untrained", *SMALL, *lists, *more])


def evaluated(capsys: pytest.CaptureFixture[str], films: Path, *more: str) -> dict[str, dict]:
    capsys.readouterr()
    common = ["--val", str(films / "val.txt"), "--size", "48", "--segments", "5", "--json"]
    assert main(["eval", "coviar", *common, *more]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return {row["task"]: row for row in rows}


def test_motion_tells_up_from_down_and_a_picture_does_not(
    films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(films, "motion", tmp_path / "m", "--steps", "30") == 0
    assert train(films, "iframe", tmp_path / "i", "--steps", "5") == 0
    weights = {"--motion": tmp_path / "m" / "final.safetensors", "--iframe": tmp_path / "i" / "final.safetensors"}
    flags = [word for flag, path in weights.items() for word in (flag, str(path))]
    scores = evaluated(capsys, films, *flags, "--output", str(tmp_path / "scores.npz"), "--fusion", "0,1,1")
    assert set(scores) == {"I", "M", "I+M"}
    assert scores["M"]["value"] > 90
    assert scores["I"]["value"] < 80
    assert scores["I+M"]["value"] == scores["M"]["value"]  # I has no weight in this sum
    assert (scores["M"]["num_videos"], scores["M"]["num_missing"], scores["M"]["metric"]) == (12, 0, "top1")
    saved = np.load(tmp_path / "scores.npz")
    right = saved["motion"].argmax(1) == saved["labels"]
    assert 100 * right.mean() == pytest.approx(scores["M"]["value"])


def test_a_run_goes_on_exactly_where_it_stopped(films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flags = ("--steps", "6", "--checkpoint-every", "2")
    assert train(films, "residual", tmp_path / "whole", *flags) == 0
    losses, calls = CoviarTask.losses, iter(range(100))

    def stopping(task: CoviarTask, batch: Batch) -> Mapping[str, torch.Tensor]:
        if next(calls) == 3:
            raise KeyboardInterrupt
        return losses(task, batch)

    with monkeypatch.context() as patch:
        patch.setattr(CoviarTask, "losses", stopping)
        assert train(films, "residual", tmp_path / "stopped", *flags) == EXIT_INTERRUPTED
    assert not (tmp_path / "stopped" / "final.safetensors").exists()
    assert train(films, "residual", tmp_path / "stopped", *flags) == 0
    whole, continued = (load_file(tmp_path / name / "final.safetensors") for name in ("whole", "stopped"))
    assert all(torch.equal(whole[name], continued[name]) for name in whole)
    settings = json.loads((tmp_path / "whole" / "config.json").read_text())["settings"]
    assert (settings["optimiser"], settings["adam_eps"]) == ("adam", 1e-3)


def test_adam_decays_weights_by_their_gradient() -> None:
    """At the first step Adam moves every weight by lr * g / (|g| + eps), g the gradient with weight decay."""
    settings = TrainSettings(steps=1, schedule=StepSchedule(lr=0.1), optimiser="adam", adam_eps=1e-3, weight_decay=0.5)
    weight = torch.nn.Parameter(torch.tensor([2.0, -1.0]))
    optimiser = settings.build_optimiser([{"params": [weight]}])
    optimiser.param_groups[0]["lr"] = 0.1
    weight.grad = torch.tensor([0.01, 0.502])
    optimiser.step()
    gradient = torch.tensor([1.01, 0.002])
    torch.testing.assert_close(weight.data, torch.tensor([2.0, -1.0]) - 0.1 * gradient / (gradient + 1e-3))


def test_networks_start_from_imagenet(films: Path, tmp_path: Path) -> None:
    """All but the classifier, and for motion all but the first convolution, is the image network's."""
    image = build_backbone("coviar", depth=18, width=4, num_classes=1000)
    torch.save(torchvision_state(image), tmp_path / "resnet18.pth")
    for stream in ("motion", "residual"):
        out = tmp_path / stream
        assert train(films, stream, out, "--steps", "1", "--weights", str(tmp_path / "resnet18.pth")) == 0
        first = load_file(next(out.glob("checkpoints/step-*0/model.safetensors")))
        for name, tensor in image.state_dict().items():
            if name.startswith("slow.") and not name.endswith("num_batches_tracked"):
                is_new = stream == "motion" and name == "slow.stem.conv.weight"
                assert is_new or torch.equal(first[name], tensor), name


def test_untrained_networks_are_never_silent(films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lists = ["--list", str(films / "train.txt"), "--val", str(films / "val.txt"), "--out", str(tmp_path)]
    assert main(["train", "coviar", "--stream", "motion", "--steps", "1", "--depth", "34", *lists]) == 2
    assert "--weights untrained" in capsys.readouterr().err


def test_files_of_the_released_code_are_measured_and_written_for_extract(
    films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = []
    for stream in ("iframe", "motion", "residual"):
        network = build_backbone("coviar", stream=stream, depth=18, width=4, num_classes=2)
        path = tmp_path / f"x_{stream}_model_best.pth.tar"
        write_coviar_checkpoint(network, path, arch="resnet18")
        flags += [f"--{stream}", str(path)]
    scores = evaluated(capsys, films, *flags, "--write-networks", str(tmp_path / "networks"), "--crops", "1")
    assert set(scores) == {"I", "M", "R", "I+M", "I+R", "M+R", "I+M+R"}
    written = stream_source("residual", str(tmp_path / "networks" / "coviar_residual.safetensors"))
    assert (written.input.crop_px, written.outline().num_classes) == (48, 2)
    for name, tensor in network.state_dict().items():  # of the last stream
        assert torch.equal(written.build().state_dict()[name], tensor), name


def test_original_vectors_are_refused_by_weights_trained_on_accumulated_ones(
    films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(films, "motion", tmp_path / "m", "--steps", "1") == 0
    command = ["eval", "coviar", "--motion", str(tmp_path / "m" / "final.safetensors"), "--size", "48"]
    assert main([*command, "--val", str(films / "val.txt"), "--vectors", "original"]) == 2
    assert "--vectors accumulated" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "message"),
    [("", "no video"), ("a.mp4\n", "line 1"), ("gone.mp4 0\n", "gone.mp4"), ("broken.mp4 0\n", "broken.mp4")],
)
def test_a_list_that_cannot_be_used_is_named(
    films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, message: str
) -> None:
    (films / "broken.mp4").write_bytes(b"nothing")
    (tmp_path / "list.txt").write_text(content)
    command = ["train", "coviar", "--stream", "motion", "--weights", "untrained", *SMALL, "--out", str(tmp_path / "o")]
    lists = ["--list", str(tmp_path / "list.txt"), "--val", str(films / "val.txt"), "--videos", str(films)]
    assert main([*command, *lists, "--steps", "1"]) == 2
    assert message in capsys.readouterr().err


def test_unreadable_videos_are_left_out_on_request(
    films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_film(films / "still.mp4", moving_square((1, 0), frames=4), gop=1)
    (films / "mixed.txt").write_text("val/0.mp4 0\nstill.mp4 1\ngone.mp4 1\n")
    weights = tmp_path / "m.pth.tar"
    write_coviar_checkpoint(build_backbone("coviar", stream="motion", width=4, num_classes=2), weights, arch="r")
    command = ["eval", "coviar", "--motion", str(weights), "--val", str(films / "mixed.txt"), "--size", "48"]
    assert main([*command, "--allow-missing"]) == 2
    assert "1 of 2 videos" in (error := capsys.readouterr().err)
    assert "I-frames only" in error
    assert main([*command, "--skip-unreadable"]) == 2
    assert "gone.mp4" in capsys.readouterr().err
    assert main([*command, "--skip-unreadable", "--allow-missing", "--json"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert (row["num_videos"], row["num_missing"]) == (1, 2)


def test_learning_rates_and_decay_are_those_of_the_released_code(films: Path) -> None:
    paths = [str(films / "val" / "0.mp4")]
    source, _ = open_videos(paths, VectorReading(), needs_motion=True)
    videos = LabelledVideos(source=source, labels=[0])
    network = build_backbone("coviar", stream="motion", width=4, num_classes=2)
    task = CoviarTask(network, videos, videos, CoviarRecipe(stream="motion", batch=4))  # type: ignore[arg-type]
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    found = {
        names[id(parameter)]: (group["lr_factor"], group["weight_decay"])
        for group in task.parameter_groups()
        for parameter in group["params"]
    }
    assert len(found) == len(names)
    assert found["head.fc.weight"] == (1.0, 1e-4)
    assert found["head.fc.bias"] == (1.0, 0.0)
    assert found["data_bn.weight"] == found["slow.stem.conv.weight"] == (0.1, 1e-4)
    assert found["slow.stem.bn.bias"] == (0.1, 0.0)
    assert found["slow.res2.0.a.conv.weight"] == found["slow.res5.1.b.bn.weight"] == (0.01, 1e-4)
    assert lr_factor("slow.stem.conv.weight", "iframe", source="code") == 0.01
    assert lr_factor("slow.stem.conv.weight", "motion", source="thesis") == 1.0


def test_an_epoch_draws_each_video_once_and_replacement_does_not(films: Path) -> None:
    paths = [str(films / "val" / f"{index}.mp4") for index in range(12)]
    source, _ = open_videos(paths, VectorReading(), needs_motion=True)
    videos = LabelledVideos(source=source, labels=[0, 1] * 6)
    network = build_backbone("coviar", stream="motion", width=4, num_classes=2)
    for draw in ("epochs", "replacement"):
        task = CoviarTask(network, videos, videos, CoviarRecipe(stream="motion", batch=5, draw=draw))  # type: ignore[arg-type]
        drawn = [index for step in range(12) for index in task.plan(step)]
        counts = np.bincount(drawn, minlength=12)
        assert (counts == 5).all() == (draw == "epochs")
        assert task.plan(3) == task.plan(3) != task.plan(4)


def test_the_published_schedule_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """HMDB51's I-frames: 220 epochs of 3570 videos in batches of 40, drops at 55, 110 and 165."""
    command = ["train", "coviar", "--stream", "iframe", "--layout", "hmdb51", "--show-schedule", "--json"]
    assert main(command) == 0
    rows = json.loads(capsys.readouterr().out)
    steps = 220 * 3570 // 40
    assert [row["from_step"] for row in rows] == [0, round(steps / 4), round(steps / 2), round(steps * 3 / 4)]
    assert rows[-1]["to_step"] == steps
    assert [row["first_lr"] for row in rows] == pytest.approx([3e-4, 3e-5, 3e-6, 3e-7])
    assert (published("hmdb51", "motion", source="thesis").batch, published("ucf101", "motion", source="code").lr) == (
        40,
        1e-2,
    )


def test_official_lists_of_ucf101_and_the_thesis_figures(
    films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for index in range(2):
        folder = films / "ucf" / ("Up", "Down")[index]
        write_film(folder / f"v_{index}.mp4", moving_square(STEPS_XY[index], frames=13))
    (films / "ucf" / "testlist01.txt").write_text("Up/v_0.avi\nDown/v_1.avi\n")
    network = build_backbone("coviar", stream="motion", width=4, num_classes=2)
    write_coviar_checkpoint(network, tmp_path / "m.pth.tar", arch="r")
    command = ["eval", "coviar", "--motion", str(tmp_path / "m.pth.tar"), "--layout", "ucf101", "--size", "48"]
    assert main([*command, "--val", str(films / "ucf" / "testlist01.txt"), "--json"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert (row["task"], row["num_videos"], row["published"]) == ("M", 2, 63.9)
    lists = ["--val", str(films / "ucf" / "testlist01.txt"), "--vectors", "original", "--json"]
    assert main([*command, *lists]) == 0
    assert json.loads(capsys.readouterr().out)["published"] == 58.3
