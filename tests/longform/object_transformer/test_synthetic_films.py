"""The synthetic world as films: what is drawn can be found by `longform extract` and read off the people."""

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.lvu.synthetic import film_ceilings
from benchmarks.lvu.synthetic.design import CHANNELS
from benchmarks.lvu.synthetic.features import action_codes
from benchmarks.lvu.synthetic.film_ceilings import ceilings
from benchmarks.lvu.synthetic.film_teacher import FILM_SPACE, TEACHER, fit_teacher, plays_by_split
from benchmarks.lvu.synthetic.films import (
    BAND_COLOURS,
    BANDS,
    HAT_COLOURS,
    HAT_MIDDLE,
    FilmConfig,
    frames,
    screenplays,
    write_films,
)
from benchmarks.lvu.synthetic.screenplay import EXTRA, WIDTH, Screenplay
from longform.datasets.lvu import SPLITS, TASKS, read_split
from longform.object_transformer.bank_tokens import BankSpaces, box_table
from longform.object_transformer.pretrained import read_short_term_classifier
from longform.object_transformer.tokens import BoxTable
from pipeline.bank import FeatureBank
from pipeline.errors import ConfigError
from pipeline.extract import extract
from pipeline.presets import build_config

LEGS = 4
"""Bands from this one on are on legs, with background between them."""

CONFIG = FilmConfig(videos=7, seconds=(22.0, 24.0), seed=1, shares=(0.7, 0.15, 0.15))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("films")


@pytest.fixture(scope="module")
def plays(folder: Path) -> dict[str, Screenplay]:
    return write_films(folder, CONFIG)


@pytest.fixture(scope="module")
def bank(folder: Path, plays: dict[str, Screenplay]) -> Path:
    report = extract([str(folder / "videos.csv")], str(folder / "bank"), build_config("builtin"), workers=1, quiet=True)
    assert (report.ok, report.failures) == (len(plays), [])
    return folder / "bank"


def test_each_person_wears_the_colours_of_what_they_do() -> None:
    _, play, rng = next(screenplays(CONFIG))
    pictures = list(frames(play, CONFIG, rng))
    assert len(pictures) == round(play.seconds * CONFIG.fps)
    for one in play.cast:
        here = [other for other in play.cast if other.shot == one.shot]
        if any(abs(other.x - one.x) < one.height * WIDTH for other in here if other is not one):
            continue
        rgb = pictures[round(one.start_s * CONFIG.fps)]
        shown = {HAT_MIDDLE: HAT_COLOURS[one.handled]}
        if one.person < EXTRA:
            shown |= {
                (start + end) / 2: BAND_COLOURS[number][one.states[number]]
                for number, (start, end) in enumerate(BANDS[:LEGS])
            }
        for part, colour in shown.items():
            y = (one.ground - one.height * (1 - part)) * rgb.shape[0]
            if y >= 1:
                assert np.array_equal(rgb[int(y), int(one.x * rgb.shape[1])], colour)


def test_a_shot_is_one_picture() -> None:
    _, play, rng = next(screenplays(CONFIG))
    pictures = list(frames(play, CONFIG, rng))
    changes = [number for number in range(1, len(pictures)) if not np.array_equal(*pictures[number - 1 : number + 1])]
    assert changes == [round(cut * CONFIG.fps) for cut in play.cuts_s[1:-1]]


def test_labels_of_all_tasks_are_written(folder: Path, plays: dict[str, Screenplay]) -> None:
    for task in TASKS:
        videos = [video for split in SPLITS for video in read_split(folder / "lvu_1.0", task, split)]
        assert [video.video_id for video in videos] == list(plays)
        if not TASKS[task].is_regression:
            assert [video.label for video in videos] == [getattr(play.labels, task) for play in plays.values()]


