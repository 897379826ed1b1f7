"""Counts beside the published ones, of files that are whole and of files that are not."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

import pytest

from longform.datasets.ava_key_frames import key_frames_to_train_on
from longform.datasets.charades import CharadesAction, CharadesVideo, read_videos
from longform.datasets.counts import Count, ava_training_counts, charades_counts, count, epic_counts
from longform.datasets.epic import EPIC_55, EPIC_100, EpicSegment, EpicSegments, read_segments
from pipeline.errors import ConfigError


def arguments(dataset: str, **given: object) -> argparse.Namespace:
    options = dict.fromkeys(
        "train val test test_seen test_unseen train_frames val_frames ground_truth boxes".split(), None
    )
    return argparse.Namespace(dataset=dataset, **{**options, "json": True, **given})


def test_a_count_says_how_far_it_is_off() -> None:
    published = {"authors' log": 666_191, "public files": 664_550}
    assert Count(what="boxes", found=664_550, published=published).verdict == "equal to public files"
    other = Count(what="boxes", found=664_551, published=published)
    assert not other.agrees
    assert other.verdict == "-1,640 against authors' log, +1 against public files"


def segments(*participants_and_counts: tuple[int, int]) -> tuple[EpicSegment, ...]:
    return tuple(
        EpicSegment(segment_id=str(i), participant=p, video=f"P{p:02d}_01", start_s=0, stop_s=1, verb=0, noun=0)
        for p, number in participants_and_counts
        for i in range(number)
    )


def test_segments_of_both_editions() -> None:
    whole = EpicSegments(edition=EPIC_55, segments=segments((25, 23_191), (26, 5_281)))
    assert [(c.found, c.agrees) for c in epic_counts(whole, split="train")] == [
        (28_472, True),
        (23_191, True),
        (5_281, True),
    ]
    cut = EpicSegments(edition=EPIC_100, segments=segments((1, 9_667)))
    assert [c.verdict for c in epic_counts(cut, split="validation")] == ["-1 against EPIC-KITCHENS-100"]
    with pytest.raises(ConfigError, match="EPIC-KITCHENS-55 has no split 'test'; expected one of: train, test_seen"):
        epic_counts(whole, split="test")


def test_videos_of_charades() -> None:
    action = CharadesAction(class_id=0, start_s=0, end_s=1)
    videos = [CharadesVideo(video=str(i), length_s=9, actions=(action,) * (i >= 49)) for i in range(1_863)]
    assert [(c.what, c.found, c.agrees) for c in charades_counts(videos, split="test")] == [
        ("videos, test", 1_863, True),
        ("videos without an action, test", 49, True),
        ("actions, test", 1_814, False),
        ("videos with an action, test", 1_814, True),
    ]


def test_counts_of_real_samples(shared: Path) -> None:
    folder = shared / "annotations"
    key_frames = key_frames_to_train_on([folder / "ava/ava_val_v2.2_sample.csv"], [])
    assert [c.found for c in ava_training_counts(key_frames)] == [len(key_frames.boxes), 120, len(key_frames)]
    epic = read_segments(folder / "epic55/EPIC_train_action_labels_sample.csv")
    assert epic_counts(epic, split="train")[0].found == 342
    charades = read_videos(folder / "charades/Charades_v1_train_sample.csv")
    assert [c.found for c in charades_counts(charades, split="train")][:2] == [40, 2]


def test_the_command(shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frames = tmp_path / "val.csv"
    lines = [f'v{i} {i} 0 v{i}/v{i}_000001.jpg ""' for i in range(64)]
    frames.write_text("\n".join(["original_vido_id video_id frame_id path labels", *lines]))
    assert count(arguments("ava", val_frames=frames)) == 0
    (whole,) = json.loads(capsys.readouterr().out)
    assert whole == {
        "what": "videos, val frame list",
        "found": 64,
        "published": {"LFB configuration": 64},
        "agrees": True,
    }
    truth = shared / "annotations/ava/ava_val_v2.2_sample.csv"
    boxes = tmp_path / "boxes.csv"
    boxes.write_text("1j20qq1JyX4,0902,0.1,0.1,0.2,0.2,,0.95")
    assert count(arguments("ava", ground_truth=[truth], boxes=[boxes], json=False)) == 1
    assert "against authors' log" in capsys.readouterr().out
    sample = shared / "annotations/charades/Charades_v1_train_sample.csv"
    assert count(arguments("charades", train=sample, val_frames=frames)) == 1
    actions = len(re.findall(r"c\d{3} [\d.]+ [\d.]+", sample.read_text()))
    assert [c["found"] for c in json.loads(capsys.readouterr().out)] == [64, 40, 2, actions, 38]
    with pytest.raises(ConfigError, match="give --ground-truth and --boxes"):
        count(arguments("ava", boxes=[boxes]))
    with pytest.raises(ConfigError, match="Nothing to count"):
        count(arguments("epic"))
