"""The experiment on generated videos, small: what it stores, what it trains on, and that stored results are shown."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.coviar.__main__ import STORED, collected, run, show
from benchmarks.coviar.experiment import VECTORS, CodeArrays, Sizes, _path, labels, parts_right, prepare, runs, split
from longform.coviar.sampling import address

SMALL = Sizes(
    motions=("pan_left", "pan_right"), appearances=("grid",), videos=8, test_videos=4, frames=24, size=64, width=4,
    steps=1, p_steps=1, batch=2,
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("experiment")
    run(found, SMALL, [0])
    return found


def test_scores_of_every_run_become_accuracies(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = collected(folder, SMALL, [0])
    assert [(run["seed"], run["vectors"]) for run in results["runs"]] == [(0, vectors) for vectors in VECTORS]
    one, other, _ = (run["top1"] for run in results["runs"])
    assert one["I"] == other["I"]
    assert all(run["parts_of_m"] == {"motion": run["top1"]["M"], "appearance": 100.0} for run in results["runs"])
    assert set(one) == {"I", "M", "R", "I+M", "I+R", "M+R", "I+M+R"}
    show(results)
    assert "2 classes (2 motions x 1 appearances)" in capsys.readouterr().out


def test_a_finished_run_is_not_done_again(folder: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in folder.glob("*.npy")}
    assert len(before) == len(runs())
    run(folder, SMALL, [0])
    assert {path: path.stat().st_mtime_ns for path in folder.glob("*.npy")} == before


def test_codes_go_with_the_camera(folder: Path) -> None:
    """Panning left moves the picture right, and accumulated motion is the longer one."""
    prepare(folder / "videos", SMALL)
    means = {}
    for vectors in VECTORS:
        arrays = np.load(_path(folder / "videos", "motion", vectors))
        source = CodeArrays(arrays, range(8), SMALL)
        lengths = source.gop_lengths(0)
        assert list(lengths) == [3, 3]
        for index in range(8):
            (code,) = source.codes(index, [address(2, lengths, "motion")], "motion")
            means[vectors, index] = float(code[..., 0].mean()) - 128
    for index, label in enumerate(labels(SMALL)):
        sign = 1 if SMALL.classes[label].motion == "pan_left" else -1
        assert sign * means["accumulated", index] > sign * means["original", index] > 0


def test_an_answer_can_be_half_right() -> None:
    sizes = Sizes(motions=("pan_left", "pan_right"), appearances=("grid", "clouds"))
    scores = np.eye(4, dtype=np.float32)[[0, 1, 2, 3]]
    assert parts_right(scores, [0, 0, 0, 3], sizes) == {"motion": 75.0, "appearance": 75.0}


def test_seeds_leave_out_other_videos_of_every_class() -> None:
    sizes = Sizes()
    known, parts = labels(sizes), [split(sizes, seed) for seed in range(3)]
    for learned, tested in parts:
        assert not set(learned) & set(tested)
        assert len(learned) + len(tested) == sizes.videos
        assert {sum(known[index] == label for index in tested) for label in range(16)} == {19}
    assert parts[0][1] != parts[1][1]


def test_in_the_stored_results_all_three_streams_are_best_and_accumulation_helps_them() -> None:
    results = json.loads(STORED.read_text())
    means = {
        vectors: {
            name: np.mean([run["top1"][name] for run in results["runs"] if run["vectors"] == vectors])
            for name in results["runs"][0]["top1"]
        }
        for vectors in VECTORS
    }
    assert len({run["seed"] for run in results["runs"]}) == 3
    accumulated, original = means["accumulated"], means["original"]
    assert max(accumulated, key=lambda name: accumulated[name]) == "I+M+R"
    assert all(accumulated[name] > original[name] for name in ("R", "M+R", "I+M+R"))


def test_in_the_stored_results_the_motion_stream_knows_the_motion_and_guesses_the_texture() -> None:
    for found in json.loads(STORED.read_text())["runs"]:
        assert found["parts_of_m"]["motion"] > 90
        assert found["parts_of_m"]["appearance"] < 50
