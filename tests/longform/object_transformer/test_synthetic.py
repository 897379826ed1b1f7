"""The synthetic world as a bank: what is written is what readers expect, and labels follow from it, not from pools."""

from collections import Counter
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.lvu.synthetic import SPACE, BankWorld, WorldConfig, write_bank_world
from benchmarks.lvu.synthetic.__main__ import main
from benchmarks.lvu.synthetic.design import ACTIONS, CHANNELS, WAYS_OF_SPEAKING, draw_labels, expected_numbers
from benchmarks.lvu.synthetic.facts import labels_of
from benchmarks.lvu.synthetic.features import ACTION_CLASSES, SMALLEST_DIM
from benchmarks.lvu.synthetic.probes import Movie, measure, read_movies
from benchmarks.lvu.synthetic.screenplay import EXTRA, write_screenplay
from benchmarks.lvu.synthetic.split_files import split_of, video_ids
from longform.datasets.lvu import LIKE_RATIO_MEAN, SPLITS, TASKS, VIEW_COUNT_MEAN, read_split
from longform.object_transformer.bank_tokens import BankSpaces, box_table
from longform.object_transformer.pretrained import read_short_term_classifier
from pipeline.bank import FeatureBank
from pipeline.bank.verify import verify
from pipeline.errors import ConfigError

VIDEOS, UNLABELLED = 90, 2


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> BankWorld:
    folder = tmp_path_factory.mktemp("world")
    return write_bank_world(folder, videos=VIDEOS, unlabelled=UNLABELLED, seed=3, feature_dim=SMALLEST_DIM)


@pytest.fixture(scope="module")
def movies(world: BankWorld) -> list[Movie]:
    return read_movies(world)


def test_bank_is_whole_and_holds_the_unlabelled_movies_too(world: BankWorld, movies: list[Movie]) -> None:
    bank = FeatureBank.open(str(world.bank))
    assert verify(str(world.bank)).problems == []
    assert len(bank.videos()) == VIDEOS + UNLABELLED
    assert bank.spaces[SPACE].dim == SMALLEST_DIM
    labelled = {movie.table.video_id for movie in movies}
    assert len(labelled) == VIDEOS
    assert labelled < set(bank.videos()["video_id"].to_pylist())


def test_split_files_have_every_movie_once_for_each_task(world: BankWorld) -> None:
    for task in TASKS:
        splits = [[video.video_id for video in read_split(world.annotations, task, split)] for split in SPLITS]
        assert [len(ids) for ids in splits] == [54, 18, 18]
        together = [video_id for ids in splits for video_id in ids]
        assert len(set(together)) == VIDEOS
        assert any(video_id.startswith("-") for video_id in together)


def test_boxes_tracks_and_shots_fit_together(world: BankWorld, movies: list[Movie]) -> None:
    bank = FeatureBank.open(str(world.bank))
    for movie in movies[:5]:
        table = movie.table
        shots = bank.table("shots", table.video_id).to_pydict()
        starts, ends = np.array(shots["start_s"]), np.array(shots["end_s"])
        assert starts[0] == 0
        assert np.array_equal(starts[1:], ends[:-1])
        assert (starts[table.shots] <= table.seconds).all()
        assert (table.seconds < ends[table.shots]).all()
        assert all(len(set(table.shots[table.tracks == track])) == 1 for track in set(table.tracks))
        counts = {row["track_id"]: row["num_detections"] for row in bank.table("tracks", table.video_id).to_pylist()}
        assert counts == Counter(table.tracks.tolist())
        assert ((table.boxes >= 0) & (table.boxes <= 1)).all()
        assert (table.boxes[:, 2:] > table.boxes[:, :2]).all()


def test_classifier_reads_the_actions_of_a_screenplay(tmp_path: Path) -> None:
    config = WorldConfig(videos=3, seconds=(60, 60), feature_dim=SMALLEST_DIM, seed=5)
    world = write_bank_world(tmp_path, config)
    classifier = read_short_term_classifier(world.teacher)
    table = box_table(FeatureBank.open(str(world.bank)), video_ids(3, 5)[0], BankSpaces(persons=SPACE))
    rng = np.random.default_rng([5, 0])
    play = write_screenplay(rng, float(rng.uniform(60, 60)))
    logits = classifier(torch.from_numpy(table.features.astype(np.float32)))
    for track, one in enumerate(play.cast):
        mean = logits[table.tracks == track].mean(0)
        for channel, state in zip(CHANNELS, one.states, strict=True):
            up, down = (mean[ACTION_CLASSES.index(name)] for name in ACTIONS[channel])
            assert (bool(up > 0), bool(down > 0)) == (state > 0, state < 0)


