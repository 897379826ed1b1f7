"""The file in the package: what its card says is true, and it is worth having."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.builtin_network.classes import HELD_OUT, MOTION_CLASSES
from benchmarks.builtin_network.descriptors import colour_histogram, embedding, hoghof
from benchmarks.builtin_network.evaluation import as_markdown, generated_clips
from benchmarks.builtin_network.measures import neighbour_accuracy, standardised
from extractors.backbones.base import Backbone
from extractors.classes import class_names
from extractors.clips.hoghof import HogHof, HogHofConfig
from extractors.networks import network_source
from extractors.weights.cards import CARDS
from extractors.weights.store import Store

REPOSITORY = Path(__file__).parents[3]
STORED = REPOSITORY / "benchmarks" / "results" / "builtin_network.json"
CARD = CARDS["slowfast_compact_motions"]


@pytest.fixture(scope="module")
def network() -> Backbone:
    return network_source(None, CARD.name).build()


def test_the_card_says_what_the_network_is(network: Backbone) -> None:
    assert CARD.input == network.default_input()
    names = tuple(name.replace("_", " ") for name in MOTION_CLASSES)
    assert class_names(CARD.classes, num_classes=network.num_classes) == names
    (check,) = Store().verify([CARD.name])
    assert (check.status, check.sha256) == ("ok", CARD.sha256)
    assert check.path.stat().st_size < 10e6


def test_motions_it_never_saw_are_told_apart_better_than_by_hog_and_hof(network: Backbone) -> None:
    made = generated_clips(HELD_OUT, 8)
    assert CARD.input is not None
    learned = np.array([embedding(network, CARD.input, clip) for clip in made.clips], np.float64)
    fixed = np.array([hoghof(HogHof(HogHofConfig()), clip) for clip in made.clips], np.float64)
    found, by_hand = (
        max(neighbour_accuracy(form, made.motions).value for form in (vectors, standardised(vectors)))
        for vectors in (learned, fixed)
    )
    assert found > by_hand + 0.1


def test_the_model_card_has_the_stored_table() -> None:
    assert as_markdown(json.loads(STORED.read_text())) in (REPOSITORY / "docs" / "builtin-weights.md").read_text()


def test_it_beats_what_needs_no_weights_but_colours_where_they_tell_all() -> None:
    table = json.loads(STORED.read_text())
    rows = {row for row in table if not row.startswith("real, same shot:")}
    assert len(rows) == len(table) - 2
    for row in rows:
        values = {name: figure["value"] for name, figure in table[row].items()}
        assert max(values, key=lambda name: values[name]) == "built-in network", row
    for row in table.keys() - rows:
        values = {name: figure["value"] for name, figure in table[row].items()}
        assert sorted(values, key=lambda name: -values[name])[:2] == ["colour histogram", "built-in network"], row


def test_a_colour_histogram_counts_pixels() -> None:
    red = np.zeros((2, 8, 8, 3), np.uint8)
    red[..., 0] = 255
    half = red.copy()
    half[:, :, 4:] = (0, 255, 0)
    assert np.square(colour_histogram(red)).max() == pytest.approx(1)
    assert np.sort(np.square(colour_histogram(half)))[-2:] == pytest.approx([0.5, 0.5])


def test_the_table_is_in_percent() -> None:
    table = {"row": {"a": {"value": 0.5, "error": 0.012}, "b": {"value": 1.0, "error": 0.0}}}
    assert as_markdown(table).splitlines()[2] == "| row | 50.0 ± 1.2 | 100.0 ± 0.0 |"
