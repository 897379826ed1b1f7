"""Videos, classes, frame labels and results of Charades."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from extractors.errors import ShapeError
from longform.datasets.charades import (
    FPS,
    CharadesAction,
    frame_list,
    read_class_names,
    read_videos,
    write_submission,
)
from longform.metrics import AnnotationError, charades_map
from longform.metrics.charades_map import read_charades_labels, read_charades_submission
from pipeline.errors import InputError


def written(folder: Path, *rows: str) -> Path:
    path = folder / "Charades_v1_train.csv"
    path.write_text("\n".join(["id,scene,actions,length", *rows]), encoding="utf-8")
    return path


@pytest.mark.parametrize(("split", "count"), [("train", 40), ("test", 20)])
def test_real_videos(shared: Path, split: str, count: int) -> None:
    path = shared / f"annotations/charades/Charades_v1_{split}_sample.csv"
    videos = read_videos(path)
    assert len(videos) == count
    assert [len(video.actions) for video in videos[-2:]] == [0, 0]
    labels = read_charades_labels(path)
    assert {video.video: {a.class_id for a in video.actions} for video in videos} == {
        video: set(np.flatnonzero(shown)) for video, shown in labels.items()
    }
    assert sum(bool(video.actions) for video in videos) == len(frame_list(videos, dict.fromkeys(labels, 100)))


def test_a_real_row(shared: Path) -> None:
    first = read_videos(shared / "annotations/charades/Charades_v1_train_sample.csv")[0]
    assert (first.video, first.length_s) == ("46GP8", 24.83)
    assert first.actions == (
        CharadesAction(class_id=92, start_s=11.9, end_s=21.2),
        CharadesAction(class_id=147, start_s=0.0, end_s=12.6),
    )
    names = read_class_names(shared / "annotations/charades/Charades_v1_classes.txt")
    assert (len(names), names[92]) == (157, "Watching/Looking outside of a window")


def test_classes_of_frames(tmp_path: Path) -> None:
    """A frame has an action if start <= its time < end: c001 covers frames 24 to 35, c002 ends behind the video."""
    videos = read_videos(
        written(tmp_path, "a,Kitchen,c001 1.00 1.50;c002 1.46 9.90;c003 2.00 1.00,1.8", "b,Kitchen,,2")
    )
    frames = frame_list(videos, {"a": 44})
    assert list(frames) == ["a"]
    assert list(frames["a"].paths)[::43] == ["a/a-000001.jpg", "a/a-000044.jpg"]
    found = [frames["a"].classes(i, i).tolist() for i in range(44)]
    expected = [
        [c for c, start, end in ((1, 1.0, 1.5), (2, 1.46, 9.9), (3, 2.0, 1.0)) if start <= i / FPS < end]
        for i in range(44)
    ]
    assert found == expected
    assert [i for i in range(44) if 1 in found[i]] == list(range(24, 36))
    assert frames["a"].classes(0, 43).tolist() == [1, 2]
    with pytest.raises(InputError, match="No number of frames is given for video 'a'"):
        frame_list(videos, {"b": 3})


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("b,x,c157 0.00 1.00,9", "action 'c157 0.00 1.00'; expected class c000…c156"),
        ("b,x,c001 0.00,9", "action 'c001 0.00'"),
        ("b,x,c001 0.00 1.00;,9", "action ''"),
        ("b,x,c001 0.00 1.00,long", "could not convert string to float: 'long'"),
        ("a,x,,9", "video 'a' is there a second time"),
        ("b,x,c001 0.00 1.00", "3 fields; the header has 4"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, row: str, reason: str) -> None:
    with pytest.raises(AnnotationError, match=r"Charades_v1_train\.csv, line 3: .*" + reason):
        read_videos(written(tmp_path, "a,x,,9", row))


def test_bad_class_names_are_named(tmp_path: Path) -> None:
    path = tmp_path / "classes.txt"
    path.write_text("c000 Holding some clothes\nc002 Taking some clothes\n")
    with pytest.raises(AnnotationError, match="line 2: 'c002 Taking some clothes'; expected c001 and a name"):
        read_class_names(path)
    path.write_text("c000 Holding some clothes\n")
    with pytest.raises(AnnotationError, match="names 1 classes; expected 157"):
        read_class_names(path)


def test_a_written_submission_scores_as_the_golden_one(shared: Path, tmp_path: Path) -> None:
    golden = shared / "golden" / "charades_map"
    submission = read_charades_submission(golden / "submission_classify.txt")
    write_submission(tmp_path / "again.txt", list(submission), np.stack(list(submission.values())))
    expected = json.loads((golden / "expected.json").read_text())["official_m_file"]["mAP"]
    assert charades_map(golden / "gt.csv", tmp_path / "again.txt")["mAP"] == pytest.approx(expected, abs=1e-6)


def test_results_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "r.txt"
    with pytest.raises(ShapeError, match=r"scores are \(1, 80\); expected \(1, 157\)"):
        write_submission(path, ["a"], np.zeros((1, 80)))
    with pytest.raises(ShapeError, match="A video is there twice"):
        write_submission(path, ["a", "a"], np.zeros((2, 157)))
    assert not path.exists()
