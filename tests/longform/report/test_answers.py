"""Files of answers: what of them goes on the page, and what is refused with words."""

import copy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from longform.lfb.bank_windows import BankWindow
from longform.lfb.explanation import Explanations
from longform.lfb.prediction import Answer
from longform.report.answers import read_explanations, read_masked
from longform.report.answers_shown import answers_shown
from longform.report.collect import Boxes
from longform.report.command import Written, write_report
from longform.report.errors import ReportError
from longform.report.limits import Limits
from tests.longform.report.answer_files import (
    FIRST,
    LEFT,
    PREDICTIONS,
    RIGHT,
    TRACKS,
    explanations,
    masked,
    moment,
    prediction,
    write,
)
from tests.longform.report.test_command import blocks

NO_BOXES = Boxes(at_s=[], frame=[], box=[], score=[], label=[], track=[])


def test_predictions_go_by_video_and_time_with_the_heaviest_moments_first(tmp_path: Path) -> None:
    found = read_explanations([write(tmp_path / "e.json", explanations(*PREDICTIONS))])
    assert found.files == [
        {"name": "e.json", "dataset": "ava", "space": "person.test", "operator": "nl", "window_s": 6, "causal": False}
    ]
    assert {name: [one.at_s for one in entries] for name, entries in found.by_video.items()} == {
        "film.mov": [3.5, 6.5],
        "gone.mp4": [2.0],
    }
    first = found.by_video["film.mov"][0]
    assert [(one.at_s, one.weight, one.track) for one in first.moments] == [
        (1, 0.5, 0), (4, 0.3, 4), (1, 0.1, 1), (6, 0.05, None),
    ]  # fmt: skip
    assert first.scores == [("open", 0.9), ("other", 0.3)]


def test_what_evaluation_writes_can_be_read(tmp_path: Path) -> None:
    window = BankWindow(
        features=np.zeros((3, 4), np.float32),
        mask=np.array([True, True, False]),
        times_s=np.array([1.0, 2.0, 0.0]),
        at_s=1.5,
        video_id="film.mov",
        boxes=np.array([RIGHT, LEFT, [0] * 4], np.float32),
        detection_ids=np.array([3, -1, -1]),
        track_ids=np.array([1, -1, -1]),
    )
    data: Any = SimpleNamespace(dataset="ava", class_name=lambda number: f"class {number}")
    written = Explanations(data, {"operator": "nl", "window_s": 2, "causal": True}, top=0, activation="sigmoid")
    weights = np.array([[[0.2, 0.5, 0.3]]], np.float32)
    answer = Answer(query=0, view=0, logits=np.array([[0.0, 2.0]], np.float32), window=window, weights=weights)
    written.add(answer, "film", np.array([LEFT]))
    written.write(tmp_path / "e.json")
    found = read_explanations([str(tmp_path / "e.json")])
    (one,) = found.by_video["film.mov"]
    assert [(at.at_s, at.weight, at.track, at.box) for at in one.moments] == [(2, 0.5, None, None), (1, 0.2, 1, RIGHT)]
    assert (one.at_s, one.box, one.empty_slots, one.empty_weight) == (1.5, LEFT, 1, 0.3)
    assert one.scores == [("class 1", 0.8808), ("class 0", 0.5)]
    assert found.files[0]["causal"] is True


def report(bank: Path, tmp_path: Path, **more: Any) -> tuple[Written, dict[str, Any]]:
    files = {
        "explained": [write(tmp_path / "e.json", explanations(*PREDICTIONS))],
        "masked": [write(tmp_path / "m.json", masked(("film.mov", TRACKS)))],
    }
    page = tmp_path / "page.html"
    written = write_report(str(bank), str(page), **{**files, **more})
    return written, blocks(page)


def test_answers_are_with_their_videos(bank: Path, tmp_path: Path) -> None:
    written, found = report(bank, tmp_path)
    assert (written.answers, written.answers_in_files) == (11, 11)
    facts = {video["video_id"]: video for video in found["bank"]["list"]}
    assert (facts["film.mov"]["predictions"], facts["film.mov"]["masked"]) == (2, 8)
    detail = found[f"video-{facts['film.mov']['shown']}"]
    assert [one["moments"][0][:3] for one in detail["predictions"]] == [[1, 0.5, 0], [0, 0.95, 1]]
    assert [one["track"] for one in detail["masked"]] == list(range(8))
    _, found = report(bank, tmp_path, video="film.mov", masked=[])
    assert (len(found["video-0"]["predictions"]), found["video-0"]["masked"], found["bank"]["masked"]) == (2, [], [])


def test_videos_with_answers_are_shown_first_of_all(bank: Path, tmp_path: Path) -> None:
    about = [prediction("other-0119.mp4", 1.0, "sit")]
    written, found = report(
        bank,
        tmp_path,
        explained=[write(tmp_path / "other.json", explanations(*about))],
        limits=Limits(videos=2, listed=2, pictures=0),
    )
    assert [video["video_id"] for video in found["bank"]["list"]] == ["film.mov", "other-0119.mp4"]
    assert (written.videos, written.answers) == (2, 9)
    written, _ = report(bank, tmp_path, limits=Limits(videos=1, pictures=0))
    assert (written.answers, written.answers_in_files) == (10, 11)