def test_shots_and_people_are_found(bank: Path, plays: dict[str, Screenplay]) -> None:
    opened = FeatureBank.open(str(bank))
    for video_id, play in plays.items():
        starts = np.array(opened.table("shots", video_id)["start_s"].to_pylist())
        missed = [cut for cut in play.cuts_s[:-1] if np.abs(starts - cut).min() > 2 / CONFIG.fps]
        assert len(missed) <= 1
        table = box_table(opened, video_id, BankSpaces(persons=FILM_SPACE))
        shown = sum(np.ceil(one.end_s) - np.ceil(one.start_s) for one in play.cast)
        assert len(table) > 0.75 * shown


def test_classifier_of_films_reads_what_people_do(folder: Path, bank: Path) -> None:
    percents = fit_teacher(folder, bank)
    assert set(percents) == {*CHANNELS, "objects"}
    assert np.mean([percents[channel] for channel in CHANNELS]) > 60, "half of them are right by chance"
    classifier = read_short_term_classifier(folder / TEACHER)
    assert (classifier.out_features, classifier.in_features) == (80, 72)
    found = ceilings(folder, bank, min_score=0.6)
    assert found["films"] == 1
    assert found["cuts"]["found"] >= found["cuts"]["shown"] - 1
    assert found["people"]["found_percent"] > 75
    assert set(found["oracle"]) == set(TASKS)


def test_ceilings_are_perfect_where_nothing_is_lost(
    folder: Path, bank: Path, plays: dict[str, Screenplay], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With drawn boxes and known actions in place of found and read ones, and false boxes counted where there are."""
    fit_teacher(folder, bank)
    weight = np.eye(80, dtype=np.float32)
    drawn = {name: _drawn(name, play) for name, play in plays.items()}
    monkeypatch.setattr(film_ceilings, "box_table", lambda _, name, __: drawn[name])
    monkeypatch.setattr(film_ceilings, "read_short_term_classifier", lambda _: _classifier(weight))
    found = ceilings(folder, bank, min_score=0.0)
    assert found["people"]["found_percent"] == 100
    assert found["people"]["false_boxes_percent"] == pytest.approx(100 / len(drawn[_test_film(folder)]))
    assert found["people"]["tracks_of_one_person_percent"] == found["people"]["tracks_per_appearance"] * 100 == 100
    assert set(found["read"].values()) == {100.0}


def _test_film(folder: Path) -> str:
    return next(iter(plays_by_split(folder)["test"]))


def _classifier(weight: np.ndarray) -> torch.nn.Linear:
    linear = torch.nn.Linear(*weight.shape[::-1])
    linear.weight.data, linear.bias.data = torch.from_numpy(weight), torch.full((len(weight),), -0.5)
    return linear.requires_grad_(False)


def _drawn(name: str, play: Screenplay) -> BoxTable:
    """A box each second of everybody, and one of nobody in the end, in a corner."""
    seen = [(second, track, one) for track, one in enumerate(play.cast)
            for second in range(int(np.ceil(one.start_s)), int(np.ceil(one.end_s)))]  # fmt: skip
    codes = action_codes(np.array([one.states for _, _, one in seen]), np.array([one.handled for _, _, one in seen]))
    return BoxTable(
        video_id=name,
        seconds=np.array([*(second for second, _, _ in seen), seen[-1][0]]),
        boxes=np.array([*(one.box for _, _, one in seen), (0.0, 0.0, 0.01, 0.01)]),
        tracks=np.array([*(track for _, track, _ in seen), len(play.cast)]),
        shots=np.array([*(one.shot for _, _, one in seen), seen[-1][2].shot]),
        features=np.concatenate([codes, np.zeros((1, 80), np.float32)]),
    )


@pytest.mark.parametrize("options", [{"videos": 0}, {"height_px": 90}, {"fps": 1}, {"seconds": (90.0, 60.0)}])
def test_films_that_cannot_be(tmp_path: Path, options: dict) -> None:
    with pytest.raises(ConfigError, match="expected"):
        write_films(tmp_path, **options)
