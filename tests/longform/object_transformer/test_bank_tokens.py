"""Tables of boxes from a bank: what is joined, what is chosen, in which order."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from longform.object_transformer.bank_tokens import BankSpaces, box_table, feature_dims
from longform.object_transformer.spans import Span, tail_spans
from longform.object_transformer.tokens import BoxTable, TokenError, tokens_of
from pipeline.bank import FeatureBank
from pipeline.bank.errors import UnknownNameError
from tests.pipeline.bank.helpers import Video, feature, new_bank, ok_row, publish

PERSONS, OBJECTS, CLIPS = "person.slowfast", "object.rcnn", "clip.slowfast"
VIDEO = "-e6lEsIUf3U"


def detection(number: int, at_s: float, **facts: Any) -> dict[str, Any]:
    """A box that can be told by its number."""
    left = number / 100
    row = {"video_id": VIDEO, "at_s": at_s, "frame": int(at_s * 25), "pts": number, "detection_id": number,
           "box": np.array([left, 0, left + 0.1, 0.5], np.float32), "score": 0.9, "class_id": 0, "label": "person",
           "track_id": 7, "shot_index": 2}  # fmt: skip
    return row | facts


def bank_of(folder: Path, detections: list[dict[str, Any]], **spaces: list[int]) -> FeatureBank:
    """A bank of one video; the features of a detection are its number."""
    at = {row["detection_id"]: row["at_s"] for row in detections}
    names = {"persons": (PERSONS, 3), "objects": (OBJECTS, 2), "clips": (CLIPS, 1)}
    writer = new_bank(folder, dict(names.values()))
    content = Video(VIDEO)
    content.rows["detections"] = sorted(detections, key=lambda row: (row["at_s"], row["detection_id"]))
    for kind, numbers in spaces.items():
        name, dim = names[kind]
        rows = [feature(VIDEO, at[number], np.full(dim, number), number) for number in numbers]
        content.rows[f"features/{name}"] = sorted(rows, key=lambda row: (row["at_s"], row["detection_id"]))
    content.rows[f"features/{CLIPS}"] = [feature(VIDEO, 0.0, [1.0])]
    writer.commit(ok_row(VIDEO, "f" * 16), publish(writer, content, "f" * 16))
    return FeatureBank.open(str(folder))


def numbers_in(table: BoxTable) -> list[int]:
    return np.round(table.boxes[:, 0] * 100).astype(int).tolist()


def test_persons_of_the_first_frame_of_each_second(tmp_path: Path) -> None:
    times = {3: 0.0, 1: 0.0, 2: 0.5, 4: 1.04, 5: 2.9999999, 6: 3.2}
    bank = bank_of(tmp_path, [detection(n, at_s) for n, at_s in times.items()], persons=[1, 2, 3, 4, 5, 6])
    table = box_table(bank, VIDEO, BankSpaces(persons=PERSONS))
    assert numbers_in(table) == [1, 3, 4, 5]
    assert table.seconds.tolist() == [0, 0, 1, 3]
    assert table.features.tolist() == [[n] * 3 for n in (1, 3, 4, 5)]
    assert table.video_id == VIDEO


def test_boxes_without_a_feature_are_not_tokens(tmp_path: Path) -> None:
    bank = bank_of(tmp_path, [detection(n, float(n)) for n in (1, 2, 3)], persons=[1, 3])
    assert numbers_in(box_table(bank, VIDEO, BankSpaces(persons=PERSONS))) == [1, 3]


def test_scores_tracks_and_shots(tmp_path: Path) -> None:
    boxes = [
        detection(1, 0.0, track_id=None, shot_index=0),
        detection(2, 0.0, track_id=None, shot_index=0),
        detection(3, 1.0, track_id=5, shot_index=1, score=0.8),
        detection(4, 1.0, score=0.79),
    ]
    bank = bank_of(tmp_path, boxes, persons=[1, 2, 3, 4])
    table = box_table(bank, VIDEO, BankSpaces(persons=PERSONS, min_score=0.8))
    assert numbers_in(table) == [1, 2, 3]
    assert table.shots.tolist() == [0, 0, 1]
    assert table.tracks[2] == 5
    assert len(set(table.tracks.tolist())) == 3


def test_persons_and_objects_side_by_side(tmp_path: Path) -> None:
    bank = bank_of(tmp_path, [detection(n, 0.0) for n in (1, 2, 3, 4)], persons=[2, 4], objects=[1, 3, 4])
    spaces = BankSpaces(persons=PERSONS, objects=OBJECTS)
    assert feature_dims(bank, spaces) == (3, 2)
    table = box_table(bank, VIDEO, spaces)
    assert numbers_in(table) == [2, 4, 1, 3]
    assert table.features.tolist() == [[2, 2, 2, 0, 0], [4, 4, 4, 4, 4], [0, 0, 0, 1, 1], [0, 0, 0, 3, 3]]


def test_from_bank_to_tokens(tmp_path: Path) -> None:
    bank = bank_of(tmp_path, [detection(n, float(n), track_id=n % 3) for n in range(80)], persons=list(range(80)))
    table = box_table(bank, VIDEO, BankSpaces(persons=PERSONS))
    spans = tail_spans(table.seconds)
    assert spans == [Span(tail) for tail in range(59, 80)]
    sequence = tokens_of(table, spans[-1], rng=np.random.default_rng(0))
    assert sequence.features[1:-1, 0].tolist() == list(range(79, 19, -1))


def test_what_the_bank_lacks_is_named(tmp_path: Path) -> None:
    bank = bank_of(tmp_path, [detection(1, 0.0, shot_index=None)], persons=[1])
    with pytest.raises(TokenError, match=r"no space 'person\.x'; it has: .*person\.slowfast"):
        box_table(bank, VIDEO, BankSpaces(persons="person.x"))
    with pytest.raises(TokenError, match="features of whole clips"):
        box_table(bank, VIDEO, BankSpaces(persons=CLIPS))
    with pytest.raises(TokenError, match="boxes without a shot"):
        box_table(bank, VIDEO, BankSpaces(persons=PERSONS))
    with pytest.raises(UnknownNameError):
        box_table(bank, "other", BankSpaces(persons=PERSONS))


def test_a_video_without_boxes_is_an_empty_table(tmp_path: Path) -> None:
    bank = bank_of(tmp_path, [], persons=[])
    table = box_table(bank, VIDEO, BankSpaces(persons=PERSONS))
    assert len(table) == 0
    assert tail_spans(table.seconds) == []