def test_attended_moments_have_pictures_before_others(bank: Path, tmp_path: Path) -> None:
    _, found = report(bank, tmp_path, video="film.mov", masked=[], limits=Limits(pictures=10))
    assert {10, 40, 60, 35, 65, 0} <= set(found["video-0"]["pictures"]["frame"])


def test_without_room_some_predictions_and_the_heaviest_moments_stay(tmp_path: Path) -> None:
    found = read_explanations([write(tmp_path / "e.json", explanations(*PREDICTIONS))])
    tracks = read_masked([write(tmp_path / "m.json", masked(("film.mov", TRACKS)))])
    ids = ["film.mov", "gone.mp4"]
    film, gone = answers_shown(found, tracks, ids, Limits(attended=4, masked=3))
    assert [[one.weight for one in entry.moments] for entry in film.predictions] == [[0.5, 0.3], [0.95]]
    assert [(len(entry.moments), entry.moments_in_file) for entry in film.predictions] == [(2, 4), (1, 1)]
    assert [entry.track for entry in film.masked] == [0, 4, 7]
    assert film.notes == ["The page has room for 3 of 8 masked tracks of this video: an even selection."]
    assert gone.notes == []
    assert [len(one.predictions) for one in answers_shown(found, tracks, ids, Limits(predictions=2))] == [1, 1]


def test_frames_of_answers_are_those_of_the_detections_or_by_the_rate(tmp_path: Path) -> None:
    found = read_explanations([write(tmp_path / "e.json", explanations(PREDICTIONS[1]))])
    (film,) = answers_shown(found, read_masked([]), ["film.mov"], Limits())
    assert film.frames(NO_BOXES, 10, 80) == [10, 35, 40, 60]
    known = Boxes(at_s=[1.0, 3.9, 6.001], frame=[11, 39, 66], box=[], score=[], label=[], track=[])
    assert film.frames(known, 10, 80) == [11, 35, 40, 66]
    assert film.frames(NO_BOXES, 10, 38) == [10, 35, 37]


def broken(**changes: Any) -> dict[str, Any]:
    content = copy.deepcopy(explanations(prediction("film.mov", 1.0, "sit", *FIRST)))
    target = content["predictions"][0]
    for name, value in changes.items():
        place = target["moments"][0] if name in FIRST[0] and name != "at_s" else target
        place[name] = value
    return content


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([], "expected one JSON object"),
        ({"videos": []}, r"predictions is missing; expected a list.*longform eval lfb-\.\.\. --explain"),
        (broken(at_s="soon"), r"predictions\[0\]\.at_s is 'soon'; expected a number"),
        (broken(at_s=float("nan")), r"predictions\[0\]\.at_s is nan"),
        (broken(bank_video_id=3), r"predictions\[0\]\.bank_video_id is 3; expected text"),
        (broken(weight=None), r"predictions\[0\]\.moments\[0\]\.weight is missing"),
        (broken(track_id=-1), r"moments\[0\]\.track_id is -1; expected a whole number, 0 or more"),
        (broken(track_id=True), "track_id is True"),
        (broken(empty_slots=1.5), "empty_slots is 1.5"),
        (broken(scores=[3]), r"predictions\[0\]\.scores\[0\] is 3; expected an object"),
        ({"predictions": [{**PREDICTIONS[0], "box": [0, 0, 640, 480]}]}, r"box is \[0, 0, 640, 480\]; expected four"),
        ({"predictions": [{**PREDICTIONS[0], "box": "x" * 1000}]}, r"box is 'x{50,60} …"),
        ({"predictions": [], "window_s": []}, r"window_s is \[\]; expected a number"),
    ],
)
def test_a_file_of_another_form_is_refused(tmp_path: Path, content: Any, words: str) -> None:
    with pytest.raises(ReportError, match=words) as error:
        read_explanations([write(tmp_path / "e.json", content)])
    assert str(error.value).startswith(str(tmp_path / "e.json"))


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("<html>")
    with pytest.raises(ReportError, match=r"no JSON \(.*--masked-view"):
        read_masked([str(tmp_path / "page.html")])
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ReportError, match="no JSON"):
        read_masked([str(tmp_path / "binary.json")])
    with pytest.raises(ReportError, match=r"Cannot read .*No such file"):
        read_masked([str(tmp_path / "none.json")])
    track = {**TRACKS[0], "box": None}
    with pytest.raises(ReportError, match=r"videos\[0\]\.tracks\[0\]\.box is missing"):
        read_masked([write(tmp_path / "m.json", masked(("film.mov", [track])))])


def test_answers_about_other_videos_are_refused_and_nothing_is_written(bank: Path, tmp_path: Path) -> None:
    for name, words in (("film.mp4", "'film.mp4' is not in bank"), ("broken.mp4", "'broken.mp4' failed in bank")):
        with pytest.raises(ReportError, match=words):
            report(bank, tmp_path, explained=[write(tmp_path / "o.json", explanations(prediction(name, 1.0, "sit")))])
    with pytest.raises(ReportError, match=r"m\.json: nothing about video 'gone\.mp4'\. Leave out --video or --masked"):
        report(bank, tmp_path, video="gone.mp4")
    assert not (tmp_path / "page.html").exists()


def test_long_names_are_cut(tmp_path: Path) -> None:
    file = write(tmp_path / "e.json", explanations(prediction("film.mov", 1.0, "long " * 1000, moment(1.0, 1.0))))
    assert len(read_explanations([file]).by_video["film.mov"][0].scores[0][0]) == 80
