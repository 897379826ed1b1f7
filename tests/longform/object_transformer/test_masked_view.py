"""Masked people: what is hidden, where, and that the answers are those of the two models."""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from extractors.classes import class_names
from extractors.errors import WeightsError
from extractors.weights.misfit import MisfitError
from longform.object_transformer.bank_tokens import BankSpaces
from longform.object_transformer.batches import collate
from longform.object_transformer.masked_view import evaluate, masked_predictions
from longform.object_transformer.masking import MASK, Corruption
from longform.object_transformer.model import PretrainTransformer
from longform.object_transformer.pretrained import read_short_term_classifier
from longform.object_transformer.sources import BoxSource
from longform.object_transformer.spans import Span
from longform.object_transformer.tokens import TokenError, tokens_of
from longform.report.answers import read_masked
from pipeline.bank import FeatureBank
from tests.longform.object_transformer.small import network
from tests.longform.object_transformer.small_bank import DIM, FILMS, SPACE, film, write_bank, write_classifier
from tests.pipeline.bank.helpers import feature, new_bank, put

NAMES = class_names("ava-80")
FORM: dict[str, Any] = {"feature_dims": (DIM,), "layers": 1}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("masked")
    write_bank(folder / "bank", [0, 1])
    write_classifier(folder / "classifier.safetensors")
    save_file(pretrained().state_dict(), folder / "model.safetensors")
    return folder


def pretrained() -> PretrainTransformer:
    model = network("pretrain", **FORM)
    assert isinstance(model, PretrainTransformer)
    return model


def source_of(bank: Path | FeatureBank) -> BoxSource:
    return BoxSource(bank if isinstance(bank, FeatureBank) else FeatureBank.open(bank), BankSpaces(persons=SPACE))


def test_each_track_is_masked_alone_and_answered_by_both_models(data: Path) -> None:
    source, model = source_of(data / "bank"), pretrained()
    classifier = read_short_term_classifier(data / "classifier.safetensors")
    found = masked_predictions(source, FILMS[0], model, classifier, NAMES)
    assert [track.track_id for track in found] == [0, 1]
    table = source[FILMS[0]]
    for track in found:
        assert (track.span_start_s, track.span_end_s, track.start_s, track.end_s) == (2, 62, 2, 60)
        assert (track.boxes, track.at_s) == (30, 32)
        rows = np.flatnonzero((table.tracks == track.track_id) & (table.seconds >= 2) & (table.seconds < 62))
        assert track.box == table.boxes[rows[15]].tolist()
        expected = classifier(torch.from_numpy(table.features[rows].astype(np.float32))).sigmoid().mean(0)
        values, classes = expected.topk(5)
        assert [one["class"] for one in track.short_term] == classes.tolist()
        assert [one["score"] for one in track.short_term] == pytest.approx(values.tolist(), abs=1e-5)
        assert [one["name"] for one in track.context] == [NAMES[one["class"]] for one in track.context]


def test_the_answer_is_the_mask_heads_for_the_hidden_boxes(data: Path) -> None:
    source, model = source_of(data / "bank"), pretrained()
    classifier = read_short_term_classifier(data / "classifier.safetensors")
    first, _ = masked_predictions(source, FILMS[1], model, classifier, NAMES, activation="softmax", seed=5)
    rng = np.random.default_rng(5)
    batch = collate([tokens_of(source[FILMS[1]], Span(61), model.config.token_form, rng) for _ in range(2)])
    rows = batch.rows.numpy()
    hidden = np.flatnonzero(np.isin(rows, np.flatnonzero(source[FILMS[1]].tracks == 0))[: batch.lengths[0]])
    corruption = Corruption(
        positions=torch.from_numpy(hidden), sources=torch.full((len(hidden),), MASK), counts=(len(hidden), 0)
    )
    with torch.no_grad():
        expected = model(batch, (corruption,)).mask_logits[0].softmax(1).mean(0)
    assert [one["score"] for one in first.context] == pytest.approx(expected.topk(5).values.tolist(), abs=1e-6)
    assert first.context[0]["class"] == int(expected.argmax())


