"""The synthetic world as films: what is drawn can be found by `longform extract` and read off the people."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.lvu.synthetic.design import CHANNELS
from benchmarks.lvu.synthetic.film_teacher import FILM_SPACE, fit_teacher
from benchmarks.lvu.synthetic.films import BAND_COLOURS, BANDS, FilmConfig, frames, screenplays, write_films
from benchmarks.lvu.synthetic.screenplay import EXTRA, Screenplay
from longform.datasets.lvu import SPLITS, TASKS, read_split
from longform.object_transformer.bank_tokens import BankSpaces, box_table
from longform.object_transformer.pretrained import read_short_term_classifier
from pipeline.bank import FeatureBank
from pipeline.errors import ConfigError
from pipeline.extract import extract
from pipeline.presets import build_config

LEGS = 4
"""Bands from this one on are on legs, with background between them."""

CONFIG = FilmConfig(videos=3, seconds=(22.0, 24.0), seed=1, fps=4, shares=(0.34, 0.33, 0.33))


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
    seen = 0
    for one in play.cast:
        alone = [other for other in play.cast if other.shot == one.shot] == [one]
        frame = int(np.ceil(one.start_s * CONFIG.fps)) + 1
        if one.person >= EXTRA or not alone or frame >= one.end_s * CONFIG.fps:
            continue
        rgb = pictures[frame]
        x = (one.x + one.drift_per_s * (frame / CONFIG.fps - one.start_s)) * rgb.shape[1]
        for number, (start, end) in enumerate(BANDS[:LEGS]):
            y = (one.ground - one.height * (1 - (start + end) / 2)) * rgb.shape[0]
            if y >= 0:
                assert np.array_equal(rgb[int(y), int(x)], BAND_COLOURS[number][one.states[number]])
                seen += 1
    assert seen >= LEGS


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
    assert set(percents) == set(CHANNELS)
    assert np.mean(list(percents.values())) > 60, "half of them are right by chance"
    classifier = read_short_term_classifier(folder / "teacher.safetensors")
    assert (classifier.out_features, classifier.in_features) == (80, 72)


@pytest.mark.parametrize("options", [{"videos": 0}, {"height_px": 90}, {"fps": 1}, {"seconds": (90.0, 60.0)}])
def test_films_that_cannot_be(tmp_path: Path, options: dict) -> None:
    with pytest.raises(ConfigError, match="expected"):
        write_films(tmp_path, **options)
