"""`longform train clips` and `longform eval clips`, from the command line to the numbers."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from extractors.runtime import Runtime
from longform.clip_training.class_names import CLASSES, keep_classes
from longform.clip_training.evaluation import network_to_test
from longform.clip_training.lists import read_classes, read_list
from longform.clip_training.unreadable import Failure, Unreadable
from longform.recognition import recognise_video
from longform.training.errors import TrainingError
from pipeline.cli import main
from tests.longform.clip_training.films import moving_square, write_film

torch.set_num_threads(1)
SMALL = ["--model", "fast_4x16_r50", "--width", "4", "--clip", "6x1", "--size", "28", "--quiet"]


@pytest.fixture(scope="module")
def lists(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`train.csv` and `val.csv` of films that move left or right."""
    root = tmp_path_factory.mktemp("films")
    for part, count, first_seed in (("train", 16, 0), ("val", 8, 1000)):
        lines = []
        for number in range(count):
            name = f"{part}/{number}.mp4"
            write_film(root / name, moving_square(bool(number % 2), first_seed + number // 2))
            lines.append(f"{name} {'right' if number % 2 else 'left'}\n")
        (root / f"{part}.csv").write_text("".join(lines))
    return root


def printed(capsys: pytest.CaptureFixture[str]) -> list:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_train_then_eval(lists: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    data = ["--list", str(lists / "train.csv"), "--val", str(lists / "val.csv")]
    words = ["train", "clips", *data, *SMALL, "--recipe", "ssv2", "--weights", "untrained", "--batch", "8"]
    words += ["--steps", "4", "--precise-batches", "1", "--out", str(run)]
    assert main([*words, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["steps"], report["metric"]) == (4, "top1")
    assert (run / "classes.txt").read_text() == "left\nright\n"
    measure = ["eval", "clips", "--checkpoint", str(run / "final.safetensors"), "--val", str(lists / "val.csv")]
    assert main([*measure, "--json"]) == 0
    once, _ = printed(capsys)
    assert (once["dataset"], once["metric"], once["num_videos"], once["num_missing"]) == ("val.csv", "top1", 8, 0)
    assert (once["clips"], once["crops"]) == (1, 1)
    assert main([*measure, "--json", "--clips", "2", "--crops", "3"]) == 0
    assert printed(capsys)[0]["crops"] == 3


def test_videos_that_cannot_be_read_are_missing(lists: Path, tmp_path: Path, capsys) -> None:
    run = tmp_path / "run"
    data = ["--list", str(lists / "train.csv"), "--val", str(lists / "val.csv")]
    main(["train", "clips", *data, *SMALL, "--batch", "8", "--steps", "1", "--precise-batches", "0", "--out", str(run)])
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    (tmp_path / "val.csv").write_text(f"bad.mp4 left\n{lists}/val/1.mp4 right\ngone.mp4 left\n")
    measure = ["eval", "clips", "--checkpoint", str(run / "final.safetensors"), "--val", str(tmp_path / "val.csv")]
    capsys.readouterr()
    assert main([*measure, "--json", "--allow-missing", "--clips", "1", "--crops", "1"]) == 0
    output = capsys.readouterr()
    assert json.loads(output.out.splitlines()[0])["num_missing"] == 2
    assert "Not measured: " in output.err
    assert "gone.mp4" in output.err


def test_the_folder_of_a_run_goes_on_with_the_same_options_only(lists: Path, tmp_path: Path, capsys) -> None:
    data = ["--list", str(lists / "train.csv"), "--val", str(lists / "val.csv"), "--out", str(tmp_path)]
    words = ["train", "clips", *data, *SMALL, "--batch", "8", "--steps", "1", "--precise-batches", "0"]
    assert main(words) == 0
    assert main(words) == 0
    assert main([*words, "--multigrid", "short"]) != 0
    for part, option in (("train", "--list"), ("val", "--val")):
        others = tmp_path / f"{part}.csv"
        others.write_text((lists / f"{part}.csv").read_text().replace("left", "up"))
        words[words.index(option) + 1] = str(others)
    capsys.readouterr()
    assert main([*words, "--videos", str(lists)]) != 0
    assert "other classes: 2 (left, right) there, 2 (right, up) now" in capsys.readouterr().err
    assert (tmp_path / "classes.txt").read_text() == "left\nright\n"


def test_only_the_first_process_writes_the_classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    keep_classes(tmp_path, ("a", "b"))
    assert not list(tmp_path.iterdir())
    monkeypatch.setenv("RANK", "0")
    keep_classes(tmp_path, ("a", "b"))
    keep_classes(tmp_path, ("b",))  # no run has begun here
    assert read_classes(str(tmp_path / CLASSES)) == ("b",)


def test_processes_share_what_they_could_not_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, other = (Unreadable(videos=40, most=0.05, path=tmp_path / "u.csv") for _ in range(2))
    one.note(Failure("a.mp4", "'a.mp4' is damaged."))
    other.note(Failure("a.mp4", "'a.mp4' is damaged."))
    assert capsys.readouterr().err.count("a.mp4") == 1
    assert (tmp_path / "u.csv").read_text().splitlines() == ["video,reason", "a.mp4,'a.mp4' is damaged."]
    other.note(Failure("b.mp4", "'b.mp4' is damaged."))
    with pytest.raises(
        TrainingError, match=r"3 of 40 .* the 2 that .* 'b.mp4' is damaged\. 'c.mp4' is damaged\. Repair"
    ):
        one.note(Failure("c.mp4", "'c.mp4' is damaged."))


def test_charades_from_pictures(shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(shared / "annotations" / "charades" / "Charades_v1_train_sample.csv")
    names = read_list(path).names[:4]
    for name in names:
        (tmp_path / "frames" / name).mkdir(parents=True)
        for number in range(1, 13):
            picture = np.full((40, 48, 3), 10 * number, np.uint8)
            cv2.imwrite(str(tmp_path / "frames" / name / f"{name}-{number:06d}.jpg"), picture)
    data = ["--val", path, "--frames", str(tmp_path / "frames"), "--allow-missing", "--json"]
    run = tmp_path / "run"
    words = ["train", "clips", "--list", path, *data, *SMALL, "--recipe", "charades", "--weights", "untrained"]
    assert main([*words, "--batch", "4", "--steps", "2", "--precise-batches", "1", "--out", str(run)]) == 0
    assert json.loads(capsys.readouterr().out)["metric"] == "mAP"
    assert main(["eval", "clips", "--checkpoint", str(run / "final.safetensors"), *data, "--clips", "2"]) == 0
    (line,) = printed(capsys)
    assert (line["metric"], line["num_videos"], line["clips"], line["crops"]) == ("mAP", 4, 2, 3)
    assert line["num_missing"] == len(read_list(path).names) - 4
    assert 0 < line["value"] <= 1


def test_several_views_are_those_of_recognition(lists: Path, tmp_path: Path, capsys) -> None:
    """The command's scores, from the network, its input and its views one by one."""
    data = ["--list", str(lists / "train.csv"), "--val", str(lists / "val.csv"), "--out", str(tmp_path)]
    main(["train", "clips", *data, *SMALL, "--batch", "8", "--steps", "2", "--precise-batches", "1"])
    tested = network_to_test(str(tmp_path / "final.safetensors"), None)
    assert (tested.spec.num_frames, tested.spec.stride, tested.spec.short_side_px) == (6, 1, 32)
    assert (tested.views.clips, tested.views.crops, tested.classes) == (10, 3, ("left", "right"))
    runtime = Runtime()
    network = runtime.prepare(tested.network)
    right = [
        int(recognise_video(str(lists / f"val/{i}.mp4"), network, tested.spec, runtime, tested.views).scores.argmax())
        == i % 2
        for i in range(8)
    ]
    capsys.readouterr()
    words = ["eval", "clips", "--checkpoint", str(tmp_path / "final.safetensors"), "--val", str(lists / "val.csv")]
    assert main([*words, "--json"]) == 0
    assert printed(capsys)[0]["value"] == np.mean(right)


@pytest.mark.parametrize("cycles", ["off", "short", "long", "both"])
def test_schedules_are_shown_without_a_list(cycles: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", "clips", "--recipe", "kinetics-stepwise", "--multigrid", cycles, "--show-schedule", "--json"]
    assert main(words) == 0
    rows = json.loads(capsys.readouterr().out)
    assert rows[-1]["to_step"] == {"off": 897_878, "short": 576_402, "long": 409_492, "both": 262_344}[cycles]
    assert rows[-1]["last_lr"] == pytest.approx(1e-4)
    assert max(row["batch"] for row in rows) == (512 if cycles in ("long", "both") else 64)


def test_multigrid_trains(lists: Path, tmp_path: Path) -> None:
    data = ["--list", str(lists / "train.csv"), "--val", str(lists / "val.csv"), "--out", str(tmp_path)]
    words = ["train", "clips", *data, *SMALL, "--recipe", "kinetics-stepwise", "--batch", "2", "--steps", "12"]
    words[words.index("6x1")] = "8x1"
    assert main([*words, "--multigrid", "both", "--precise-batches", "1"]) == 0
    rows = (tmp_path / "log.csv").read_text().splitlines()
    assert len(rows) >= 2
    assert all(np.isfinite(float(row.split(",")[2])) for row in rows[1:])


def test_options_that_cannot_work(lists: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = ["--list", str(lists / "train.csv"), "--val", str(lists / "val.csv"), "--out", str(tmp_path)]
    for words, message in (
        ([], "give --list FILE"),
        ([*data, "--recipe", "charades"], "starts from slowfast_8x8_r50_k400: give --weights W"),
        ([*data, "--clip", "x8"], "--clip x8: expected frames x distance"),
        ([*data, "--steps", "3", "--epochs", "2"], "give one of them"),
        ([*data, "--model", "slow_8x8_r51"], "Did you mean"),
    ):
        assert main(["train", "clips", *words]) != 0
        assert message in capsys.readouterr().err
    assert main(["eval", "clips", "--checkpoint", str(lists / "train.csv"), "--val", str(lists / "val.csv")]) != 0
    assert "no config.json above it" in capsys.readouterr().err
