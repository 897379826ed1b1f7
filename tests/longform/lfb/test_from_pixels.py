"""From pixels to a score: the documented commands, small; the bank tells apart what the clip does not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.lfb.cue_films import CUES, OTHERS, SCENES, write_films
from benchmarks.lfb.from_pixels import SMALL, run
from longform.datasets.charades import read_videos
from pipeline.video.probe import probe


def test_no_clip_holds_both_cue_and_scene(tmp_path: Path) -> None:
    """More than the 32 frames of a clip lie between them, and they are less than half a window apart."""
    write_films(tmp_path, train=8, test=8, size_px=32)
    pairs = set()
    for video in read_videos(tmp_path / "annotations" / "Charades_v1_train.csv"):
        facts, _ = probe(str(tmp_path / "videos" / f"{video.video}.mp4"))
        assert facts.measured.duration_s == pytest.approx(video.length_s, abs=0.1)
        (cue,) = (action for action in video.actions if action.class_id < len(CUES))
        scene_classes = range(len(CUES), len(CUES) + len(CUES) * len(SCENES))
        (scene,) = (action for action in video.actions if action.class_id in scene_classes)
        assert (scene.class_id - len(CUES)) % len(CUES) == cue.class_id
        gap_s = max(scene.start_s - cue.end_s, cue.start_s - scene.end_s)
        assert gap_s * 24 > 32
        assert abs((scene.start_s + scene.end_s) / 2 - (cue.start_s + cue.end_s) / 2) < 5
        pairs.add((cue.class_id, scene.class_id, cue.start_s < scene.start_s))
        assert len(video.actions) == 5
    assert len(pairs) == len(CUES) * len(SCENES) * 2
    assert len(OTHERS) == 4


def test_the_bank_beats_its_own_short_term_baseline(tmp_path: Path) -> None:
    """With one of two seeds: 250 steps are few, and some trainings are not there yet."""
    for seed in range(2):
        folder = tmp_path / f"seed{seed}"
        outcome = run(folder, SMALL, seed=seed)
        if is_better := outcome.trials["max"].dependent > outcome.baseline.dependent + 0.1:
            break
    assert is_better, outcome
    assert [command.split()[1] for command in outcome.commands] == "train eval extract compact train eval".split()
    why = json.loads((folder / "max-why.json").read_text())
    assert len(why["predictions"]) == 3 * SMALL.test
    assert all(prediction["moments"] for prediction in why["predictions"])