def test_what_a_masked_person_looks_like_does_not_reach_the_answer_but_others_do(data: Path, tmp_path: Path) -> None:
    classifier = read_short_term_classifier(data / "classifier.safetensors")
    answers = []
    for changed in (None, 0, 1):
        writer = new_bank(tmp_path / f"bank-{changed}", {SPACE: DIM})
        content = film(0)
        for row in content.rows[f"features/{SPACE}"]:
            if row["track_id"] == changed:
                row["feature"] = -row["feature"]
        put(writer, content)
        source = source_of(FeatureBank.open(tmp_path / f"bank-{changed}"))
        first, _ = masked_predictions(source, FILMS[0], pretrained(), classifier, NAMES)
        answers.append(first)
    same, own, other = answers
    assert own.context == same.context
    assert own.short_term != same.short_term
    assert other.context != same.context
    assert other.short_term == same.short_term


def test_a_track_that_a_crowd_pushes_out_is_masked_where_it_ends(data: Path, tmp_path: Path) -> None:
    writer = new_bank(tmp_path / "bank", {SPACE: DIM})
    content = film(0)
    detections, features = content.rows["detections"], content.rows[f"features/{SPACE}"]
    crowd = [{**detections[-1], "detection_id": 100 + n, "track_id": 100 + n} for n in range(254)]
    detections += crowd
    features += [feature(FILMS[0], 62.0, np.ones(DIM), row["detection_id"], row["track_id"]) for row in crowd]
    for row in (*detections[:-254], *features[:-254]):
        row["track_id"] = 7 if row["at_s"] == 40 else row["track_id"]
    put(writer, content)
    classifier = read_short_term_classifier(data / "classifier.safetensors")
    found = masked_predictions(source_of(tmp_path / "bank"), FILMS[0], pretrained(), classifier, NAMES)
    (pushed,) = [track for track in found if track.track_id == 7]
    assert (pushed.span_start_s, pushed.span_end_s, pushed.at_s, pushed.boxes) == (0, 41, 40, 2)


def options_of(data: Path, **more: object) -> argparse.Namespace:
    given: dict[str, object] = {
        "bank": str(data / "bank"), "persons": None, "objects": None, "min_score": 0.0, "cache_gb": 1.0, "video": [],
        "checkpoint": str(data / "model.safetensors"), "classifier": str(data / "classifier.safetensors"),
        "classes": "ava-80", "mask_loss": "code", "masked_view": None, "seed": 0, "device": "cpu", "precision": "fp32",
        "variant": "released", "width": 24, "layers": 1, "heads": 3, "dropout": None,
    }  # fmt: skip
    return argparse.Namespace(**{**given, **more})


def test_the_command_scores_and_writes_the_file(data: Path, tmp_path: Path) -> None:
    view = tmp_path / "view.json"
    (score,) = evaluate(options_of(data, masked_view=str(view)))
    content = json.loads(view.read_text(encoding="utf-8"))
    tracks = [track for video in content["videos"] for track in video["tracks"]]
    agreed = [track["context"][0]["class"] == track["short_term"][0]["class"] for track in tracks]
    assert score.value == 100 * sum(agreed) / 4
    assert (score.num_videos, score.num_missing, score.more["tracks"]) == (2, 0, 4)
    assert (content["space"], content["activation"], content["span_s"]) == (SPACE, "sigmoid", 60)
    assert [video["bank_video_id"] for video in content["videos"]] == FILMS[:2]
    shown = read_masked([str(view)]).by_video
    assert [track.track for film in FILMS[:2] for track in shown[film]] == [0, 1, 0, 1]
    (score,) = evaluate(options_of(data, video=[FILMS[1], "none"]))
    assert (score.num_videos, score.num_missing, score.more["missing"]) == (1, 1, ["none"])


def test_what_cannot_work_is_said(data: Path, tmp_path: Path) -> None:
    with pytest.raises(TokenError, match=r"none of the videos \['none'\] has a track"):
        evaluate(options_of(data, video=["none"]))
    with pytest.raises(WeightsError, match="no mask head"):
        evaluate(options_of(data, checkpoint=str(data / "classifier.safetensors")))
    write_classifier(tmp_path / "wide.safetensors", dim=DIM + 1)
    with pytest.raises(WeightsError, match=f"takes {DIM + 1} values"):
        evaluate(options_of(data, classifier=str(tmp_path / "wide.safetensors")))
    with pytest.raises(MisfitError):
        evaluate(options_of(data, width=48))
