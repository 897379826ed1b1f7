"""AVA fine-tuning: labels of boxes, what is trained, and masked evaluation against a plain loop."""

import argparse
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from longform.metrics.tables import AnnotationError
from longform.object_transformer import actions, pretraining
from longform.object_transformer.action_labels import AnnotatedBoxes
from longform.object_transformer.actions import FilmTimes, masked_scores
from longform.object_transformer.batches import collate
from longform.object_transformer.masking import FINE_TUNING, mask_batch
from longform.object_transformer.recipes import AVA
from longform.object_transformer.spans import centre_spans, tail_spans
from longform.training.loop import train
from longform.training.recipes import add_loop_options
from tests.longform.object_transformer.small_bank import DIM, FILMS, SMALL, write_bank, write_classifier

START = 870
"""Second of the film at which the small films begin: seconds 902 to 933 are 32 to 63 there."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four films; who is on the left does action 1 in films of class 0, action 2 in those of class 1."""
    folder = tmp_path_factory.mktemp("actions")
    write_bank(folder / "bank", range(4))
    write_classifier(folder / "classifier.safetensors")
    rows = []
    for number in (1, 2, 3, 19):
        for second in range(902, 934, 2):
            rows.append(f"{FILMS[number]},{second:04d},0.100,0.200,0.400,0.800,{1 + number % 2},0")
            rows.append(f"{FILMS[number]},{second:04d},0.100,0.200,0.400,0.800,5,0")
            rows.append(f"{FILMS[number]},{second:04d},0.700,0.700,0.900,0.800,3,1")
    (folder / "truth.csv").write_text("\n".join([*rows, ""]))
    labels = [f'item {{\n  name: "a{number}"\n  id: {number}\n}}\n' for number in (1, 2, 5)]
    (folder / "labels.pbtxt").write_text("".join(labels))
    return folder


def train_options(data: Path, *words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_loop_options(parser)
    AVA.configure(parser)
    given = ["--bank", data / "bank", "--annotations", data / "truth.csv", "--classifier",
             data / "classifier.safetensors", "--pretrained", "untrained", "--start-second", START]  # fmt: skip
    return parser.parse_args([*map(str, given), *SMALL, "--quiet", "--batch", "4", *words])


def task_of(data: Path, *words: str) -> actions.ActionTask:
    torch.manual_seed(0)
    return actions.task(train_options(data, *words))


def test_a_box_has_the_actions_of_the_annotated_box_it_overlaps(data: Path) -> None:
    task = task_of(data)
    assert task.source.missing == (FILMS[19],)
    labels, table = task.labels[FILMS[2]], task.source[FILMS[2]]
    left = table.boxes[:, 0] < 0.2
    assert np.array_equal(labels.known, left & (table.seconds >= 32))
    assert {tuple(np.flatnonzero(row) + 1) for row in labels.actions[labels.known]} == {(1, 5)}
    assert not labels.actions[~labels.known].any()


def test_files_of_the_released_data_are_read_too(tmp_path: Path) -> None:
    path = tmp_path / "train.csv"
    path.write_text(
        "a,902,0.1,0.1,0.2,0.2,7,0.9,3,1,x\na,902,0.1,0.1,0.2,0.2,9,0.9,3,1,x\na,903,0.3,0.3,0.5,0.5,,0.9,3,1,x\n"
    )
    found = AnnotatedBoxes.read(path)
    assert found.videos == ["a"]
    assert np.flatnonzero(found.by_moment["a", 902][1][0]).tolist() == [6, 8]
    assert not found.by_moment["a", 903][1].any()
    path.write_text("a,902,0.1,0.1,0.2,0.2,81,1\n")
    with pytest.raises(AnnotationError, match="action 81"):
        AnnotatedBoxes.read(path)


def test_only_the_last_layers_are_trained_and_the_loss_falls(data: Path, tmp_path: Path) -> None:
    options = train_options(data, "--steps", "40", "--lr", "1e-2")
    task = task_of(data)
    before = {name: value.clone() for name, value in task.model.state_dict().items()}
    task.model.eval()
    with torch.no_grad():
        first = task.evaluate()["loss"]
    report = train(task, pretraining.settings(options), tmp_path)
    changed = {name for name, value in task.model.state_dict().items() if not torch.equal(value, before[name])}
    layers = ("decoder.weight", "decoder.bias", "bias", "decoder_feat.weight", "decoder_feat.bias")
    assert changed == {f"action_lm_head.{name}" for name in layers}
    assert report.metrics["loss"] < 0.5 * first


def test_masked_boxes_alone_are_scored_and_averaged(data: Path) -> None:
    task = task_of(data)
    model, source, name = task.model.eval(), task.source, FILMS[1]
    times = FilmTimes(prefix="", start_second=START)
    found = masked_scores(model, source, name, times, repeats=2, fuse=True, rng=np.random.default_rng(5))
    spans = [*centre_spans(source.seconds[name], times.centres) * 2, *tail_spans(source.seconds[name])]
    rng, seen = np.random.default_rng(5), [[] for _ in range(len(source[name]))]
    for start in range(0, len(spans), actions.SPANS_AT_ONCE):
        part = [
            source.sequence(name, span, model.config.token_form, rng) for span in spans[start:][: actions.SPANS_AT_ONCE]
        ]
        tokens = collate(part)
        corruptions = mask_batch(tokens, FINE_TUNING, rng, (DIM,))
        with torch.no_grad():
            logits = model(tokens, corruptions)
        for position, row in zip(corruptions[0].positions.tolist(), logits, strict=True):
            seen[int(tokens.rows[position])].append(torch.sigmoid(row).double().numpy())
    expected = np.stack([np.mean(rows, axis=0) if rows else np.zeros(80) for rows in seen])
    np.testing.assert_allclose(found, expected, atol=1e-6)
    apart = masked_scores(model, source, name, times, repeats=2, fuse=False, rng=np.random.default_rng(5))
    assert not np.allclose(found, apart)


def test_evaluation_gives_the_official_score_and_names_what_is_missing(data: Path, tmp_path: Path) -> None:
    task = task_of(data)
    save_file({name: value.contiguous() for name, value in task.model.state_dict().items()}, tmp_path / "m.safetensors",
              {"format": "longform"})  # fmt: skip
    parser = argparse.ArgumentParser()
    for name, default in (("device", "cpu"), ("precision", "fp32")):
        parser.set_defaults(**{name: default})
    assert AVA.configure_eval is not None
    AVA.configure_eval(parser)
    words = ["--bank", data / "bank", "--annotations", data / "truth.csv", "--start-second", START, "--checkpoint",
             tmp_path / "m.safetensors", "--label-map", data / "labels.pbtxt", "--repeats", 1, "-o",
             tmp_path / "out.csv"]  # fmt: skip
    (score,) = actions.evaluate(parser.parse_args([*map(str, words), *SMALL]))
    assert (score.metric, score.num_videos, score.num_missing) == ("frame_map", 3, 1)
    assert score.more["missing"] == [FILMS[19]]
    assert 0 < score.value < 100
    lines = (tmp_path / "out.csv").read_text().splitlines()
    assert len(lines) == 3 * 16 * 2 * 3, "films, key seconds, boxes, classes of the label map"
    assert lines[0].startswith(f"{FILMS[1]},0902,0.1,0.2,0.4,0.8,1,")


def test_annotations_that_fit_nowhere_are_refused(data: Path) -> None:
    with pytest.raises(AnnotationError, match="--start-second"):
        task_of(data, "--start-second", "5000")