def test_same_configuration_same_bank_and_another_seed_another(tmp_path: Path) -> None:
    config = WorldConfig(videos=3, seconds=(60, 70), feature_dim=SMALLEST_DIM)
    shas = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        world = write_bank_world(tmp_path / name, replace(config, seed=seed))
        files = [path for path in world.bank.rglob("*.parquet") if path.parent.name != "videos"]
        shas.append({sha256(path.read_bytes()).hexdigest() for path in files})
    assert len(shas[0]) == 3 * 4
    assert shas[0] == shas[1]
    assert not shas[0] & shas[2]


def test_means_of_the_leads_are_the_same_at_any_moment_unless_they_act_together() -> None:
    rng = np.random.default_rng(0)
    together = 0
    for _ in range(60):
        play = write_screenplay(rng, 75.0)
        sums = np.zeros((len(play.cuts_s) - 1, len(CHANNELS)), int)
        for one in play.cast:
            sums[one.shot] += one.states
            assert all(abs(state) == (one.person < EXTRA) for state in one.states)
        speech = CHANNELS.index("speech")
        if WAYS_OF_SPEAKING[play.labels.way_speaking] == "together":
            together += 1
            assert abs(sums[:, speech].sum()) <= 2
            sums[:, speech] = 0
        assert not sums.any()
    assert together > 0


def test_oracle_reads_all_labels_from_the_bank(movies: list[Movie]) -> None:
    read = [labels_of(movie.facts) for movie in movies]
    for task in TASKS.values():
        pairs = np.array([(movie.labels[task.name], one[task.name]) for movie, one in zip(movies, read, strict=True)])
        if task.is_regression:
            error = np.mean((pairs[:, 0] - pairs[:, 1]) ** 2)
            assert error < 0.35 * pairs[:, 0].var()
        else:
            assert np.mean(pairs[:, 0] == pairs[:, 1]) > 0.95


def test_pools_find_the_scene_and_nothing_else(movies: list[Movie]) -> None:
    rows = measure(movies, seeds=2, only="average") + measure(movies, seeds=2, only="late fusion")
    top1 = {(row["task"], row["probe"]): row["value"] for row in rows if row["metric"] == "top1"}
    for (task, _), value in top1.items():
        if task == "scene":
            assert value > 80
        else:
            chance = 1 / len(TASKS[task].classes)
            assert value < 100 * (chance + 3 * (chance / (2 * VIDEOS * 0.2)) ** 0.5)


def test_expected_numbers_are_the_means_of_what_is_counted() -> None:
    rng = np.random.default_rng(1)
    differences = []
    for _ in range(500):
        labels = draw_labels(rng)
        liked, viewed = expected_numbers(
            {name: getattr(labels, name) for name in ("relationship", "genre", "scene", "year")}
        )
        ratio = 10 * labels.likes / (labels.likes + labels.dislikes) - LIKE_RATIO_MEAN
        differences.append((ratio - liked, np.log(labels.views) - VIEW_COUNT_MEAN - viewed))
    assert np.allclose(np.mean(differences, axis=0), 0, atol=0.05)
    assert np.allclose(np.std(differences, axis=0), (0.2, 0.3), atol=0.03)


def test_ids_are_youtubes_and_splits_follow_the_shares() -> None:
    ids = video_ids(200, 0)
    assert len(set(ids)) == 200
    assert {len(video_id) for video_id in ids} == {11}
    assert [split_of(place, 10, (0.5, 0.2, 0.3)) for place in range(10)] == ["train"] * 5 + ["val"] * 2 + ["test"] * 3


@pytest.mark.parametrize(
    "options", [{"videos": 0}, {"unlabelled": -1}, {"seconds": (90, 60)}, {"seconds": (5, 60)}, {"feature_dim": 100}]
)
def test_worlds_that_cannot_be(tmp_path: Path, options: dict) -> None:
    with pytest.raises(ConfigError, match="expected"):
        write_bank_world(tmp_path, **options)


def test_shares_must_be_three_that_sum_to_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="sum to 1"):
        write_bank_world(tmp_path, videos=2, feature_dim=SMALLEST_DIM, shares=(0.5, 0.5, 0.5))


def test_command_writes_a_bank_and_explains_what_cannot_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*words: str) -> int:
        monkeypatch.setattr("sys.argv", ["synthetic", "--bank", "--out", str(tmp_path), *words])
        return main()

    assert run("--videos", "3", "--seconds", "30", "40", "--feature-dim", str(SMALLEST_DIM)) == 0
    assert len(FeatureBank.open(str(tmp_path / "bank")).videos()) == 3
    assert run("--videos", "0") == 2
    assert "expected a labelled video or more" in capsys.readouterr().err
